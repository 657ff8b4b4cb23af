"""async_save of libdcp.torch and of torch.distributed.checkpoint, on the ranks of a Gloo job."""

from __future__ import annotations

import pathlib
import time
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint.staging as stock_staging
from torch.distributed.checkpoint.state_dict_saver import AsyncCheckpointerType

from ..measure import Measure, descendants_cpu
from ..rank_processes import Ranks, Work, summed, together
from .ranks import CALLS, State

SAVES = ("first", "later")


def warm_up(folder: pathlib.Path) -> None:
    """Every rank does so for itself."""


class Whole:
    """Tensors of one rank that is all there is."""

    def __init__(self, job: Any) -> None:
        self._state = job.torch_state()
        self.tree = self._state.tensors
        self.filled, self.overwritten = self._state.filled, self._state.overwritten


class Saver:
    def __init__(self, job: Any) -> None:
        self._dcp = CALLS[job.option("by")].dcp
        process = job.option("mode") == "process"
        kind = AsyncCheckpointerType.PROCESS if process else AsyncCheckpointerType.THREAD
        self._options: dict[str, Any] = {"async_checkpointer_type": kind}
        if job.option("kept", False):
            options = stock_staging.StagingOptions(False, process, False, False)
            self._options["async_stager"] = self._dcp.staging.DefaultStager(options)

    def used_once(self, scratch: pathlib.Path) -> None:
        """What async_save needs besides is a part of the first one's time."""
        self._dcp.save({"step": 1}, checkpoint_id=scratch)

    def measured(self, state: Any, folder: pathlib.Path) -> dict[str, Any]:
        """A save of what `state` holds, which is overwritten once the caller may go on."""
        dist.barrier()
        others = descendants_cpu()
        cost = Measure()
        begin = time.perf_counter()
        future = self._dcp.async_save(state.tree, checkpoint_id=folder, **self._options)
        blocked = time.perf_counter() - begin
        begin = time.thread_time()
        state.overwritten()
        overwriting = time.thread_time() - begin
        future.result()
        whole: dict[str, Any] = dict(cost.stop())
        whole["done_s"] = whole["wall_s"]
        whole["wall_s"] = blocked
        whole["cpu_s"] += descendants_cpu() - others - overwriting
        return whole


def _blocking(job: Any) -> Any:
    """Options: by ("libdcp_torch", "dcp"), ranks, mode ("thread", "process"), kept (the caller gives
    a DefaultStager, the same for all saves). The facts have costs by SAVES: wall_s is how long the
    caller was kept, done_s until the save had ended; CPU time and memory are of all of it. The
    checkpoints are in folders of these names."""
    scratch = job.folder.parent / f"{job.folder.name}.warm-up"

    def rank_work() -> Work:
        saver = Saver(job)
        saver.used_once(scratch)
        state = Whole(job) if dist.get_world_size() == 1 else State(job, 0)
        state.filled()
        costs = {}
        yield
        for name in SAVES:
            state.filled()
            costs[name] = saver.measured(state, job.folder / name)
        yield
        return costs

    return together(Ranks(job.option("ranks"), rank_work), _combined)


def _combined(facts: list[Any]) -> dict[str, Any]:
    found = {}
    for name in SAVES:
        costs = [of_rank[name] for of_rank in facts]
        slowest = {key: max(cost[key] for cost in costs) for key in ("wall_s", "done_s")}
        found[name] = {**summed(costs), **slowest}
    return found


WORKS = {"blocking": _blocking}
