"""Runs dcpctl as a user would. DCPCTL names the program; build/release/bin/dcpctl is the default."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/fixtures/golden"
PROGRAM = os.environ.get("DCPCTL", str(ROOT / "build/release/bin/dcpctl"))


class Result:
    def __init__(self, completed):
        self.code = completed.returncode
        self.raw = completed.stdout
        self.out = completed.stdout.decode(errors="surrogateescape")
        self.err = completed.stderr.decode(errors="surrogateescape")

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def dcpctl():
    def run(*arguments, code=0, **options):
        completed = subprocess.run([PROGRAM, *map(os.fspath, arguments)], capture_output=True, timeout=120,
                                   stdin=subprocess.DEVNULL, **options)
        result = Result(completed)
        assert code is None or result.code == code, f"exit code {result.code}\n{result.out}\n{result.err}"
        return result

    return run


@pytest.fixture
def golden():
    """Path of a case: golden("torch-2.15/w4/fsdp2")."""
    return lambda case: GOLDEN / case / "ckpt"


@pytest.fixture
def expected():
    return lambda case: json.loads((GOLDEN / case / "expected.json").read_text())


@pytest.fixture
def copy_of(tmp_path):
    """A copy of a case that a test may damage."""

    def copy(case, name="copy"):
        target = tmp_path / name
        shutil.copytree(GOLDEN / case / "ckpt", target, ignore=None)
        for path in [target, *target.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        return target

    return copy


def golden_cases():
    """Cases that are checkpoints with a .metadata file."""
    return sorted(str(path.parents[1].relative_to(GOLDEN)) for path in GOLDEN.glob("*/*/*/ckpt/.metadata"))
