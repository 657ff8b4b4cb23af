"""Tensors that say by attributes which chunks of a larger one they hold."""

from __future__ import annotations

from typing import Protocol, TypeGuard, runtime_checkable

import torch

from .metadata import ChunkStorageMetadata, MetadataIndex

__all__ = ["CheckpointableTensor"]

try:
    from torch.distributed.checkpoint.protocol import CheckpointableTensor
except ImportError:  # PyTorch before 2.14

    @runtime_checkable
    class CheckpointableTensor(Protocol):  # type: ignore[no-redef]
        """Attributes with which a local tensor is saved and loaded as chunks of a global one.

        global_shape: of the whole tensor.
        global_offsets: where each chunk lies in it.
        local_offsets: where each chunk starts in the local tensor.
        local_sizes: the shape of each chunk.
        """

        global_shape: tuple[int, ...]
        global_offsets: tuple[tuple[int, ...], ...]
        local_offsets: tuple[tuple[int, ...], ...]
        local_sizes: tuple[tuple[int, ...], ...]


_ATTRIBUTES = ("global_shape", "global_offsets", "local_offsets", "local_sizes")
_NO_TENSOR = "CheckpointableTensor must also be a torch.Tensor"


def _is_checkpointable_tensor(obj: object) -> TypeGuard[CheckpointableTensor]:
    return isinstance(obj, torch.Tensor) and all(hasattr(obj, name) for name in _ATTRIBUTES)


def _copy_checkpointable_tensor_metadata(src: CheckpointableTensor, dst: torch.Tensor) -> None:
    for name in _ATTRIBUTES:
        setattr(dst, name, getattr(src, name))


def _get_checkpointable_tensor_chunks(tensor: CheckpointableTensor) -> list[ChunkStorageMetadata]:
    """Its chunks, as boxes of the global tensor."""
    _validate_checkpointable_tensor_metadata(tensor)
    return [
        ChunkStorageMetadata(offsets=torch.Size(offsets), sizes=torch.Size(sizes))
        for offsets, sizes in zip(tensor.global_offsets, tensor.local_sizes)
    ]


def _get_checkpointable_tensor_shard(
    tensor: CheckpointableTensor, index: MetadataIndex
) -> torch.Tensor:
    """The part of the local tensor that holds the chunk ``index`` names."""
    _validate_checkpointable_tensor_metadata(tensor)
    number = _chunk_number(tensor, index)
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(_NO_TENSOR)
    offsets = tensor.local_offsets[number]
    if not offsets:
        return tensor
    sizes = tensor.local_sizes[number]
    return tensor[tuple(slice(first, first + size) for first, size in zip(offsets, sizes))]


def _chunk_number(tensor: CheckpointableTensor, index: MetadataIndex) -> int:
    offsets = [torch.Size(offset) for offset in tensor.global_offsets]
    if index.offset is None:
        if len(offsets) == 1:
            return 0
        raise ValueError(
            f"Cannot lookup {index.fqn} with multiple checkpointable shards and no offset"
        )
    hint = index.index
    if hint is not None and hint < len(offsets) and offsets[hint] == index.offset:
        return hint
    if index.offset not in offsets:
        raise ValueError(
            f"Could not find checkpointable tensor shard at '{index.offset}' "
            f"for FQN: '{index.fqn}'"
        )
    return offsets.index(index.offset)


def _validate_checkpointable_tensor_metadata(tensor: CheckpointableTensor) -> None:
    """Raises ValueError where the attributes contradict one another or the tensor."""
    count = len(tensor.global_offsets)
    for name in ("local_offsets", "local_sizes"):
        if len(getattr(tensor, name)) != count:
            raise ValueError(f"global_offsets and {name} must have the same length")
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(_NO_TENSOR)
    whole = tuple(tensor.global_shape)
    local = tuple(tensor.size())
    for number in range(count):
        offset = tensor.global_offsets[number]
        local_offset = tensor.local_offsets[number]
        size = tensor.local_sizes[number]
        if len(offset) != len(whole):
            raise ValueError(f"global_offsets[{number}] must have {len(whole)} dimensions")
        if len(local_offset) != len(local):
            raise ValueError(f"local_offsets[{number}] must have {len(local)} dimensions")
        if len(size) != len(whole):
            raise ValueError(f"local_sizes[{number}] must have {len(whole)} dimensions")
        if len(size) != len(local):
            raise ValueError(f"local_sizes[{number}] must have {len(local)} local dimensions")
        _check_within(offset, size, whole, f"global shard {number}", "global_shape")
        _check_within(local_offset, size, local, f"local shard {number}", "tensor shape")


def _check_within(
    offset: tuple[int, ...], size: tuple[int, ...], shape: tuple[int, ...], what: str, where: str
) -> None:
    for dimension, (first, length, limit) in enumerate(zip(offset, size, shape)):
        if first < 0 or length < 0 or first + length > limit:
            raise ValueError(f"{what} dimension {dimension} is outside {where}")
