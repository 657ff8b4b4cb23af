"""Every name of torch.distributed.checkpoint is there with its signature, or its absence is explained:
with the PyTorch at hand and with others that are set up in build/."""

import json
import pathlib
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
import names  # noqa: E402

HERE = pathlib.Path(__file__).parent
BUILD = HERE.parents[1] / "build"


def report_of(python):
    done = subprocess.run(
        [str(python), str(HERE / "names.py"), "--json"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def reports():
    pythons = {"at hand": pathlib.Path(sys.executable)}
    for version in ("2.13", "2.15"):
        python = BUILD / f"torch-{version}" / "bin" / "python"
        if python.exists():
            pythons[version] = python
    return {version: report_of(python) for version, python in pythons.items()}


def check(report):
    assert report["compared"]["modules"] > 35 and report["compared"]["names"] > 600
    assert report["unexplained"] == {}
    print(f"\n{report['compared']}, {len(report['explained'])} differences, all explained")


def test_of_the_torch_at_hand(reports):
    check(reports["at hand"])


@pytest.mark.parametrize("version", ["2.13", "2.15"])
def test_of_another_torch(reports, version):
    if version not in reports:
        pytest.skip(f"torch {version} is not set up in build/torch-{version}")
    check(reports[version])


def test_explanations_explain_something(reports):
    if not {"2.13", "2.15"} <= set(reports):
        pytest.skip("torch 2.13 and 2.15 are not both set up in build/")
    used = set().union(*(report["patterns"] for report in reports.values()))
    assert set(names.EXPLAINED) - used == set()
