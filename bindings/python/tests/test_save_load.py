"""save, load, load_into, open, verify, copy and async_save, on files, memory and Python stores."""

import collections
import datetime
import decimal
import fractions
import pathlib
import shutil
import uuid

import ml_dtypes
import numpy as np
import pytest
from compare import same
from python_stores import DictStorage

import libdcp


@pytest.fixture(params=["path", "pathlib", "url", "memory", "python", "file"])
def where(request, tmp_path):
    folder = tmp_path / "deep" / "ckpt"
    return {
        "path": lambda: str(folder),
        "pathlib": lambda: folder,
        "url": lambda: folder.as_uri(),
        "memory": libdcp.MemoryStorage,
        "python": DictStorage,
        "file": lambda: libdcp.FileStorage(folder, io_uring=False, direct=False),
    }[request.param]()


def test_round_trip(where, tree):
    report = libdcp.save(tree, where)
    assert report.files == 1 and report.items == 7 and report.bytes > 13 * 7 * 4
    assert len(report.save_id) == 36 and report.warnings == []
    same(libdcp.load(where), tree)
    flat = libdcp.load(where, nested=False)
    assert set(flat) == {
        "model.weight", "model.bias", "layers.0", "layers.1.scale", "step", "betas", "name",
    }  # fmt: skip
    verified = libdcp.verify(where)
    assert verified.ok and verified and verified.items == 7 and verified.unchecked == 0
    tree["step"] = 1001
    libdcp.save(tree, where, files=3)
    same(libdcp.load(where), tree)
    with pytest.raises(libdcp.AlreadyExistsError, match="already exists") as caught:
        libdcp.save(tree, where, overwrite=False)
    assert isinstance(caught.value, FileExistsError) and caught.value.status == 3


def test_every_option_of_save(tmp_path, tree):
    for number, options in enumerate(
        [
            {"file_per_item": True},
            {"transforms": ["stream.zstd"]},
            {"transforms": "stream.zstd"},
            {"durable": False},
            {"dialect": "torch-2.1"},
            {"checkpoint_id": "my-id"},
            {"block_checksums": False},
            {"timeout": None},
            {"context": libdcp.Context(threads=2, memory_budget=8 << 20)},
        ]
    ):
        folder = tmp_path / str(number)
        libdcp.save(tree, folder, **options)
        same(libdcp.load(folder), tree)
        with libdcp.open(folder) as checkpoint:
            wanted = options.get("checkpoint_id", str(folder))
            if "dialect" in options:  # 2.1 had no place for it
                wanted = None
            assert checkpoint.checkpoint_id == wanted
            transforms = checkpoint["model.weight"].chunks[0].transforms
            assert transforms == ("stream.zstd/1" if "transforms" in options else "")
    with pytest.raises(ValueError, match="dialect"):
        libdcp.save(tree, tmp_path / "x", dialect="latin")
    with pytest.raises(libdcp.InvalidArgumentError):
        libdcp.save(tree, tmp_path / "x", files=0)
    with pytest.raises(libdcp.Error, match="stream.nope"):
        libdcp.save(tree, tmp_path / "x", transforms=["stream.nope"])
    assert not (tmp_path / "x" / ".metadata").exists()


def test_flatten_off(tmp_path):
    tree = {"a": {"b": 1, "c": [1, {"d": 2}]}, "t": np.arange(3)}
    libdcp.save(tree, tmp_path, flatten=False)
    with libdcp.open(tmp_path) as checkpoint:
        assert list(checkpoint) == ["a", "t"] or set(checkpoint) == {"a", "t"}
        assert checkpoint["a"].read() == tree["a"]
    target = {"a": None, "t": np.zeros(3, np.int64)}
    libdcp.load_into(target, tmp_path, flatten=False)
    same(target, tree)


def test_upstream_rules_of_flattening(tmp_path):
    counter = collections.Counter(a=1)
    libdcp.save({"opt": {0: {"x": np.ones(1)}, 1: 5}, "empty": {}, "count": counter}, tmp_path)
    assert libdcp.load(tmp_path) == {"opt": {"0": {"x": np.ones(1)}, "1": 5}, "count": {"a": 1}}


def test_odd_names(tmp_path):
    names = ["", "a\0b", "\u03b1\U0001f600", "\ud800", "x" * 5000, "with space", "..", "a/b"]
    tree = {name: np.full(3, i) for i, name in enumerate(names)}
    libdcp.save(tree, tmp_path)
    same(libdcp.load(tmp_path, nested=False), tree)
    with libdcp.open(tmp_path) as checkpoint:
        for name in names:
            assert name in checkpoint and checkpoint[name].name == name
            same(checkpoint[name].read(), tree[name])


def test_load_some(tmp_path, tree):
    libdcp.save(tree, tmp_path)
    assert libdcp.load(tmp_path, keys=["step"]) == {"step": 1000}
    same(libdcp.load(tmp_path, keys=["model"]), {"model": tree["model"]})
    same(
        libdcp.load(tmp_path, keys=["layers.1", "model.bias"], nested=False),
        {"layers.1.scale": tree["layers"][1]["scale"], "model.bias": tree["model"]["bias"]},
    )
    with pytest.raises(KeyError, match="mod"):
        libdcp.load(tmp_path, keys=["mod"])


def blank(node):
    if isinstance(node, np.ndarray):
        return np.zeros_like(node)
    if isinstance(node, dict):
        return {key: blank(value) for key, value in node.items()}
    if isinstance(node, list):
        return [blank(value) for value in node]
    return None


def test_load_into(where, tree):
    libdcp.save(tree, where)
    target = blank(tree)
    weight = target["model"]["weight"]
    report = libdcp.load_into(target, where)
    same(target, tree)
    assert target["model"]["weight"] is weight
    assert sorted(report.loaded) == sorted(libdcp.load(where, nested=False))
    assert report.missing == report.unexpected == report.cast == report.uncovered == []
    assert report.bytes_read > 0 and report.bytes_unverified == 0


def test_load_into_reports_what_upstream_keeps_quiet_about(tmp_path, tree):
    libdcp.save(tree, tmp_path)
    target = {"model": {"weight": np.zeros((13, 7)), "extra": np.full(2, 9.0)}, "other": "kept"}
    with pytest.raises(libdcp.Error, match="extra|other"):
        libdcp.load_into(target, tmp_path)
    report = libdcp.load_into(target, tmp_path, partial=True)
    assert sorted(report.missing) == ["model.extra", "other"]
    assert "step" in report.unexpected and "model.bias" in report.unexpected
    assert report.cast == ["model.weight: float32 -> float64"]
    assert target["other"] == "kept" and (target["model"]["extra"] == 9).all()
    np.testing.assert_array_equal(target["model"]["weight"], tree["model"]["weight"])
    with pytest.raises(libdcp.MismatchError):
        libdcp.load_into({"model": {"weight": np.zeros((13, 7))}}, tmp_path, cast=False)
    with pytest.raises(libdcp.MismatchError, match="model.weight"):
        libdcp.load_into({"model": {"weight": np.zeros((7, 13), np.float32)}}, tmp_path)


def test_load_into_int_keys_and_lists(tmp_path):
    libdcp.save({"opt": {"state": {0: {"exp": np.ones(2), "step": 5}}}, "l": [{"s": 1}]}, tmp_path)
    target = {"opt": {"state": {0: {"exp": np.zeros(2), "step": 0}}}, "l": [{"s": 0}]}
    libdcp.load_into(target, tmp_path)
    assert target["opt"]["state"][0]["step"] == 5 and list(target["opt"]["state"]) == [0]
    assert target["l"] == [{"s": 1}] and target["opt"]["state"][0]["exp"].sum() == 2


def test_load_into_strided_and_refused_targets(tmp_path, rng):
    data = rng.standard_normal((6, 4))
    libdcp.save({"t": data}, tmp_path)
    base = np.zeros((4, 12))
    target = base.T[::2]
    libdcp.load_into({"t": target}, tmp_path)
    np.testing.assert_array_equal(target, data)
    assert (base.T[1::2] == 0).all()
    frozen = np.zeros((6, 4))
    frozen.flags.writeable = False
    for bad in (frozen, np.zeros((6, 4))[::-1], np.zeros((6, 4), ">f8")):
        with pytest.raises(ValueError, match="^t: "):
            libdcp.load_into({"t": bad}, tmp_path)


def test_sharded_in_and_out(tmp_path, rng):
    data = rng.standard_normal((8, 6)).astype(ml_dtypes.bfloat16)
    whole = libdcp.Sharded((8, 6), [((0, 0), data[:5]), ((5, 0), data[5:])])
    libdcp.save({"s": whole}, tmp_path)
    with libdcp.open(tmp_path) as checkpoint:
        chunks = checkpoint["s"].chunks
        assert [chunk.offsets for chunk in chunks] == [(0, 0), (5, 0)]
        assert [chunk.sizes for chunk in chunks] == [(5, 6), (3, 6)]
        same(checkpoint["s"].read(), data)
        same(checkpoint["s"][4:6, ::2], data[4:6, ::2])
        with pytest.raises(libdcp.UnsupportedError, match="2 chunks"):
            checkpoint["s"].map()
    left, right = np.zeros((8, 2), data.dtype), np.zeros((8, 4), data.dtype)
    libdcp.load_into({"s": libdcp.Sharded((8, 6), [((0, 0), left), ((0, 2), right)])}, tmp_path)
    same(np.hstack([left, right]), data)
    libdcp.save({"s": libdcp.Sharded((4,), [((0,), np.ones(2))])}, tmp_path / "holes")
    target = np.full(4, 7.0)
    report = libdcp.load_into({"s": target}, tmp_path / "holes")
    assert target.tolist() == [1, 1, 7, 7] and len(report.uncovered) == 1


class Stateful:
    def __init__(self, value):
        self.value = value

    def state_dict(self):
        return {"v": self.value, "n": int(self.value.sum())}

    def load_state_dict(self, state):
        self.value, self.n = state["v"], state["n"]


def test_stateful_values(tmp_path):
    libdcp.save({"m": Stateful(np.arange(4)), "step": 1}, tmp_path)
    fresh = {"m": Stateful(np.zeros(4, np.int64)), "step": 0}
    libdcp.load_into(fresh, tmp_path)
    assert fresh["m"].n == 6 and fresh["m"].value.tolist() == [0, 1, 2, 3] and fresh["step"] == 1


def test_missing_checkpoint(tmp_path):
    for call in (libdcp.load, libdcp.open, libdcp.verify):
        with pytest.raises(FileNotFoundError) as caught:
            call(tmp_path / "nothing")
        assert isinstance(caught.value, libdcp.NotFoundError)
    with pytest.raises(libdcp.UnsupportedError, match="nope"):
        libdcp.load("nope://bucket/x")
    with pytest.raises(TypeError, match="path"):
        libdcp.load(7)
    with pytest.raises(TypeError, match="mapping"):
        libdcp.save([1], tmp_path)


def test_damage_is_found_and_named(tmp_path, rng):
    folder = tmp_path / "c"
    libdcp.save({"a": rng.bytes(100), "w": rng.standard_normal(1000)}, folder)
    with libdcp.open(folder) as checkpoint:
        chunk = checkpoint["w"].chunks[0]
    path = folder / chunk.file
    content = bytearray(path.read_bytes())
    content[chunk.offset + chunk.length // 2] ^= 1
    path.write_bytes(content)
    seen = []
    report = libdcp.verify(folder, on_damage=seen.append)
    assert not report.ok and not report
    assert [damage.name for damage in report.damage] == ["w"] == [damage.name for damage in seen]
    assert report.damage[0].file == chunk.file
    assert isinstance(report.damage[0].error, libdcp.CorruptError)
    with pytest.raises(libdcp.CorruptError, match="'w' in"):
        libdcp.verify(folder, raise_on_damage=True)
    with pytest.raises(libdcp.CorruptError, match="w"):
        libdcp.load(folder)
    assert isinstance(libdcp.load(folder, keys=["a"])["a"], bytes)


def test_damaged_metadata(tmp_path):
    libdcp.save({"w": np.ones(3)}, tmp_path)
    (tmp_path / ".metadata").write_bytes((tmp_path / ".metadata").read_bytes()[:50])
    report = libdcp.verify(tmp_path)
    assert len(report.damage) == 1 and not report.ok
    with pytest.raises(libdcp.CorruptError):
        libdcp.verify(tmp_path, raise_on_damage=True)


def test_copy(tmp_path, tree):
    libdcp.save(tree, tmp_path / "a")
    report = libdcp.copy(
        tmp_path / "a", tmp_path / "b", files=2, transforms=["stream.zstd"], checkpoint_id="copy"
    )
    assert report.files == 2
    same(libdcp.load(tmp_path / "b"), tree)
    with libdcp.open(tmp_path / "b") as checkpoint:
        assert checkpoint.checkpoint_id == "copy"
    memory = libdcp.MemoryStorage()
    libdcp.copy(tmp_path / "b", memory)
    same(libdcp.load(memory), tree)
    with pytest.raises(libdcp.AlreadyExistsError):
        libdcp.copy(tmp_path / "b", memory, overwrite=False)


def test_raw_arrays_through_a_file(tmp_path, rng):
    raw = libdcp.RawArray(rng.integers(0, 256, (4, 3, 4), dtype=np.uint8), "complex32")
    libdcp.save({"c": raw, "scalar": raw[0, 0]}, tmp_path)
    loaded = libdcp.load(tmp_path)
    same(loaded["c"], raw)
    same(loaded["scalar"], raw[0, 0])
    with libdcp.open(tmp_path) as checkpoint:
        entry = checkpoint["c"]
        assert entry.dtype == libdcp.DType("complex32") and entry.shape == (4, 3)
        same(entry[1:3, ::-1], raw[1:3, ::-1])
    target = libdcp.RawArray.empty((4, 3), "complex32")
    libdcp.load_into({"c": target}, tmp_path, partial=True)
    same(target, raw)
    assert loaded["c"].view(np.float16).shape == (4, 3, 2)


def test_without_ml_dtypes(tmp_path, child_env):
    import subprocess
    import sys

    libdcp.save({"b": np.arange(4).astype(ml_dtypes.bfloat16)}, tmp_path)
    code = (
        "import sys; sys.modules['ml_dtypes'] = None\n"
        "import libdcp\n"
        f"t = libdcp.load({str(tmp_path)!r})['b']\n"
        "assert isinstance(t, libdcp.RawArray) and t.shape == (4,), t\n"
        f"libdcp.save({{'b': t}}, {str(tmp_path / 'again')!r})\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=child_env)
    same(libdcp.load(tmp_path / "again")["b"], np.arange(4).astype(ml_dtypes.bfloat16))


def test_opaque_objects_survive(tmp_path):
    opaque = libdcp.Opaque.of(pathlib.PurePath)
    libdcp.save({"o": opaque, "n": 1}, tmp_path)
    back = libdcp.load(tmp_path)["o"]
    assert isinstance(back, libdcp.Opaque) and back.pickled == opaque.pickled
    assert back.unpickle(allow=True) is pathlib.PurePath


def test_plain_objects_that_python_pickled(tmp_path):
    plain = {
        "defaultdict": (collections.defaultdict(list, a=[1]), collections.defaultdict(int)),
        "classes": (int, str, dict, ...),
        "counter": (collections.Counter("hello"),),
        "deque": collections.deque([1, 2, 3], 7),
        "uuid": uuid.uuid4(),
        "datetime": datetime.datetime.now(datetime.timezone.utc),
        "decimal": decimal.Decimal("1.50"),
        "fraction": fractions.Fraction(1, 3),
        "range": (range(3), slice(1, 2)),
        "dtype": np.dtype(">f4"),
        "array": np.arange(4, dtype=np.int16),
        "scalar": np.float32(1.5),
    }
    libdcp.save({name: libdcp.Opaque.of(value) for name, value in plain.items()}, tmp_path)
    same(libdcp.load(tmp_path), plain)
    libdcp.save(plain, tmp_path)
    same(libdcp.load(tmp_path), plain)


def test_replaced_while_open(tmp_path, rng):
    libdcp.save({"w": rng.standard_normal(5000)}, tmp_path)
    checkpoint = libdcp.open(tmp_path)
    shutil.rmtree(tmp_path)
    libdcp.save({"v": rng.standard_normal(5)}, tmp_path)
    libdcp.save({"v": rng.standard_normal(5)}, tmp_path)
    with pytest.raises(libdcp.ReplacedError):
        checkpoint["w"].read()


def test_version_and_build_info():
    assert libdcp.__version__.count(".") == 2
    assert "crc32" in libdcp.build_info()
