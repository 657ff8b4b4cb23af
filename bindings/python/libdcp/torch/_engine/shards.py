"""Tensors that stand for a part of a larger one, as libdcp.Sharded over the memory they have."""

from __future__ import annotations

from typing import Any, Callable

import torch
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torch.distributed.checkpoint.metadata import MetadataIndex
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from ..._types import Sharded

Pieces = list[tuple[tuple[int, ...], torch.Tensor]]

# What makes a plain tensor one or several chunks of a larger one: upstream's CheckpointableTensor.
PROTOCOL = ("global_shape", "global_offsets", "local_offsets", "local_sizes")

_MAX_PLACES = 1 << 16
_places: dict[Any, tuple[tuple[int, ...], tuple[int, ...]] | None] = {}


def has_protocol(tensor: torch.Tensor) -> bool:
    return all(hasattr(tensor, name) for name in PROTOCOL)


def has_hooks(value: Any) -> bool:
    """Whether it takes part by upstream's three methods, as DTensor does."""
    return hasattr(value, "__create_write_items__") or hasattr(value, "__create_chunk_list__")


def sharded(value: Any, target: bool, memory: Callable[[torch.Tensor], torch.Tensor]) -> Sharded:
    """This rank's chunks of a DTensor, a ShardedTensor, a CheckpointableTensor, or an object with
    upstream's hooks. ``memory`` gives the host memory of a chunk; ``target``: it is loaded into."""
    if isinstance(value, DTensor):
        return _of_dtensor(value, target, memory)
    if isinstance(value, ShardedTensor):
        return _of_sharded_tensor(value, memory)
    if has_hooks(value):
        return _of_hooks(value, target, memory)
    return _of_protocol(value, memory)


def _made(
    shape: Any, pieces: Pieces, dtype: torch.dtype, memory: Callable[[torch.Tensor], torch.Tensor]
) -> Sharded:
    return Sharded(shape, [(at, memory(piece)) for at, piece in pieces], dtype)


def _place(value: DTensor) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """(sizes, offsets) of the local part; None on a rank outside the mesh. Known ones are kept: a
    model has many tensors of few shapes."""
    mesh, spec = value.device_mesh, value._spec
    key = (mesh, spec.placements, spec.shape)
    found = _places.get(key, False)
    if found is False:
        if len(_places) >= _MAX_PLACES:
            _places.clear()
        if mesh.get_coordinate() is None:
            found = None
        else:
            sizes, offsets = compute_local_shape_and_global_offset(
                spec.shape, mesh, spec.placements
            )
            found = tuple(sizes), tuple(offsets)
        _places[key] = found
    return found  # type: ignore[return-value]


def _of_dtensor(
    value: DTensor, target: bool, memory: Callable[[torch.Tensor], torch.Tensor]
) -> Sharded:
    local: Any = value._local_tensor
    if has_hooks(local):
        return _of_hooks(value, target, memory)
    if any(placement.is_partial() for placement in value.placements):
        raise ValueError(
            "a DTensor with a Partial placement has no values of its own yet: redistribute it first"
        )
    place = _place(value)
    shape = value._spec.shape
    if place is None:
        return Sharded(shape, (), value.dtype)
    sizes, offsets = place
    if hasattr(local, "wait") and type(local).__name__ == "AsyncCollectiveTensor":
        local = local.wait()
    if tuple(local.shape) != sizes:
        raise ValueError(
            f"the local tensor of a DTensor has shape {tuple(local.shape)}, its placements say {sizes}"
        )
    if local.requires_grad != value.requires_grad:
        local = local.detach().requires_grad_(value.requires_grad)
    return _made(shape, [(offsets, local)], value.dtype, memory)


def _of_sharded_tensor(
    value: ShardedTensor, memory: Callable[[torch.Tensor], torch.Tensor]
) -> Sharded:
    """Also those whose shards are sharded again: FSDP over tensor parallel parts."""
    pieces: Pieces = []
    shape, properties = value.metadata().size, value.metadata().tensor_properties
    for shard in value.local_shards():
        at, tensor = tuple(shard.metadata.shard_offsets), shard.tensor
        if isinstance(tensor, DTensor):
            place = _place(tensor)
            inner = [] if place is None else [(place[1], tensor._local_tensor)]
            pieces += [(_moved(at, offsets), part) for offsets, part in inner]
        elif isinstance(tensor, ShardedTensor):
            pieces += [
                (_moved(at, part.metadata.shard_offsets), part.tensor)
                for part in tensor.local_shards()
            ]
        else:
            pieces.append((at, tensor))
    return _made(shape, pieces, properties.dtype, memory)


def _moved(at: Any, offsets: Any) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(at, offsets))


def _of_hooks(
    value: Any, target: bool, memory: Callable[[torch.Tensor], torch.Tensor]
) -> Sharded:
    """No operation on the wrapper itself: some raise on any."""
    if target or not hasattr(value, "__create_write_items__"):
        chunks = [chunk.offsets for chunk in value.__create_chunk_list__()]
        shape, dtype = value.size(), getattr(value, "dtype", None)
        indices = [MetadataIndex("", offsets, i) for i, offsets in enumerate(chunks)]
    else:
        items = value.__create_write_items__("", value)
        data = [item.tensor_data for item in items]
        if any(one is None for one in data):
            raise TypeError(f"{type(value).__qualname__} gives write items that are no tensors")
        chunks = [one.chunk.offsets for one in data]
        shape = data[0].size if data else value.size()
        dtype = data[0].properties.dtype if data else getattr(value, "dtype", None)
        indices = [item.index for item in items]
    pieces = [
        (tuple(offsets), value.__get_tensor_shard__(index))
        for offsets, index in zip(chunks, indices)
    ]
    if dtype is None and pieces:
        dtype = pieces[0][1].dtype
    return _made(shape, pieces, dtype, memory)


def _of_protocol(value: Any, memory: Callable[[torch.Tensor], torch.Tensor]) -> Sharded:
    shape, own = tuple(value.global_shape), tuple(value.size())
    counts = {len(value.global_offsets), len(value.local_offsets), len(value.local_sizes)}
    if len(counts) != 1:
        raise ValueError(
            "global_offsets, local_offsets and local_sizes of a CheckpointableTensor must have the "
            "same length"
        )
    pieces: Pieces = []
    for offsets, inside, sizes in zip(value.global_offsets, value.local_offsets, value.local_sizes):
        if not len(offsets) == len(shape) == len(sizes) or not len(inside) == len(own) == len(sizes):
            raise ValueError(
                f"a shard of a CheckpointableTensor has {len(offsets)} global offsets, {len(inside)} "
                f"local ones and {len(sizes)} sizes: the global shape must have {len(shape)} "
                f"dimensions, and the local tensor has {len(own)} dimensions"
            )
        if any(a < 0 or n < 0 or a + n > whole for a, n, whole in zip(offsets, sizes, shape)):
            raise ValueError(
                f"a shard of a CheckpointableTensor at {tuple(offsets)} is outside global_shape {shape}"
            )
        if any(a < 0 or a + n > whole for a, n, whole in zip(inside, sizes, own)):
            raise ValueError(
                f"a shard of a CheckpointableTensor at {tuple(inside)} is outside tensor shape {own}"
            )
        part = tuple(slice(a, a + n) for a, n in zip(inside, sizes))
        pieces.append((tuple(offsets), value[part] if part else value))
    return _made(shape, pieces, value.dtype, memory)
