"""Ranks: communicators of the library and of Python, and what they save and load together."""

from __future__ import annotations

import gc
import pickle
import queue
import threading
import weakref
from typing import Any, Callable

import numpy as np
import pytest

import libdcp
from ranks import on_ranks


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


class Table(libdcp.KeyValueStore):
    """A dict that threads share."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.changed = threading.Condition()

    def set(self, key: str, value: bytes, timeout: float | None) -> None:
        assert len(value) <= (4 << 20) + 64
        with self.changed:
            self.values[key] = value
            self.changed.notify_all()

    def get(self, key: str, timeout: float | None) -> bytes | None:
        with self.changed:
            self.changed.wait_for(lambda: key in self.values, timeout)
            return self.values.get(key)

    def remove(self, key: str) -> None:
        with self.changed:
            self.values.pop(key, None)

    @staticmethod
    def group(size: int) -> list[Any]:
        table = Table()
        return [libdcp.store_communicator(table, "job/1", rank, size) for rank in range(size)]


GROUPS = {"local": libdcp.local_communicators, "python": Queues.group, "store": Table.group}


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

    raised: list[Boom] = []

    class Refusing(libdcp.Storage):
        def make_root(self) -> None:
            raised.append(Boom("this rank's disk"))
            raise raised[-1]

        def list(self) -> list[str]:
            return []

    def save(comm: Any) -> Any:
        where = Refusing() if comm.rank == 1 else tmp_path / "c"
        return libdcp.save(tree_of(comm.rank, 3), where, communicator=comm)

    errors = on_ranks(group(3), save)
    for rank, error in enumerate(errors):
        assert isinstance(error, libdcp.CheckpointException)
        assert list(error.failures) == [1]
        failure = error.failures[1]
        assert (failure.rank, failure.step, failure.code) == (1, "plan", "CALLBACK")
        assert "this rank's disk" in failure.message
        # Kept where it happened.
        assert failure.exception is (raised[0] if rank == 1 else None)
        assert error.__cause__ is failure.exception
    assert not (tmp_path / "c" / ".metadata").exists()


class Sudden(Exception):
    """Of a state that cannot even be told."""


class Tempered:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def state_dict(self) -> dict[str, Any]:
        raise self.error

    def load_state_dict(self, state: dict[str, Any]) -> None:
        raise self.error


@pytest.mark.parametrize("how", ["save", "async_save", "load"])
@pytest.mark.parametrize("bad", [0, 2])
def test_a_state_that_cannot_be_told(
    group: Callable[[int], list[Any]], tmp_path: Any, how: str, bad: int
) -> None:
    """The others hear of it at once: nobody waits for the rank."""
    on_ranks(
        libdcp.local_communicators(3),
        lambda comm: libdcp.save(tree_of(comm.rank, 3), tmp_path / "c", communicator=comm),
    )
    before = libdcp.open(tmp_path / "c").save_id
    sudden = Sudden("no state today")

    def run(comm: Any) -> Any:
        tree = tree_of(comm.rank, 3)
        if comm.rank == bad:
            tree["bad"] = Tempered(sudden)
        if how == "save":
            return libdcp.save(tree, tmp_path / "c", communicator=comm)
        if how == "async_save":
            return libdcp.async_save(tree, tmp_path / "c", communicator=comm).result()
        return libdcp.load_into(tree, tmp_path / "c", communicator=comm)

    for rank, error in enumerate(on_ranks(group(3), run)):
        assert isinstance(error, libdcp.CheckpointException), error
        assert list(error.failures) == [bad]
        assert error.failures[bad].step == "plan"
        assert "no state today" in error.failures[bad].message
        assert error.failures[bad].exception is (sudden if rank == bad else None)
    assert libdcp.open(tmp_path / "c").save_id == before
    assert libdcp.verify(tmp_path / "c").ok


def test_every_bad_rank_is_named(group: Callable[[int], list[Any]], tmp_path: Any) -> None:
    """A load: one rank wants what is not there, another a shape that is not."""
    libdcp.save({"a": np.zeros(4), "b": np.zeros(3)}, tmp_path / "c")
    trees: dict[int, dict[str, Any]] = {
        0: {"a": np.ones(4)}, 1: {"none": np.ones(4)}, 2: {"b": np.ones(3)}, 3: {"b": np.ones(5)}
    }  # fmt: skip

    errors = on_ranks(
        group(4), lambda comm: libdcp.load_into(trees[comm.rank], tmp_path / "c", communicator=comm)
    )
    for error in errors:
        assert isinstance(error, libdcp.CheckpointException)
        assert {r: (f.step, f.code) for r, f in error.failures.items()} == {
            1: ("plan", "NOT_FOUND"),
            3: ("plan", "MISMATCH"),
        }
        again = pickle.loads(pickle.dumps(error))
        assert list(again.failures) == [1, 3] and str(again) == str(error)


def test_a_missing_rank_is_named(group: Callable[[int], list[Any]], tmp_path: Any) -> None:
    comms = group(3)

    def save(comm: Any) -> Any:
        if comm.rank == 2:
            return None
        return libdcp.save(tree_of(comm.rank, 3), tmp_path / "c", communicator=comm, timeout=1.0)

    errors = on_ranks(comms, save)
    assert isinstance(errors[0], libdcp.RankFailedError)
    assert list(errors[0].failures) == [2]
    assert isinstance(errors[1], (libdcp.RankFailedError, libdcp.TimeoutError))
    assert not (tmp_path / "c" / ".metadata").exists()


class Relay(Queues):
    """A gather that tells what came beside a missing rank."""

    def gather(self, data: bytes, root: int, timeout: float | None) -> list[bytes] | None:
        if self._rank != root:
            return super().gather(data, root, timeout)
        error = libdcp.TimeoutError("rank 2 did not come", failures=libdcp.missing_ranks([2]))
        error.arrived = [data, self._take(1, timeout), None]
        raise error


def test_what_came_beside_a_missing_rank(tmp_path: Any) -> None:
    def gather(comm: Any) -> Any:
        return comm.gather(b"of %d" % comm.rank, 0, 1.0) if comm.rank < 2 else None

    error = on_ranks(libdcp.local_communicators(3), gather)[0]
    assert isinstance(error, libdcp.TimeoutError) and list(error.failures) == [2]
    assert error.arrived == [b"of 0", b"of 1", None]

    # So a rank that failed by itself is named beside one that is missing.
    class Refusing(libdcp.Storage):
        def make_root(self) -> None:
            raise ValueError("this rank's disk")

    queues = Queues.group(3)[0]._queues
    where = [tmp_path / "c", Refusing(), None]

    def save(comm: Any) -> Any:
        if comm.rank == 2:
            return None
        return libdcp.save(tree_of(comm.rank, 3), where[comm.rank], communicator=comm, timeout=5.0)

    errors = on_ranks([Relay(rank, queues) for rank in range(3)], save)
    for error in errors[:2]:
        assert list(error.failures) == [1, 2], error


def test_what_is_no_communicator(tmp_path: Any) -> None:
    with pytest.raises(TypeError, match="communicator"):
        libdcp.save({"a": 1}, tmp_path / "c", communicator=3)  # type: ignore[arg-type]
    with pytest.raises(libdcp.InvalidArgumentError, match="coordinator 5"):
        libdcp.save({"a": 1}, tmp_path / "c", coordinator=5)
    with pytest.raises(libdcp.InvalidArgumentError, match="local group of 0"):
        libdcp.local_communicators(0)
    with pytest.raises(TypeError, match="KeyValueStore"):
        libdcp.store_communicator({}, "job", 0, 1)  # type: ignore[arg-type]
    with pytest.raises(libdcp.InvalidArgumentError, match="rank 1 of a group of 1"):
        libdcp.store_communicator(Table(), "job", 1, 1)


def test_a_store_that_is_lost_names_its_host() -> None:
    class Lost(Table):
        def get(self, key: str, timeout: float | None) -> bytes | None:
            failure = libdcp.RankFailure(0, "", libdcp.IoError("gone"))
            raise libdcp.IoError("the store is gone", failures=(failure,))

    comm = libdcp.store_communicator(Lost(), "job", 1, 3)
    with pytest.raises(libdcp.IoError, match="the store is gone") as raised:
        comm.broadcast(b"", 2, 60.0)
    assert list(raised.value.failures) == [0]


def test_no_keys_are_left() -> None:
    table = Table()
    comms = [libdcp.store_communicator(table, "job/1", rank, 3) for rank in range(3)]
    on_ranks(comms, lambda comm: comm.broadcast(b"x" * (9 << 20), 0, 60.0) and comm.barrier(60.0))
    assert table.values == {}


def test_what_saves_used_is_let_go(tmp_path: Any) -> None:
    class Alone(libdcp.Communicator):
        rank, world_size = 0, 1

        def gather(self, data: bytes, root: int, timeout: float | None) -> list[bytes]:
            return [data]

        def scatter(self, parts: list[bytes] | None, root: int, timeout: float | None) -> bytes:
            assert parts is not None
            return parts[0]

        def broadcast(self, data: bytes, root: int, timeout: float | None) -> bytes:
            return data

    comm = Alone()
    kept = weakref.ref(comm)
    libdcp.save({"a": 1}, tmp_path / "c", communicator=comm)
    libdcp.load_into({"a": 0}, tmp_path / "c", communicator=comm)
    libdcp.async_save({"a": 2}, tmp_path / "c", communicator=comm).result()
    del comm
    gc.collect()
    assert kept() is None
    assert libdcp.load(tmp_path / "c") == {"a": 2}


def test_async_saves_by_ranks(tmp_path: Any) -> None:
    futures = on_ranks(
        libdcp.local_communicators(3),
        lambda comm: libdcp.async_save(
            tree_of(comm.rank, 3), tmp_path / "c", communicator=comm
        ).result(),
    )
    assert all(isinstance(report, libdcp.SaveReport) for report in futures)
    assert libdcp.verify(tmp_path / "c").ok
