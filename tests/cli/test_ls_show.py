import pytest
from conftest import golden_cases

FSDP2 = "torch-2.15/w4/fsdp2"


@pytest.mark.parametrize("case", golden_cases())
def test_ls_lists_every_name_with_its_type(dcpctl, golden, expected, case):
    entries = dcpctl("ls", golden(case), "--json").json["checkpoints"][0]["entries"]
    listed = {entry["name"]: entry for entry in entries}
    wanted = expected(case)
    names = set(wanted["tensors"]) | set(wanted["objects"])
    # What the oldest cases tell of themselves is a part.
    assert names <= set(listed)
    if not case.startswith(("torch-2.1/", "torch-2.4/", "torch-2.8/")):
        assert names == set(listed)
    for name, tensor in wanted["tensors"].items():
        assert (listed[name]["dtype"], listed[name]["shape"]) == (tensor["dtype"], tensor["shape"])
        assert listed[name]["kind"] == "tensor"
    for name in wanted["objects"]:
        assert listed[name]["kind"] == "object"


def test_ls_prints_a_line_a_name(dcpctl, golden, expected):
    lines = dcpctl("ls", golden(FSDP2)).out.splitlines()
    wanted = expected(FSDP2)
    assert len(lines) == len(wanted["tensors"]) + len(wanted["objects"])
    (line,) = [line for line in lines if line.startswith("model.emb.weight ")]
    assert line.split() == ["model.emb.weight", "float32", "[33,", "12]", "1.5", "KiB"]
    exact = dcpctl("ls", "--bytes", golden(FSDP2)).out
    assert f"{33 * 12 * 4}\n" in exact


def test_ls_of_several_and_of_none(dcpctl, golden, tmp_path):
    result = dcpctl("ls", golden(FSDP2), tmp_path / "nothing", golden("torch-2.15/w1/nested"), code=2)
    assert "model.emb.weight" in result.out and "nest.a.3" in result.out
    assert "nothing" in result.err
    assert dcpctl("ls", cwd=golden(FSDP2)).out == dcpctl("ls", golden(FSDP2)).out


def test_ls_takes_a_url(dcpctl, golden):
    assert dcpctl("ls", f"file://{golden(FSDP2)}").out == dcpctl("ls", golden(FSDP2)).out
    assert "gopher" in dcpctl("ls", "gopher://host/ckpt", code=2).err


def test_show_draws_the_tree(dcpctl, golden):
    out = dcpctl("show", golden(FSDP2)).out
    lines = out.splitlines()
    assert lines[1] == "├─ model" or lines[1] == "├─ optim"
    assert any(line.split()[-4:] == ["in", "__0_0.distcp", "..", "__3_0.distcp"] for line in lines)
    assert "4 shards" in out and "__2_0.distcp" in out
    assert "\x1b" not in out  # colours are for terminals


def test_show_shards_places_each_box(dcpctl, golden):
    out = dcpctl("show", "--shards", golden(FSDP2)).out
    assert "[0:9, 0:12]" in out


@pytest.mark.parametrize("case", golden_cases())
def test_show_json_covers_each_tensor(dcpctl, golden, expected, case):
    document = dcpctl("show", golden(case), "--json").json
    assert document["dcpctl"] == 1 and document["command"] == "show"
    for entry in document["entries"]:
        assert len(entry["chunks"]) == entry["shards"]
        assert entry["path"]
        if entry["kind"] != "tensor":
            continue
        elements = 1
        for size in entry["shape"]:
            elements *= size
        held = 0
        for chunk in entry["chunks"]:
            box = 1
            for offset, size, whole in zip(chunk["offsets"], chunk["sizes"], entry["shape"], strict=True):
                assert 0 <= offset and offset + size <= whole
                box *= size
            held += box
        assert held == elements, entry["name"]
    files = {file["name"] for file in document["files"]}
    assert files == {chunk["file"] for entry in document["entries"] for chunk in entry["chunks"]}


def test_version_lists_the_parts(dcpctl):
    out = dcpctl("--version").out
    assert out.startswith("dcpctl 0.1.0 (libdcp 0.1.0, ABI 1)\n")
    document = dcpctl("--version", "--json").json
    assert document["version"] == "0.1.0" and document["abi"] == 1
    for part in ("crc32", "io_uring", "zstd", "compiler"):
        assert document["parts"][part]
        assert f"{part}: " in out
