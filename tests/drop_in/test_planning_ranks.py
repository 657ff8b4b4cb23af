"""Planning pieces that talk, on several ranks."""

import os
import pathlib
import sys

import pytest

torch = pytest.importorskip("torch")
import torch.distributed.checkpoint.utils as stock_utils  # noqa: E402

from libdcp.torch import utils  # noqa: E402

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "exchange"))
import gloo_job  # noqa: E402


@pytest.fixture
def job(tmp_path, monkeypatch):
    paths = [str(HERE), *filter(None, [os.environ.get("DCP_PYTHON_DIR")]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return lambda size, *rest: gloo_job.run(tmp_path / "job", size, "gloo_planning", *rest)


@pytest.mark.parametrize("size", [2, 3])
def test_steps_across_ranks(job, size):
    texts = job(size, "wrappers")
    per_group = 4 + 1 + 9 + 4 + 1
    for rank, text in enumerate(texts):
        assert f"compared {per_group * (3 if rank == 0 else 5)}" in text


def test_keys_across_ranks(job):
    assert ["told" in text for text in job(3, "same_keys")] == [True] * 3


def test_sharded_tensors_of_sharded_tensors(job):
    assert ["equal" in text for text in job(4, "flattened")] == [True] * 4


def test_steps_of_a_rank_that_is_alone():
    for module in (stock_utils, utils):
        wrapper = module._DistWrapper(None, False, 0)
        assert (wrapper.get_rank(), wrapper.get_world_size(), wrapper.is_coordinator) == (0, 1, True)
        assert wrapper.broadcast_object(1) == 1
        assert wrapper.gather_object(1) == [1] == wrapper.all_gather_object(1)
        assert wrapper.scatter_object([2]) == 2
        with pytest.raises(AssertionError, match="object_list is None"):
            wrapper.scatter_object(None)
        assert wrapper.reduce_scatter("step", lambda: 1, lambda values: [values]) == [1]
        assert wrapper.barrier() is None
        with pytest.raises(stock_utils.CheckpointException) as caught:
            wrapper.broadcast("step", lambda: 1 / 0)
        assert isinstance(caught.value.failures[0][0], ZeroDivisionError)


def test_optimizer_state_of_fsdp(job, tmp_path):
    assert ["equal 1" in text for text in job(2, "optimizer_of_fsdp", tmp_path)] == [True] * 2


def test_optimizer_state_of_parts(job, tmp_path):
    assert ["right" in text for text in job(4, "optimizer_of_parts", tmp_path)] == [True] * 4


def test_files_that_are_broadcast(job, tmp_path):
    assert ["right" in text for text in job(3, "broadcast_file", tmp_path)] == [True] * 3
