"""Saves and loads of one process, in exchange with stock."""

import collections
import concurrent.futures
import logging
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import warnings

import pytest
import torch
import torch.distributed.checkpoint as stock
from torch.distributed.checkpoint import _version
from torch.distributed.checkpoint.metadata import Metadata

import libdcp.torch as dcp
from libdcp.torch import state_dict_loader
from libdcp.torch.state_dict_saver import AsyncCheckpointerType

pytestmark = pytest.mark.filterwarnings("ignore")

BOTH = [(dcp, dcp), (dcp, stock), (stock, dcp)]
WAYS = pytest.mark.parametrize("saver,loader", BOTH, ids=["ours", "to stock", "from stock"])


def state(filled):
    f = 1 if filled else 0
    model = torch.nn.Linear(3, 2)
    torch.nn.init.constant_(model.weight, 2.5 * f)
    torch.nn.init.constant_(model.bias, -1.5 * f)
    return {
        "model": collections.OrderedDict(model.state_dict()),
        "views": {"transposed": (torch.arange(6.0).reshape(2, 3) * f).t(), "strided": (torch.arange(8) * f)[::2]},
        "half": torch.full((3,), 1.25 * f, dtype=torch.bfloat16),
        "scalar": torch.tensor(4.5 * f),
        "optimizer": {"state": {0: {"exp": torch.ones(2) * f}}, "groups": [{"lr": 0.5 * f, "betas": (0.9 * f, 0.99)}]},
        "step": 3 * f,
        "name": "run" * f,
        "list": [torch.ones(2) * f, {"k": f}],
    }


def equal(a, b):
    if isinstance(b, torch.Tensor):
        return isinstance(a, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in b)
    if isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and a == b


@WAYS
def test_round_trip_in_place(tmp_path, saver, loader):
    saver.save(state(True), checkpoint_id=tmp_path / "c")
    found = state(False)
    memory = found["model"]["weight"].data_ptr(), found["list"][0].data_ptr()
    loader.load(found, checkpoint_id=tmp_path / "c")
    if loader is dcp:  # stock leaves "lr" and such at keys of text beside those that are numbers
        assert equal(found, state(True))
    assert equal(found["model"], state(True)["model"])
    assert (found["model"]["weight"].data_ptr(), found["list"][0].data_ptr()) == memory


@pytest.mark.parametrize("options", [
    {}, {"thread_count": 3}, {"single_file_per_rank": False}, {"sync_files": False, "per_thread_copy_ahead": 1},
], ids=str)
def test_writer_options(tmp_path, options):
    tensors = {f"t{i}": torch.full((50,), float(i)) for i in range(6)}
    writer = dcp.FileSystemWriter(str(tmp_path / "c"), **options)
    dcp.save({**tensors, "n": 1}, storage_writer=writer)
    files = [name for name in os.listdir(tmp_path / "c") if name.endswith(".distcp")]
    assert len(files) == {"thread_count": 3, "single_file_per_rank": 7}.get(next(iter(options), ""), 1)
    found = {name: torch.zeros(50) for name in tensors}
    stock.load(found, checkpoint_id=tmp_path / "c")
    assert equal(found, tensors)


def test_metadata_is_what_stock_reads(tmp_path):
    writer = dcp.FileSystemWriter(tmp_path / "c")
    returned = dcp.save(state(True), storage_writer=writer)
    assert isinstance(returned, Metadata)
    read = stock.FileSystemReader(tmp_path / "c").read_metadata()
    assert returned.storage_meta.save_id == writer.save_id == read.storage_meta.save_id
    assert type(returned) is Metadata
    for field in ("state_dict_metadata", "planner_data", "storage_data", "version"):
        assert getattr(returned, field) == getattr(read, field), field


def test_metadata_is_of_its_own_save(tmp_path):
    """Looked at after the checkpoint was saved over; pickled and compared before anything else."""
    first = dcp.save({"a": torch.ones(1)}, checkpoint_id=tmp_path / "c")
    large = dcp.save({f"a{i}": torch.ones(1) for i in range(9000)}, checkpoint_id=tmp_path / "c")
    again = dcp.save({"b": torch.ones(1)}, checkpoint_id=tmp_path / "c")
    assert list(first.state_dict_metadata) == ["a"]
    assert len(large.state_dict_metadata) == 9000
    assert list(pickle.loads(pickle.dumps(again)).state_dict_metadata) == ["b"]
    one, other = (dcp.save({"b": 1}, checkpoint_id=tmp_path / "d") for _ in range(2))
    assert one != other and one == one


class Thing:
    """Stateful by its methods."""

    def __init__(self, log, name):
        self.log, self.name, self.value = log, name, torch.zeros(2)

    def state_dict(self):
        self.log.append(("said", self.name))
        return {"value": self.value, "name": self.name}

    def load_state_dict(self, state_dict):
        self.log.append(("told", self.name))
        self.value, self.name = state_dict["value"], state_dict["name"]


def test_stateful_objects(tmp_path):
    log = []
    full = {"b": Thing(log, "b"), "a": Thing(log, "a"), "model": torch.nn.Linear(2, 2)}
    full["a"].value += 5
    dcp.save(full, checkpoint_id=tmp_path / "c")
    assert log == [("said", "b"), ("said", "a")]
    del log[:]
    found = {"b": Thing(log, "x"), "a": Thing(log, "y"), "model": torch.nn.Linear(2, 2)}
    before = dict(found)
    dcp.load(found, checkpoint_id=tmp_path / "c")
    assert log == [("said", "y"), ("said", "x"), ("told", "y"), ("told", "x")]
    assert found["a"] is before["a"] and found["a"].value.tolist() == [5, 5] and found["b"].name == "b"
    assert torch.equal(found["model"].weight, full["model"].weight)


def failure(call):
    with pytest.raises(dcp.CheckpointException) as caught:
        call()
    assert list(caught.value.failures) == [0]
    return caught.value.args[0], caught.value.failures[0][0]


@pytest.mark.parametrize("module", [dcp, stock], ids=["ours", "stock"])
def test_errors_are_those_of_stock(tmp_path, module):
    where = tmp_path / "c"
    dcp.save({"a": torch.ones(4), "n": 1}, checkpoint_id=where)

    step, error = failure(lambda: module.load({"zz": torch.ones(1)}, checkpoint_id=where))
    assert step == "plan" and isinstance(error, RuntimeError)
    assert str(error) == "Missing key in checkpoint state_dict: zz."

    step, error = failure(lambda: module.load({"a": torch.ones(5)}, checkpoint_id=where))
    assert step == "plan" and isinstance(error, ValueError)
    assert str(error) == "Size mismatch between saved torch.Size([4]) and current: torch.Size([5]) for a"

    step, error = failure(lambda: module.load({"a": None}, checkpoint_id=where))
    assert step == "plan" and isinstance(error, ValueError)
    assert str(error).startswith("Invalid checkpoint metadata for a, expected BytesStorageMetadata")

    step, error = failure(lambda: module.load({"a": torch.ones(4)}, checkpoint_id=tmp_path / "none"))
    assert step == "plan" and isinstance(error, AssertionError)

    writer = module.FileSystemWriter(where, overwrite=False)
    step, error = failure(lambda: module.save({"a": 1}, storage_writer=writer))
    assert step == "plan" and isinstance(error, RuntimeError) and "Checkpoint already exists" in str(error)

    step, error = failure(lambda: module.save({"a": {"b": 1}, "a.b": 2}, checkpoint_id=where))
    assert step == "plan" and isinstance(error, ValueError) and str(error) == "duplicated flatten key a.b"

    with pytest.raises(RuntimeError, match="`checkpoint_id` must be specified"):
        module.save({})
    found = {"a": torch.zeros(4), "n": 0}
    module.load(found, checkpoint_id=where)  # what was there still is
    assert found["n"] == 1 and found["a"].tolist() == [1] * 4


def test_what_cannot_be_pickled(tmp_path):
    step, error = failure(lambda: dcp.save({"f": lambda: 1}, checkpoint_id=tmp_path / "c"))
    assert step == "plan" and isinstance(error, (pickle.PicklingError, AttributeError))
    assert not (tmp_path / "c" / ".metadata").exists()


def test_partial_loads(tmp_path):
    dcp.save({"a": torch.ones(2), "n": {"x": 1}}, checkpoint_id=tmp_path / "c")
    found = {"a": torch.zeros(2), "b": torch.full((2,), 7.0), "n": {"x": 0, "y": 8}}
    dcp.load(found, checkpoint_id=tmp_path / "c", planner=dcp.DefaultLoadPlanner(allow_partial_load=True))
    assert equal(found, {"a": torch.ones(2), "b": torch.full((2,), 7.0), "n": {"x": 1, "y": 8}})


def test_an_object_may_replace_a_tensor(tmp_path, caplog):
    dcp.save({"step": 3, "w": torch.ones(2)}, checkpoint_id=tmp_path / "c")
    found = {"step": torch.tensor(0.0), "w": torch.zeros(2)}
    dcp.load(found, checkpoint_id=tmp_path / "c")
    assert found["step"] == 3 and type(found["step"]) is int and found["w"].tolist() == [1, 1]
    assert "step" in caplog.text


def quantized(value):
    weight = torch.arange(8.0).reshape(2, 4) * value
    scales, zeros = torch.tensor([0.5, 0.25], dtype=torch.float64), torch.tensor([1, 2])
    return {
        "per tensor": torch.quantize_per_tensor(weight, 0.5, 1, torch.quint8),
        "per channel": torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8),
        "plain": weight,
        "step": value,
    }


@WAYS
def test_quantized_tensors(tmp_path, saver, loader):
    saver.save(quantized(3), checkpoint_id=tmp_path / "c")
    check_quantized(loader, tmp_path / "c")


def check_quantized(loader, path):
    expected, loaded = quantized(3), quantized(0)
    loader.load(loaded, checkpoint_id=path)
    assert loaded["step"] == 3 and torch.equal(loaded["plain"], expected["plain"])
    for name in ("per tensor", "per channel"):
        assert loaded[name].is_quantized
        assert torch.equal(loaded[name].int_repr(), expected[name].int_repr())


def test_sparse_tensors_are_refused(tmp_path):
    """Upstream fails on them, too; what is not said of them must not be lost."""
    sparse = torch.eye(4).to_sparse()
    for save in (dcp.save, lambda *given, **named: dcp.async_save(*given, **named).result()):
        with pytest.raises(dcp.api.CheckpointException, match="to_dense"):
            save({"s": sparse}, checkpoint_id=tmp_path / "c")
    dcp.save({"s": torch.eye(4)}, checkpoint_id=tmp_path / "c")
    with pytest.raises(dcp.api.CheckpointException, match="to_dense"):
        dcp.load({"s": sparse}, checkpoint_id=tmp_path / "c")


@pytest.mark.parametrize("kind", list(AsyncCheckpointerType), ids=["thread", "process"])
def test_quantized_tensors_in_the_background(tmp_path, kind):
    """Which upstream's stager cannot copy."""
    state = quantized(3)
    future = dcp.async_save(state, checkpoint_id=tmp_path / "c", async_checkpointer_type=kind)
    state["per tensor"].copy_(torch.zeros(2, 4))
    future.result()
    for loader in (stock, dcp):
        check_quantized(loader, tmp_path / "c")


def test_flattened_by_the_rule_of_2_3(tmp_path):
    old = {"plain": {"b": 1, "c": 2}, "mixed": {"w": torch.ones(2), "k": 3}}
    _version._derived_version = "2_3"
    try:
        stock.save(old, checkpoint_id=tmp_path / "c")
    finally:
        _version._derived_version = None
    found = {"plain": {"b": 0, "c": 0}, "mixed": {"w": torch.zeros(2), "k": 0}}
    dcp.load(found, checkpoint_id=tmp_path / "c")
    assert equal(found, old)


@WAYS
def test_nested_values_kept_whole(tmp_path, saver, loader):
    whole = {"a": torch.ones(2), "n": {"x": torch.ones(3), "y": [1, {"z": 2}]}}
    saver.save(whole, checkpoint_id=tmp_path / "c", planner=saver.DefaultSavePlanner(flatten_state_dict=False))
    read = stock.FileSystemReader(tmp_path / "c").read_metadata()
    assert sorted(read.state_dict_metadata) == ["a", "n"]
    found = {"a": torch.zeros(2), "n": None}
    planner = loader.DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
    loader.load(found, checkpoint_id=tmp_path / "c", planner=planner)
    assert equal(found, whole)


@pytest.mark.parametrize("saver", [dcp, stock], ids=["ours", "stock"])
def test_without_a_template(tmp_path, saver):
    saver.save(state(True), checkpoint_id=tmp_path / "c")
    everything = state_dict_loader._load_state_dict_from_keys(checkpoint_id=tmp_path / "c")
    right = state(True)
    right["optimizer"]["state"] = {"0": right["optimizer"]["state"][0]}  # names are text
    assert equal(everything, {**right, "model": dict(right["model"])})
    some = state_dict_loader._load_state_dict_from_keys({"model", "views.strided", "step"}, checkpoint_id=tmp_path / "c")
    assert equal(some, {"model": dict(right["model"]), "views": {"strided": right["views"]["strided"]}, "step": 3})
    one = state_dict_loader._load_state_dict_from_keys("list.1.k", checkpoint_id=tmp_path / "c")
    assert one == {"list": [None, {"k": 1}]}


def test_older_names(tmp_path):
    with pytest.warns(FutureWarning, match="save_state_dict"):
        dcp.save_state_dict({"a": torch.ones(2)}, dcp.FileSystemWriter(tmp_path / "c"), no_dist=True)
    found = {"a": torch.zeros(2)}
    with pytest.warns(FutureWarning, match="load_state_dict"):
        dcp.load_state_dict(found, dcp.FileSystemReader(tmp_path / "c"), no_dist=True)
    assert found["a"].tolist() == [1, 1]


def test_a_process_alone_is_told(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dcp.save({"a": 1}, checkpoint_id=tmp_path / "c")
    assert any("torch.distributed is disabled, unavailable or uninitialized" in str(one.message) for one in caught)
    assert {one.filename for one in caught if "uninitialized" in str(one.message)} == {__file__}


def test_users_objects_count_as_their_own(tmp_path):
    """A planner or writer that overrides a method is asked."""
    asked = []

    class Planner(dcp.DefaultSavePlanner):
        def lookup_object(self, index):
            asked.append(index.fqn)
            return super().lookup_object(index)

    class Writer(dcp.FileSystemWriter):
        def finish(self, metadata, results):
            asked.append("finish")
            super().finish(metadata, results)

    dcp.save({"a": torch.ones(2)}, checkpoint_id=tmp_path / "c", planner=Planner())
    dcp.save({"a": torch.ones(2)}, storage_writer=Writer(tmp_path / "d"))
    dcp.save({"a": torch.ones(2)}, storage_writer=stock.FileSystemWriter(tmp_path / "e"))
    assert asked == ["a", "finish"]
    for name in "cde":
        found = {"a": torch.zeros(2)}
        dcp.load(found, storage_reader=stock.FileSystemReader(tmp_path / name))
        assert found["a"].tolist() == [1, 1]


# ---- what is logged ----


def test_events(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="libdcp.torch")
    dcp.save({"a": torch.ones(100), "n": 1}, checkpoint_id=tmp_path / "c")
    dcp.load({"a": torch.ones(100), "n": 1}, checkpoint_id=tmp_path / "c")
    failure(lambda: dcp.load({"b": 1}, checkpoint_id=tmp_path / "c"))
    events = [record.event for record in caplog.records if hasattr(record, "event")]
    assert {record.name for record in caplog.records if hasattr(record, "event")} == {"libdcp.torch"}
    ends = [(event["operation"], event["phase"]) for event in events if event["phase"] in ("done", "failed")]
    assert ends == [("save", "done"), ("load", "done"), ("load", "failed")]
    phases = {event["phase"] for event in events if event["operation"] == "save"}
    assert {"write", "commit"} <= phases
    done = next(event for event in events if event["phase"] == "done")
    assert done["bytes"] > 400 and done["items"] == 2 and done["rank"] == 0 and done["seconds"] > 0
    assert done["checkpoint_id"] == str(tmp_path / "c")
    assert "Missing key" in next(event["error"] for event in events if event["phase"] == "failed")


def test_levels_are_honoured(tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger="libdcp.torch")
    dcp.save({"a": torch.ones(100)}, checkpoint_id=tmp_path / "c")
    assert not [record for record in caplog.records if record.name == "libdcp.torch"]


def test_progress(tmp_path):
    seen = []
    assert dcp.set_progress(seen.append) is None
    try:
        dcp.save({"a": torch.ones(100)}, checkpoint_id=tmp_path / "c")
        saved = {event.phase for event in seen}
        dcp.load({"a": torch.ones(100)}, checkpoint_id=tmp_path / "c")
    finally:
        assert dcp.set_progress(None) == seen.append
    assert "write" in saved and "read" in {event.phase for event in seen}
    write = [event for event in seen if event.phase == "write"][-1]
    assert write.bytes_done == write.bytes_total and write.items_done == 1
    count = len(seen)
    dcp.save({"a": torch.ones(100)}, checkpoint_id=tmp_path / "c")
    assert len(seen) == count


# ---- in the background ----


def test_async_save_copies(tmp_path):
    tensors = {f"t{i}": torch.full((1000,), float(i)) for i in range(20)}
    future = dcp.async_save({**tensors, "n": [1, 2]}, checkpoint_id=tmp_path / "c")
    assert isinstance(future, concurrent.futures.Future)
    for tensor in tensors.values():
        tensor.zero_()
    assert "t3" in future.result(60).state_dict_metadata
    found = {f"t{i}": torch.zeros(1000) for i in range(20)}
    dcp.load(found, checkpoint_id=tmp_path / "c")
    assert all(torch.equal(found[f"t{i}"], torch.full((1000,), float(i))) for i in range(20))


def test_async_saves_at_the_same_time(tmp_path):
    futures = [dcp.async_save({"n": i, "a": torch.full((9,), float(i))}, checkpoint_id=tmp_path / str(i)) for i in range(9)]
    for i, future in enumerate(futures):
        future.result(60)
        found = {"n": -1, "a": torch.zeros(9)}
        dcp.load(found, checkpoint_id=tmp_path / str(i))
        assert found["n"] == i and found["a"].tolist() == [float(i)] * 9


def test_failures_of_async_saves_are_in_the_future(tmp_path):
    dcp.save({"a": 1}, checkpoint_id=tmp_path / "c")
    for state_dict, writer in (
        ({"a": 2}, dcp.FileSystemWriter(tmp_path / "c", overwrite=False)),
        ({"f": lambda: 1}, dcp.FileSystemWriter(tmp_path / "c")),
    ):
        future = dcp.async_save(state_dict, storage_writer=writer)
        with pytest.raises(dcp.CheckpointException):
            future.result(60)
    found = {"a": 0}
    dcp.load(found, checkpoint_id=tmp_path / "c")
    assert found == {"a": 1}


def test_users_stagers_and_planners_in_the_background(tmp_path):
    class Stager(dcp.staging.BlockingAsyncStager):
        def stage(self, state_dict):
            return {**super().stage(state_dict), "staged": True}

    class Planner(dcp.DefaultSavePlanner):
        pass

    dcp.async_save({"a": torch.ones(2)}, checkpoint_id=tmp_path / "c", async_stager=Stager()).result(60)
    dcp.async_save({"a": torch.ones(2)}, checkpoint_id=tmp_path / "d", planner=Planner()).result(60)
    found = {"a": torch.zeros(2), "staged": False}
    dcp.load(found, checkpoint_id=tmp_path / "c")
    assert found["staged"] is True
    dcp.load({"a": torch.zeros(2)}, checkpoint_id=tmp_path / "d")


# ---- processes of their own ----


def run(code, *arguments, **options):
    script = "import warnings; warnings.simplefilter('ignore')\n" + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_an_interpreter_that_exits_ends_the_save_first(tmp_path):
    job = run(
        """
        import sys, torch, libdcp.torch as dcp
        state = {f"t{i}": torch.full((250_000,), float(i)) for i in range(100)}
        dcp.async_save(state, checkpoint_id=sys.argv[1])
        for tensor in state.values():
            tensor.zero_()
        """,
        tmp_path / "c")
    _, errors = job.communicate(timeout=120)
    assert job.returncode == 0, errors
    found = {f"t{i}": torch.zeros(250_000) for i in range(100)}
    dcp.load(found, checkpoint_id=tmp_path / "c")
    assert all(torch.equal(tensor, torch.full((250_000,), float(name[1:]))) for name, tensor in found.items())


def test_a_failure_that_nobody_reads_is_told_at_the_exit(tmp_path):
    dcp.save({"a": 1}, checkpoint_id=tmp_path / "c")
    job = run(
        """
        import sys, libdcp.torch as dcp
        dcp.async_save({"a": 2}, storage_writer=dcp.FileSystemWriter(sys.argv[1], overwrite=False))
        """,
        tmp_path / "c")
    _, errors = job.communicate(timeout=120)
    assert "Checkpoint already exists" in errors




def test_ctrl_c_in_a_blocking_save(tmp_path):
    """The old checkpoint stays, the interpreter is told at once, and a later save works."""
    dcp.save({"a": torch.ones(3)}, checkpoint_id=tmp_path / "c")
    job = run(
        """
        import sys, threading, torch, libdcp.torch as dcp
        state = {f"t{i}": torch.zeros(1_000_000) for i in range(50)}
        told, interrupted = [], threading.Event()
        def progress(event):
            if not told:
                told.append(event)
                print("saving", flush=True)
                interrupted.wait(60)
        dcp.set_progress(progress)
        try:
            dcp.save(state, checkpoint_id=sys.argv[1])
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        else:
            print("saved", flush=True)
        interrupted.set()
        dcp.set_progress(None)
        dcp.save({"b": torch.ones(2)}, checkpoint_id=sys.argv[1] + "-later")
        """,
        tmp_path / "c")
    assert job.stdout.readline() == "saving\n"
    job.send_signal(signal.SIGINT)
    output, errors = job.communicate(timeout=120)
    assert job.returncode == 0, errors
    assert output == "interrupted\n"
    found = {"a": torch.zeros(3)}
    dcp.load(found, checkpoint_id=tmp_path / "c")
    assert found["a"].tolist() == [1, 1, 1]
    dcp.load({"b": torch.zeros(2)}, checkpoint_id=f"{tmp_path / 'c'}-later")


def test_workers_of_a_data_loader_forked_during_an_async_save(tmp_path):
    job = run(
        """
        import sys, torch, torch.utils.data as data, libdcp.torch as dcp

        class Numbers(data.Dataset):
            def __len__(self):
                return 64
            def __getitem__(self, index):
                return torch.tensor(index)

        state = {f"t{i}": torch.full((200_000,), float(i)) for i in range(60)}
        futures, total = [], 0
        for epoch in range(3):
            futures.append(dcp.async_save(state, checkpoint_id=f"{sys.argv[1]}/{epoch}"))
            for batch in data.DataLoader(Numbers(), batch_size=8, num_workers=2, multiprocessing_context="fork"):
                total += int(batch.sum())
        assert total == 3 * sum(range(64)), total
        for future in futures:
            future.result(100)
        print("all saved")
        """,
        tmp_path)
    output, errors = job.communicate(timeout=200)
    assert job.returncode == 0 and "all saved" in output, errors
    for epoch in range(3):
        found = {f"t{i}": torch.zeros(200_000) for i in range(60)}
        dcp.load(found, checkpoint_id=tmp_path / str(epoch))
        assert all(torch.equal(tensor, torch.full((200_000,), float(name[1:]))) for name, tensor in found.items())


def test_a_forked_child_saves_by_itself(tmp_path):
    job = run(
        """
        import os, sys, torch, libdcp.torch as dcp
        dcp.save({"a": 1}, checkpoint_id=f"{sys.argv[1]}/parent")
        child = os.fork()
        if child == 0:
            dcp.save({"a": torch.ones(2)}, checkpoint_id=f"{sys.argv[1]}/child")
            dcp.async_save({"a": torch.ones(2)}, checkpoint_id=f"{sys.argv[1]}/later").result(60)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        """,
        tmp_path)
    _, errors = job.communicate(timeout=120)
    assert job.returncode == 0, errors
    for name in ("child", "later"):
        dcp.load({"a": torch.zeros(2)}, checkpoint_id=tmp_path / name)


def test_importing_libdcp_does_not_import_torch():
    job = run("import sys, libdcp; assert 'torch' not in sys.modules")
    _, errors = job.communicate(timeout=60)
    assert job.returncode == 0, errors


@pytest.mark.parametrize("version", ["2.12.1", "1.0", None])
def test_older_torch_is_refused(tmp_path, version):
    if version is None:
        (tmp_path / "torch.py").write_text("raise ImportError('none here')")
    else:
        (tmp_path / "torch.py").write_text(f"__version__ = {version!r}")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("DCP_PYTHON_DIR", ""), os.environ.get("PYTHONPATH", "")])
    job = run(
        """
        try:
            import libdcp.torch
        except ImportError as error:
            print(error)
        """,
        env={**os.environ, "PYTHONPATH": paths})
    output, errors = job.communicate(timeout=60)
    assert "needs torch 2.13 or later" in output, errors
    assert (version or "not installed") in output


def test_an_existing_checkpoint_is_told_of(tmp_path):
    """As stock does: by a warning, and as an error where overwriting is refused."""
    state, told = {"x": torch.ones(3)}, "Detected an existing checkpoint"

    def warned(call):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        return [str(one.message) for one in caught if told in str(one.message)]

    where = tmp_path / "ckpt"
    assert not warned(lambda: dcp.save(state, checkpoint_id=where))
    assert len(warned(lambda: dcp.save(state, checkpoint_id=where))) == 1
    assert len(warned(lambda: dcp.async_save(state, checkpoint_id=where).result(60))) == 1
    with pytest.raises(dcp.CheckpointException, match="exists"):
        dcp.save(state, storage_writer=dcp.FileSystemWriter(where, overwrite=False))
    assert not warned(lambda: dcp.save(state, checkpoint_id=tmp_path / "other"))


def test_a_checkpointer_saves_and_loads_with_what_it_was_made_of(tmp_path):
    from libdcp.torch._checkpointer import _Checkpointer

    class Planner(dcp.DefaultSavePlanner):
        kinds = []

        def create_local_plan(self):
            self.kinds.append("local plan")
            return super().create_local_plan()

    both = _Checkpointer(
        dcp.FileSystemWriter(tmp_path / "ckpt"),
        dcp.FileSystemReader(tmp_path / "ckpt"),
        no_dist=True,
        save_planner=Planner(),
    )
    for save, seed in ((both.save, 1.0), (lambda state: both.async_save(state).result(60), 2.0)):
        assert "x" in save({"x": torch.full((3,), seed)}).state_dict_metadata
        state = {"x": torch.zeros(3)}
        both.load(state)
        assert state["x"].tolist() == [seed] * 3
    assert Planner.kinds == ["local plan"] * 2
