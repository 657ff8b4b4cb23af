"""Object collectives that carry failures, state dict look-ups, views of files."""

from __future__ import annotations

import cProfile
import inspect
import io
import itertools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pstats import Stats
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torch.distributed._shard.sharded_tensor.shard import Shard

from ._dist_wrapper import R, T, _DistWrapper, _get_failure_dict
from .api import (
    WRAPPED_EXCEPTION,
    CheckpointException,
    _is_wrapped_exception,
    _wrap_exception,
)
from .metadata import STATE_DICT_TYPE, MetadataIndex
from .protocol import _get_checkpointable_tensor_shard, _is_checkpointable_tensor

__all__ = ["find_tensor_shard", "find_state_dict_object"]


def _all_gather_keys(
    local_dict: dict[str, Any], group: dist.ProcessGroup | None = None
) -> set[str]:
    """The keys of all ranks of the group. Collective."""
    gathered: list[list[str]] = [[] for _ in range(dist.get_world_size(group))]
    dist.all_gather_object(gathered, list(local_dict), group=group)
    return set(itertools.chain.from_iterable(gathered))


def _assert_same_keys(
    state_dict: dict[str, Any], process_group: dist.ProcessGroup | None = None
) -> None:
    """AssertionError where another rank has keys that this one lacks. Collective."""
    if dist.get_world_size(process_group) == 1:
        return
    lacking = _all_gather_keys(state_dict, process_group) - set(state_dict)
    if lacking:
        raise AssertionError(
            f"Key(s) present in other ranks but not this one, difference: {lacking}"
        )


def _find_shard(tensor: ShardedTensor, index: MetadataIndex) -> Shard:
    if index.offset is None:
        raise ValueError(
            f"Cannot lookup {index.fqn} since its a ShardedTensor and no offset was provided"
        )
    shards = tensor.local_shards()
    hinted = () if index.index is None else shards[index.index : index.index + 1]
    for shard in itertools.chain(hinted, shards):
        if torch.Size(shard.metadata.shard_offsets) == index.offset:
            return shard
    raise ValueError(f"Could not find shard at '{index.offset}' for FQN: '{index.fqn}'")


def find_tensor_shard(tensor: torch.Tensor, index: MetadataIndex) -> torch.Tensor:
    """The local tensor that holds the chunk ``index`` names. ValueError where there is none."""
    if hasattr(tensor, "__get_tensor_shard__"):
        shard: torch.Tensor = tensor.__get_tensor_shard__(index)
        return shard
    if _is_checkpointable_tensor(tensor):
        return _get_checkpointable_tensor_shard(tensor, index)
    if isinstance(tensor, ShardedTensor):
        return _find_shard(tensor, index).tensor
    if index.offset is not None and index.offset != torch.Size([0] * tensor.dim()):
        raise _no_offsets(index)
    return tensor


def find_state_dict_object(state_dict: STATE_DICT_TYPE, index: MetadataIndex) -> Any:
    """What ``index`` names in a flat state dict: of a tensor the local part that holds that chunk,
    of anything else the object. ValueError where there is none."""
    if index.fqn not in state_dict:
        raise ValueError(f"Could not find FQN: '{index.fqn}'")
    found = state_dict[index.fqn]
    if isinstance(found, torch.Tensor):
        return find_tensor_shard(found, index)
    if index.offset is not None:
        raise _no_offsets(index)
    return found


def _no_offsets(index: MetadataIndex) -> ValueError:
    return ValueError(
        f"FQN: '{index.fqn}' is not a ShardedTensor, can't find by offset: '{index.offset}'"
    )


def _element_wise_add(a: Sequence[int], b: Sequence[int]) -> list[int]:
    return [one + other for one, other in zip(a, b)]


def _element_wise_sub(a: Sequence[int], b: Sequence[int]) -> list[int]:
    return [one - other for one, other in zip(a, b)]


class _ReaderView(io.IOBase):
    """``len`` bytes of a stream from ``offset`` on, as a stream of its own. It moves the position
    of the stream beneath, so one view of a stream is read at a time."""

    def __init__(self, base_stream: io.IOBase, offset: int, len: int):
        super().__init__()
        self.base_stream = base_stream
        self.offset = offset
        self.len = len
        self.seek(0)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """With SEEK_END, ``offset`` is counted back from the end of the view."""
        if whence == os.SEEK_END:
            return self.base_stream.seek(self.offset + self.len - offset)
        if whence == os.SEEK_SET:
            return self.base_stream.seek(self.offset + offset)
        return self.base_stream.seek(offset, whence)

    def tell(self) -> int:
        return self.base_stream.tell() - self.offset

    def readable(self) -> bool:
        return self.base_stream.readable()

    def seekable(self) -> bool:
        return self.base_stream.seekable()

    def readinto(self, b: Any) -> Any:
        left = self.len - self.tell()
        if left <= 0:
            return 0
        part = memoryview(b).cast("B")[:left]
        return self.base_stream.readinto(part)  # type: ignore[attr-defined]

    def read(self, size: int = -1) -> Any:
        left = max(self.len - self.tell(), 0)
        whole = size is None or size < 0 or size > left
        return self.base_stream.read(left if whole else size)  # type: ignore[attr-defined]


def _create_file_view(file: io.IOBase, offset: int, length: int) -> io.IOBase:
    return _ReaderView(file, offset, length)


def _normalize_device_info(device_type: str, device_id: int) -> str:
    """A device's name in a placement: the CPU has no number."""
    return "cpu" if device_type == "cpu" else f"{device_type}:{device_id}"


ENABLE_PROFILE = False


@contextmanager
def _profile() -> Iterator[None]:
    """Prints where the time went, on rank 0, when ENABLE_PROFILE is set."""
    if not ENABLE_PROFILE or (
        dist.is_available() and dist.is_initialized() and dist.get_rank() != 0
    ):
        yield
        return
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        yield
    finally:
        profiler.disable()
        Stats(profiler).sort_stats("time").print_stats(10)


def _api_bc_check(func: Callable[..., Any]) -> Callable[..., Any]:
    """For a function that takes its storage by keyword: takes it as second argument too, with a
    warning, as old callers pass it."""
    keywords = [
        name
        for name, parameter in inspect.signature(func).parameters.items()
        if parameter.kind == parameter.KEYWORD_ONLY
    ]

    @wraps(func)
    def inner_func(*args: Any, **kwargs: Any) -> Any:
        if len(args) != 2:
            return func(*args, **kwargs)
        warnings.warn(
            f"The argument order of {func.__name__} has been changed. "
            "Please check the document to avoid future breakages.",
            stacklevel=2,
        )
        for name in ("storage_writer", "storage_reader"):
            if name in keywords:
                if name in kwargs:
                    raise AssertionError(f"{name} in kwargs: {(args, kwargs)}")
                return func(args[0], **{name: args[1]}, **kwargs)
        raise RuntimeError(f"Unexpected kwonlyargs = {keywords}")

    return inner_func
