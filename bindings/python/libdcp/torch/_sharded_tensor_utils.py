"""ShardedTensors of ShardedTensors (FSDP over tensor parallelism) as plain ones."""

from __future__ import annotations

import copy
from typing import Any

import torch.distributed as dist
from torch.distributed._shard.sharded_tensor import Shard, ShardedTensor, ShardMetadata
from torch.distributed.remote_device import _remote_device

from ._traverse import OBJ_PATH, STATE_DICT_ITEM, set_element, traverse_state_dict
from .metadata import STATE_DICT_TYPE
from .utils import _element_wise_add, _normalize_device_info


def _flatten_sharded_tensors(state_dict: STATE_DICT_TYPE) -> STATE_DICT_TYPE:
    """A new state dict in which each ShardedTensor whose one shard is a ShardedTensor is one of the
    inner shard, placed in the whole; ShardedTensors of which this rank has no shard are left out.
    What is made serves to save and load, and for nothing else."""
    result: STATE_DICT_TYPE = {}

    def keep(path: OBJ_PATH, value: STATE_DICT_ITEM) -> None:
        if not isinstance(value, ShardedTensor):
            set_element(result, path, value)
            return
        shards = value.local_shards()
        if shards:
            nested = len(shards) == 1 and isinstance(shards[0].tensor, ShardedTensor)
            set_element(result, path, _flattened(value) if nested else value)

    traverse_state_dict(state_dict, keep)
    return result


def _flattened(outer: ShardedTensor) -> ShardedTensor:
    (outer_shard,) = outer.local_shards()
    inner: Any = outer_shard.tensor
    if len(inner.local_shards()) != 1:
        raise ValueError("Cannot handle inner tensor with more than 1 shard")
    (inner_shard,) = inner.local_shards()
    start = outer_shard.metadata.shard_offsets

    def placed(shard: ShardMetadata, placement: str) -> ShardMetadata:
        return ShardMetadata(
            shard_offsets=_element_wise_add(start, shard.shard_offsets),
            shard_sizes=shard.shard_sizes,
            placement=placement,
        )

    # Where the others lie is not known and does not matter, as long as it is not here.
    rank = dist.get_rank()
    device = _normalize_device_info(inner_shard.tensor.device.type, 0)
    elsewhere = f"rank:{0 if rank > 0 else 1}/{device}"
    mine = placed(inner_shard.metadata, f"rank:{rank}/{inner_shard.tensor.device}")

    metadata = copy.deepcopy(outer.metadata())
    shards = metadata.shards_metadata
    covered = [number for number, shard in enumerate(shards) if shard.shard_offsets == start]
    for number in covered[:1]:
        del shards[number]
    for shard in shards:
        shard.placement = _remote_device(elsewhere)
    shards.extend(
        placed(shard, elsewhere)
        for shard in inner.metadata().shards_metadata
        if shard.shard_offsets != inner_shard.metadata.shard_offsets
    )
    shards.append(mine)
    return ShardedTensor._init_from_local_shards_and_global_metadata(
        local_shards=[Shard(tensor=inner_shard.tensor, metadata=mine)],
        sharded_tensor_metadata=metadata,
    )
