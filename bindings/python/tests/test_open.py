"""Entries: what they say, and slices against numpy's."""

import threading

import ml_dtypes
import numpy as np
import pytest
from compare import same

import libdcp


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    return {
        "m": rng.standard_normal((12, 9, 5)).astype(np.float32),
        "b": rng.integers(0, 250, (20, 6)).astype(ml_dtypes.bfloat16),
        "s": np.array(3.5),
        "e": np.zeros((3, 0, 2), np.int16),
        "o": {"nested": [1, 2]},
        "big": rng.integers(0, 250, (1 << 10, 1 << 9)).astype(ml_dtypes.bfloat16),
    }


@pytest.fixture(scope="module")
def checkpoint(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("open") / "c"
    libdcp.save(data, folder)
    with libdcp.open(folder) as checkpoint:
        yield checkpoint


def test_mapping(checkpoint):
    assert len(checkpoint) == 6
    assert set(checkpoint) == {"m", "b", "s", "e", "o.nested", "big"}
    assert "m" in checkpoint and "x" not in checkpoint and 5 not in checkpoint
    assert checkpoint.get("x") is None
    assert dict(checkpoint.items())["m"].name == "m"
    with pytest.raises(KeyError) as caught:
        checkpoint["mm"]
    assert isinstance(caught.value, libdcp.NotFoundError) and "mm" in str(caught.value)
    assert "6 entries" in repr(checkpoint)
    assert len(checkpoint.save_id) == 36 and checkpoint.version == "1.0.0"
    assert checkpoint.checksummed is True and checkpoint.notes == []


def test_entry(checkpoint, data):
    entry = checkpoint["m"]
    assert entry.kind == "tensor" and entry.is_tensor and entry.shape == (12, 9, 5)
    assert entry.dtype == np.float32 and entry.dtype_name == "float32" and entry.ndim == 3
    assert entry.size == 540 and entry.nbytes == 2160 and entry.path == ("m",) and len(entry) == 12
    assert entry.chunk_count == 1 and entry.chunks[0].sizes == (12, 9, 5)
    assert entry.stored_nbytes == entry.chunks[0].length > 2160
    assert checkpoint["b"].dtype == ml_dtypes.bfloat16
    thing = checkpoint["o.nested"]
    assert thing.kind == "object" and thing.dtype is None and thing.path == ("o", "nested")
    assert thing.read() == [1, 2] and "object" in repr(thing)
    for bad in (lambda: thing[0], lambda: np.asarray(thing), thing.map, lambda: len(thing)):
        with pytest.raises(TypeError):
            bad()
    assert entry.item_bytes()[:4] == b"PK\x03\x04"


INDICES = [
    np.s_[...], np.s_[()], np.s_[0], np.s_[-1], np.s_[3:7], np.s_[:, 2], np.s_[..., 1], np.s_[2, 3, 4],
    np.s_[::2], np.s_[1::3, ::4, ::2], np.s_[::-1], np.s_[-2:1:-3, ::-1], np.s_[5:5], np.s_[7:3],
    np.s_[3:7, ..., -1], np.s_[:, ::-2, 0], np.s_[100:], np.s_[:-100], np.s_[np.int64(2)],
    np.s_[-3:, -3:, -3:], np.s_[0:0, ::-1],
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_slices(checkpoint, data, index):
    same(np.asarray(checkpoint["m"][index]), np.asarray(data["m"][index]))


def test_slices_of_others(checkpoint, data, rng):
    same(checkpoint["b"][3:9, ::-2], data["b"][3:9, ::-2])
    same(np.asarray(checkpoint["s"][()]), data["s"])
    same(np.asarray(checkpoint["s"][...]), data["s"])
    same(checkpoint["e"][1:, :, ::-1], data["e"][1:, :, ::-1])
    for _ in range(200):
        index = tuple(
            slice(*(int(v) if rng.random() < 0.8 else None for v in rng.integers(-15, 15, 2)),
                  int(rng.choice([-3, -2, -1, 1, 2, 3])))
            for _ in range(rng.integers(0, 4))
        )  # fmt: skip
        same(checkpoint["m"][index], data["m"][index])


@pytest.mark.parametrize(
    "index",
    [None, [0, 1], np.array([1]), True, 1.5, "x", (0, 0, 0, 0), 12, -13, (..., ...), (0, None)],
    ids=str,
)
def test_bad_indices(checkpoint, index):
    with pytest.raises(IndexError):
        checkpoint["m"][index]


def test_read_into(checkpoint, data):
    out = np.zeros((12, 9, 5), np.float32)
    assert checkpoint["m"].read(out) is out
    same(out, data["m"])
    wide = np.zeros((12, 9, 5))
    same(checkpoint["m"].read(wide), data["m"].astype(np.float64))
    turned = np.zeros((5, 9, 12), np.float32).T
    np.testing.assert_array_equal(checkpoint["m"].read(turned), data["m"])
    with pytest.raises(libdcp.MismatchError):
        checkpoint["m"].read(np.zeros((12, 9), np.float32))
    with pytest.raises(TypeError):
        checkpoint["m"].read([0])


def test_numpy_protocol(checkpoint, data):
    same(np.asarray(checkpoint["m"]), data["m"])
    same(np.asarray(checkpoint["m"], dtype=np.float64), data["m"].astype(np.float64))
    assert float(np.sum(checkpoint["m"])) == float(np.sum(data["m"]))
    same(np.stack(list(checkpoint["m"])), data["m"])


def test_map(checkpoint, data):
    view = checkpoint["big"].map()
    same(view, data["big"])
    assert not view.flags.writeable
    with pytest.raises(ValueError):
        view.flags.writeable = True
    same(checkpoint["big"].map(0), data["big"])
    with pytest.raises(libdcp.InvalidArgumentError):
        checkpoint["big"].map(3)
    memory = libdcp.MemoryStorage()
    libdcp.save(data, memory, transforms=["stream.zstd"])
    with pytest.raises(libdcp.UnsupportedError, match="big"):
        libdcp.open(memory)["big"].map()


def test_views_outlive_the_checkpoint(data, tmp_path):
    libdcp.save(data, tmp_path)
    with libdcp.open(tmp_path) as checkpoint:
        view = checkpoint["big"].map()
        read = checkpoint["m"].read()
        entry = checkpoint["m"]
    libdcp.save({"m": np.zeros((12, 9, 5), np.float32)}, tmp_path)
    same(view, data["big"])
    same(read, data["m"])
    with pytest.raises(ValueError, match="closed"):
        entry.read()
    assert "closed" in repr(checkpoint)


def test_dlpack_export(checkpoint, data):
    same(np.from_dlpack(checkpoint["m"]), data["m"])


def test_many_threads(checkpoint, data):
    failures = []

    def work(seed):
        rng = np.random.default_rng(seed)
        try:
            for _ in range(50):
                i = int(rng.integers(0, 12))
                same(checkpoint["m"][i:], data["m"][i:])
                assert checkpoint["o.nested"].read() == [1, 2]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
