"""Saves in the background: never torn, never lost, never waited for without end."""

import logging
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest

torch = pytest.importorskip("torch")
import libdcp.torch as dcp  # noqa: E402
from libdcp.torch import _background as background  # noqa: E402
from libdcp.torch._async_process_executor import save_process  # noqa: E402
from libdcp.torch.staging import BlockingAsyncStager, DefaultStager, StagingOptions  # noqa: E402
from libdcp.torch.state_dict_saver import AsyncCheckpointerType  # noqa: E402
from trainer import Slow  # noqa: E402

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "exchange"))
import gloo_job  # noqa: E402

KINDS = {"thread": AsyncCheckpointerType.THREAD, "process": AsyncCheckpointerType.PROCESS}
pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
both = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def environment(monkeypatch):
    paths = [str(HERE), *filter(None, [os.environ.get("DCP_PYTHON_DIR")]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


def state(value, count=20):
    base = torch.full((7, 30), float(value))
    return {
        "layers": {f"w{i}": torch.full((i + 1, 5), float(value)) for i in range(count)},
        "views": [base[2:4], base.t(), base],
        "bf16": torch.full((9,), value, dtype=torch.bfloat16),
        "step": torch.tensor(value),
        "lr": [value, {"betas": (value, 0.5)}],
    }


def tensors(saved):
    return [*saved["layers"].values(), *saved["views"], saved["bf16"], saved["step"]]


def check(path, value):
    loaded = state(-3)
    dcp.load(loaded, checkpoint_id=path)
    for tensor in tensors(loaded):
        assert torch.equal(tensor, torch.full_like(tensor, value))
    assert loaded["lr"] == [value, {"betas": (value, 0.5)}]


@both
def test_what_is_saved_is_what_was_there_when_the_call_returned(tmp_path, kind):
    saved = state(0)
    for value in range(200):
        for tensor in tensors(saved):
            tensor.fill_(value)
        saved["lr"] = [value, {"betas": (value, 0.5)}]
        future = dcp.async_save(saved, checkpoint_id=tmp_path / "x", async_checkpointer_type=KINDS[kind])
        for tensor in tensors(saved):
            tensor.fill_(-1)
        saved["lr"][1]["betas"] = None
        future.result(60)
        check(tmp_path / "x", value)


@both
@pytest.mark.parametrize(
    "stager",
    [
        lambda: DefaultStager(StagingOptions(False, False, True, False)),
        lambda: DefaultStager(StagingOptions(False, True, False, False)),
        lambda: BlockingAsyncStager(),
        lambda: BlockingAsyncStager(cache_staged_state_dict=True),
    ],
    ids=["thread", "shared", "blocking", "cached"],
)
def test_several_saves_at_a_time_by_one_stager(tmp_path, kind, stager):
    """The copy of a save that still goes on is not written over by the next one."""
    stager = stager()
    saved = state(0)
    futures = []
    for value in range(8):
        for tensor in tensors(saved):
            tensor.fill_(value)
        saved["lr"] = [value, {"betas": (value, 0.5)}]
        started = dcp.async_save(
            saved, checkpoint_id=tmp_path / str(value), async_checkpointer_type=KINDS[kind], async_stager=stager
        )
        if hasattr(started, "staging_completion"):
            started.staging_completion.result(60)
            started = started.upload_completion
        futures.append(started)
        for tensor in tensors(saved):
            tensor.fill_(-1)
    for value, future in enumerate(futures):
        future.result(60)
        check(tmp_path / str(value), value)
    stager.close()


@both
def test_saves_follow_each_other(tmp_path, kind):
    first = dcp.async_save(
        state(1), storage_writer=Slow(tmp_path / "x"), async_checkpointer_type=KINDS[kind]
    )
    second = dcp.async_save(
        state(2), storage_writer=Slow(tmp_path / "x"), async_checkpointer_type=KINDS[kind]
    )
    wait_until(lambda: list(tmp_path.glob("begun*")))
    assert not first.done() and not second.done()
    (tmp_path / "go").touch()
    first.result(60)
    second.result(60)
    check(tmp_path / "x", 2)


def wait_until(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@both
def test_the_time_that_the_caller_waited_is_told(tmp_path, kind, caplog):
    with caplog.at_level(logging.INFO, "libdcp.torch"):
        begin = time.monotonic()
        future = dcp.async_save(state(1), checkpoint_id=tmp_path / "x", async_checkpointer_type=KINDS[kind])
        waited = time.monotonic() - begin
    future.result(60)
    assert 0 < future.blocking_seconds <= waited
    events = [record.event for record in caplog.records if getattr(record, "event", {}).get("phase") == "blocked"]
    assert [event["seconds"] for event in events] == [future.blocking_seconds]
    if kind == "process":
        assert events[0]["bytes"] == future.staged_bytes
        copied = sum(t.numel() * t.element_size() for t in {id(t): t for t in tensors(state(1))}.values())
        assert copied - 2 * 7 * 30 * 4 < future.staged_bytes <= copied


@both
def test_a_failure_that_nobody_read_is_told_by_the_next_call(tmp_path, kind, caplog):
    (tmp_path / "a file").touch()
    bad = tmp_path / "a file" / "x"
    lost = dcp.async_save(state(1), checkpoint_id=bad, async_checkpointer_type=KINDS[kind])
    wait_until(lost.done)
    read = dcp.async_save(state(1), checkpoint_id=tmp_path / "ok", async_checkpointer_type=KINDS[kind])
    assert [record.levelname for record in caplog.records if "nobody has read" in record.message] == ["ERROR"]
    assert str(bad) in caplog.text
    read.result(60)
    known = dcp.async_save(state(1), checkpoint_id=bad, async_checkpointer_type=KINDS[kind])
    with pytest.raises(dcp.CheckpointException):
        known.result(60)
    caplog.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        dcp.async_save(state(1), checkpoint_id=tmp_path / "ok", async_checkpointer_type=KINDS[kind]).result(60)
    assert "nobody has read" not in caplog.text


def test_a_stager_that_fails_in_the_background(tmp_path):
    class Failing(DefaultStager):
        def _stage(self, state_dict, **kwargs):
            raise MemoryError("no room")

    for kind in KINDS.values():
        stager = Failing(StagingOptions(False, False, True, False))
        response = dcp.async_save(
            state(1), checkpoint_id=tmp_path / "x", async_checkpointer_type=kind, async_stager=stager
        )
        assert isinstance(response.staging_completion.exception(60), MemoryError)
        assert isinstance(response.upload_completion.exception(60), MemoryError)
        assert not (tmp_path / "x").exists()


def test_a_killed_process_is_an_error_of_the_next_save(tmp_path):
    def save(value):
        return dcp.async_save(
            state(value), checkpoint_id=tmp_path / "x", async_checkpointer_type=KINDS["process"]
        )

    save(1).result(60)
    pid = save_process(None, False).pid
    os.kill(pid, signal.SIGKILL)
    save_process(None, False)._child.process.join(30)
    with pytest.raises(RuntimeError, match=f"pid {pid}.*SIGKILL.*Exit code: -9"):
        save(2).result(60)
    check(tmp_path / "x", 1)
    save(3).result(60)
    check(tmp_path / "x", 3)


def test_a_process_killed_at_work_is_an_error_of_that_save(tmp_path):
    kind = KINDS["process"]
    dcp.async_save(state(1), checkpoint_id=tmp_path / "x", async_checkpointer_type=kind).result(60)
    future = dcp.async_save(state(2), storage_writer=Slow(tmp_path / "x"), async_checkpointer_type=kind)
    wait_until(lambda: list(tmp_path.glob("begun*")))
    os.kill(save_process(None, False).pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="SIGKILL"):
        future.result(60)
    check(tmp_path / "x", 1)
    dcp.async_save(state(3), checkpoint_id=tmp_path / "x", async_checkpointer_type=kind).result(60)
    check(tmp_path / "x", 3)


def test_a_request_that_does_not_pickle(tmp_path):
    kind = KINDS["process"]
    saved = {**state(1), "lock": threading.Lock()}
    with pytest.raises(TypeError, match="pickle"):
        dcp.async_save(saved, checkpoint_id=tmp_path / "x", async_checkpointer_type=kind).result(60)
    dcp.async_save(state(2), checkpoint_id=tmp_path / "x", async_checkpointer_type=kind).result(60)
    check(tmp_path / "x", 2)


# ---- trainers that end ----


def trainer(*arguments):
    return subprocess.Popen(
        [sys.executable, str(HERE / "trainer.py"), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def loaded_weights(folder):
    loaded = {"weights": torch.zeros(1000), "nested": {"step": 0}}
    dcp.load(loaded, checkpoint_id=folder / "x")
    assert loaded["nested"]["step"] == 1
    return loaded["weights"]


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] != "Z"


def test_the_last_save_of_a_trainer_that_was_killed(tmp_path, environment):
    dying = trainer("dies", tmp_path, "process")
    dying.wait(100)
    assert dying.returncode == -signal.SIGKILL
    (begun,) = tmp_path.glob("begun*")
    pid = int(begun.name.removeprefix("begun"))
    assert is_running(pid) and not (tmp_path / "x" / ".metadata").exists()
    (tmp_path / "go").touch()
    wait_until(lambda: (tmp_path / "x" / ".metadata").exists())
    assert (loaded_weights(tmp_path) == 1).all()
    wait_until(lambda: not is_running(pid))
    dying.communicate()


@both
def test_an_exit_waits_for_the_save(tmp_path, kind, environment):
    leaving = trainer("exits", tmp_path, kind)
    assert leaving.stdout.readline() == "leaving\n"
    wait_until(lambda: list(tmp_path.glob("begun*")))
    assert leaving.poll() is None
    (tmp_path / "go").touch()
    _, errors = leaving.communicate(timeout=100)
    assert leaving.returncode == 0 and "libdcp:" not in errors, errors
    assert (loaded_weights(tmp_path) == 1).all()


def test_an_exit_that_does_not_wait_says_so(tmp_path, environment):
    with open(tmp_path / "errors", "w") as errors:  # which the process keeps open
        leaving = subprocess.Popen(
            [sys.executable, str(HERE / "trainer.py"), "leaves_late", str(tmp_path), "process"], stderr=errors)
        assert leaving.wait(100) == 0
    told = (tmp_path / "errors").read_text()
    assert f"the background save into '{tmp_path}/x' had not ended" in told
    assert not (tmp_path / "x" / ".metadata").exists()
    (tmp_path / "go").touch()  # the process goes on
    wait_until(lambda: (tmp_path / "x" / ".metadata").exists())
    assert (loaded_weights(tmp_path) == 1).all()


@both
def test_an_exit_tells_what_failed(tmp_path, kind, environment):
    leaving = trainer("fails_at_exit", tmp_path, kind)
    _, errors = leaving.communicate(timeout=100)
    assert f"the background save into '{tmp_path}/a file/x' failed: CheckpointException" in errors


def test_an_exit_is_quiet_about_what_is_known(tmp_path, environment):
    leaving = trainer("knows_it_failed", tmp_path, "thread")
    _, errors = leaving.communicate(timeout=100)
    assert leaving.returncode == 0 and "libdcp:" not in errors, errors


@both
def test_forked_workers_meanwhile(tmp_path, kind, environment):
    forking = trainer("forks", tmp_path, kind)
    output, errors = forking.communicate(timeout=100)
    assert forking.returncode == 0 and "loaded" in output, errors


# ---- several ranks ----


@both
@pytest.mark.parametrize("function", ["saves", "staged"])
def test_on_two_ranks(tmp_path, kind, function, environment):
    gloo_job.run(tmp_path / "job", 2, "gloo_async", function, tmp_path / "ck", kind)


@pytest.mark.parametrize("function", ["killed", "killed_at_work"])
def test_killed_on_one_of_two_ranks(tmp_path, function, environment):
    gloo_job.run(tmp_path / "job", 2, "gloo_async", function, tmp_path / "ck")


def test_the_last_save_of_two_trainers_that_were_killed(tmp_path, environment):
    """The store of the job dies with them."""
    ranks = gloo_job.start(tmp_path / "job", 2, "gloo_async", "dies", tmp_path / "ck")
    for rank in ranks:
        rank.wait(120)
    assert [rank.returncode for rank in ranks] == [-signal.SIGKILL] * 2, [rank.communicate() for rank in ranks]
    pids = [int(path.name.removeprefix("begun")) for path in (tmp_path / "ck").glob("begun*")]
    assert all(map(is_running, pids))
    (tmp_path / "ck" / "go").touch()
    wait_until(lambda: not any(map(is_running, pids)))
    loaded = {"sharded": torch.zeros(10, 4), "own": {"rank0": torch.zeros(5), "rank1": torch.zeros(5)}, "step": 0}
    dcp.load(loaded, checkpoint_id=tmp_path / "ck" / "x")
    assert torch.equal(loaded["sharded"], torch.arange(40.0).reshape(10, 4) + 1000)
    assert loaded["step"] == 1 and (loaded["own"]["rank1"] == 1).all()


def test_nothing_is_left():
    assert background._state.under_way == []
