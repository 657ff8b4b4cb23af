"""Sharded optimizer state, loaded after the layout of a sharded model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.distributed as dist
from torch._utils import _get_device_module
from torch.distributed._shard.sharded_tensor.api import ShardedTensor
from torch.distributed._shard.sharded_tensor.metadata import (
    TensorProperties as ShardTensorProperties,
)
from torch.distributed._shard.sharded_tensor.shard import Shard
from torch.distributed._shard.sharding_spec.chunk_sharding_spec import ChunkShardingSpec
from torch.distributed.distributed_c10d import _get_default_group
from torch.distributed.fsdp._shard_utils import _create_chunk_sharded_tensor
from torch.distributed.remote_device import _remote_device
from torch.distributed.tensor import DTensor

from ._nested_dict import unflatten_state_dict
from .default_planner import DefaultLoadPlanner
from .metadata import (
    STATE_DICT_TYPE,
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from .planner import LoadPlan, LoadPlanner, ReadItem
from .planner_helpers import _create_read_items, create_read_items_for_chunk_list
from .state_dict_loader import _load_state_dict, load_state_dict
from .storage import StorageReader
from .utils import _element_wise_add, _element_wise_sub, _normalize_device_info

# By key: where this rank's tensor-parallel part starts, None for a tensor without, and its size.
STATE_DICT_2D_LAYOUT = dict[str, tuple[Sequence[int] | None, Sequence[int]]]

__all__ = [
    "load_sharded_optimizer_state_dict",
]

_OBJECT = "<bytes_io>"  # stands for an object until it is loaded


def _gen_rank_device(global_rank: int, device_type: str = "cuda") -> str:
    """The device of a rank, as placements name it: hosts have as many ranks as devices."""
    if device_type != "cpu":
        module = _get_device_module(device_type)
        if module.is_available():
            return _normalize_device_info(device_type, global_rank % module.device_count())
    return "cpu"


def _create_colwise_spec(
    pg: dist.ProcessGroup | None = None,
) -> ChunkShardingSpec:
    """Rows dealt to the ranks of the group. ShardedTensors know ranks by their global numbers."""
    kind = dist.distributed_c10d._get_pg_default_device(pg).type
    placements: list[_remote_device | str] = [
        f"rank:{rank}/{_gen_rank_device(rank, kind)}"
        for rank in dist.get_process_group_ranks(pg if pg is not None else _get_default_group())
    ]
    return ChunkShardingSpec(dim=0, placements=placements)


def _is_nested_tensor(val: torch.Tensor) -> bool:
    """Whether it is a ShardedTensor of a ShardedTensor. ValueError for DTensors in or of others."""
    if type(val) is ShardedTensor:
        shards = val.local_shards()
        inner = type(shards[0].tensor) if shards else None
        if inner is DTensor:
            raise ValueError("Cannot handle DTensor nested inside ShardedTensor")
        return inner is ShardedTensor
    if type(val) is DTensor and type(val._local_tensor) in (DTensor, ShardedTensor):
        raise ValueError("Cannot handle nested DTensor")
    return False


def _alloc_tensor(
    props: TensorProperties, size: Sequence[int], device_type: str = "cuda"
) -> torch.Tensor:
    """Uninitialised, on this rank's device."""
    current = _get_device_module(device_type).current_device()
    device = torch.device(current) if device_type == "cpu" else torch.device(device_type, current)
    return torch.empty(
        size=size,
        dtype=props.dtype,
        layout=props.layout,
        requires_grad=props.requires_grad,
        pin_memory=props.pin_memory,
        device=device,
    )


def _get_state_dict_2d_layout(
    state_dict: STATE_DICT_TYPE,
) -> tuple[STATE_DICT_2D_LAYOUT, dist.ProcessGroup | None]:
    """Which part of each tensor this rank's tensor parallelism holds, told by the ShardedTensors in
    FSDP's sharded state dict of the model; and the data-parallel group, None without."""
    layout: STATE_DICT_2D_LAYOUT = {}
    group: dist.ProcessGroup | None = None
    for key, value in state_dict.items():
        if not _is_nested_tensor(value):
            layout[key] = None, value.size()
            continue
        if len(value.local_shards()) != 1:
            raise AssertionError("Cannot handle ST with multiple shards")
        (shard,) = value.local_shards()
        layout[key] = shard.metadata.shard_offsets, shard.metadata.shard_sizes
        group = shard.tensor._process_group
    return layout, group


class _ReaderWithOffset(DefaultLoadPlanner):
    """Loads ShardedTensors that are parts of the saved tensors, from where ``fqn_to_offset`` says
    that each part starts."""

    translation: dict[MetadataIndex, MetadataIndex]
    state_dict: STATE_DICT_TYPE
    metadata: Metadata

    def __init__(self, fqn_to_offset: dict[str, Sequence[int]]) -> None:
        super().__init__()
        self.fqn_to_offset = fqn_to_offset
        self.metadata = Metadata({})
        self.state_dict = {}
        self.translation = {}

    def create_local_plan(self) -> LoadPlan:
        items: list[ReadItem] = []
        self.translation = {}
        for fqn, value in self.state_dict.items():
            entry = self.metadata.state_dict_metadata[fqn]
            if isinstance(value, ShardedTensor) and fqn in self.fqn_to_offset:
                items += self._read_part(fqn, cast(TensorStorageMetadata, entry), value)
            else:
                items += _create_read_items(fqn, entry, value)
        return LoadPlan(items)

    def _read_part(
        self, fqn: str, entry: TensorStorageMetadata, value: ShardedTensor
    ) -> list[ReadItem]:
        start = self.fqn_to_offset[fqn]
        if len(value.local_shards()) != 1:
            raise AssertionError("Expected exactly one local shard")
        shard = value.local_shards()[0].metadata
        chunk = ChunkStorageMetadata(
            offsets=torch.Size(_element_wise_add(shard.shard_offsets, start)),
            sizes=torch.Size(shard.shard_sizes),
        )
        items = create_read_items_for_chunk_list(fqn, entry, [chunk])
        for item in items:
            # The item names the place in the saved tensor, the state dict that in the part.
            index = item.dest_index
            if index.offset is None:
                raise AssertionError("dest_index.offset must not be None")
            self.translation[index] = dataclasses.replace(
                index, offset=torch.Size(_element_wise_sub(index.offset, start))
            )
        return items

    def lookup_tensor(self, index: MetadataIndex) -> torch.Tensor:
        return super().lookup_tensor(self.translation.get(index, index))


def load_sharded_optimizer_state_dict(
    model_state_dict: STATE_DICT_TYPE,
    optimizer_key: str,
    storage_reader: StorageReader,
    planner: LoadPlanner | None = None,
) -> STATE_DICT_TYPE:
    """The optimizer state that lies under ``optimizer_key``, nested as saved, as ShardedTensors
    laid out as the model's: for ``FSDP.optim_state_dict_to_load``.

    model_state_dict: FSDP's sharded state dict of the model.
    planner: for models without tensor parallelism; with it, the planner is of the library's making.
    """
    metadata = storage_reader.read_metadata()
    layout, group = _get_state_dict_2d_layout(model_state_dict)
    kind = dist.distributed_c10d._get_pg_default_device(group).type
    state_dict: STATE_DICT_TYPE = {}
    starts: dict[str, Sequence[int]] = {}
    for key, entry in metadata.state_dict_metadata.items():
        path = metadata.planner_data[key]
        if path[0] != optimizer_key:
            continue
        if isinstance(entry, BytesStorageMetadata):
            state_dict[key] = _OBJECT
        elif entry.size.numel() == 1:
            state_dict[key] = _alloc_tensor(entry.properties, entry.size, kind)
        elif group is None:
            state_dict[key] = _create_chunk_sharded_tensor(
                _alloc_tensor(entry.properties, entry.size, kind),
                rank=dist.get_rank(),
                world_size=dist.get_world_size(),
                num_devices_per_node=_get_device_module(kind).device_count(),
                pg=_get_default_group(),
            )
        else:
            start, size = layout.get(path[2], (None, entry.size))
            state_dict[key] = _rows_of_group(entry.properties, size, group, kind)
            if start is not None:
                starts[key] = start
    _load_state_dict(
        state_dict,
        storage_reader=storage_reader,
        planner=planner if group is None else _ReaderWithOffset(starts),
    )
    return unflatten_state_dict(state_dict, metadata.planner_data)


def _rows_of_group(
    properties: TensorProperties, size: Sequence[int], group: dist.ProcessGroup, kind: str
) -> ShardedTensor:
    """Uninitialised, its rows dealt to the ranks of the group."""
    of_shards = {
        field.name: getattr(properties, field.name)
        for field in dataclasses.fields(ShardTensorProperties)
        if field.name != "strides"
    }
    metadata = _create_colwise_spec(group).build_metadata(
        torch.Size(size), ShardTensorProperties(**of_shards)
    )
    rank = dist.get_rank()
    shards = [
        Shard(tensor=_alloc_tensor(properties, shard.shard_sizes, kind), metadata=shard)
        for shard in metadata.shards_metadata
        if cast(Any, shard.placement).rank() == rank
    ]
    return ShardedTensor._init_from_local_shards_and_global_metadata(
        shards, metadata, process_group=group
    )
