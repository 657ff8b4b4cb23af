"""Rank-local checkpoints under PyTorch's names, exchanged with PyTorch's."""

import collections
import datetime
import os
import pathlib
import signal
import sys
import threading

import pytest

torch = pytest.importorskip("torch")
from torch.distributed.checkpoint import _experimental as stock  # noqa: E402

import libdcp  # noqa: E402
from libdcp.torch import _experimental as ours  # noqa: E402
from libdcp.torch._experimental.barriers import BARRIER_REGISTRY, DistBarrier, register_barrier  # noqa: E402
from libdcp.torch._experimental.checkpoint_process import CheckpointProcess, CheckpointProcessConfig  # noqa: E402

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "exchange"))
import gloo_job  # noqa: E402

ALONE = ours.RankInfo(global_rank=0, global_world_size=1)


@pytest.fixture
def environment(monkeypatch):
    paths = [str(HERE), *filter(None, [os.environ.get("DCP_PYTHON_DIR")]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


def sample(value=1.0):
    base = torch.full((4, 6), value)
    return {
        "model": collections.OrderedDict(weight=base, view=base[1:3], bias=torch.arange(5) + value),
        "optimizer": {"param_groups": [{"lr": value, "betas": (0.9, 0.99)}], "state": [torch.ones(3) * value]},
        "bf16": torch.full((7,), value, dtype=torch.bfloat16),
        "float8": torch.ones(3).to(torch.float8_e4m3fn),
        "size": torch.Size([1, 2]),
        "dtype": torch.float16,
        "step": 7,
        "nothing": None,
    }


def same(a, b):
    if isinstance(b, torch.Tensor):
        return isinstance(a, torch.Tensor) and a.dtype == b.dtype and torch.equal(a.float(), b.float())
    if isinstance(b, dict):
        return type(a) is type(b) and list(a) == list(b) and all(same(a[key], b[key]) for key in b)
    if isinstance(b, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b and type(a) is type(b)


def writer(module, **more):
    return module.CheckpointWriter(module.CheckpointWriterConfig(), ALONE, **more)


@pytest.mark.parametrize("written", [ours, stock], ids=["ours", "stock"])
@pytest.mark.parametrize("read", [ours, stock], ids=["ours", "stock"])
def test_exchange(tmp_path, written, read):
    writer(written).write(str(tmp_path / "x"), sample())
    state, missing = read.CheckpointReader(ALONE).read(str(tmp_path / "x"))
    assert same(state, sample()) and missing == []
    target = {
        "model": collections.OrderedDict(view=torch.zeros(2, 6), more=torch.zeros(1)),
        "optimizer": {"param_groups": None, "state": [torch.zeros(3)]},
        "bf16": None,
        "step": 0,
        "absent": 5,
    }
    filled = target["model"]["view"]
    state, missing = read.CheckpointReader(ALONE).read(str(tmp_path / "x"), target)
    assert state is target and state["model"]["view"] is filled
    assert torch.equal(filled, torch.ones(2, 6))
    assert same(state["optimizer"], sample()["optimizer"]) and same(state["bf16"], sample()["bf16"])
    assert state["step"] == 7 and state["absent"] == 5
    assert sorted(missing) == ["absent", "model.more"]


def test_objects_without_a_plain_form(tmp_path):
    """They are pickled, as by PyTorch, in the same order."""
    order = []

    class Hook(ours.WriterHook):
        def pre_commit(self, path, **kwargs):
            order.append(("pre", (pathlib.Path(path) / "checkpoint_0.pt").exists()))

        def post_commit(self, path, **kwargs):
            order.append(("post", kwargs["note"]))

    class Meeting(ours.Barrier):
        def __init__(self):
            pass

        def execute_barrier(self):
            order.append("met")

    note = object()
    state = {"when": Odd(3), "w": torch.ones(2)}
    writer(ours, commit_hook=Hook(), barrier=Meeting()).write(tmp_path / "x", state, note=note)
    assert order == [("pre", True), "met", ("post", note)]
    with torch.serialization.safe_globals([Odd]):
        state, _ = ours.CheckpointReader(ALONE).read(tmp_path / "x")
        assert state["when"].value == 3
        target = {"w": torch.zeros(2), "when": None}
        state, _ = ours.CheckpointReader(ALONE).read(tmp_path / "x", target)
        assert state["when"].value == 3 and (state["w"] == 1).all()
    with pytest.raises(Exception, match="Odd"):
        ours.CheckpointReader(ALONE).read(tmp_path / "x")
    assert os.listdir(tmp_path / "x") == ["checkpoint_0.pt"]


class Odd:
    def __init__(self, value):
        self.value = value


def test_errors_of_reading(tmp_path):
    writer(ours).write(tmp_path / "x", sample())
    reader = ours.CheckpointReader(ALONE)
    with pytest.raises(FileNotFoundError, match="checkpoint_0.pt"):
        reader.read(tmp_path / "none")
    for wrong in ({"bf16": torch.zeros(8, dtype=torch.bfloat16)}, {"bf16": torch.zeros(7)}, {"step": "text"}):
        with pytest.raises(RuntimeError):
            reader.read(tmp_path / "x", wrong)
    with pytest.raises(RuntimeError, match=r"missing keys: \['absent'\]"):
        ours.make_sync_checkpointer().load(str(tmp_path / "x"), {"absent": 1}, strict=True)


def test_map_location(tmp_path):
    writer(ours).write(tmp_path / "x", sample())
    for where in ("cpu", torch.device("cpu"), {"cpu": "cpu"}, lambda storage, location: storage):
        state, _ = ours.CheckpointReader(ALONE).read(tmp_path / "x", map_location=where)
        assert same(state, sample())


def test_hooks_and_barriers_raise_what_they_raise(tmp_path):
    class Hook(ours.WriterHook):
        def pre_commit(self, path, **kwargs):
            raise KeyError("mine")

        def post_commit(self, path, **kwargs):
            raise AssertionError

    class Broken(ours.Barrier):
        def __init__(self):
            pass

        def execute_barrier(self):
            raise ZeroDivisionError

    with pytest.raises(KeyError, match="mine"):
        writer(ours, commit_hook=Hook()).write(tmp_path / "x", sample())
    with pytest.raises(ZeroDivisionError):
        writer(ours, barrier=Broken()).write(tmp_path / "x", sample())


@pytest.mark.parametrize("state", [{"w": torch.ones(1)}, {"w": Odd(1)}], ids=["plain", "pickled"])
def test_the_timeout_holds_whatever_a_barrier_does(tmp_path, state):
    held = threading.Event()

    class Stuck(ours.Barrier):
        def __init__(self):
            pass

        def execute_barrier(self):
            held.wait(60)

    config = ours.CheckpointWriterConfig(write_barrier_timeout_secs=0.3)
    with pytest.raises(TimeoutError):
        ours.CheckpointWriter(config, ALONE, barrier=Stuck()).write(tmp_path / "x", state)
    held.set()


def test_barriers_by_name(tmp_path):
    assert ours.create_barrier_from_config(ours.BarrierConfig()) is None
    assert set(BARRIER_REGISTRY) >= {"tcp_store", "dist_barrier"}
    with pytest.raises(ValueError, match="Unknown barrier type: nope"):
        ours.create_barrier_from_config(ours.BarrierConfig("nope"))
    with pytest.raises(AssertionError, match="initialized process group"):
        DistBarrier()

    for register, name in ((register_barrier, "mine"), (stock.barriers.register_barrier, "stocks")):
        kind = type("Named", (ours.Barrier,), {
            "barrier_type": name, "__init__": lambda self, times: setattr(self, "times", times),
            "execute_barrier": lambda self: None})
        register(kind)
        made = ours.create_barrier_from_config(ours.BarrierConfig(name, {"times": 3}))
        assert type(made) is kind and made.times == 3


def test_ranks_meet(tmp_path, environment):
    gloo_job.run(tmp_path / "job", 2, "gloo_experimental", "meet", tmp_path / "ck")


# ---- in a process ----


def config(**more):
    return ours.CheckpointerConfig(
        staging_config=ours.CheckpointStagerConfig(False, True, False, False), **more)


def test_saves_in_a_process(tmp_path):
    checkpointer = ours.make_async_checkpointer(config())
    state = sample(0.0)
    for value in range(20):
        for tensor in (state["model"]["weight"], state["bf16"], state["optimizer"]["state"][0]):
            tensor.fill_(value)
        staged, written = checkpointer.save(str(tmp_path / str(value)), state)
        staged.result(60)
        for tensor in (state["model"]["weight"], state["bf16"], state["optimizer"]["state"][0]):
            tensor.fill_(-1)
        if value % 2:
            written.result(60)
    written.result(60)
    for value in range(20):
        loaded = checkpointer.load(str(tmp_path / str(value)))
        assert (loaded["model"]["weight"] == value).all() and (loaded["bf16"] == value).all()
        assert (loaded["optimizer"]["state"][0] == value).all()
        file = tmp_path / str(value) / "checkpoint_0.pt"
        assert os.path.getsize(file) < 20000
    process = checkpointer._checkpoint_process.process
    checkpointer.close()
    assert process.exitcode == 0
    with pytest.raises(RuntimeError, match="closed"):
        checkpointer.save(str(tmp_path / "late"), state)


def test_a_save_that_failed_is_raised_by_the_next_one(tmp_path):
    (tmp_path / "a file").touch()
    checkpointer = ours.make_async_checkpointer(config())
    _, written = checkpointer.save(str(tmp_path / "a file" / "x"), sample())
    assert isinstance(written.exception(60), RuntimeError)
    assert "Unexpected response from worker process" in str(written.exception())
    with pytest.raises(RuntimeError, match="a file"):
        checkpointer.save(str(tmp_path / "x"), sample())
    assert not (tmp_path / "x").exists()
    checkpointer.save(str(tmp_path / "x"), sample())[1].result(60)
    checkpointer.close()


def test_a_killed_process(tmp_path):
    checkpointer = ours.make_async_checkpointer(config())
    checkpointer.save(str(tmp_path / "x"), sample())[1].result(60)
    process = checkpointer._checkpoint_process.process
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    _, written = checkpointer.save(str(tmp_path / "y"), sample())
    with pytest.raises(RuntimeError, match="terminated unexpectedly.*SIGKILL"):
        written.result(60)
    checkpointer.close()


def raising(*_):
    raise ValueError("not today")


def sleeping(folder):
    import time

    pathlib.Path(folder, "pid").write_text(str(os.getpid()))
    time.sleep(600)


def ending(*_):
    os._exit(3)


@pytest.mark.parametrize(
    "set_up, error, text",
    [(raising, RuntimeError, "not today"), (ending, RuntimeError, "exit code 3"), (sleeping, TimeoutError, "Timed out after 15s")],
)
def test_a_process_that_does_not_start(tmp_path, set_up, error, text):
    process = CheckpointProcess(
        ALONE, CheckpointProcessConfig(subprocess_init_timeout_secs=15), set_up, (str(tmp_path),),
        ours.builder.default_writer_init_fn, {})
    with pytest.raises(error, match=text):
        process.process_creation_future.result(60)
    with pytest.raises(error, match=text):
        process.write(sample(), str(tmp_path / "x"))
    process.close()
    assert process.process.exitcode is not None


def recording(rank_info, folder):
    return Recording(ours.CheckpointWriterConfig(), rank_info, commit_hook=RecordingHook(folder))


class Recording(ours.CheckpointWriter):
    pass


class RecordingHook(ours.WriterHook):
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def pre_commit(self, path, **kwargs):
        (self.folder / "pre").write_text(f"{path} {kwargs}")

    def post_commit(self, path, **kwargs):
        (self.folder / "post").write_text(f"{path} {kwargs}")


def leave_note(folder, text):
    (pathlib.Path(folder) / "note").write_text(text)


def test_functions_that_run_in_the_process(tmp_path):
    checkpointer = ours.make_async_checkpointer(
        config(),
        subprocess_init_fn=leave_note,
        subprocess_init_args=(str(tmp_path), f"not {os.getpid()}"),
        checkpoint_writer_init_fn=recording,
        checkpoint_writer_init_args={"folder": str(tmp_path)},
    )
    path = str(tmp_path / "x")
    checkpointer.save(path, sample())[1].result(60)
    checkpointer.close()
    assert (tmp_path / "note").read_text() == f"not {os.getpid()}"
    assert (tmp_path / "pre").read_text() == (tmp_path / "post").read_text() == f"{path} {{}}"


def test_futures_that_tell_only_when():
    from concurrent.futures import Future

    assert ours.wrap_future(5).result(0) is None
    later = Future()
    wrapped = ours.wrap_future(later)
    assert not wrapped.done()
    later.set_result(5)
    assert wrapped.result(0) is None
    failing = Future()
    wrapped = ours.wrap_future(failing)
    failing.set_exception(KeyError("x"))
    assert isinstance(wrapped.exception(0), KeyError)
