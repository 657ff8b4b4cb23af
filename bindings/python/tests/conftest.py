"""Shared by the tests of the Python package. DCP_PYTHON_DIR names the folder that holds the built
package, when it is not installed where Python finds it."""

import os
import pathlib
import sys

if "DCP_PYTHON_DIR" in os.environ:
    sys.path.insert(0, os.environ["DCP_PYTHON_DIR"])

import numpy as np  # noqa: E402
import pytest  # noqa: E402

import libdcp  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "fixtures" / "golden"


@pytest.fixture
def rng():
    return np.random.default_rng(20240607)


@pytest.fixture
def tree(rng):
    return {
        "model": {
            "weight": rng.standard_normal((13, 7)).astype(np.float32),
            "bias": rng.standard_normal(7),
        },
        "layers": [rng.integers(0, 99, (3, 2)), {"scale": np.array(2.5, np.float16)}],
        "step": 1000,
        "betas": (0.9, 0.999),
        "name": "run-\u03b1",
    }


@pytest.fixture
def child_env():
    """Environment in which a child process finds the package under test."""
    return dict(os.environ, PYTHONPATH=str(pathlib.Path(libdcp.__file__).parents[1]))
