"""Storage writers and storage readers of Python: what they store comes back, and what they raise comes
out on every rank."""

from __future__ import annotations

import concurrent.futures
import gc
import json
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import libdcp
from ranks import on_ranks

# ---- two storages ----


class DictWriter(libdcp.StorageWriter):
    """Items as torch's files have them, in values of a dict that all ranks share."""

    def __init__(self, store: dict[str, bytes]) -> None:
        self.store = store
        self.calls: list[Any] = []
        self.written: list[str] = []

    def reset(self, checkpoint_id: str | None = None) -> None:
        self.calls.append(("reset", checkpoint_id))

    def set_up_storage_writer(
        self, is_coordinator: bool, rank: int, world_size: int, use_collectives: bool
    ) -> None:
        self.calls.append(("set_up", is_coordinator, rank, world_size, use_collectives))
        self.rank = rank

    def prepare_local_plan(self, plan: libdcp.SavePlan) -> Any:
        self.calls.append("local")
        plan.storage_data = b"rank %d" % self.rank
        return plan

    def prepare_global_plan(self, plans: libdcp.SavePlans) -> Any:
        self.calls.append("global")
        for rank, plan in enumerate(plans):
            assert plan.storage_data == b"rank %d" % rank
            plan.storage_data = b"part-%d" % rank
        return plans

    def write_data(self, request: libdcp.WriteRequest) -> Any:
        self.calls.append("write")
        name = request.storage_data.decode()
        assert request.plan.storage_data == request.storage_data
        data, places = b"", []
        for item in range(len(request)):
            pieces: list[bytes] = []
            request.encode(item, lambda piece: pieces.append(bytes(piece)))
            encoded = b"".join(pieces)
            assert encoded == request.encode(item)
            places.append((len(data), len(encoded)))
            data += encoded
            self.written.append(request.items[item].name)
        request.still_here()
        self.store[name] = data
        return json.dumps([name, places]).encode()

    def finish(self, metadata: libdcp.Metadata, results: list[bytes]) -> None:
        self.calls.append("finish")
        for rank, result in enumerate(results):
            name, places = json.loads(result)
            for item, (offset, length) in enumerate(places):
                metadata.place(rank, item, name, offset, length)
        self.store[".metadata"] = metadata.encode()

    def abandon(self) -> None:
        self.calls.append("abandon")


class DictReader(libdcp.StorageReader):
    def __init__(self, store: dict[str, bytes]) -> None:
        self.store = store
        self.calls: list[Any] = []

    def reset(self, checkpoint_id: str | None = None) -> None:
        assert checkpoint_id is None
        self.calls.append("reset")

    def read_metadata(self) -> Any:
        self.calls.append("metadata")
        return self.store[".metadata"]

    def set_up_storage_reader(
        self, metadata: libdcp.Metadata, is_coordinator: bool, rank: int, world_size: int
    ) -> None:
        self.calls.append(("set_up", is_coordinator, rank, world_size))
        self.metadata = metadata

    def prepare_local_plan(self, plan: libdcp.LoadPlan) -> Any:
        self.calls.append("local")
        places = [self.metadata[item.name].chunks[item.chunk] for item in plan]
        plan.storage_data = json.dumps([(c.file, c.offset, c.length) for c in places]).encode()
        return plan

    def read_data(self, request: libdcp.ReadRequest) -> Any:
        self.calls.append("read")
        for item, (name, offset, length) in enumerate(json.loads(request.storage_data)):
            request.decode(item, memoryview(self.store[name])[offset : offset + length])
        request.still_here()
        return None


class PlainWriter(libdcp.StorageWriter):
    """One file of a layout of its own: a JSON header, then rows of plain numbers. On a pool."""

    def __init__(self, folder: Any, pool: concurrent.futures.Executor) -> None:
        self.folder = folder
        self.pool = pool

    def set_up_storage_writer(self, is_coordinator: bool, *rest: Any) -> None:
        self.is_coordinator = is_coordinator
        if is_coordinator:
            self.folder.mkdir(exist_ok=True)

    def write_data(self, request: libdcp.WriteRequest) -> Any:
        def write() -> bytes:
            items = []
            for number, item in enumerate(request.items):
                value = request.value(number)
                if item.kind == "object":
                    items.append([item.name, None, value])
                else:
                    assert tuple(value.shape) == item.sizes and value.dtype == item.dtype
                    items.append([item.name, item.offsets, value.tolist()])
            return json.dumps(items).encode()

        return self.pool.submit(write)

    def finish(self, metadata: libdcp.Metadata, results: list[bytes]) -> None:
        assert all(c.file is None for entry in metadata.entries for c in entry.chunks)
        head = metadata.encode()
        body = json.dumps([json.loads(result) for result in results]).encode()
        half = self.folder / "half"
        half.write_bytes(len(head).to_bytes(8, "little") + head + body)
        half.rename(self.folder / "all")


class PlainReader(libdcp.StorageReader):
    def __init__(self, folder: Any, pool: concurrent.futures.Executor) -> None:
        self.folder = folder
        self.pool = pool

    def read_metadata(self) -> libdcp.Metadata:
        data = (self.folder / "all").read_bytes()
        end = 8 + int.from_bytes(data[:8], "little")
        self.parts = {
            (name, tuple(offsets or ())): value
            for rank in json.loads(data[end:])
            for name, offsets, value in rank
        }
        return libdcp.Metadata.decode(data[8:end])

    def set_up_storage_reader(self, metadata: libdcp.Metadata, *rest: Any) -> None:
        self.offsets = {
            name: [chunk.offsets for chunk in chunks] for name, chunks in metadata.chunks.items()
        }

    def read_data(self, request: libdcp.ReadRequest) -> Any:
        def read() -> None:
            for number, item in enumerate(request.items):
                part = self.parts[item.name, self.offsets[item.name][item.chunk]]
                if item.kind == "object":
                    request.object(number, part)
                    continue
                place = request.tensor(number)
                box = tuple(
                    slice(start, start + length)
                    for start, length in zip(item.storage_offsets, item.lengths)
                )
                place[...] = np.array(part, place.dtype)[box]
                request.commit(number)

        return self.pool.submit(read)


def tree_of(rank: int, size: int) -> dict[str, Any]:
    rows = np.arange(4 * size * 3, dtype=np.float32).reshape(4 * size, 3)
    return {
        "model": {
            "sharded": libdcp.Sharded(
                (4 * size, 3), [((4 * rank, 0), rows[4 * rank : 4 * rank + 4].copy())]
            ),
            "same": np.arange(7),
            "scalar": np.array(2.5),
        },
        f"own{rank}": {"rank": rank},
        "step": 5,
    }


def load_back(size: int, ranks: int, make_reader: Any) -> list[Any]:
    """Into chunks cut otherwise than they were saved."""

    def load(comm: Any) -> Any:
        rows = np.zeros((4 * size // ranks, 3), np.float32)
        tree = {
            "model": {
                "sharded": libdcp.Sharded((4 * size, 3), [((len(rows) * comm.rank, 0), rows)]),
                "same": np.zeros(7, int),
                "scalar": np.zeros(()),
            },
            **{f"own{rank}": {"rank": None} for rank in range(size)},
            "step": 0,
        }
        reader = make_reader(comm.rank)
        report = libdcp.load_into(tree, storage_reader=reader, communicator=comm)
        assert tree["step"] == 5 and float(tree["model"]["scalar"]) == 2.5
        assert [tree[f"own{rank}"]["rank"] for rank in range(size)] == list(range(size))
        assert np.array_equal(tree["model"]["same"], np.arange(7))
        expected = np.arange(12 * size, dtype=np.float32).reshape(-1, 3)
        assert np.array_equal(rows, expected[len(rows) * comm.rank :][: len(rows)])
        assert sorted(report.loaded)[:2] == ["model.same", "model.scalar"]
        return reader

    return on_ranks(libdcp.local_communicators(ranks), load)


def save_all(size: int, make_writer: Any, begin: Any = libdcp.save, **options: Any) -> list[Any]:
    def save(comm: Any) -> Any:
        writer = make_writer(comm.rank)
        done = begin(tree_of(comm.rank, size), storage_writer=writer, communicator=comm, **options)
        report = done.result() if begin is libdcp.async_save else done
        return writer, report

    return on_ranks(libdcp.local_communicators(size), save)


@pytest.mark.parametrize("begin", [libdcp.save, libdcp.async_save])
@pytest.mark.parametrize("ranks", [1, 4])
def test_a_dict_as_storage(ranks: int, begin: Any) -> None:
    store: dict[str, bytes] = {}
    saved = save_all(
        ranks, lambda rank: DictWriter(store), begin, checkpoint_id="mine", coordinator=ranks - 1
    )
    names: list[str] = []
    for rank, (writer, report) in enumerate(saved):
        coordinator = rank == ranks - 1
        calls = [("reset", "mine"), ("set_up", coordinator, rank, ranks, True), "local"]
        calls += ["global"] if coordinator else []
        assert writer.calls == [*calls, "write", *(["finish"] if coordinator else [])]
        assert report.items == len(writer.written)
        names += writer.written
    assert len(names) == len(set(names)) + ranks - 1  # the shards' name is there for each rank
    assert sorted(store) == [".metadata", *(f"part-{rank}" for rank in range(ranks))]

    metadata = libdcp.Metadata.decode(store[".metadata"])
    assert "model.sharded" in metadata and len(metadata) == 4 + ranks
    sharded = metadata["model.sharded"]
    assert sharded.dtype == np.float32 and sharded.shape == (4 * ranks, 3)
    assert [chunk.offsets for chunk in sharded.chunks] == [(4 * rank, 0) for rank in range(ranks)]
    assert {chunk.file for chunk in sharded.chunks} == {f"part-{rank}" for rank in range(ranks)}
    assert metadata["step"].kind == "object"
    with pytest.raises(libdcp.NoSuchEntryError):
        metadata["banana"]

    for count in (1, 2, 4):
        if 4 * ranks % count == 0:
            readers = load_back(ranks, count, lambda rank: DictReader(store))
            for rank, reader in enumerate(readers):
                assert reader.calls == [
                    "reset", "metadata", ("set_up", rank == 0, rank, count), "local", "read"
                ]  # fmt: skip
                with pytest.raises(libdcp.InvalidArgumentError, match="has returned"):
                    len(reader.metadata)


@pytest.mark.parametrize("begin", [libdcp.save, libdcp.async_save])
@pytest.mark.parametrize("ranks", [1, 4])
def test_a_file_of_its_own_layout(tmp_path: Any, ranks: int, begin: Any) -> None:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        save_all(ranks, lambda rank: PlainWriter(tmp_path / "c", pool), begin)
        assert [path.name for path in (tmp_path / "c").iterdir()] == ["all"]
        for count in (1, 4):
            load_back(ranks, count, lambda rank: PlainReader(tmp_path / "c", pool))


class PickyWriter(DictWriter):
    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str) -> bool:
        if checkpoint_id == "raise":
            raise OSError("no way to tell")
        return checkpoint_id.startswith("step-")


class PickyReader(DictReader):
    def validate_checkpoint_id(self, checkpoint_id: str) -> bool:
        return PickyWriter.validate_checkpoint_id(checkpoint_id)

    def reset(self, checkpoint_id: str | None = None) -> None:
        self.calls.append(("reset", checkpoint_id))


def test_checkpoint_ids_are_looked_at() -> None:
    def begin(comm: Any, name: str | None, store: dict[str, bytes], size: int) -> Any:
        """Saves, and loads what is there, with an id; rank 1 has one that its storage refuses."""
        writer, reader = PickyWriter(store), PickyReader(kept)
        tree = tree_of(comm.rank, size)
        ends: list[Any] = []
        for call in (
            lambda: libdcp.save(
                tree, storage_writer=writer, communicator=comm, checkpoint_id=name
            ),
            lambda: libdcp.load_into(
                tree, storage_reader=reader, communicator=comm, checkpoint_id=name
            ),
        ):
            try:
                call()
                ends.append(None)
            except libdcp.Error as error:
                ends.append(error)
        return writer, reader, ends

    kept: dict[str, bytes] = {}
    save_all(2, lambda rank: DictWriter(kept))
    for name in ("step-3", None):
        ends = on_ranks(
            libdcp.local_communicators(2), lambda comm: begin(comm, name, {}, 2)
        )
        for writer, reader, outcome in ends:
            assert outcome == [None, None]
            assert writer.calls[0] == reader.calls[0] == ("reset", name)
    for name, kind, text in (
        ("banana", libdcp.InvalidArgumentError, "'banana' is no checkpoint id for the storage"),
        ("raise", OSError, "no way to tell"),
    ):
        ends = on_ranks(
            libdcp.local_communicators(2),
            lambda comm: begin(comm, name if comm.rank else "step-3", {}, 2),
        )
        for rank, (writer, reader, outcome) in enumerate(ends):
            for error in outcome:
                assert isinstance(error, libdcp.CheckpointException)
                assert list(error.failures) == [1] and error.failures[1].step == "plan"
                assert text in str(error)
                if rank == 1 and kind is OSError:
                    assert isinstance(error.__cause__, OSError)
                elif kind is not OSError:
                    assert isinstance(error.failures[1].error, kind)
            if rank == 1:
                assert writer.calls == reader.calls == []


def test_what_the_dict_holds_is_a_checkpoint(tmp_path: Any) -> None:
    """Written out as files it is one that the library reads by itself."""
    store: dict[str, bytes] = {}
    save_all(3, lambda rank: DictWriter(store))
    for name, data in store.items():
        (tmp_path / name).write_bytes(data)
    whole = libdcp.load(tmp_path)
    assert np.array_equal(
        whole["model"]["sharded"], np.arange(36, dtype=np.float32).reshape(12, 3)
    )
    assert whole["own2"] == {"rank": 2} and whole["step"] == 5


def test_values_are_the_memory_that_is_saved() -> None:
    array = np.arange(1000.0)

    class Looks(libdcp.StorageWriter):
        def write_data(self, request: libdcp.WriteRequest) -> bytes:
            assert np.shares_memory(request.value(0), array)
            return memoryview(b"any bytes")

        def finish(self, metadata: libdcp.Metadata, results: list[bytes]) -> None:
            assert results == [b"any bytes"]

    libdcp.save({"a": array}, storage_writer=Looks())

    store: dict[str, bytes] = {}
    target = np.zeros(1000)
    libdcp.save({"a": array}, storage_writer=DictWriter(store))

    class Fills(DictReader):
        def read_data(self, request: libdcp.ReadRequest) -> None:
            place = request.tensor(0)
            assert np.shares_memory(place, target)
            place[...] = 7
            request.commit(0)

    libdcp.load_into({"a": target}, storage_reader=Fills(store))
    assert np.all(target == 7)


@pytest.mark.parametrize("begin", [libdcp.save, libdcp.async_save])
def test_saves_without_collectives(tmp_path: Any, begin: Any) -> None:
    def save(comm: Any) -> Any:
        done = begin(
            tree_of(comm.rank, 3), tmp_path / "c", communicator=comm, use_collectives=False
        )
        return done.result() if begin is libdcp.async_save else done

    reports = on_ranks(libdcp.local_communicators(3), save)
    assert all(isinstance(report, libdcp.SaveReport) for report in reports), reports
    names = sorted(path.name for path in (tmp_path / "c").iterdir() if "metadata" in path.name)
    assert names == ["__0.metadata", "__1.metadata", "__2.metadata"]
    whole = libdcp.load(tmp_path / "c")
    assert np.array_equal(
        whole["model"]["sharded"], np.arange(36, dtype=np.float32).reshape(12, 3)
    )
    assert whole["own1"] == {"rank": 1} and whole["step"] == 5
    assert libdcp.verify(tmp_path / "c").ok


def test_a_writer_without_collectives() -> None:
    """Every rank finishes, with its own result and metadata."""
    stores: list[dict[str, bytes]] = [{}, {}, {}]

    class Own(DictWriter):
        def prepare_global_plan(self, plans: libdcp.SavePlans) -> Any:
            assert len(plans) == 1
            plans[0].storage_data = b"mine"
            return plans

        def finish(self, metadata: libdcp.Metadata, results: list[bytes]) -> None:
            assert len(results) == 1
            for item, (offset, length) in enumerate(json.loads(results[0])[1]):
                metadata.place(self.rank, item, "mine", offset, length)
            with pytest.raises(libdcp.InvalidArgumentError, match="no item 0 of rank"):
                metadata.place(self.rank + 1, 0, "mine", 0, 1)
            self.store[".metadata"] = metadata.encode()

    saved = save_all(3, lambda rank: Own(stores[rank]), use_collectives=False)
    assert [writer.calls[1] for writer, _ in saved] == [
        ("set_up", rank == 0, rank, 3, False) for rank in range(3)
    ]
    for rank, store in enumerate(stores):
        tree = {"step": 0, f"own{rank}": {"rank": None}}
        libdcp.load_into(tree, storage_reader=DictReader(store))
        assert tree == {"step": 5, f"own{rank}": {"rank": rank}}


def test_metadata_of_one_plan() -> None:
    """Upstream's default local metadata: the items of a plan as they are, wherever their shards lie."""
    plan = libdcp.SavePlan(
        [
            libdcp.WriteItem("shard", "shard", "float64", (4, 4), (2, 0), (2, 4)),
            libdcp.WriteItem("whole", "tensor", np.float32, (10, 10)),
            libdcp.WriteItem("bytes"),
        ]
    )
    metadata = libdcp.Metadata.of_plan(plan)
    assert list(metadata) == ["shard", "whole", "bytes"]
    assert [len(entry.chunks) for entry in metadata.entries] == [1, 1, 1]
    chunk = metadata["shard"].chunks[0]
    assert (chunk.offsets, chunk.sizes, chunk.file) == ((2, 0), (2, 4), None)
    again = libdcp.Metadata.decode(metadata.encode("torch-2.1"))
    assert again["whole"].dtype == np.float32 and again["whole"].shape == (10, 10)
    metadata.place(0, 1, "file", 100, 400)  # of a plan: this rank's own
    placed = metadata["whole"].chunks[0]
    assert (placed.file, placed.offset, placed.length) == ("file", 100, 400)
    with pytest.raises(libdcp.InvalidArgumentError, match="no item 0 of rank 1"):
        metadata.place(1, 0, "file", 0, 1)
    with pytest.raises(libdcp.InvalidArgumentError, match="placed in a storage writer's finish"):
        again.place(0, 0, "file", 0, 1)
    with pytest.raises(ValueError, match="dialect is one of"):
        metadata.encode("banana")
    with pytest.raises(libdcp.CorruptError):
        libdcp.Metadata.decode(b"banana")
    plan.remove(-1)
    plan.remove(plan[0])
    assert plan.items == [libdcp.WriteItem("whole", "tensor", np.dtype("float32"), (10, 10))]
    assert len(metadata) == 3


# ---- failures: the matrix of upstream's TestDistributedFailure ----


def fail(method: str) -> None:
    raise ValueError(f"fail {method}")


def future_of(outcome: Any) -> "concurrent.futures.Future[Any]":
    """Ended on another thread, after its callback returned as often as not."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def end() -> None:
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    threading.Thread(target=end).start()
    return future


class FaultyWriter(DictWriter):
    def __init__(self, store: dict[str, bytes], fault: str | None) -> None:
        super().__init__(store)
        self.fault = fault

    def set_up_storage_writer(self, *args: Any) -> None:
        super().set_up_storage_writer(*args)
        if self.fault == "set_up":
            fail("set_up")

    def prepare_local_plan(self, plan: libdcp.SavePlan) -> Any:
        if self.fault == "local":
            fail("local")
        return super().prepare_local_plan(plan)

    def prepare_global_plan(self, plans: libdcp.SavePlans) -> Any:
        if self.fault == "global":
            fail("global")
        return super().prepare_global_plan(plans)

    def write_data(self, request: libdcp.WriteRequest) -> Any:
        if self.fault == "write":
            fail("write")
        if self.fault == "write_async":
            return future_of(ValueError("fail write_async"))
        return future_of(super().write_data(request))

    def finish(self, metadata: libdcp.Metadata, results: list[bytes]) -> None:
        if self.fault == "finish":
            fail("finish")
        super().finish(metadata, results)


class FaultyReader(DictReader):
    def __init__(self, store: dict[str, bytes], fault: str | None) -> None:
        super().__init__(store)
        self.fault = fault

    def read_metadata(self) -> Any:
        if self.fault == "read_metadata":
            fail("read_metadata")
        return super().read_metadata()

    def set_up_storage_reader(self, *args: Any) -> None:
        super().set_up_storage_reader(*args)
        if self.fault == "set_up":
            fail("set_up")

    def prepare_local_plan(self, plan: libdcp.LoadPlan) -> Any:
        if self.fault == "local":
            fail("local")
        return super().prepare_local_plan(plan)

    def prepare_global_plan(self, plans: libdcp.LoadPlans) -> Any:
        if self.fault == "global":
            fail("global")
        return super().prepare_global_plan(plans)

    def read_data(self, request: libdcp.ReadRequest) -> Any:
        if self.fault == "read":
            fail("read")
        if self.fault == "read_async":
            return future_of(ValueError("fail read_async"))
        super().read_data(request)
        return future_of(None)


def check_failure(errors: list[Any], bad: int, step: str, fault: str) -> None:
    """Exactly that rank, that step and that kind, on every rank; the object itself on its own."""
    causes = []
    for rank, error in enumerate(errors):
        assert type(error) is (libdcp.RankFailedError if len(errors) > 1 else libdcp.CallbackError)
        assert [(failure.rank, failure.step) for failure in error.failures.values()] == [(bad, step)]
        failure = error.failures[bad].error
        assert type(failure) is libdcp.CallbackError
        assert f"ValueError: fail {fault}" in str(failure)
        causes.append(failure.__cause__)
    assert type(causes[bad]) is ValueError and str(causes[bad]) == f"fail {fault}"
    assert [cause is None for cause in causes] == [rank != bad for rank in range(len(errors))]


# (fault, coordinator, the rank it is on, step)
SAVE_MATRIX = [
    ("set_up", 0, 0, "plan"),
    ("global", 0, 0, "plan"),
    ("local", 0, 0, "plan"),
    ("write", 0, 2, "write"),
    ("write_async", 0, 3, "write"),
    ("finish", 0, 0, "write"),
    ("set_up", 1, 1, "plan"),
    ("finish", 1, 1, "write"),
]
LOAD_MATRIX = [
    (None, 0, 0, ""),
    ("set_up", 0, 0, "plan"),
    ("set_up", 3, 0, "plan"),
    ("global", 0, 0, "plan"),
    ("global", 1, 1, "plan"),
    ("read_metadata", 0, 0, "plan"),
    ("read_metadata", 1, 3, "plan"),
    ("local", 0, 1, "plan"),
    ("read", 0, 3, "read"),
    ("read", 2, 0, "read"),
    ("read_async", 0, 1, "read"),
    ("read_async", 3, 2, "read"),
]
SAVE_ALONE = [
    ("set_up", "plan"),
    ("finish", "write"),
    ("global", "plan"),
    ("local", "plan"),
    ("write", "write"),
    ("write_async", "write"),
]
LOAD_ALONE = [
    ("set_up", "plan"),
    ("read_metadata", "plan"),
    ("local", "plan"),
    ("global", "plan"),
    ("read", "read"),
    ("read_async", "read"),
]


def faulty_saves(ranks: int, coordinator: int, bad: int, fault: str, begin: Any) -> Any:
    store: dict[str, bytes] = {}
    writers = [FaultyWriter(store, fault if rank == bad else None) for rank in range(ranks)]

    def save(comm: Any) -> Any:
        done = begin(
            tree_of(comm.rank, ranks),
            storage_writer=writers[comm.rank],
            communicator=comm if ranks > 1 else None,
            coordinator=coordinator,
        )
        return done.result() if begin is libdcp.async_save else done

    errors = on_ranks(libdcp.local_communicators(ranks), save)
    assert ".metadata" not in store
    return writers, errors


@pytest.mark.parametrize("begin", [libdcp.save, libdcp.async_save])
@pytest.mark.parametrize("fault, coordinator, bad, step", SAVE_MATRIX)
def test_save_faults(fault: str, coordinator: int, bad: int, step: str, begin: Any) -> None:
    writers, errors = faulty_saves(4, coordinator, bad, fault, begin)
    check_failure(errors, bad, step, fault)
    for rank, writer in enumerate(writers):
        # each that was asked to write, and no other, is told that it was in vain
        wrote = step == "write"
        assert ("abandon" in writer.calls) == wrote, (rank, writer.calls)


@pytest.mark.parametrize("begin", [libdcp.save, libdcp.async_save])
@pytest.mark.parametrize("fault, step", SAVE_ALONE)
def test_save_faults_alone(fault: str, step: str, begin: Any) -> None:
    _, errors = faulty_saves(1, 0, 0, fault, begin)
    check_failure(errors, 0, step, fault)


def faulty_loads(ranks: int, coordinator: int, bad: int, fault: str | None) -> list[Any]:
    store: dict[str, bytes] = {}
    save_all(ranks, lambda rank: DictWriter(store))

    def load(comm: Any) -> Any:
        reader = FaultyReader(store, fault if comm.rank == bad else None)
        tree = {"model": {"same": np.zeros(7, int)}, "step": 0}
        libdcp.load_into(
            tree,
            storage_reader=reader,
            communicator=comm if ranks > 1 else None,
            coordinator=coordinator,
        )
        return tree["step"], tree["model"]["same"].tolist()

    return on_ranks(libdcp.local_communicators(ranks), load)


@pytest.mark.parametrize("fault, coordinator, bad, step", LOAD_MATRIX)
def test_load_faults(fault: str | None, coordinator: int, bad: int, step: str) -> None:
    outcomes = faulty_loads(4, coordinator, bad, fault)
    if fault is None:
        assert outcomes == [(5, list(range(7)))] * 4
    else:
        check_failure(outcomes, bad, step, fault)


@pytest.mark.parametrize("fault, step", LOAD_ALONE)
def test_load_faults_alone(fault: str, step: str) -> None:
    check_failure(faulty_loads(1, 0, 0, fault), 0, step, fault)


class Untold:
    """Of a state that cannot be told."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def state_dict(self) -> dict[str, Any]:
        raise self.error

    def load_state_dict(self, state: dict[str, Any]) -> None:
        raise self.error


class Globally(libdcp.LoadPlanner):
    def create_global_plan(self, plans: libdcp.LoadPlans) -> Any:
        return plans


@pytest.mark.parametrize("bad", [0, 2])
@pytest.mark.parametrize("how", ["writer", "planner and file", "planner", "reader"])
def test_a_state_that_cannot_be_told(tmp_path: Any, how: str, bad: int) -> None:
    """The other ranks hear of it in the plan, whatever they use, also when they plan globally."""
    store: dict[str, bytes] = {}
    save_all(3, lambda rank: DictWriter(store))
    libdcp.save({"step": 5}, tmp_path / "c")
    untold = RuntimeError("no state today")

    def run(comm: Any) -> None:
        tree: dict[str, Any] = {"step": 0}
        if comm.rank == bad:
            tree["untold"] = Untold(untold)
        if how == "writer":
            libdcp.save(tree, storage_writer=FaultyWriter({}, None), communicator=comm)
        elif how == "planner and file":
            libdcp.load_into(tree, tmp_path / "c", planner=Globally(), communicator=comm)
        else:
            planner = Globally() if how == "planner" else None
            reader = DictReader(store) if how == "planner" else FaultyReader(store, None)
            libdcp.load_into(tree, storage_reader=reader, planner=planner, communicator=comm)

    for rank, error in enumerate(on_ranks(libdcp.local_communicators(3), run)):
        assert type(error) is libdcp.CheckpointException, (rank, error)
        assert [(f.rank, f.step) for f in error.failures.values()] == [(bad, "plan")]
        assert error.failures[bad].exception is (untold if rank == bad else None)


def test_several_ranks_fail() -> None:
    store: dict[str, bytes] = {}

    def save(comm: Any) -> Any:
        writer = FaultyWriter(store, "write" if comm.rank in (1, 3) else None)
        libdcp.save(tree_of(comm.rank, 4), storage_writer=writer, communicator=comm)

    for error in on_ranks(libdcp.local_communicators(4), save):
        assert [(f.rank, f.step) for f in error.failures.values()] == [(1, "write"), (3, "write")]


class Ending(DictWriter):
    """Writes, and leaves the end of it to the test."""

    def __init__(self, store: dict[str, bytes], end: "concurrent.futures.Future[Any]") -> None:
        super().__init__(store)
        self.end = end
        self.request: Any = None

    def write_data(self, request: libdcp.WriteRequest) -> Any:
        self.request = request
        self.result = super().write_data(request)
        return self.end


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("begin", [libdcp.save, libdcp.async_save])
def test_a_future_that_never_ends(ranks: int, begin: Any) -> None:
    store: dict[str, bytes] = {}
    bad = ranks - 1
    ended: concurrent.futures.Future[Any] = concurrent.futures.Future()
    writers = [
        Ending(store, ended) if rank == bad else DictWriter(store) for rank in range(ranks)
    ]

    def save(comm: Any) -> Any:
        done = begin(
            tree_of(comm.rank, ranks),
            storage_writer=writers[comm.rank],
            communicator=comm if ranks > 1 else None,
            timeout=1.0 if comm.rank == bad else 60.0,
        )
        return done.result() if begin is libdcp.async_save else done

    errors = on_ranks(libdcp.local_communicators(ranks), save)
    for error in errors:
        assert isinstance(error, libdcp.Error)
        assert [(f.rank, f.step, type(f.error)) for f in error.failures.values()] == [
            (bad, "write", libdcp.TimeoutError)
        ]
        assert "gave no sign for 1000 ms" in str(error)
    assert ".metadata" not in store and "abandon" in writers[bad].calls

    # What comes late changes nothing, and is told so.
    late = writers[bad].request
    assert len(late.items) == len(late)
    for use in (lambda: late.value(0), lambda: late.encode(0)):
        with pytest.raises(libdcp.InvalidArgumentError, match="has ended"):
            use()
    late.still_here()
    ended.set_result(writers[bad].result)
    assert ".metadata" not in store


def test_a_future_that_was_let_go_of() -> None:
    """Nobody can end it any more: that is a failure at once, not at the timeout."""

    class LetsGo(DictWriter):
        def write_data(self, request: libdcp.WriteRequest) -> Any:
            return concurrent.futures.Future()

    with pytest.raises(libdcp.CallbackError, match="without ending it"):
        libdcp.save({"a": 1}, storage_writer=LetsGo({}), timeout=600.0)


@pytest.mark.parametrize(
    "outcome, kind, text",
    [
        ("text", TypeError, "bytes-like"),
        (7, TypeError, "bytes-like"),
        (libdcp.CorruptError("bad block"), libdcp.CorruptError, "bad block"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
        (None, None, ""),
        (concurrent.futures.CancelledError(), concurrent.futures.CancelledError, "Cancelled"),
    ],
)
@pytest.mark.parametrize("by_future", [False, True])
def test_ends_of_write_data(outcome: Any, kind: Any, text: str, by_future: bool) -> None:
    class Ends(libdcp.StorageWriter):
        def write_data(self, request: libdcp.WriteRequest) -> Any:
            if by_future:
                return future_of(outcome)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        def finish(self, metadata: libdcp.Metadata, results: list[bytes]) -> None:
            assert results == [b""]

    if kind is None:
        libdcp.save({"a": 1}, storage_writer=Ends())
        return
    with pytest.raises(libdcp.Error, match=text) as raised:
        libdcp.save({"a": 1}, storage_writer=Ends())
    assert type(raised.value.__cause__) is kind
    if isinstance(outcome, BaseException):
        assert raised.value.__cause__ is outcome
    own = libdcp.CorruptError if kind is libdcp.CorruptError else libdcp.CallbackError
    assert type(raised.value) is own


def test_readers_that_do_wrong() -> None:
    store: dict[str, bytes] = {}
    libdcp.save({"a": np.arange(4), "o": "text"}, storage_writer=DictWriter(store))
    saved = libdcp.Metadata.decode(store[".metadata"])

    class Reads(DictReader):
        def __init__(self, body: Any) -> None:
            super().__init__(store)
            self.body = body

        def read_data(self, request: libdcp.ReadRequest) -> Any:
            numbers = {item.name: number for number, item in enumerate(request.items)}
            return self.body(request, numbers["a"], numbers["o"])

    kept: list[Any] = []
    for body, kind, text in (
        (lambda r, a, o: None, libdcp.CallbackError, "gave nothing of"),
        (lambda r, a, o: r.decode(a, b"banana"), libdcp.CorruptError, "."),
        (lambda r, a, o: r.tensor(o), libdcp.MismatchError, "an object, not a tensor"),
        (lambda r, a, o: r.object(a, 3), libdcp.MismatchError, "a tensor, not an object"),
        (lambda r, a, o: r.commit(9), libdcp.InvalidArgumentError, "item 9 of a plan of 2"),
        (lambda r, a, o: (kept.append(r), 1 / 0), libdcp.CallbackError, "ZeroDivisionError"),
    ):
        with pytest.raises(kind, match=text) as raised:
            libdcp.load_into({"a": np.zeros(4, int), "o": ""}, storage_reader=Reads(body))
        assert [(f.rank, f.step) for f in raised.value.failures.values()] == [(0, "read")]
    with pytest.raises(libdcp.InvalidArgumentError, match="has ended"):
        kept[0].tensor(0)

    class Takes(DictReader):
        def read_metadata(self) -> Any:
            return saved

    tree = {"a": np.zeros(4, int), "o": ""}
    libdcp.load_into(tree, storage_reader=Takes(store))
    assert tree["o"] == "text"
    with pytest.raises(libdcp.InvalidArgumentError, match="has returned"):
        len(saved)  # given to the load
    with pytest.raises(libdcp.InvalidArgumentError, match="has returned") as raised:
        libdcp.load_into(tree, storage_reader=Takes(store))
    assert [(f.rank, f.step) for f in raised.value.failures.values()] == [(0, "plan")]


def test_arguments_that_do_not_fit(tmp_path: Any) -> None:
    class Half(libdcp.StorageWriter):
        def write_data(self, request: libdcp.WriteRequest) -> bytes:
            return b""

    with pytest.raises(TypeError, match="Half has no finish"):
        libdcp.save({"a": 1}, storage_writer=Half())
    with pytest.raises(TypeError, match="in place of where"):
        libdcp.save({"a": 1}, tmp_path / "c", storage_writer=DictWriter({}))
    with pytest.raises(TypeError, match="storage_writer is a libdcp.StorageWriter"):
        libdcp.save({"a": 1}, storage_writer=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="has no read_data and no read_metadata"):
        libdcp.load_into({"a": 1}, storage_reader=libdcp.StorageReader())
    with pytest.raises(TypeError, match="where is a path"):
        libdcp.save({"a": 1})
    with pytest.raises(TypeError, match="where is a path"):
        libdcp.load_into({"a": 1})
    assert not (tmp_path / "c").exists()


def test_nothing_is_kept_when_it_has_ended(tmp_path: Any) -> None:
    class Ranks(libdcp.Communicator):
        rank = 0  # type: ignore[assignment]
        world_size = 1  # type: ignore[assignment]

        def gather(self, data: bytes, root: int, timeout: float | None) -> Any:
            return [data]

        def scatter(self, parts: Any, root: int, timeout: float | None) -> bytes:
            return parts[0]  # type: ignore[no-any-return]

        def broadcast(self, data: bytes, root: int, timeout: float | None) -> bytes:
            return data

    class Save(libdcp.SavePlanner):
        def create_local_plan(self) -> Any:
            return super().create_local_plan()

        def resolve_data(self, item: libdcp.WriteItem) -> Any:
            return super().resolve_data(item)

    class Load(libdcp.LoadPlanner):
        def set_up_planner(self, state: Any, metadata: Any, is_coordinator: bool) -> None:
            self.metadata = metadata

        def resolve_tensor(self, item: libdcp.ReadItem, found: Any) -> Any:
            return found

    seen: list[Any] = []

    def run(begin: Any) -> None:
        store: dict[str, bytes] = {}
        array = np.arange(1000.0)
        roles: list[Any] = [Ranks(), Save(), DictWriter(store), Load(), DictReader(store), Ranks()]
        done = begin(
            {"a": array}, communicator=roles[0], planner=roles[1], storage_writer=roles[2]
        )
        if begin is libdcp.async_save:
            done.result()
        target = np.zeros(1000)
        libdcp.load_into(
            {"a": target}, communicator=roles[5], planner=roles[3], storage_reader=roles[4]
        )
        assert np.array_equal(array, target)
        seen.extend(weakref.ref(role) for role in [*roles, array, target])

    for begin in (libdcp.save, libdcp.async_save):
        run(begin)
    gc.collect()
    assert [ref() for ref in seen] == [None] * 16


def test_prepare_global_plan_leaves_the_items(tmp_path: Any) -> None:
    class Drops(DictWriter):
        def prepare_global_plan(self, plans: libdcp.SavePlans) -> Any:
            plans[0].remove(0)
            return plans

    with pytest.raises(libdcp.CallbackError, match="changed the items of rank 0"):
        libdcp.save({"a": 1, "b": 2}, storage_writer=Drops({}))
