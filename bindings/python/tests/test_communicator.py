"""Ranks: communicators of the library and of Python, and what they save and load together."""

from __future__ import annotations

import queue
import threading
from typing import Any, Callable

import numpy as np
import pytest

import libdcp


def on_ranks(
    communicators: list[Any], body: Callable[[Any], Any]
) -> list[Any]:
    """What body(communicator) returns or raises on a thread for each rank."""
    outcomes: list[Any] = [None] * len(communicators)

    def run(rank: int) -> None:
        try:
            outcomes[rank] = body(communicators[rank])
        except BaseException as error:
            outcomes[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(communicators))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


class Queues(libdcp.Communicator):
    """Threads of one process that talk by queues, as a host's own transport might."""

    def __init__(self, rank: int, queues: list[list["queue.Queue[bytes]"]]) -> None:
        self._rank = rank
        self._queues = queues

    @staticmethod
    def group(size: int) -> list["Queues"]:
        queues: list[list[queue.Queue[bytes]]] = [
            [queue.Queue() for _ in range(size)] for _ in range(size)
        ]
        return [Queues(rank, queues) for rank in range(size)]

    @property
    def rank(self) -> int:
        return self._rank

    @property
    def world_size(self) -> int:
        return len(self._queues)

    def _take(self, source: int, timeout: float | None) -> bytes:
        try:
            return self._queues[source][self._rank].get(timeout=timeout)
        except queue.Empty:
            raise libdcp.TimeoutError(
                f"rank {source} did not come", failures=libdcp.missing_ranks([source])
            ) from None

    def gather(self, data: bytes, root: int, timeout: float | None) -> list[bytes] | None:
        if self._rank != root:
            self._queues[self._rank][root].put(data)
            return None
        return [
            data if source == root else self._take(source, timeout)
            for source in range(self.world_size)
        ]

    def scatter(self, parts: list[bytes] | None, root: int, timeout: float | None) -> bytes:
        if self._rank != root:
            return self._take(root, timeout)
        assert parts is not None and len(parts) == self.world_size
        for target, part in enumerate(parts):
            if target != root:
                self._queues[root][target].put(part)
        return parts[root]

    def broadcast(self, data: bytes, root: int, timeout: float | None) -> bytes:
        return self.scatter([data] * self.world_size if self._rank == root else None, root, timeout)


GROUPS = {"local": libdcp.local_communicators, "python": Queues.group}


@pytest.fixture(params=sorted(GROUPS))
def group(request: pytest.FixtureRequest) -> Callable[[int], list[Any]]:
    return GROUPS[request.param]


def test_every_call(group: Callable[[int], list[Any]]) -> None:
    def body(comm: Any) -> None:
        mine = bytes([comm.rank]) * (comm.rank + 1)
        everyone = [bytes([rank]) * (rank + 1) for rank in range(4)]
        for root in range(4):
            got = comm.gather(mine, root, 60.0)
            assert got == (everyone if comm.rank == root else None)
            assert comm.scatter(everyone if comm.rank == root else None, root, 60.0) == mine
            assert comm.broadcast(mine if comm.rank == root else b"", root, 60.0) == everyone[root]
        assert comm.all_gather(mine, 60.0) == everyone
        comm.barrier(60.0)
        comm.still_here(0, 60.0)

    assert on_ranks(group(4), body) == [None] * 4


def tree_of(rank: int, size: int) -> dict[str, Any]:
    rows = np.arange(4 * size * 3, dtype=np.float32).reshape(4 * size, 3)
    return {
        "sharded": libdcp.Sharded(
            (4 * size, 3), [((4 * rank, 0), rows[4 * rank : 4 * rank + 4].copy())]
        ),
        "same": np.arange(7),
        f"own.{rank}": {"rank": rank},
        "step": 5,
    }


@pytest.mark.parametrize("coordinator", [0, 2])
def test_save_and_load(
    group: Callable[[int], list[Any]], tmp_path: Any, coordinator: int
) -> None:
    reports = on_ranks(
        group(3),
        lambda comm: libdcp.save(
            tree_of(comm.rank, 3), tmp_path / "c", communicator=comm, coordinator=coordinator
        ),
    )
    assert len({report.save_id for report in reports}) == 1
    whole = libdcp.load(tmp_path / "c")
    assert np.array_equal(whole["sharded"], np.arange(36, dtype=np.float32).reshape(12, 3))
    assert whole["own.2"] == {"rank": 2}
    assert whole["step"] == 5

    # By another number of ranks, cut otherwise.
    def load(comm: Any) -> Any:
        half = np.zeros((6, 3), np.float32)
        tree = {"sharded": libdcp.Sharded((12, 3), [((6 * comm.rank, 0), half)]), "step": 0}
        report = libdcp.load_into(tree, tmp_path / "c", communicator=comm, coordinator=1)
        assert tree["step"] == 5
        return half, report

    halves = on_ranks(group(2), load)
    assert np.array_equal(np.concatenate([half for half, _ in halves]), whole["sharded"])


def test_a_failure_comes_out_on_every_rank(group: Callable[[int], list[Any]], tmp_path: Any) -> None:
    class Boom(Exception):
        pass

    class Refusing(libdcp.Storage):
        def make_root(self) -> None:
            raise Boom("this rank's disk")

        def list(self) -> list[str]:
            return []

    def save(comm: Any) -> Any:
        where = Refusing() if comm.rank == 1 else tmp_path / "c"
        return libdcp.save(tree_of(comm.rank, 3), where, communicator=comm)

    errors = on_ranks(group(3), save)
    for rank, error in enumerate(errors):
        assert isinstance(error, libdcp.RankFailedError)
        assert [(failure.rank, failure.step) for failure in error.failures] == [(1, "plan")]
        cause = error.failures[0].error.__cause__
        assert isinstance(cause, Boom) == (rank == 1)  # kept where it happened
    assert not (tmp_path / "c" / ".metadata").exists()


def test_a_missing_rank_is_named(group: Callable[[int], list[Any]], tmp_path: Any) -> None:
    comms = group(3)

    def save(comm: Any) -> Any:
        if comm.rank == 2:
            return None
        return libdcp.save(tree_of(comm.rank, 3), tmp_path / "c", communicator=comm, timeout=1.0)

    errors = on_ranks(comms, save)
    assert isinstance(errors[0], libdcp.RankFailedError)
    assert [failure.rank for failure in errors[0].failures] == [2]
    assert isinstance(errors[1], (libdcp.RankFailedError, libdcp.TimeoutError))
    assert not (tmp_path / "c" / ".metadata").exists()


def test_what_is_no_communicator(tmp_path: Any) -> None:
    with pytest.raises(TypeError, match="communicator"):
        libdcp.save({"a": 1}, tmp_path / "c", communicator=3)  # type: ignore[arg-type]
    with pytest.raises(libdcp.InvalidArgumentError, match="coordinator 5"):
        libdcp.save({"a": 1}, tmp_path / "c", coordinator=5)
    with pytest.raises(libdcp.InvalidArgumentError, match="local group of 0"):
        libdcp.local_communicators(0)


def test_async_saves_by_ranks(tmp_path: Any) -> None:
    futures = on_ranks(
        libdcp.local_communicators(3),
        lambda comm: libdcp.async_save(
            tree_of(comm.rank, 3), tmp_path / "c", communicator=comm
        ).result(),
    )
    assert all(isinstance(report, libdcp.SaveReport) for report in futures)
    assert libdcp.verify(tmp_path / "c").ok
