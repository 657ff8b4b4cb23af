"""Saves and loads of libdcp.torch on several ranks, in exchange with stock, bit for bit."""

import importlib.util
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "exchange"))
import gloo_job  # noqa: E402


@pytest.fixture
def job(tmp_path, monkeypatch):
    here = str(pathlib.Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")])))
    return lambda size, function: gloo_job.run(tmp_path / "job", size, "gloo_save_load", function, tmp_path)


@pytest.mark.parametrize("size,cases", [(2, 7), (3, 5), (4, 8)])
def test_every_case_both_ways(job, size, cases):
    if importlib.util.find_spec("torch.distributed.checkpoint.protocol") is None:
        cases -= 1  # CheckpointableTensor came with torch 2.15
    for text in job(size, "exchange"):
        assert f"loads {8 * cases} of {cases} cases" in text


@pytest.mark.parametrize("size", [2, 3, 4])
def test_hugging_face_storages(job, size):
    pytest.importorskip("safetensors")
    assert all("loads 8" in text for text in job(size, "hugging_face"))


@pytest.mark.parametrize("size", [2, 3, 4])
def test_without_collectives(job, size):
    job(size, "no_collectives")


@pytest.mark.parametrize("size", [2, 3, 4])
def test_over_older_checkpoints(job, size):
    job(size, "overwritten")


def test_other_numbers_of_ranks(job):
    texts = job(4, "resharded")
    assert "loads 48" in texts[0]


def test_ranks_outside_of_a_mesh(job):
    job(3, "outside")


def test_meta_device(job):
    job(2, "on_meta")
