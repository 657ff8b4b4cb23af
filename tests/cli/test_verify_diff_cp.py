import os
import shutil
import signal
import subprocess
import time

import pytest
from conftest import PROGRAM, golden_cases

FSDP2 = "torch-2.15/w4/fsdp2"
NESTED = "torch-2.15/w1/nested"
READABLE = [case for case in golden_cases() if "rot13" not in case]


def entry_of(dcpctl, path, name):
    entries = dcpctl("show", path, "--json").json["entries"]
    return next(entry for entry in entries if entry["name"] == name)


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def flip_in(dcpctl, checkpoint, name):
    """Flips a bit in the middle of the tensor's second shard; its file and offset."""
    chunk = entry_of(dcpctl, checkpoint, name)["chunks"][1]
    flip(checkpoint / chunk["file"], chunk["offset"] + chunk["length"] // 2)
    return chunk["file"], chunk["offset"]


@pytest.mark.parametrize("case", READABLE)
def test_golden_checkpoints_verify(dcpctl, golden, case):
    document = dcpctl("verify", golden(case), "--json").json
    assert document["damaged"] is False and document["damages"] == []
    assert document["items"] > 0
    assert dcpctl("verify", golden(case)).out.splitlines()[-1].startswith("ok ")


def test_items_behind_an_unknown_transform_are_not_called_damaged(dcpctl, golden):
    out = dcpctl("verify", golden("torch-2.15/w1/rot13"), code=2).out
    assert "not checked: " in out and "stream.rot13" in out and "damaged" not in out
    assert out.splitlines()[-1].startswith("NOT CHECKED ")
    document = dcpctl("verify", golden("torch-2.15/w1/rot13"), "--json", code=2).json
    assert document["damaged"] is False and document["damages"] == []
    assert sorted(item["name"] for item in document["unreadable"]) == ["o", "s", "w"]
    assert {item["error"]["status"] for item in document["unreadable"]} == {"UNSUPPORTED"}
    assert document["items"] == 0


def test_damage_is_named(dcpctl, copy_of):
    checkpoint = copy_of(FSDP2)
    file, offset = flip_in(dcpctl, checkpoint, "model.emb.weight")
    out = dcpctl("verify", checkpoint, code=1).out
    assert "model.emb.weight" in out and file in out and str(offset) in out
    document = dcpctl("verify", checkpoint, "--json", code=1).json
    assert document["damaged"] is True
    (damage,) = document["damages"]
    assert (damage["name"], damage["file"], damage["offset"]) == ("model.emb.weight", file, offset)
    assert damage["error"]["status"] == "CORRUPT"
    dcpctl("get", checkpoint, "model.emb.weight", "-o", checkpoint.parent / "x.npy", code=1)
    assert not (checkpoint.parent / "x.npy").exists()
    dcpctl("get", checkpoint, "model.l1.weight", "-o", checkpoint.parent / "x.npy")


def test_a_missing_file_is_damage_or_unreadable(dcpctl, copy_of):
    checkpoint = copy_of(FSDP2)
    (checkpoint / "__2_0.distcp").unlink()
    result = dcpctl("verify", checkpoint, code=1)
    assert "__2_0.distcp" in result.out


def test_truncated_and_foreign_metadata(dcpctl, copy_of, tmp_path):
    checkpoint = copy_of(FSDP2)
    metadata = checkpoint / ".metadata"
    metadata.write_bytes(metadata.read_bytes()[:-100])
    for command in ("ls", "show", "verify"):
        result = dcpctl(command, checkpoint, code=1)
        assert ".metadata" in result.err
    (tmp_path / "empty").mkdir()
    for command in ("ls", "show", "verify"):
        dcpctl(command, tmp_path / "empty", code=2)
        dcpctl(command, tmp_path / "absent", code=2)
    (tmp_path / "file").write_text("not a folder")
    dcpctl("ls", tmp_path / "file", code=2)


@pytest.mark.parametrize("case", READABLE)
def test_copies_are_the_same(dcpctl, golden, tmp_path, case):
    copy = tmp_path / "copy"
    result = dcpctl("cp", golden(case), copy, code=None)
    if result.code == 2:  # what torch.save refuses cannot be written either
        assert "nsupported" in result.err or "cannot" in result.err, result.err
        return
    assert result.code == 0, result.err
    assert dcpctl("diff", golden(case), copy).out.startswith("same ")
    dcpctl("verify", copy)


@pytest.mark.parametrize("options", [["--files", "3"], ["--transform", "stream.zstd"], ["--dialect", "2.1"],
                                     ["--files", "2", "--transform", "stream.zstd", "--dialect", "2.1"]])
def test_copies_with_options(dcpctl, golden, tmp_path, options):
    copy = tmp_path / "copy"
    document = dcpctl("cp", golden(FSDP2), copy, *options, "--json").json
    entries = dcpctl("ls", copy, "--json").json["checkpoints"][0]["entries"]
    assert document["items"] == sum(entry["shards"] for entry in entries)
    assert dcpctl("diff", golden(FSDP2), copy, "--json").json["same"] is True
    if "--files" in options:
        assert document["files"] == int(options[1])
        assert len(list(copy.glob("*.distcp"))) == int(options[1])
    if "--transform" in options:
        chunk = entry_of(dcpctl, copy, "model.emb.weight")["chunks"][0]
        assert chunk["transforms"].startswith("stream.zstd")
    dcpctl("verify", copy)


def test_cp_never_takes_up_what_is_there(dcpctl, golden, copy_of, tmp_path):
    target = copy_of(NESTED, "target")
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    assert "--overwrite" in dcpctl("cp", golden(FSDP2), target, code=2).err
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    dcpctl("cp", golden(FSDP2), target, "--overwrite")
    dcpctl("diff", golden(FSDP2), target)

    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "__0_0.distcp").write_bytes(b"left by an interrupted copy")
    dcpctl("cp", golden(FSDP2), tmp_path / "half", code=2)
    dcpctl("cp", golden(FSDP2), tmp_path / "half", "--overwrite")
    dcpctl("verify", tmp_path / "half")

    link = tmp_path / "link"
    link.symlink_to(target)
    assert "itself" in dcpctl("cp", target, link, "--overwrite", code=2).err
    assert "stream.none" in dcpctl("cp", golden(FSDP2), tmp_path / "n", "--transform", "stream.none", code=2).err
    assert not (tmp_path / "n" / ".metadata").exists()


def test_a_damaged_source_is_not_copied(dcpctl, copy_of, tmp_path):
    checkpoint = copy_of(FSDP2)
    flip_in(dcpctl, checkpoint, "model.emb.weight")
    target = tmp_path / "target"
    result = dcpctl("cp", checkpoint, target, code=1)
    assert "model.emb.weight" in result.err
    assert not (target / ".metadata").exists()
    assert not list(target.glob("*.distcp"))


def test_diff_tells_what_differs(dcpctl, golden, copy_of, tmp_path):
    other = copy_of(FSDP2, "other")
    file, _ = flip_in(dcpctl, other, "model.emb.weight")
    result = dcpctl("diff", golden(FSDP2), other, code=1)
    assert "model.emb.weight" in result.out and file in result.out
    dcpctl("diff", golden(FSDP2), other, "--names-only")

    document = dcpctl("diff", golden("torch-2.15/w4/uneven"), golden("torch-2.15/w4/tp2d"), "--json", code=1).json
    kinds = {difference["kind"] for difference in document["differences"]}
    assert {"only_in_a", "only_in_b"} <= kinds and document["same"] is False
    assert dcpctl("diff", golden(FSDP2), golden(FSDP2)).code == 0
    assert dcpctl("diff", golden(FSDP2), tmp_path / "absent", code=2).err


def test_diff_counts_elements(dcpctl, golden, tmp_path):
    """The same model, trained one step further by another torch: same names, other values."""
    a, b = golden("torch-2.13/w1/nested"), golden("torch-2.15/w1/nested")
    document = dcpctl("diff", a, b, "--json", code=None).json
    for difference in document["differences"]:
        assert difference["kind"] in ("values", "object", "type", "only_in_a", "only_in_b"), difference
        if difference["kind"] == "values":
            assert 0 < difference["elements"] <= difference["of"]


def test_progress_bar_is_for_terminals(dcpctl, golden):
    assert dcpctl("verify", golden(FSDP2)).err == ""
    assert "%" in dcpctl("verify", golden(FSDP2), "--progress", "always").err
    assert "%" in dcpctl("diff", golden(FSDP2), golden(FSDP2), "--progress", "always").err


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["get"], ["get", "."], ["diff", "."], ["cp", "."],
                                       ["ls", "--nonsense"], ["cp", "a", "b", "--files", "0"],
                                       ["cp", "a", "b", "--dialect", "3"]])
def test_wrong_usage_is_exit_code_2(dcpctl, arguments):
    result = dcpctl(*arguments, code=2)
    assert result.err


def test_help_is_fine(dcpctl):
    assert "verify" in dcpctl("--help").out
    assert "--transform" in dcpctl("cp", "--help").out


def test_a_full_output_is_not_success(dcpctl, golden):
    with open("/dev/full", "wb") as full:
        completed = subprocess.run([PROGRAM, "ls", golden(FSDP2)], stdout=full, stderr=subprocess.PIPE)
    assert completed.returncode == 2 and b"standard output" in completed.stderr


def test_ctrl_c_cancels_a_copy(dcpctl, tmp_path, golden):
    """Whatever the moment, the copy is whole or not there at all."""
    for delay in (0.0, 0.01, 0.03):
        target = tmp_path / f"copy{delay}"
        process = subprocess.Popen([PROGRAM, "cp", golden(FSDP2), target], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode in (0, 130, -signal.SIGINT)
        if process.returncode == 0:
            dcpctl("diff", golden(FSDP2), target)
        elif process.returncode == 130:
            assert not (target / ".metadata").exists()
        shutil.rmtree(target, ignore_errors=True)


def test_names_cannot_harm_the_terminal(dcpctl, tmp_path):
    libdcp = pytest.importorskip("libdcp")
    numpy = pytest.importorskip("numpy")
    names = ["plain", "esc\x1b[31m", "new\nline", "nul\x00", "back\\slash", "\u202egnp.", "", "名前"]
    libdcp.save({name: numpy.arange(3.0) for name in names}, str(tmp_path / "c"))
    out = dcpctl("ls", tmp_path / "c").out
    assert "\x1b" not in out and "\x00" not in out and "\u202e" not in out
    assert len(out.splitlines()) == len(names)
    assert "esc\\x1b[31m" in out and "back\\x5cslash" in out and "名前" in out
    assert {entry["name"] for entry in dcpctl("ls", tmp_path / "c", "--json").json["checkpoints"][0]["entries"]} == set(names)
    for name in ("nul\\x00", "esc\\x1b[31m", "back\\x5cslash", "back\\slash", "名前", ""):
        assert dcpctl("get", tmp_path / "c", name).out == "[0, 1, 2]\n"


def test_unreadable_folder(dcpctl, copy_of):
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    checkpoint = copy_of(FSDP2)
    (checkpoint / ".metadata").chmod(0)
    dcpctl("ls", checkpoint, code=2)
