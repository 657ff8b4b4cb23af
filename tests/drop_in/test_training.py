"""Training with FSDP2 and AdamW, saved halfway and resumed on other numbers of ranks."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

HELPER = pathlib.Path(__file__).with_name("training.py")
STOCK = ["--library", "torch.distributed.checkpoint"]


def jobs(*runs):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HELPER), json.dumps(runs)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def said(run, what):
    return [line[what] for line in run if what in line]


def losses(run):
    return {line["step"]: line["loss"] for line in run if "loss" in line}


def numbers(run):
    return {step: float.fromhex(loss) for step, loss in losses(run).items()}


def check_resumed(whole, run):
    """What was loaded is what was saved, to the bit, and the run begins where the other was saved."""
    assert said(run, "loaded") == said(whole, "saved")
    assert sorted(losses(run)) == [4, 5, 6, 7]


def check_same(whole, run):
    """The rest of the run is the rest of the uninterrupted one, to the bit."""
    check_resumed(whole, run)
    assert losses(run) == {step: loss for step, loss in losses(whole).items() if step >= 4}
    assert said(run, "final") == said(whole, "final")


def check_near(whole, run):
    """Ranks whose number is no power of two divide sums of gradients with another rounding."""
    check_resumed(whole, run)
    rest = numbers(run)
    assert rest == pytest.approx({step: numbers(whole)[step] for step in rest}, rel=1e-5)
    assert losses(run)[4] == losses(whole)[4]  # before the first gradient


@pytest.mark.parametrize("background", [[], ["--background"]])
def test_fsdp(tmp_path, background):
    ours, stocks = str(tmp_path / "ours"), str(tmp_path / "stock")
    whole, same, two, three, by_stock, of_stock, theirs, theirs_three = jobs(
        (4, [ours, *background]),
        (4, [ours, "--resume"]),
        (2, [ours, "--resume"]),
        (3, [ours, "--resume"]),
        (3, [ours, "--resume", *STOCK]),
        (4, [stocks, *STOCK]),
        (2, [stocks, "--resume"]),
        (3, [stocks, "--resume", *STOCK]),
    )
    assert sorted(losses(whole)) == list(range(8))
    assert losses(whole) == losses(of_stock) and said(whole, "final") == said(of_stock, "final")
    for run in (same, two, theirs):
        check_same(whole, run)
    check_near(whole, three)
    # On three ranks too it is, to the bit, what PyTorch's own save and load give.
    for run in (by_stock, theirs_three):
        assert losses(run) == losses(three) and said(run, "final") == said(three, "final")


@pytest.mark.parametrize("mesh", ["hsdp", "tp"])
def test_meshes(tmp_path, mesh):
    ours = str(tmp_path / "ours")
    kind = ["--mesh", mesh]
    whole, same, two, three, by_stock = jobs(
        (4, [ours, *kind]),
        (4, [ours, *kind, "--resume"]),
        (2, [ours, *kind, "--resume"]),
        (3, [ours, *kind, "--resume"]),  # all of one group: no pairs
        (3, [ours, *kind, "--resume", *STOCK]),
    )
    check_same(whole, same)
    check_same(whole, two)
    check_resumed(whole, three)
    assert numbers(three) == pytest.approx({s: numbers(whole)[s] for s in numbers(three)}, rel=1e-5)
    assert losses(by_stock) == losses(three) and said(by_stock, "final") == said(three, "final")
