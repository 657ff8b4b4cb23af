"""Items of plans: from tensors to write and read items."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch._utils import _get_device_module
from torch.distributed._shard.metadata import ShardMetadata
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from ._boxes import Entered, overlap, shared_region, span, widest
from ._tensor_properties import properties_of_shards
from .metadata import (
    STATE_DICT_TYPE,
    STORAGE_TYPES,
    BytesStorageMetadata,
    ChunkStorageMetadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from .planner import (
    LoadItemType,
    ReadItem,
    SavePlan,
    TensorWriteData,
    WriteItem,
    WriteItemType,
)
from .protocol import (
    CheckpointableTensor,
    _copy_checkpointable_tensor_metadata,
    _get_checkpointable_tensor_chunks,
    _is_checkpointable_tensor,
)
from .resharding import (
    _check_shard_metadata_pair_overlap,
    _shards_get_overlap_region_wrt_saved_tensor,
)

__all__: list[str] = ["create_read_items_for_chunk_list"]


# Plans against plans.


def _compare_save_plans(plan: SavePlan, other_plan: SavePlan) -> bool:
    """Whether two plans write the same items: kinds, names, places, index hints and sizes; dtypes
    and what storage and planner added do not count."""
    return (
        plan.usable == other_plan.usable
        and len(plan.items) == len(other_plan.items)
        and all(map(_same_item, plan.items, other_plan.items))
    )


def _same_item(one: WriteItem, other: WriteItem) -> bool:
    if one.type != other.type:
        return False
    if one.index != other.index or one.index.index != other.index.index:
        return False
    data, other_data = one.tensor_data, other.tensor_data
    if data is None or other_data is None:
        return data is other_data
    if data.size != other_data.size:
        return False
    if not data.chunk or not other_data.chunk:
        return bool(data.chunk) == bool(other_data.chunk)
    return data.chunk == other_data.chunk


def _contains_usable_plan(delta_plans: list[SavePlan]) -> bool:
    """Whether any rank sent a plan instead of word that nothing changed."""
    return any(plan.usable for plan in delta_plans if plan)


def _merge_delta_local_plans(
    cached_plans: list[SavePlan],
    delta_plans: list[SavePlan],
) -> list[SavePlan]:
    """By rank the plan that it sent, or the cached one where it sent word that nothing changed."""
    return [
        cached if delta and not delta.usable else delta
        for cached, delta in zip(cached_plans, delta_plans)
    ]


# Tensors as chunks.


def _create_chunk_from_tensor(tensor: torch.Tensor) -> ChunkStorageMetadata:
    return ChunkStorageMetadata(offsets=torch.Size([0] * tensor.dim()), sizes=tensor.size())


def _chunk_for_shard(shard_md: ShardMetadata) -> ChunkStorageMetadata:
    return ChunkStorageMetadata(
        offsets=torch.Size(shard_md.shard_offsets), sizes=torch.Size(shard_md.shard_sizes)
    )


def _create_chunk_from_dtensor(tensor: DTensor) -> ChunkStorageMetadata:
    sizes, offsets = compute_local_shape_and_global_offset(
        tensor.shape, tensor.device_mesh, tensor.placements
    )
    return ChunkStorageMetadata(offsets=torch.Size(offsets), sizes=torch.Size(sizes))


def _create_chunk_list(tensor: torch.Tensor) -> list[ChunkStorageMetadata]:
    """The chunks of ``tensor`` that this process holds. ValueError for what is no tensor."""
    hook = _hook(tensor, "__create_chunk_list__")
    if hook is not None:
        chunks: list[ChunkStorageMetadata] = hook()
        return chunks
    if isinstance(tensor, DTensor):
        return [_create_chunk_from_dtensor(tensor)]
    if _is_checkpointable_tensor(tensor):
        return _get_checkpointable_tensor_chunks(tensor)
    if isinstance(tensor, ShardedTensor):
        return [_chunk_for_shard(shard.metadata) for shard in tensor.local_shards()]
    if isinstance(tensor, torch.Tensor):
        return [_create_chunk_from_tensor(tensor)]
    raise ValueError(
        "Unsupported Type, expecting one of [Tensor, DTensor, ShardedTensor] "
        f",but got {type(tensor)}"
    )


def _hook(value: Any, name: str) -> Callable[..., Any] | None:
    """The method ``name`` with which a tensor plans for itself, if it has one. That of a DTensor is
    that of its local tensor; a DTensor without is planned here."""
    if isinstance(value, DTensor) and getattr(type(value), name, None) is getattr(
        DTensor, name, None
    ):
        value._raise_if_contains_partial_placements()
        return getattr(value._local_tensor, name, None)
    return getattr(value, name, None)


# Tensors as write items.


def _sharded_tensor_metadata(
    sharded_tensor: ShardedTensor, shard_md: ShardMetadata
) -> TensorWriteData:
    metadata = sharded_tensor.metadata()
    return TensorWriteData(
        chunk=_chunk_for_shard(shard_md),
        properties=properties_of_shards(metadata.tensor_properties),
        size=metadata.size,
    )


def _create_write_items_for_dtensor(fqn: str, tensor: DTensor) -> WriteItem:
    return _chunk_item(
        fqn,
        WriteItemType.SHARD,
        _create_chunk_from_dtensor(tensor),
        TensorProperties.create_from_tensor(tensor.to_local()),
        tensor.size(),
    )


def _create_write_item_for_shard(
    fqn: str, sharded_tensor: ShardedTensor, shard_md: ShardMetadata
) -> WriteItem:
    return WriteItem(
        index=MetadataIndex(fqn, torch.Size(shard_md.shard_offsets)),
        type=WriteItemType.SHARD,
        tensor_data=_sharded_tensor_metadata(sharded_tensor, shard_md),
    )


def _create_write_item_for_tensor(fqn: str, tensor: torch.Tensor) -> WriteItem:
    return _chunk_item(
        fqn,
        WriteItemType.TENSOR,
        _create_chunk_from_tensor(tensor),
        TensorProperties.create_from_tensor(tensor),
        tensor.size(),
    )


def _get_checkpointable_tensor_write_items(
    fqn: str, tensor: CheckpointableTensor
) -> list[WriteItem]:
    if not isinstance(tensor, torch.Tensor):
        raise TypeError("CheckpointableTensor must also be a torch.Tensor")
    properties = TensorProperties.create_from_tensor(tensor)
    whole = torch.Size(tensor.global_shape)
    return [
        _chunk_item(fqn, WriteItemType.SHARD, chunk, properties, whole, number)
        for number, chunk in enumerate(_get_checkpointable_tensor_chunks(tensor))
    ]


def _chunk_item(
    fqn: str,
    kind: WriteItemType,
    chunk: ChunkStorageMetadata,
    properties: TensorProperties,
    size: torch.Size,
    number: int | None = None,
) -> WriteItem:
    return WriteItem(
        index=MetadataIndex(fqn, chunk.offsets, number),
        type=kind,
        tensor_data=TensorWriteData(chunk=chunk, properties=properties, size=size),
    )


def _create_write_item_for_bytesio(fqn: str, bytes: Any) -> WriteItem:
    return WriteItem(index=MetadataIndex(fqn), type=WriteItemType.BYTE_IO)


def _create_write_items(fqn: str, object: Any) -> list[WriteItem]:
    """What this process has to write of ``object``."""
    hook = _hook(object, "__create_write_items__")
    if hook is not None:
        items: list[WriteItem] = hook(fqn, object)
        return items
    if isinstance(object, DTensor):
        return [_create_write_items_for_dtensor(fqn, object)]
    if isinstance(object, ShardedTensor):
        return [
            _create_write_item_for_shard(fqn, object, shard.metadata)
            for shard in object.local_shards()
        ]
    return _create_write_items_for_local(fqn, object)


def _create_write_items_for_local(fqn: str, value: Any) -> list[WriteItem]:
    if _is_checkpointable_tensor(value):
        return _get_checkpointable_tensor_write_items(fqn, value)
    if isinstance(value, torch.Tensor):
        return [_create_write_item_for_tensor(fqn, value)]
    return [_create_write_item_for_bytesio(fqn, value)]


def _create_default_metadata_only_plan(state_dict: STATE_DICT_TYPE) -> SavePlan:
    """A plan of everything that this process knows of, the shards of other ranks too: for metadata,
    not for writing."""
    items: list[WriteItem] = []
    for fqn, value in state_dict.items():
        if isinstance(value, DTensor):
            items.append(_create_write_items_for_dtensor(fqn, value))
        elif isinstance(value, ShardedTensor):
            items.extend(
                _create_write_item_for_shard(fqn, value, shard)
                for shard in value.metadata().shards_metadata
            )
        else:
            items.extend(_create_write_items_for_local(fqn, value))
    return SavePlan(items)


# Read items.


def _create_read_item_for_byteio(
    dest_index: MetadataIndex,
    dest_offset: int,
    storage_index: MetadataIndex,
    storage_offset: int,
    length: int,
) -> ReadItem:
    return ReadItem(
        type=LoadItemType.BYTE_IO,
        dest_index=dest_index,
        dest_offsets=torch.Size((dest_offset,)),
        storage_index=storage_index,
        storage_offsets=torch.Size((storage_offset,)),
        lengths=torch.Size((length,)),
    )


def _create_read_item_for_tensor(
    dest_index: MetadataIndex,
    dest_offsets: Any,
    storage_index: MetadataIndex,
    storage_offsets: Any,
    lengths: Any,
) -> ReadItem:
    return ReadItem(
        type=LoadItemType.TENSOR,
        dest_index=dest_index,
        dest_offsets=torch.Size(dest_offsets),
        storage_index=storage_index,
        storage_offsets=torch.Size(storage_offsets),
        lengths=torch.Size(lengths),
    )


def create_read_items_for_chunk_list(
    fqn: str,
    checkpoint_md: TensorStorageMetadata,
    local_chunks: list[ChunkStorageMetadata],
) -> list[ReadItem]:
    """What has to be read of the saved tensor to fill ``local_chunks``: one item for each pair of a
    local and a saved chunk that overlap."""
    saved_chunks = checkpoint_md.chunks
    if not local_chunks or not saved_chunks:
        return []
    dimension = widest([*local_chunks, *saved_chunks], len(local_chunks[0].offsets))
    local_spans = [span(chunk, dimension) for chunk in local_chunks]
    saved_spans = [span(chunk, dimension) for chunk in saved_chunks]
    # By where they start, the first to come last: popped as the sweep reaches them.
    ahead = sorted(range(len(saved_chunks)), key=lambda i: (saved_spans[i][0], i), reverse=True)
    here = Entered()
    items = []
    for number in sorted(range(len(local_chunks)), key=lambda i: local_spans[i][0]):
        start, end = local_spans[number]
        here.leave_before(start)
        while ahead and saved_spans[ahead[-1]][0] < end:
            entering = ahead.pop()
            here.enter(saved_spans[entering][1], entering)
        local = local_chunks[number]
        for saved_number in here:
            saved = saved_chunks[saved_number]
            if overlap(local, saved):
                region = shared_region(saved, local)
                items.append(
                    _create_read_item_for_tensor(
                        dest_index=MetadataIndex(fqn, local.offsets, number),
                        dest_offsets=[in_local for _, in_local, _ in region],
                        storage_index=MetadataIndex(fqn, saved.offsets, saved_number),
                        storage_offsets=[in_saved for in_saved, _, _ in region],
                        lengths=[length for _, _, length in region],
                    )
                )
    return items


def _create_read_items(fqn: str, md: STORAGE_TYPES, obj: Any) -> list[ReadItem]:
    """What this process has to read to fill ``obj`` from what the checkpoint has under ``fqn``."""
    if isinstance(md, BytesStorageMetadata):
        index = MetadataIndex(fqn)
        return [_create_read_item_for_byteio(index, 0, index, 0, 0)]
    try:
        chunks = _create_chunk_list(obj)
    except ValueError as error:
        raise ValueError(
            f"Invalid checkpoint metadata for {fqn}, "
            f"expected BytesStorageMetadata but found {type(md)}"
        ) from error
    return create_read_items_for_chunk_list(fqn, md, chunks)


# State dicts on the meta device.


def _init_state_dict(state_dict: dict[str, Any]) -> Any:
    """Puts tensors with memory, of the default process group's device, in place of those on the
    meta device. RuntimeError for a ShardedTensor there."""

    def memory_for(value: torch.Tensor) -> torch.Tensor:
        kind = dist.distributed_c10d._get_pg_default_device().type
        device = _get_device_module(kind).current_device()
        return torch.empty_like(value, device=device)

    def dtensor_func(value: DTensor) -> DTensor:
        if not _on_meta(value):
            return value
        # Shape and stride cannot be told from the local part where that is uneven.
        return DTensor.from_local(
            memory_for(value.to_local()),
            device_mesh=value.device_mesh,
            placements=value.placements,
            shape=value.size(),
            stride=value.stride(),
        )

    def sharded_tensor_func(value: Any) -> Any:
        if _on_meta(value):
            raise RuntimeError(f"Found unsupported type {type(value)} for meta device loading.")
        return value

    def tensor_func(value: torch.Tensor) -> torch.Tensor:
        if not _on_meta(value):
            return value
        tensor = memory_for(value)
        if _is_checkpointable_tensor(value):
            _copy_checkpointable_tensor_metadata(value, tensor)
        return tensor

    _iterate_state_dict(state_dict, dtensor_func, sharded_tensor_func, tensor_func)


def _on_meta(value: Any) -> bool:
    return getattr(value, "device", None) == torch.device("meta")


def _iterate_state_dict(
    iter_object: Any,
    dtensor_func: Callable[..., Any],
    sharded_tensor_func: Callable[..., Any],
    tensor_func: Callable[..., Any],
) -> Any:
    """Puts what the functions return in place of each tensor: in dicts in place, in a list or tuple
    by making a new one. What holds no tensor to replace stays as it is, the very object."""

    def go(value: Any) -> Any:
        return _iterate_state_dict(value, dtensor_func, sharded_tensor_func, tensor_func)

    if isinstance(iter_object, DTensor):
        return dtensor_func(iter_object)
    if isinstance(iter_object, ShardedTensor):
        return sharded_tensor_func(iter_object)
    if isinstance(iter_object, torch.Tensor):
        return tensor_func(iter_object)
    if isinstance(iter_object, dict):
        for key, value in iter_object.items():
            iter_object[key] = go(value)
        return iter_object
    if isinstance(iter_object, (list, tuple)):
        made = [go(value) for value in iter_object]
        if all(new is old for new, old in zip(made, iter_object)):
            return iter_object
        return tuple(made) if isinstance(iter_object, tuple) else made
    return iter_object
