"""libdcp.torch in jobs of real processes over Gloo."""

import json
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

import gloo_job  # noqa: E402
import libdcp  # noqa: E402


@pytest.mark.parametrize("kind, size", [("group", 1), ("group", 2), ("group", 4), ("subgroup", 4), ("file", 2)])
def test_the_communicator_conforms(tmp_path, kind, size):
    texts = gloo_job.run(tmp_path, size, "gloo_conformance", "conform", kind, tmp_path / "store")
    assert sum("conforms" in text for text in texts) == (size - 1 if kind == "subgroup" else size)


def told_by(text):
    """What a rank has told of itself; None of one that was lost."""
    lines = [line.removeprefix("told ") for line in text.splitlines() if line.startswith("told ")]
    return json.loads(lines[-1]) if lines else None


@pytest.mark.parametrize("what", ["kill", "stop"])
@pytest.mark.parametrize("victim, coordinator", [(2, 0), (0, 0), (0, 1)])
def test_a_lost_rank_is_named(tmp_path, capsys, what, victim, coordinator):
    """Rank 0 hosts the store: without it the others cannot reach each other."""
    processes = gloo_job.start(tmp_path, 3, "gloo_faults", "lose", tmp_path / "c", victim, what, 2.0, coordinator)
    texts = [""] * 3
    try:
        for rank in range(3):
            if rank != victim:
                texts[rank] = processes[rank].communicate(timeout=120)[0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for rank in {0, 1, 2} - {victim}:
        end = told_by(texts[rank])
        assert end is not None and end["named"] == [victim], texts[rank]
        with capsys.disabled():
            print(f"\n{what} rank {victim}: rank {rank} names it after {end['took']:.2f} s of 2 s: {end['kind']}", end="")
    assert libdcp.verify(tmp_path / "c").ok


def test_faults_of_python_roles_reach_every_rank(tmp_path, capsys):
    texts = gloo_job.run(tmp_path / "job", 4, "gloo_matrix", "matrix", tmp_path)
    assert [told_by(text)["runs"] for text in texts] == [2 * 8 + 12] * 4
    with capsys.disabled():
        print("\nGloo, 4 processes: 28 saves and loads, the bad rank named with step and kind on all", end="")


def test_a_save_beside_the_jobs_own_work(tmp_path):
    texts = gloo_job.run(tmp_path, 3, "gloo_faults", "save_beside_work", tmp_path / "c")
    for rank, text in enumerate(texts):
        end = told_by(text)
        assert end["heard"] == ["hello"] * 3 and end["total"] == 6.0
        assert end["waited"] == (rank != 1)
    assert libdcp.verify(tmp_path / "c").ok


def test_no_keys_are_left(tmp_path):
    texts = gloo_job.run(tmp_path, 2, "gloo_faults", "leave_no_keys", tmp_path / "c")
    assert told_by(texts[0])["left"] == 0


def test_checkpoints_of_2_3_4_and_8_ranks_load_on_any_other_number(tmp_path, capsys):
    """1, 2, 3, 4 and 8 ranks, DTensors on 1-D and 2-D meshes: ours in stock and in ours, stock's in ours."""
    texts = gloo_job.run(tmp_path / "job", 8, "gloo_exchange", "exchange", tmp_path)
    loads = [int(text.partition("loads ")[2].split()[0]) for text in texts]
    # 7 checkpoints each way (4 and 8 ranks: of two meshes), read with 1 or 3 layouts by those other than the savers.
    assert loads[0] == sum(
        (3 if by in (4, 8) else 1) * times
        for times in (2, 1) for saved in (1, 2, 3, 4, 4, 8, 8) for by in (1, 2, 3, 4, 8) if by != saved)
    with capsys.disabled():
        print(f"\nGloo, 8 processes: {loads[0]} loads of 14 checkpoints by other numbers of ranks, all equal", end="")


def test_libdcp_imports_no_torch():
    code = "import sys, libdcp; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_no_communicator():
    import libdcp.torch

    with pytest.raises(RuntimeError, match="not initialized"):
        libdcp.torch.communicator()
    store = torch.distributed.HashStore()
    with pytest.raises(ValueError, match="rank, world_size and name"):
        libdcp.torch.communicator(store=store)
    with pytest.raises(ValueError, match="the group's"):
        libdcp.torch.communicator(rank=0, world_size=1)
    alone = libdcp.torch.communicator(store=store, rank=0, world_size=1, name="alone")
    assert (alone.rank, alone.world_size) == (0, 1)
    assert alone.all_gather(b"x") == [b"x"]


def test_an_interpreter_that_exits_waits_for_its_save(tmp_path):
    texts = gloo_job.run(tmp_path, 2, "gloo_faults", "leave_while_saving", tmp_path / "c")
    assert not any("cancelled" in text for text in texts), texts
    assert libdcp.verify(tmp_path / "c").ok
