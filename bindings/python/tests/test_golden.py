"""Checkpoints written by real PyTorch: every dtype, shape, hash and object of expected.json."""

import hashlib
import json

import pytest
from compare import same
from conftest import GOLDEN
from python_stores import CaseSwap

import libdcp


def cases():
    for expected in sorted(GOLDEN.glob("torch-*/w*/*/expected.json")):
        folder = expected.parent / "ckpt"
        if list(folder.glob("*.distcp")):
            yield pytest.param(folder, id=str(expected.parent.relative_to(GOLDEN)))


def jsonable(value):
    """As the script that wrote expected.json does."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return {"$float": repr(value)}
    if isinstance(value, (int, float, str, bool, type(None), dict)) and not isinstance(value, tuple):
        return value
    if isinstance(value, list):
        return value
    if isinstance(value, tuple):
        return {"$tuple": [jsonable(item) for item in value]}
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    return {"$repr": repr(value)}


def check(array, wanted, name):
    dtype = array.dtype.name
    assert dtype == wanted["dtype"], name
    assert list(array.shape) == wanted["shape"], name
    assert hashlib.sha256(array.tobytes()).hexdigest() == wanted["sha256"], name


def test_there_are_cases():
    assert len(list(cases())) >= 30


@pytest.mark.parametrize("folder", list(cases()))
def test_case(folder, tmp_path):
    expected = json.loads((folder.parent / "expected.json").read_text())
    transforms = [CaseSwap()]
    flat = libdcp.load(folder, nested=False, transforms=transforms)
    told = set(expected["tensors"]) | set(expected["objects"])
    if "torch-2.13" in str(folder) or "torch-2.15" in str(folder):
        assert set(flat) == told
    else:  # those of older versions tell a part
        assert set(flat) >= told
    with libdcp.open(folder, transforms=transforms) as checkpoint:
        for name, wanted in expected["tensors"].items():
            check(flat[name], wanted, name)
            entry = checkpoint[name]
            assert entry.dtype_name == wanted["dtype"] and list(entry.shape) == wanted["shape"]
            check(entry.read(), wanted, name)
            if entry.ndim:
                part = entry[..., ::-1]
                whole = flat[name]
                assert part.tobytes() == whole[..., ::-1].tobytes(), name
        for name, wanted in expected["objects"].items():
            assert jsonable(flat[name]) == wanted, name
            assert jsonable(checkpoint[name].read()) == wanted, name
    assert libdcp.verify(folder, transforms=transforms).ok
    nested = libdcp.load(folder, transforms=transforms)
    libdcp.save(nested, tmp_path / "again")
    same(libdcp.load(tmp_path / "again"), nested)


def test_slices_of_stock_files_are_reported_as_unverified(tmp_path):
    folder = GOLDEN / "torch-2.15" / "w1" / "threads" / "ckpt"
    with libdcp.open(folder) as checkpoint:
        assert checkpoint.bytes_unverified == 0
        part = checkpoint["p16"][0:1]
        assert checkpoint.bytes_unverified in (0, part.nbytes)  # 0 when all of it was read anyway
    libdcp.copy(folder, tmp_path)
    with libdcp.open(tmp_path) as checkpoint:
        same(checkpoint["p16"][0:1], part)
        assert checkpoint.bytes_unverified == 0


def test_unknown_transform_is_no_damage():
    report = libdcp.verify(GOLDEN / "torch-2.15/w1/rot13/ckpt")
    assert not report.ok and not report.damage and report.items == 0
    assert sorted(item.name for item in report.unreadable) == ["o", "s", "w"]
    assert all(isinstance(item.error, libdcp.UnsupportedError) for item in report.unreadable)
    with pytest.raises(libdcp.UnsupportedError, match="not checked"):
        report.raise_if_damaged()
