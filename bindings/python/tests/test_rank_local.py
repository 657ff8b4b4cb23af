"""Rank-local checkpoints: the order of a save, hooks and barriers of Python, reading, checkpointers."""

from __future__ import annotations

import concurrent.futures
import pathlib
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import libdcp
from test_communicator import Queues, on_ranks


class Boom(Exception):
    pass


class Recorder(libdcp.CommitHook):
    """Hook and barrier in one; notes what is called, and what it finds in the folder then."""

    def __init__(self, fail: str = "") -> None:
        self.lines: list[Any] = []
        self.fail = fail
        self.error = Boom("no")

    def _note(self, step: str, *what: Any) -> None:
        self.lines.append((step, *what))
        if step == self.fail:
            raise self.error

    def pre_commit(self, path: str, **kwargs: Any) -> None:
        self.lines.append(sorted(file.name for file in pathlib.Path(path).iterdir()))
        self._note("pre", path, kwargs)

    def post_commit(self, path: str, **kwargs: Any) -> None:
        self._note("post", path, kwargs)

    def execute_barrier(self, timeout: float | None) -> None:
        self._note("barrier", timeout)


def state() -> dict[str, Any]:
    return {
        "model": {
            "weight": np.arange(50, dtype=np.float32).reshape(10, 5),
            "bias": np.arange(5, dtype=np.float64),
        },
        "optimizer": {"param_groups": [{"lr": 0.01}], "state": {0: np.arange(3)}},
        "epoch": 5,
        "step": 1000,
    }


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)


def test_order_of_a_write(tmp_path: pathlib.Path) -> None:
    recorder = Recorder()
    where = str(tmp_path / "new" / "step_5")
    writer = libdcp.RankWriter(2, 4, barrier=recorder, commit_hook=recorder, barrier_timeout=300)
    assert writer.write(where, state(), extra="value", numbers=[1, 2]) is None
    kwargs = {"extra": "value", "numbers": [1, 2]}
    assert recorder.lines == [
        ["checkpoint_2.pt"],
        ("pre", where, kwargs),
        ("barrier", 300.0),
        ("post", where, kwargs),
    ]
    read, missing = libdcp.RankReader(2, 4).read(where)
    assert same(read, state()) and missing == []
    writer.close()
    writer.close()
    with pytest.raises(libdcp.InvalidArgumentError, match="closed"):
        writer.write(where, state())


def test_defaults(tmp_path: pathlib.Path) -> None:
    recorder = Recorder()
    with libdcp.RankWriter(barrier=recorder) as writer:
        writer.write(tmp_path, state())
    assert recorder.lines == [("barrier", 600.0)]
    assert libdcp.CheckpointWriterConfig().write_barrier_timeout_secs == 600
    libdcp.RankWriter(commit_hook=recorder).write(tmp_path, {"a": 1})
    assert recorder.lines[1:] == [
        ["checkpoint_0.pt"],
        ("pre", str(tmp_path), {}),
        ("post", str(tmp_path), {}),
    ]
    libdcp.RankWriter().write(tmp_path, {"a": 2})
    assert libdcp.RankReader().read(tmp_path) == ({"a": 2}, [])


@pytest.mark.parametrize("step", ["pre", "barrier", "post"])
def test_what_fails_ends_the_write(tmp_path: pathlib.Path, step: str) -> None:
    recorder = Recorder(fail=step)
    writer = libdcp.RankWriter(barrier=recorder, commit_hook=recorder)
    with pytest.raises(libdcp.CallbackError) as caught:
        writer.write(tmp_path, state())
    assert caught.value.__cause__ is recorder.error
    steps = {"pre": "pre_commit", "barrier": "barrier", "post": "post_commit"}
    assert caught.value.details["step"] == steps[step]
    called = [line[0] for line in recorder.lines if isinstance(line, tuple)]
    assert called == ["pre", "barrier", "post"][: len(called)] and called[-1] == step


def test_nothing_is_called_when_the_file_cannot_be_written(tmp_path: pathlib.Path) -> None:
    class Full(libdcp.Storage):
        removed: list[str] = []

        def create(self, path: str, expected_size: int) -> Any:
            return path

        def write(self, file: Any, offset: int, data: memoryview) -> None:
            raise Boom("no space")

        def remove(self, path: str) -> None:
            self.removed.append(path)

    recorder, full = Recorder(), Full()
    writer = libdcp.RankWriter(barrier=recorder, commit_hook=recorder)
    with pytest.raises(libdcp.CallbackError) as caught:
        writer.write(full, state())
    assert isinstance(caught.value.__cause__, Boom)
    assert caught.value.details["step"] == "write"
    assert recorder.lines == []
    assert full.removed == ["checkpoint_0.pt.tmp"]


def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path: pathlib.Path) -> None:
    writer = libdcp.RankWriter()
    writer.write(tmp_path, {"a": 1})
    with pytest.raises(TypeError, match="state_dict.a"):
        writer.write(tmp_path, {"a": object()})
    with pytest.raises(TypeError, match="value.extra"):
        writer.write(tmp_path, {"a": 2}, extra=object())
    assert libdcp.RankReader().read(tmp_path) == ({"a": 1}, [])


@pytest.mark.parametrize("group", [libdcp.local_communicators, Queues.group])
def test_ranks_that_do_not_come_are_named(group: Any, tmp_path: pathlib.Path) -> None:
    recorders = [Recorder() for _ in range(4)]

    def write(comm: Any) -> None:
        if comm.rank == 2:
            return
        writer = libdcp.RankWriter(
            comm.rank,
            4,
            barrier=libdcp.CommunicatorBarrier(comm),
            commit_hook=recorders[comm.rank],
            barrier_timeout=1.0,
        )
        writer.write(tmp_path, {"rank": comm.rank})

    errors = on_ranks(group(4), write)
    for rank in (0, 1, 3):
        assert isinstance(errors[rank], libdcp.TimeoutError), errors[rank]
        assert errors[rank].details["step"] == "barrier"
        assert [line[0] for line in recorders[rank].lines if isinstance(line, tuple)] == ["pre"]
        assert (tmp_path / f"checkpoint_{rank}.pt").exists()
    named = {rank: list(errors[rank].failures) for rank in (0, 1, 3)}
    assert named[0] == [2]
    if group is libdcp.local_communicators:  # which tell each other
        assert named == {0: [2], 1: [2], 3: [2]}


def test_all_ranks_come(tmp_path: pathlib.Path) -> None:
    recorders = [Recorder() for _ in range(3)]

    def write(comm: Any) -> None:
        barrier = libdcp.CommunicatorBarrier(comm)
        writer = libdcp.RankWriter(comm.rank, 3, barrier=barrier, commit_hook=recorders[comm.rank])
        for step in range(3):
            writer.write(tmp_path, {"rank": comm.rank, "step": step}, step=step)
            # The barrier held, so that every file is there.
            for rank in range(3):
                read, _ = libdcp.RankReader(rank, 3).read(tmp_path)
                assert read["rank"] == rank and read["step"] >= step
            barrier.execute_barrier(60.0)

    assert on_ranks(libdcp.local_communicators(3), write) == [None] * 3
    assert [line[0] for line in recorders[1].lines if isinstance(line, tuple)] == ["pre", "post"] * 3


def test_a_barrier_that_ignores_its_time_is_left_behind(tmp_path: pathlib.Path) -> None:
    class Deaf(libdcp.Barrier):
        go = threading.Event()
        ended = threading.Event()
        calls = 0

        def execute_barrier(self, timeout: float | None) -> None:
            self.calls += 1
            self.go.wait()
            self.ended.set()

    deaf, recorder = Deaf(), Recorder()
    writer = libdcp.RankWriter(barrier=deaf, commit_hook=recorder, barrier_timeout=0.1)
    with pytest.raises(libdcp.TimeoutError, match="has not ended after 0.1 s"):
        writer.write(tmp_path, {"a": 1})
    with pytest.raises(libdcp.TimeoutError, match="an earlier call"):
        writer.write(tmp_path, {"a": 2})
    assert deaf.calls == 1
    assert [line[0] for line in recorder.lines if isinstance(line, tuple)] == ["pre", "pre"]
    deaf.go.set()
    assert deaf.ended.wait(60)
    for _ in range(600):  # the library notes the end a moment after Python does
        try:
            writer.write(tmp_path, {"a": 3})
            break
        except libdcp.TimeoutError:
            threading.Event().wait(0.1)
    assert deaf.calls == 2
    assert recorder.lines[-1][0] == "post"


def test_barriers_of_upstreams_form(tmp_path: pathlib.Path) -> None:
    class Mock:
        calls = 0

        def execute_barrier(self) -> None:
            self.calls += 1

    mock = Mock()
    libdcp.RankWriter(barrier=mock).write(tmp_path, {"a": 1})
    assert mock.calls == 1
    with pytest.raises(TypeError, match="execute_barrier"):
        libdcp.RankWriter(barrier=3)
    with pytest.raises(TypeError, match="pre_commit"):
        libdcp.RankWriter(commit_hook=3)
    with pytest.raises(TypeError, match="Communicator"):
        libdcp.CommunicatorBarrier(None)  # type: ignore[arg-type]
    with pytest.raises(libdcp.InvalidArgumentError, match="rank 4 of 4"):
        libdcp.RankWriter(4, 4)
    with pytest.raises(libdcp.InvalidArgumentError, match="rank 1 of 1"):
        libdcp.RankReader(1)


# ---- reading ----


def test_into_a_target(tmp_path: pathlib.Path) -> None:
    libdcp.RankWriter().write(tmp_path, state())
    wide = np.zeros((5, 10), np.float32)
    untouched = np.full(2, 7.0)
    marker = ["kept"]
    bias = np.zeros(5)
    target = {
        "model": {"weight": wide.T, "more": untouched, "bias": bias},
        "optimizer": None,
        "epoch": 0,
        "note": {"text": marker},
    }
    inner = target["model"]
    read, missing = libdcp.RankReader().read(tmp_path, target)
    assert read is target and target["model"] is inner
    assert missing == ["model.more", "note"]
    assert np.array_equal(wide, state()["model"]["weight"].T)
    assert inner["weight"].base is wide and inner["bias"] is bias  # type: ignore[index]
    assert inner["more"] is untouched and untouched.tolist() == [7.0, 7.0]  # type: ignore[index]
    assert same(target["optimizer"], state()["optimizer"])
    assert target["epoch"] == 5 and target["note"] == {"text": ["kept"]}
    assert "step" not in target


def test_strides_of_the_file_are_honoured(tmp_path: pathlib.Path) -> None:
    base = np.arange(24, dtype=np.int64).reshape(4, 6)
    libdcp.RankWriter().write(tmp_path, {"t": base.T, "column": base[:, 2], "list": [base[1], 3]})
    target = {
        "t": np.zeros((6, 4), np.int64),
        "column": np.zeros(8, np.int64)[::2],
        "list": [np.zeros(6, np.int64), None],
    }
    arrays = target["t"], target["column"], target["list"][0]  # type: ignore[index]
    _, missing = libdcp.RankReader().read(tmp_path, target)
    assert missing == []
    assert np.array_equal(arrays[0], base.T)
    assert np.array_equal(arrays[1], base[:, 2])
    assert np.array_equal(arrays[2], base[1])
    assert target["list"][0] is arrays[2] and target["list"][1] == 3  # type: ignore[index]


def test_what_does_not_fit(tmp_path: pathlib.Path) -> None:
    libdcp.RankWriter().write(tmp_path, state())
    reader = libdcp.RankReader()
    cases: list[tuple[Any, str]] = [
        (
            {"model": {"weight": np.zeros((5, 10), np.float32)}},
            r"Target tensor size=torch.Size\(\[5, 10\]\) dtype=torch.float32 does not match source "
            r"tensor size=torch.Size\(\[10, 5\]\) dtype=torch.float32 for key model.weight",
        ),
        ({"model": {"bias": np.zeros(5, np.float32)}}, "for key model.bias"),
        ({"epoch": "five"}, "Target value epoch is set to <class 'str'>, but source value is <class 'int'>"),
        ({"model": [1]}, "Target value model is set to <class 'list'>, but source value is <class 'dict'>"),
    ]
    for target, message in cases:
        with pytest.raises(RuntimeError, match=message) as caught:
            reader.read(tmp_path, target)
        assert isinstance(caught.value, libdcp.MismatchError)
    fixed = np.zeros((10, 5), np.float32)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        reader.read(tmp_path, {"model": {"weight": fixed}})
    with pytest.raises(FileNotFoundError, match="Checkpoint file not found at .*/checkpoint_3.pt"):
        libdcp.RankReader(3, 4).read(tmp_path)


# ---- checkpointers ----


def test_sync_checkpointer(tmp_path: pathlib.Path) -> None:
    recorder = Recorder()
    with libdcp.Checkpointer(barrier=recorder, commit_hook=recorder) as checkpointer:
        assert checkpointer.save(tmp_path, state(), why="test") is None
        assert recorder.lines[-1] == ("post", str(tmp_path), {"why": "test"})
        assert same(checkpointer.load(tmp_path), state())
        target = {"epoch": 0, "absent": 1}
        assert checkpointer.load(tmp_path, target) is target
        assert target == {"epoch": 5, "absent": 1}
        with pytest.raises(RuntimeError, match=r"is missing keys: \['absent'\]"):
            checkpointer.load(tmp_path, target, strict=True)
    checkpointer.close()
    with pytest.raises(libdcp.InvalidArgumentError, match="closed"):
        checkpointer.save(tmp_path, state())


def test_async_saves_what_was_there_at_the_call(tmp_path: pathlib.Path) -> None:
    class Gate(libdcp.CommitHook):
        go = threading.Event()

        def pre_commit(self, path: str, **kwargs: Any) -> None:
            assert self.go.wait(60)

    gate = Gate()
    checkpointer = libdcp.AsyncCheckpointer(commit_hook=gate)
    for step in range(3):
        tree = state()
        future = checkpointer.save(tmp_path / str(step), tree, step=step)
        tree["model"]["weight"][:] = -1
        if step == 0:
            assert not future.done()  # it is held up in its hook
            with pytest.raises(libdcp.TimeoutError, match="still running"):
                checkpointer.close(timeout=0.0)
            gate.go.set()
        if step == 1:
            checkpointer.release_staging()
    assert future.result(60).bytes == (tmp_path / "2" / "checkpoint_0.pt").stat().st_size
    checkpointer.close()
    checkpointer.close()
    for step in range(3):
        assert same(checkpointer.load(tmp_path / str(step)), state())
    with pytest.raises(libdcp.InvalidArgumentError, match="closed"):
        checkpointer.save(tmp_path, state())


def test_async_failures_are_told_once_more(tmp_path: pathlib.Path) -> None:
    recorder = Recorder(fail="barrier")
    checkpointer = libdcp.AsyncCheckpointer(barrier=recorder)
    future = checkpointer.save(tmp_path / "a", state())
    error = future.exception(60)
    assert isinstance(error, libdcp.CallbackError) and error.__cause__ is recorder.error
    with pytest.raises(libdcp.CallbackError, match="the save before") as caught:
        checkpointer.save(tmp_path / "b", state())
    assert caught.value.__cause__ is recorder.error
    assert caught.value.details["step"] == "barrier"
    assert not (tmp_path / "b").exists()
    checkpointer.save(tmp_path / "c", state())  # told, and fails again
    with pytest.raises(libdcp.CallbackError) as caught:
        checkpointer.close()
    assert caught.value.__cause__ is recorder.error
    checkpointer.close()
    assert (tmp_path / "c" / "checkpoint_0.pt").exists()


def test_an_async_save_can_be_cancelled_at_the_barrier(tmp_path: pathlib.Path) -> None:
    class Stuck(libdcp.Barrier):
        inside = threading.Event()
        go = threading.Event()

        def execute_barrier(self, timeout: float | None) -> None:
            self.inside.set()
            self.go.wait(60)

    stuck = Stuck()
    checkpointer = libdcp.AsyncCheckpointer(barrier=stuck, barrier_timeout=None)
    future = checkpointer.save(tmp_path, state())
    assert stuck.inside.wait(60)
    assert future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(60)
    checkpointer.close()  # cancelled is not failed
    stuck.go.set()


def test_async_ranks(tmp_path: pathlib.Path) -> None:
    def save(comm: Any) -> Any:
        checkpointer = libdcp.AsyncCheckpointer(
            comm.rank, 4, barrier=libdcp.CommunicatorBarrier(comm)
        )
        for step in range(3):
            checkpointer.save(tmp_path / str(step), {"rank": comm.rank, "step": step})
        checkpointer.close()
        return [checkpointer.load(tmp_path / str(step)) for step in range(3)]

    assert on_ranks(libdcp.local_communicators(4), save) == [
        [{"rank": rank, "step": step} for step in range(3)] for rank in range(4)
    ]


EXIT = """
import sys, threading
import numpy as np
import libdcp

class Deaf(libdcp.Barrier):
    def execute_barrier(self, timeout):
        threading.Event().wait()

where = sys.argv[1]
if sys.argv[2] == "saving":
    libdcp.AsyncCheckpointer().save(where, {"a": np.arange(3_000_000)})
else:
    try:
        libdcp.RankWriter(barrier=Deaf(), barrier_timeout=0.1).write(where, {"a": 1})
    except libdcp.TimeoutError:
        pass
"""


@pytest.mark.parametrize("what", ["saving", "left behind"])
def test_exits(what: str, tmp_path: pathlib.Path, child_env: dict[str, str]) -> None:
    """An interpreter that exits waits for a save, and not for a barrier that was left behind."""
    child = [sys.executable, "-c", EXIT, str(tmp_path), what]
    done = subprocess.run(child, env=child_env, timeout=120, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    read, _ = libdcp.RankReader().read(tmp_path)
    assert np.array_equal(read["a"], np.arange(3_000_000)) if what == "saving" else read["a"] == 1


# ---- by name ----


def test_barriers_by_name(tmp_path: pathlib.Path) -> None:
    @libdcp.register_barrier
    class Counting(libdcp.Barrier):
        barrier_type = "counting"

        def __init__(self, start: int) -> None:
            self.count = start

        def execute_barrier(self, timeout: float | None) -> None:
            self.count += 1

    made = libdcp.create_barrier_from_config(libdcp.BarrierConfig("counting", {"start": 4}))
    assert isinstance(made, Counting)
    libdcp.RankWriter(barrier=made).write(tmp_path, {"a": 1})
    assert made.count == 5
    assert libdcp.create_barrier_from_config(libdcp.BarrierConfig()) is None
    with pytest.raises(ValueError, match="Unknown barrier type: nothing"):
        libdcp.create_barrier_from_config(libdcp.BarrierConfig("nothing"))
    with pytest.raises(ValueError, match="group"):
        libdcp.create_barrier_from_config(libdcp.BarrierConfig("local", {"global_rank": 0}))
    libdcp.create_barrier_from_config(libdcp.BarrierConfig("single")).execute_barrier(1.0)


@pytest.mark.parametrize("make", [libdcp.make_sync_checkpointer, libdcp.make_async_checkpointer])
def test_builders(make: Any, tmp_path: pathlib.Path) -> None:
    recorders = [Recorder() for _ in range(3)]

    def save(rank: int) -> Any:
        config = libdcp.CheckpointerConfig(
            libdcp.CheckpointWriterConfig(60),
            libdcp.BarrierConfig(
                "local", {"group": make.__name__, "global_rank": rank, "global_world_size": 3}
            ),
        )
        checkpointer = make(config, libdcp.RankInfo(rank, 3), recorders[rank])
        checkpointer.save(tmp_path, {"rank": rank}, step=1)
        checkpointer.close()
        return checkpointer.load(tmp_path)

    assert on_ranks([0, 1, 2], save) == [{"rank": rank} for rank in range(3)]
    for recorder in recorders:
        assert recorder.lines[-1] == ("post", str(tmp_path), {"step": 1})
    alone = make()
    alone.save(tmp_path / "alone", {"a": 1})
    alone.close()
    assert alone.load(tmp_path / "alone") == {"a": 1}
