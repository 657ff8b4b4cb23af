"""Steps of a checkpoint across the ranks of a process group, for code that is written against them.
The library's own saves and loads do not take this way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch.distributed as dist

from .api import (
    WRAPPED_EXCEPTION,
    CheckpointException,
    _is_wrapped_exception,
    _wrap_exception,
)

T = TypeVar("T")
R = TypeVar("R")


def _get_failure_dict(results: list[T | WRAPPED_EXCEPTION]) -> dict[int, WRAPPED_EXCEPTION]:
    """What failed, by rank."""
    return {
        rank: cast(WRAPPED_EXCEPTION, result)
        for rank, result in enumerate(results)
        if _is_wrapped_exception(result)
    }


def _attempt(function: Callable[[], Any]) -> Any:
    """What it returns, or what it raised, wrapped to travel."""
    try:
        return function()
    except BaseException as error:
        return _wrap_exception(error)


def _raise_failure(result: Any) -> Any:
    if isinstance(result, CheckpointException):
        raise result
    return result


class _DistWrapper:
    """Object collectives over a process group, or over nothing when ``use_dist`` is False: then
    this is the only rank.

    The methods that take functions raise CheckpointException on every rank when one of them fails
    on any, and carry every failure.

    coordinator_rank: in the group.
    """

    __module__ = "libdcp.torch.utils"

    def __init__(
        self,
        group: dist.ProcessGroup | None,
        use_dist: bool,
        coordinator_rank: int,
    ):
        self.group = group
        self.use_dist = use_dist
        self.coordinator_rank = coordinator_rank
        self.rank = 0
        self.global_coordinator_rank = 0
        self.is_coordinator = True
        if use_dist:
            self.rank = dist.get_rank(group)
            self.is_coordinator = self.rank == coordinator_rank
            self.global_coordinator_rank = (
                coordinator_rank
                if group is None
                else dist.get_global_rank(group, coordinator_rank)
            )

    def get_rank(self) -> int:
        """In the group."""
        return self.rank

    def get_world_size(self) -> int:
        """Of the group."""
        return dist.get_world_size(self.group) if self.use_dist else 1

    def broadcast_object(self, object: T | None) -> T:
        """The coordinator's object."""
        box = [object]
        if self.use_dist:
            dist.broadcast_object_list(box, src=self.global_coordinator_rank, group=self.group)
        return cast(T, box[0])

    def gather_object(self, object: T) -> list[T] | None:
        """On the coordinator every rank's object by rank, elsewhere None."""
        if not self.use_dist:
            return [object]
        boxes: Any = [None] * self.get_world_size() if self.is_coordinator else None
        dist.gather_object(object, boxes, dst=self.global_coordinator_rank, group=self.group)
        return cast("list[T] | None", boxes)

    def all_gather_object(self, object: T) -> list[T]:
        """Every rank's object by rank."""
        if not self.use_dist:
            return [object]
        boxes: Any = [None] * self.get_world_size()
        dist.all_gather_object(boxes, object, group=self.group)
        return cast("list[T]", boxes)

    def scatter_object(self, object_list: list[T] | None) -> T:
        """Of the coordinator's list the object of this rank."""
        if not self.use_dist:
            if object_list is None:
                raise AssertionError("object_list is None")
            return object_list[0]
        box: Any = [None]
        dist.scatter_object_list(
            box,
            object_list if self.is_coordinator else None,
            src=self.global_coordinator_rank,
            group=self.group,
        )
        return cast(T, box[0])

    def _reduce(
        self, step: str, function: Callable[[], T], reduce: Callable[[list[T]], Any]
    ) -> tuple[Any, CheckpointException | None]:
        """On the coordinator what ``reduce`` makes of all values, or why there is nothing."""
        gathered = self.gather_object(_attempt(function))
        if not self.is_coordinator:
            return None, None
        if gathered is None:
            raise AssertionError("all_data is None")
        failures = _get_failure_dict(gathered)
        if failures:
            return None, CheckpointException(step, failures)
        reduced = _attempt(lambda: reduce(gathered))
        if _is_wrapped_exception(reduced):
            return None, CheckpointException(step, {self.rank: reduced})
        return reduced, None

    def reduce_scatter(
        self,
        step: str,
        map_fun: Callable[[], T],
        reduce_fun: Callable[[list[T]], list[R]],
    ) -> R:
        """``map_fun`` everywhere, ``reduce_fun`` of all values on the coordinator, and of the list
        that it returns each rank's part."""
        reduced, failure = self._reduce(step, map_fun, reduce_fun)
        if failure is not None:
            reduced = [failure] * self.get_world_size()
        return cast(R, _raise_failure(self.scatter_object(reduced)))

    def all_reduce(
        self,
        step: str,
        map_fun: Callable[[], T],
        reduce_fun: Callable[[list[T]], R],
    ) -> R:
        """``map_fun`` everywhere, ``reduce_fun`` of all values on the coordinator, and what that
        returns on every rank."""
        reduced, failure = self._reduce(step, map_fun, reduce_fun)
        return cast(R, _raise_failure(self.broadcast_object(failure or reduced)))

    def all_gather(
        self,
        step: str,
        map_fun: Callable[[], T],
    ) -> list[T]:
        """``map_fun`` everywhere, and all values on every rank."""
        gathered = self.all_gather_object(_attempt(map_fun))
        failures = _get_failure_dict(gathered)
        if failures:
            raise CheckpointException(step, failures)
        return gathered

    def broadcast(
        self,
        step: str,
        map_fun: Callable[[], T],
    ) -> T:
        """``map_fun`` on the coordinator, and its value on every rank."""
        value: Any = None
        if self.is_coordinator:
            value = _attempt(map_fun)
            if _is_wrapped_exception(value):
                value = CheckpointException(step, {self.rank: value})
        return cast(T, _raise_failure(self.broadcast_object(value)))

    def barrier(self) -> None:
        """Waits for every rank of the group; nothing to do when ``use_dist`` is False."""
        if self.use_dist:
            dist.barrier(group=self.group)
