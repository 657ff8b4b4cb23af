"""The ranks of a torch.distributed job, over its store."""

from __future__ import annotations

import collections
from typing import Any, Callable, Sequence, TypeVar

import torch.distributed as dist

from .._communicator import Communicator
from .._errors import Error, TimeoutError
from .._key_value import store_communicator
from ._store import C10dStore, LostStore

T = TypeVar("T")

_made: collections.Counter[str] = collections.Counter()  # communicators by group


def communicator(
    group: Any = None,
    *,
    store: Any = None,
    rank: int | None = None,
    world_size: int | None = None,
    name: str | None = None,
    store_host: int | None = 0,
) -> "StoreCommunicator":
    """A communicator for :func:`libdcp.save` and :func:`libdcp.load_into`, one a rank of ``group``.

    It talks through a clone of the group's store and under keys of its own. So it starts none of the
    group's collectives, and a save in the background neither blocks the program's use of the store
    nor meets it. Not collective itself: nobody waits; but every rank of the group makes its
    communicators in the same order. Keep one and use it for all saves; a second one is needed where
    two run at the same time.

    group: a ProcessGroup; the default group if not given.
    store: a c10d store instead, with ``rank``, ``world_size`` and a ``name`` that no other
        communicator over this store has, or ever had.
    store_host: the rank, of the job, that hosts the store. Failures name it when the store is lost
        or its host stopped. None when that is none of the ranks.
    """
    if store is not None:
        if group is not None or rank is None or world_size is None or name is None:
            raise ValueError("a store comes with rank, world_size and name, and without a group")
        return StoreCommunicator(store, f"libdcp/{name}", rank, world_size, store_host)
    if rank is not None or world_size is not None:
        raise ValueError("rank and world_size are the group's; they come with a store only")
    if not dist.is_initialized():
        raise RuntimeError("torch.distributed is not initialized, and no store was given")
    group = group if group is not None else dist.group.WORLD
    own_rank = dist.get_rank(group)
    if own_rank < 0:
        raise ValueError("this rank is not in the group")
    label = str(getattr(group, "group_name", "group"))
    if name is None:
        name = f"{label}/{_made[label]}"
        _made[label] += 1
    host = None
    if store_host is not None and store_host in dist.get_process_group_ranks(group):
        host = dist.get_group_rank(group, store_host)
    return StoreCommunicator(
        _store_of(group), f"libdcp/{name}", own_rank, dist.get_world_size(group), host
    )


def _store_of(group: Any) -> Any:
    if hasattr(group, "get_group_store"):
        return group.get_group_store()
    return dist.distributed_c10d._world.pg_map[group][1]


class StoreCommunicator(Communicator):
    """Over a c10d store: TCPStore, FileStore, HashStore, or one with a prefix. See
    :func:`communicator`."""

    def __init__(
        self, store: Any, prefix: str, rank: int, world_size: int, store_host: int | None
    ) -> None:
        if not hasattr(store, "clone"):
            raise RuntimeError(
                "this torch cannot clone a store, and a shared one would block the program's "
                "own calls: make a second client and wrap it in an object with clone()"
            )
        self._store = C10dStore(store.clone(), store_host)
        self._native = store_communicator(self._store, prefix, rank, world_size)

    @property
    def rank(self) -> int:
        return self._native.rank

    @property
    def world_size(self) -> int:
        return self._native.world_size

    def gather(
        self, data: bytes, root: int = 0, timeout: float | None = 600.0
    ) -> Sequence[bytes] | None:
        return self._call(lambda: self._native.gather(data, root, timeout), timeout)

    def scatter(
        self, parts: Sequence[bytes] | None, root: int = 0, timeout: float | None = 600.0
    ) -> bytes:
        return self._call(lambda: self._native.scatter(parts, root, timeout), timeout)

    def broadcast(self, data: bytes, root: int = 0, timeout: float | None = 600.0) -> bytes:
        return self._call(lambda: self._native.broadcast(data, root, timeout), timeout)

    def all_gather(self, data: bytes, timeout: float | None = 600.0) -> Sequence[bytes]:
        return self._call(lambda: self._native.all_gather(data, timeout), timeout)

    def barrier(self, timeout: float | None = 600.0) -> None:
        self._call(lambda: self._native.barrier(timeout), timeout)

    def still_here(self, root: int = 0, timeout: float | None = 600.0) -> None:
        self._store.patience = timeout
        self._native.still_here(root, timeout)

    def _call(self, call: Callable[[], T], timeout: float | None) -> T:
        """Silence of ranks is that of the store when it does not answer either."""
        self._store.patience = timeout
        try:
            return call()
        except Error as error:
            if isinstance(error.__cause__, LostStore):
                raise error.__cause__ from error.__cause__.__cause__
            silent = isinstance(error, TimeoutError) or any(
                isinstance(failure.error, TimeoutError) for failure in error.failures.values()
            )
            if silent and not self._store.answers():
                raise self._store.lost("it does not answer") from error
            raise
