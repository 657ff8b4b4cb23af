import hashlib
import io
import json

import numpy
import pytest
from conftest import golden_cases

FSDP2 = "torch-2.15/w4/fsdp2"
NESTED = "torch-2.15/w1/nested"
RAW = {"bfloat16", "complex32", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu",
       "float4_e2m1fn_x2", "bits8", "bits16", "bits1x8", "bits2x4", "bits4x2"}
# Two ranks, uneven shards, and all dtypes: enough without running every tensor of every case.
CASES = [case for case in golden_cases() if case.endswith(("/uneven", "/dtypes", "/zstd", "2.1/w2/sharded"))]


@pytest.mark.parametrize("case", CASES)
def test_npy_files_hold_the_right_bytes(dcpctl, golden, expected, tmp_path, case):
    if "transforms" in expected(case) and "rot13" in case:
        pytest.skip("its transform is not built in")
    for name, tensor in expected(case)["tensors"].items():
        path = tmp_path / "x.npy"
        result = dcpctl("get", golden(case), name, "-o", path, code=None)
        if result.code == 2 and "nsupported" in result.err:
            continue
        assert result.code == 0, result.err
        array = numpy.load(path)
        assert hashlib.sha256(array.tobytes()).hexdigest() == tensor["sha256"], name
        if tensor["dtype"] in RAW:
            assert array.dtype == numpy.uint8 and "numpy has no" in result.err
            assert list(array.shape[:-1]) == tensor["shape"]
        else:
            assert list(array.shape) == tensor["shape"]
            assert array.dtype == numpy.dtype(tensor["dtype"])


SLICES = ["0:10", ":,3", "-1", "5:2", "2:30:7,::5", "...,0", "7,...", "-3:,:-2", "[1:3, 4]", "0,0", "...", ":100,100:"]


@pytest.mark.parametrize("text", SLICES)
def test_slices_are_numpys(dcpctl, golden, tmp_path, text):
    whole, part = tmp_path / "whole.npy", tmp_path / "part.npy"
    dcpctl("get", golden(FSDP2), "model.emb.weight", "-o", whole)
    dcpctl("get", golden(FSDP2), "model.emb.weight", f"--slice={text}", "-o", part)
    plain = text.strip("[]")
    wanted = eval(f"numpy.load(whole)[{plain}]")  # noqa: S307 - from SLICES
    assert numpy.array_equal(numpy.load(part), wanted)
    assert numpy.load(part).shape == wanted.shape


@pytest.mark.parametrize("text", ["33", "-34", "a", "1:2:0", "1:2:-1", "0,0,0", "...,...", "1:2:3:4", "1.5"])
def test_wrong_slices_are_refused(dcpctl, golden, text):
    result = dcpctl("get", golden(FSDP2), "model.emb.weight", f"--slice={text}", code=2)
    assert "[33, 12]" in result.err


def test_text_is_what_numpy_reads(dcpctl, golden, tmp_path):
    path = tmp_path / "x.npy"
    dcpctl("get", golden(FSDP2), "model.norm.weight", "-o", path)
    values = json.loads(dcpctl("get", golden(FSDP2), "model.norm.weight").out)
    assert numpy.array_equal(numpy.array(values, dtype=numpy.float32), numpy.load(path))
    document = dcpctl("get", golden(FSDP2), "model.emb.weight", "--slice", "0:2,:3", "--json").json
    assert numpy.array(document["values"]).shape == (2, 3)
    assert document["slice"]["shape"] == [2, 3]
    assert dcpctl("get", golden(FSDP2), "model.steps").out.strip().lstrip("-").isdigit()


def test_large_tensors_are_not_printed(dcpctl, golden, tmp_path):
    result = dcpctl("get", golden("torch-2.15/w1/threads"), largest(dcpctl, golden("torch-2.15/w1/threads")))
    assert "--slice" in result.out or result.out.startswith("[")


def largest(dcpctl, path):
    entries = dcpctl("ls", path, "--json").json["checkpoints"][0]["entries"]
    return max((entry for entry in entries if entry["kind"] == "tensor"), key=lambda entry: entry["bytes"])["name"]


def test_objects_print_as_text_and_json(dcpctl, golden, expected):
    assert dcpctl("get", golden(NESTED), "epoch").out == "5\n"
    objects = expected(NESTED)["objects"]
    for name, wanted in objects.items():
        value = dcpctl("get", golden(NESTED), name, "--json").json["value"]
        if isinstance(wanted, int) and not isinstance(wanted, bool) and abs(wanted) >= 2**63:
            assert value == {"$int": str(wanted)}
        elif isinstance(wanted, dict) and "$repr" in wanted:
            assert value == {"$dtype": wanted["$repr"].removeprefix("torch.")}
        elif name == "size":
            assert value == {"$size": wanted["$tuple"]}
        else:
            assert value == wanted, name


def test_output_to_a_pipe_and_whole_files_only(dcpctl, golden, tmp_path):
    raw = dcpctl("get", golden(FSDP2), "model.l1.bias", "-o", "-").raw
    assert numpy.load(io.BytesIO(raw)).shape == (30,)
    dcpctl("get", golden(FSDP2), "model.l1.bias", "-o", tmp_path / "no" / "x.npy", code=2)
    old = tmp_path / "old.npy"
    old.write_bytes(b"old")
    dcpctl("get", golden(FSDP2), "model.l1.bias", "-o", old)
    assert [path.name for path in tmp_path.iterdir()] == ["old.npy"]


def test_item_is_what_torch_save_wrote(dcpctl, golden, tmp_path):
    path = tmp_path / "item.pt"
    dcpctl("get", golden(FSDP2), "model.emb.weight", "--item", "1", "-o", path)
    entry = [entry for entry in dcpctl("show", golden(FSDP2), "--json").json["entries"]
             if entry["name"] == "model.emb.weight"][0]
    chunk = entry["chunks"][1]
    stored = (golden(FSDP2) / chunk["file"]).read_bytes()
    assert path.read_bytes() == stored[chunk["offset"]:chunk["offset"] + chunk["length"]]
    assert path.read_bytes()[:2] == b"PK"


def test_wrong_names_tell_near_ones(dcpctl, golden):
    result = dcpctl("get", golden(FSDP2), "model.emb.wieght", code=2)
    assert "model.emb.weight" in result.err
    document = dcpctl("get", golden(FSDP2), "no such name", "--json", code=2).json
    assert document["error"]["status"] == "NOT_FOUND"
    dcpctl("get", golden(FSDP2), "epoch", "--slice", "0", code=2)
