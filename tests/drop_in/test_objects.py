"""Which objects load, and what becomes of the rest."""

import argparse
import array
import collections
import datetime
import decimal
import enum
import io
import os
import pathlib
import pickle
import random
import types
import uuid
import zipfile

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as stock

import libdcp
import libdcp.torch as dcp
from libdcp.torch._engine import objects

pytestmark = pytest.mark.filterwarnings("ignore")


class Colour(enum.Enum):
    RED = 1


class Access(enum.IntFlag):
    READ = 1
    WRITE = 2


class Own:
    ran = False

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return type(other) is Own and other.value == self.value


class Fuse:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return burn, (1,)


def burn(_):
    Own.ran = True
    return "burnt"


def generator_state(seed):
    return np.random.default_rng(seed).bit_generator.state


KNOWN = {
    "numbers": [1, 2.5, True, None, 3 + 4j, 2**80, -1],
    "text and bytes": ("é", b"\0\xff", bytearray(b"x")),
    "containers": {"a": [(), {}, set(), frozenset({1})], "b": collections.OrderedDict(x=(1, [2]))},
    "torch's own": (torch.Size([2, 3]), torch.bfloat16, torch.device("cpu")),
    "a tensor in a tuple": (1, torch.arange(3)),
    "tensor and array": (torch.ones(2), np.ones(2)),
    "random state": random.getstate(),
    "numpy's random state": np.random.get_state(),
    "a generator's state": generator_state(3),
    "arrays": {"array": np.arange(6).reshape(2, 3), "text": np.array(["a", "bc"]), "structured": np.zeros(2, "i4,f8")},
    "numpy's scalars": (np.float32(1.5), np.int64(-7), np.bool_(True)),
    "numpy's dtype": np.dtype("<f4"),
    "dates": [datetime.datetime(2024, 2, 29, 12), datetime.timedelta(days=1), datetime.date(2000, 1, 1)],
    "paths": pathlib.PurePosixPath("/a/b"),
    "a uuid": uuid.UUID(int=7),
    "exact numbers": decimal.Decimal("1.10"),
    "an enumeration": Colour.RED,
    "flags": Access.READ | Access.WRITE,
    "an enumeration in a list": [Colour.RED, {"x": Colour.RED}],
    "counted": collections.Counter("aab"),
    "defaults": collections.defaultdict(list, a=[1]),
    "queue": collections.deque([1, 2], maxlen=3),
    "tensors in containers": [collections.deque([torch.ones(1)]), collections.defaultdict(list, a=[torch.ones(2), np.ones(1)])],
    "a range": range(1, 9, 2),
    "a namespace": types.SimpleNamespace(a=1),
    "packed": array.array("d", [1.0, 2.0]),
}


def equal(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(b, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in b)
    if isinstance(b, (list, tuple, collections.deque)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


@pytest.mark.parametrize("saver,loader", [(dcp, dcp), (stock, dcp), (dcp, stock)], ids=["ours", "from stock", "to stock"])
def test_known_objects(tmp_path, saver, loader):
    saver.save({name: (value,) for name, value in KNOWN.items()}, checkpoint_id=tmp_path / "c")
    found = dict.fromkeys(KNOWN)
    loader.load(found, checkpoint_id=tmp_path / "c")
    wrong = [name for name, value in KNOWN.items() if not equal(found[name], (value,))]
    assert not wrong, {name: found[name] for name in wrong}


def test_streams_come_back_at_their_place(tmp_path):
    stream = io.BytesIO(b"abcdef")
    stream.seek(2)
    dcp.save({"stream": stream}, checkpoint_id=tmp_path / "c")
    found = {"stream": None}
    dcp.load(found, checkpoint_id=tmp_path / "c")
    assert found["stream"].seekable() and found["stream"].read() == b"cdef"
    found["stream"].seek(0)
    assert found["stream"].read() == b"abcdef"


def test_random_states_go_on_where_they_were(tmp_path):
    np.random.seed(5)
    torch.manual_seed(5)
    random.seed(5)
    states = {"numpy": np.random.get_state(), "python": random.getstate(), "torch": torch.get_rng_state()}
    right = np.random.rand(), random.random(), torch.rand(2)
    dcp.save(states, checkpoint_id=tmp_path / "c")
    found = {"numpy": None, "python": None, "torch": torch.get_rng_state()}
    dcp.load(found, checkpoint_id=tmp_path / "c")
    np.random.set_state(found["numpy"])
    random.setstate(found["python"])
    torch.set_rng_state(found["torch"])
    again = np.random.rand(), random.random(), torch.rand(2)
    assert again[:2] == right[:2] and torch.equal(again[2], right[2])


def refusal(call):
    with pytest.raises(dcp.CheckpointException) as caught:
        call()
    step, failures = caught.value.args
    assert step == "read" and list(failures) == [0]
    return failures[0][0]


@pytest.mark.parametrize("saver", [dcp, stock], ids=["ours", "stock"])
@pytest.mark.parametrize("planner", [None, dcp.DefaultLoadPlanner, type("Derived", (dcp.DefaultLoadPlanner,), {})],
                         ids=["none", "default", "derived"])
def test_others_are_refused_once_the_rest_is_loaded(tmp_path, saver, planner):
    saver.save({"a": torch.ones(2), "own": Own(3), "deep": {"in": [{"own": (1, Own(4))}]}, "z": 5}, checkpoint_id=tmp_path / "c")
    found = {"a": torch.zeros(2), "own": None, "deep": {"in": [{"own": None}]}, "z": 0}
    made = planner and planner()
    error = refusal(lambda: dcp.load(found, checkpoint_id=tmp_path / "c", planner=made))
    assert isinstance(error, libdcp.UnsupportedError) and isinstance(error, pickle.UnpicklingError)
    for word in (f"{Own.__module__}.Own", "add_safe_globals", "allow_objects=True", "LIBDCP_ALLOW_OBJECTS=1"):
        assert word in str(error)
    assert error.details["entry"] in ("own", "deep.in.0.own")
    assert found["a"].tolist() == [1, 1] and found["z"] == 5 and found["own"] is None


def test_nothing_of_what_is_refused_runs(tmp_path):
    Own.ran = False
    stock.save({"fuse": [Fuse()]}, checkpoint_id=tmp_path / "c")
    error = refusal(lambda: dcp.load({"fuse": None}, checkpoint_id=tmp_path / "c"))
    assert "burn" in str(error) and not Own.ran
    dcp.load(found := {"fuse": None}, checkpoint_id=tmp_path / "c", allow_objects=True)
    assert found["fuse"] == ["burnt"] and Own.ran


@pytest.mark.parametrize("path", ["os.system", "builtins.eval", "builtins.getattr", "subprocess.Popen", "torch.load"])
def test_functions_that_do_things(tmp_path, path):
    module, _, name = path.rpartition(".")

    class Call:
        def __reduce__(self):
            import importlib

            return getattr(importlib.import_module(module), name), (str(tmp_path / "made"), "x")

    stream = io.BytesIO()
    torch.save(Call(), stream)
    stream.seek(0)
    with pytest.raises((objects.ObjectNotLoadedError, pickle.UnpicklingError)):
        objects.load_object(stream, "call")


def test_classes_are_not_changed(tmp_path):
    """A pickle that sets attributes of a class it may look up."""
    data = (
        b"\x80\x02cargparse\nNamespace\n"  # the class, and for it as state: no dict, {"patched": 1}
        b"N}X\x07\x00\x00\x00patchedK\x01s\x86b."
    )
    plain = io.BytesIO()
    torch.save(1, plain)
    stream = io.BytesIO()
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(stream, "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, data if entry.filename.endswith("data.pkl") else old.read(entry))
    stream.seek(0)
    with pytest.raises(objects.ObjectNotLoadedError):
        objects.load_object(stream, "patch")
    assert not hasattr(argparse.Namespace, "patched")


def test_opt_ins(tmp_path, monkeypatch):
    dcp.save({"own": Own(3)}, checkpoint_id=tmp_path / "c")

    def load(**options):
        found = {"own": None}
        dcp.load(found, checkpoint_id=tmp_path / "c", **options)
        return found["own"]

    assert load(allow_objects=True) == Own(3)
    with torch.serialization.safe_globals([Own]):
        assert load() == Own(3)
    refusal(load)
    monkeypatch.setenv("LIBDCP_ALLOW_OBJECTS", "1")
    assert load() == Own(3)
    refusal(lambda: load(allow_objects=False))
    monkeypatch.setenv("LIBDCP_ALLOW_OBJECTS", "0")
    refusal(load)


def test_torchs_list_is_left_as_it_was(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    dcp.save({"e": [Colour.RED, np.arange(2)]}, checkpoint_id=tmp_path / "c")
    found = {"e": None}
    dcp.load(found, checkpoint_id=tmp_path / "c")
    assert equal(found["e"], [Colour.RED, np.arange(2)])
    assert set(torch.serialization.get_safe_globals()) == before


def test_enumerations_of_modules_that_are_not_there(tmp_path, monkeypatch):
    """Nothing is imported for a checkpoint."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "far_enumerations.py").write_text("import enum\nclass Far(enum.Enum):\n    A = 1\n")
    import far_enumerations

    dcp.save({"far": [far_enumerations.Far.A]}, checkpoint_id=tmp_path / "c")
    found = {"far": None}
    dcp.load(found, checkpoint_id=tmp_path / "c")
    assert found["far"] == [far_enumerations.Far.A]
    monkeypatch.delitem(os.sys.modules, "far_enumerations")
    error = refusal(lambda: dcp.load({"far": None}, checkpoint_id=tmp_path / "c"))
    assert "far_enumerations.Far" in str(error) and "far_enumerations" not in os.sys.modules
