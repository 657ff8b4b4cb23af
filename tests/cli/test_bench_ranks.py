"""dcpctl bench-ranks: what ranks write and read, counted."""

import pytest

SMALL = ("--mib", "4", "--tensors", "10", "--replicated", "3")


def test_who_wrote_what(dcpctl, tmp_path):
    """Ten tensors of 4 MiB in all: three are written once, seven by each of four ranks in part."""
    folder = tmp_path / "bench"
    told = dcpctl("bench-ranks", folder, "--ranks", "4", "--load-ranks", "3", "--load-dim", "1", *SMALL, "--json").json
    assert told["equal"] is True
    save, load = told["save"], told["load"]
    assert [rank["rank"] for rank in save["ranks"]] == [0, 1, 2, 3]
    assert sum(rank["items"] for rank in save["ranks"]) == 3 + 4 * 7
    assert all(7 <= rank["items"] <= 8 for rank in save["ranks"])
    assert all(rank["files"] == 1 for rank in save["ranks"])
    payload = 10 * (4 * 2**20 // 10 // 4096) * 4096
    assert payload < sum(rank["bytes"] for rank in save["ranks"]) < payload + 31 * 8192
    assert 1 <= save["balance"] < 1.5
    assert [rank["items"] for rank in load["ranks"]] == [10, 10, 10]
    for rank in save["ranks"] + load["ranks"]:
        assert 0 <= rank["waiting_seconds"] <= rank["seconds"]
    dcpctl("verify", folder)
    assert len(list(folder.glob("__*_0.distcp"))) == 4


def test_without_collectives(dcpctl, tmp_path):
    """Nobody knows who else has the replicated tensors: all write them."""
    told = dcpctl("bench-ranks", tmp_path / "bench", "--ranks", "2", *SMALL, "--no-collectives", "--json").json
    assert told["equal"] is True
    assert sum(rank["items"] for rank in told["save"]["ranks"]) == 2 * 10
    assert (tmp_path / "bench/__1.metadata").exists() and not (tmp_path / "bench/.metadata").exists()


def test_as_a_table(dcpctl, tmp_path):
    out = dcpctl("bench-ranks", tmp_path / "bench", "--ranks", "2", *SMALL).out
    assert "saved by 2 ranks" in out and "loaded by 2 ranks" in out
    assert "what was loaded is what was saved" in out
    assert out.count("waiting s") == 2


def test_nothing_is_replaced(dcpctl, tmp_path):
    (tmp_path / "mine").write_text("mine")
    refused = dcpctl("bench-ranks", tmp_path, *SMALL, code=2)
    assert "not empty" in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("wrong", [("--ranks", "0"), ("--load-dim", "2"), ("--mib", "x")])
def test_wrong_usage(dcpctl, tmp_path, wrong):
    dcpctl("bench-ranks", tmp_path / "bench", *wrong, code=2)
