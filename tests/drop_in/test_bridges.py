"""torch's planners and storages, stock's and users', run by the engine."""

import os
import pathlib
import signal
import sys
import threading
import time

import pytest

torch = pytest.importorskip("torch")
import torch.distributed.checkpoint as dcp  # noqa: E402
import torch.distributed.checkpoint._fsspec_filesystem as fsspec  # noqa: E402

import libdcp  # noqa: E402
from libdcp.torch._engine import storage_bridge as bridge  # noqa: E402
from libdcp.torch._engine.failures import RoleFailure  # noqa: E402
from test_storage_roles import STATE, same, template  # noqa: E402
from user_planners import (  # noqa: E402
    BASES,
    CommittingLoad,
    OldPlanner,
    Reader,
    ToyReader,
    ToyWriter,
    Writer,
    dropping,
    failing,
    halving,
    own_bytes,
    own_bytes_load,
    quiet_halving,
    renaming,
    renaming_load,
    telling,
)

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "exchange"))
import gloo_job  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

WRITERS = {"ours": Writer, "stock": dcp.FileSystemWriter, "toy": ToyWriter}
READERS = {"ours": Reader, "stock": dcp.FileSystemReader, "toy": ToyReader}


@pytest.mark.parametrize("planners", BASES)
@pytest.mark.parametrize("storage", WRITERS)
def test_any_storage_with_any_planner(tmp_path, storage, planners):
    save_planner, load_planner = BASES[planners]
    saved = bridge.save(STATE, WRITERS[storage](tmp_path / "c"), save_planner())
    assert len(saved.storage_data) == 15 and saved.planner_data["m.w"] == ("m", "w")
    readers = [ToyReader] if storage == "toy" else [Reader, dcp.FileSystemReader]
    for reader in readers:
        target = template()
        bridge.load(target, reader(tmp_path / "c"), load_planner())
        assert same(STATE, target)
    if storage != "toy":
        target = template()
        dcp.load(target, checkpoint_id=str(tmp_path / "c"), no_dist=True)
        assert same(STATE, target)


def loads(where, planner):
    """By the engine from either reader, and by stock alone: all the same."""
    found = []
    for load in (
        lambda target: bridge.load(target, Reader(where), planner()),
        lambda target: bridge.load(target, dcp.FileSystemReader(where), planner()),
        lambda target: dcp.load(target, checkpoint_id=str(where), planner=planner(), no_dist=True),
    ):
        target = template()
        load(target)
        found.append(target)
    assert all(same(found[0], other) for other in found)
    return found[0]


@pytest.mark.parametrize("planners", BASES)
@pytest.mark.parametrize("storage", ["ours", "stock"])
def test_planners_that_change_things(tmp_path, storage, planners):
    save_planner, load_planner = BASES[planners]

    def save(name, wrap):
        return bridge.save(STATE, WRITERS[storage](tmp_path / name), wrap(save_planner)())

    metadata = save("renamed", renaming)
    assert "ema.m.w" in metadata.state_dict_metadata
    assert same(STATE, loads(tmp_path / "renamed", renaming_load(load_planner)))

    for name, wrap, dtype in (("half", halving, torch.bfloat16), ("quiet", quiet_halving, torch.float32)):
        metadata = save(name, wrap)
        assert metadata.state_dict_metadata["m.w"].properties.dtype == dtype
        target = loads(tmp_path / name, load_planner)
        assert torch.equal(target["m"]["w"], STATE["m"]["w"].to(torch.bfloat16).float())

    save("dropped", dropping)
    target = template()
    bridge.load(target, Reader(tmp_path / "dropped"), load_planner(allow_partial_load=True))
    assert target["obj"] == {"a": None, "b": None}
    assert same(STATE, {**target, "obj": STATE["obj"]})

    save("bytes", own_bytes)
    assert same(STATE, loads(tmp_path / "bytes", own_bytes_load(load_planner)))

    metadata = save("told", telling)
    assert metadata.planner_data["note"] == (1.5, None) and metadata.planner_data["ranks"] == 1
    assert same(STATE, loads(tmp_path / "told", load_planner))
    read = Reader(tmp_path / "told").read_metadata()
    assert read.planner_data == metadata.planner_data and read.planner_data["paths"]["m.w"] == ("m", "w")


def test_a_planner_from_before_storage_meta(tmp_path):
    state = {"a": torch.arange(3.0), "b": "text"}
    with pytest.warns(UserWarning, match="storage_meta"):
        bridge.save(state, Writer(tmp_path / "c"), OldPlanner())
    target = {"a": torch.zeros(3), "b": ""}
    dcp.load(target, checkpoint_id=str(tmp_path / "c"), no_dist=True)
    assert same(state, target)


def test_tensors_that_are_committed_later(tmp_path):
    state = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3, dtype=torch.int64)}
    bridge.save(state, Writer(tmp_path / "c"), dcp.DefaultSavePlanner())
    target = {"a": torch.zeros(2, 3), "b": torch.zeros(3, dtype=torch.int64)}
    bridge.load(target, Reader(tmp_path / "c"), CommittingLoad())
    assert same({key: 2 * value for key, value in state.items()}, target)


def test_the_callers_thread_state(tmp_path):
    """Gradients are off where the caller has them off, in every method."""
    seen = []

    class Looking(dcp.DefaultSavePlanner):
        def create_local_plan(self):
            seen.append(torch.is_grad_enabled())
            return super().create_local_plan()

        def resolve_data(self, write_item):
            seen.append(torch.is_grad_enabled())
            return super().resolve_data(write_item)

    for enabled in (False, True):
        seen.clear()
        with torch.set_grad_enabled(enabled):
            bridge.save(STATE, Writer(tmp_path / "c"), Looking())
        assert len(seen) == 16 and set(seen) == {enabled}


SAVE_METHODS = ["set_up_planner", "create_local_plan", "create_global_plan", "finish_plan", "resolve_data"]
LOAD_METHODS = [
    "set_up_planner", "create_local_plan", "create_global_plan", "finish_plan", "load_bytes", "resolve_tensor",
    "commit_tensor",
]  # fmt: skip
WRITER_METHODS = [
    "storage_meta", "set_up_storage_writer", "prepare_local_plan", "prepare_global_plan", "write_data", "finish",
]  # fmt: skip
READER_METHODS = ["read_metadata", "set_up_storage_reader", "prepare_local_plan", "prepare_global_plan", "read_data"]


class Boom(Exception):
    pass


def fails_with(error, step, call):
    with pytest.raises(dcp.CheckpointException) as caught:
        call()
    assert list(caught.value.failures) == [0] and caught.value.args[0] == step
    exception, trace = caught.value.failures[0]
    assert exception is error and trace
    return caught.value


@pytest.mark.parametrize("storage", ["ours", "stock"])
def test_the_very_exception_comes_out(tmp_path, storage):
    writer, reader = WRITERS[storage], READERS[storage]
    where = tmp_path / "c"
    good = dcp.DefaultSavePlanner
    bridge.save(STATE, writer(where), good())
    stands = (where / ".metadata").read_bytes()
    for method in SAVE_METHODS:
        error = Boom(method)
        step = "write" if method in ("finish_plan", "resolve_data") else "plan"
        planner = failing(good, method, error)
        told = fails_with(error, step, lambda: bridge.save(STATE, writer(where), planner()))
        assert "Boom: " + method in str(told) and "pickled" not in str(told)
    for method in WRITER_METHODS:
        error = Boom(method)
        step = "write" if method in ("write_data", "finish") else "plan"
        fails_with(error, step, lambda: bridge.save(STATE, failing(writer, method, error)(where), good()))
    assert (where / ".metadata").read_bytes() == stands
    bridge.save(STATE, writer(where), good())
    for method in LOAD_METHODS:
        error = Boom(method)
        step = "plan" if method in LOAD_METHODS[:3] else "read"
        planner = failing(dcp.DefaultLoadPlanner, method, error)
        fails_with(error, step, lambda: bridge.load(template(), reader(where), planner()))
    for method in READER_METHODS:
        error = Boom(method)
        step = "read" if method == "read_data" else "plan"
        call = lambda: bridge.load(template(), failing(reader, method, error)(where), dcp.DefaultLoadPlanner())  # noqa: E731
        if method == "read_metadata":  # tried twice: of all ranks, and of this one
            with pytest.raises(dcp.CheckpointException) as caught:
                call()
            assert "read_metadata" in str(caught.value.failures[0][0])
        else:
            fails_with(error, step, call)
    if storage == "ours":
        assert same(STATE, loads(where, dcp.DefaultLoadPlanner))


def test_failures_of_futures(tmp_path):
    error = Boom("later")

    class Later(Writer):
        def write_data(self, plan, planner):
            super().write_data(plan, planner).wait()
            future = torch.futures.Future()
            threading.Timer(0.05, future.set_exception, (error,)).start()
            return future

    fails_with(error, "write", lambda: bridge.save(STATE, Later(tmp_path / "c"), dcp.DefaultSavePlanner()))
    assert list((tmp_path / "c").iterdir()) == []  # what was written went


def test_without_collectives_the_exception_is_raised_as_it_is(tmp_path):
    error = Boom("mine")
    planner = failing(dcp.DefaultSavePlanner, "create_local_plan", error)
    with pytest.raises(Boom) as caught:
        bridge.save(STATE, Writer(tmp_path / "c"), planner(), use_collectives=False)
    assert caught.value is error
    bridge.save(STATE, Writer(tmp_path / "c"), dcp.DefaultSavePlanner())
    bridge.save({"a": torch.ones(2)}, Writer(tmp_path / "c"), dcp.DefaultSavePlanner(), use_collectives=False)
    assert sorted(os.listdir(tmp_path / "c")) == ["__0.metadata", "__0_0.g1.distcp"]
    target = {"a": torch.zeros(2)}
    bridge.load(target, Reader(tmp_path / "c"), dcp.DefaultLoadPlanner())
    assert target["a"].tolist() == [1.0, 1.0]


def test_a_storage_that_takes_longer_than_the_timeout(tmp_path, monkeypatch):
    """It is waited for, on the other ranks too, as long as it is at work."""
    monkeypatch.setattr(bridge, "PULSE_S", 0.05)
    ranks = libdcp.local_communicators(2)
    ends = [None, None]

    class Slow(Writer):
        def write_data(self, plan, planner):
            until = time.monotonic() + (1.2 if self.rank == 1 else 0.0)
            while time.monotonic() < until:
                time.sleep(0.01)
            return super().write_data(plan, planner)

    def run(comm):
        try:
            ends[comm.rank] = bridge.save(
                {f"own{comm.rank}": torch.full((3,), float(comm.rank))}, Slow(tmp_path / "c"), dcp.DefaultSavePlanner(),
                communicator=comm, timeout=0.4)
        except BaseException as error:
            ends[comm.rank] = error

    threads = [threading.Thread(target=run, args=(comm,)) for comm in ranks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(end) for end in ends] == [dcp.metadata.Metadata] * 2, ends
    assert libdcp.verify(tmp_path / "c").ok


def test_ctrl_c_while_a_rank_writes(tmp_path):
    """The exception comes out at once; the older checkpoint stays, and what was written goes."""
    where = tmp_path / "c"
    bridge.save(STATE, Writer(where), dcp.DefaultSavePlanner())
    before = {path.name: path.read_bytes() for path in where.iterdir()}
    begun, go_on, over = threading.Event(), threading.Event(), threading.Event()

    class Holding(dcp.DefaultSavePlanner):
        def resolve_data(self, write_item):
            if not begun.is_set():
                begun.set()
                go_on.wait(60)
            return super().resolve_data(write_item)

    class Told(Writer):
        def write_data(self, plan, planner):
            try:
                return super().write_data(plan, planner)
            finally:
                over.set()

    def interrupt():
        begun.wait(60)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        bridge.save({"a": torch.ones(4), "b": torch.ones(5)}, Told(where), Holding())
    go_on.set()
    assert over.wait(60)
    assert {path.name: path.read_bytes() for path in where.iterdir()} == before


def test_what_was_left_behind_goes_with_the_next_save(tmp_path):
    where = tmp_path / "c"
    scratch = where / (".libdcp-" + "0" * 32)
    scratch.mkdir(parents=True)
    (scratch / "__0_0.distcp").write_bytes(b"half")
    (where / ".libdcp-mine").mkdir()
    (where / ".metadata.5c3e.tmp").write_bytes(b"half")
    bridge.save(STATE, Writer(where), dcp.DefaultSavePlanner())
    assert sorted(os.listdir(where)) == [".libdcp-mine", ".metadata", "__0_0.distcp"]


def test_exceptions_that_cannot_travel():
    class Local(Exception):  # which no other process can have
        pass

    text = str(RoleFailure(Local("x")))
    assert text.startswith("Local: x") and text.endswith("pickled: ")
    assert len(str(RoleFailure(Boom("y" * 100_000)))) < 101_000


# ---- by the names that programs use ----


def test_the_calls_pick_the_bridges(tmp_path):
    import libdcp.torch as ours

    class Base(ours.DefaultSavePlanner):
        pass

    writers = [
        ours.FileSystemWriter(tmp_path / "0", thread_count=2),
        ours.FileSystemWriter(tmp_path / "1", single_file_per_rank=False, sync_files=False),
        dcp.FileSystemWriter(tmp_path / "2"),
        ToyWriter(tmp_path / "3"),
        ours.FsspecWriter(f"file://{tmp_path}/4"),
        fsspec.FsspecWriter(f"file://{tmp_path}/5"),
    ]
    for number, writer in enumerate(writers):
        for planner in (None, Base(), dcp.DefaultSavePlanner(), renaming(Base)()):
            metadata = ours.save(STATE, storage_writer=writer, planner=planner)
            assert len(metadata.storage_data) == 15
        prefix = renaming_load(ours.DefaultLoadPlanner)
        where = tmp_path / str(number)
        readers = [ToyReader(where)] if number == 3 else [
            ours.FileSystemReader(where), dcp.FileSystemReader(where), ours.FsspecReader(f"file://{where}"),
            fsspec.FsspecReader(f"file://{where}")]  # fmt: skip
        for reader in readers:
            for load in (ours.load, dcp.load):
                target = template()
                load(target, storage_reader=reader, planner=prefix())
                assert same(STATE, target), (writer, reader)


def test_ours_in_stocks_calls(tmp_path):
    import libdcp.torch as ours

    for number, writer in enumerate((
        ours.FileSystemWriter(tmp_path / "0", thread_count=3, cache_staged_state_dict=True),
        ours.FileSystemWriter(str(tmp_path / "1"), single_file_per_rank=False),
        ours.FsspecWriter(f"file://{tmp_path}/2"),
    )):
        where = tmp_path / str(number)
        for planner in (None, ours.DefaultSavePlanner(), ours.DefaultSavePlanner(enable_plan_caching=True)):
            dcp.save(STATE, storage_writer=writer, planner=planner)
            dcp.async_save(STATE, storage_writer=writer, planner=planner).result()
        assert libdcp.verify(where).ok
        for reader in (ours.FileSystemReader(where), ours.FsspecReader(f"file://{where}"), None):
            for planner in (None, ours.DefaultLoadPlanner()):
                target = template()
                dcp.load(target, checkpoint_id=str(where), storage_reader=reader, planner=planner)
                assert same(STATE, target)


# ---- several ranks ----


def job(folder, size, function, *arguments):
    return gloo_job.run(folder, size, "gloo_roles", function, *arguments)


@pytest.fixture
def here_importable(monkeypatch):
    paths = [str(HERE), *filter(None, [os.environ.get("DCP_PYTHON_DIR")]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.mark.parametrize("size", [2, 4])
def test_exchange_of_ranks(tmp_path, size, here_importable):
    texts = job(tmp_path / "job", size, "exchange", tmp_path)
    assert [text.count("equal") for text in texts] == [24] * size, texts[0]


def test_failures_of_any_rank_reach_all(tmp_path, here_importable):
    texts = job(tmp_path / "job", 4, "failures", tmp_path)
    assert [text.count("named") for text in texts] == [18] * 4, texts[0]


def test_ranks_without_collectives(tmp_path, here_importable):
    texts = job(tmp_path / "job", 2, "without_collectives", tmp_path)
    assert [text.count("equal") for text in texts] == [3] * 2, texts[0]
