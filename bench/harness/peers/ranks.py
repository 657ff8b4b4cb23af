"""libdcp, libdcp.torch and torch.distributed.checkpoint on the ranks of a Gloo job, from DTensors."""

from __future__ import annotations

import ctypes
import logging
import pathlib
import warnings
from typing import Any

import libdcp
import libdcp.torch
import torch
import torch.distributed as dist
import torch.distributed.checkpoint
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard

from ..rank_processes import Ranks, Work, together
from . import WARM_UP
from .calls import Calls

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


def warm_up(folder: pathlib.Path) -> None:
    """Every rank does so for itself."""


class State:
    """This rank's part of the layout's matrices, cut along `dim`."""

    def __init__(self, job: Any, dim: int) -> None:
        self._job = job
        self._dim = dim
        self._mesh = DeviceMesh("cpu", torch.arange(dist.get_world_size()))
        self.locals: list[torch.Tensor] = []
        self.tree: dict[str, DTensor] = {}
        for tensor in job.layout.tensors:
            shape = list(tensor.shape)
            shape[dim] //= dist.get_world_size()
            local = torch.empty(shape)
            self.locals.append(local)
            self.tree[tensor.name] = DTensor.from_local(
                local, self._mesh, [Shard(dim)], run_check=False,
                shape=torch.Size(tensor.shape), stride=(tensor.shape[1], 1),
            )  # fmt: skip

    def filled(self) -> State:
        for seed, local in enumerate(self.locals):
            offset = dist.get_rank() * local.nbytes
            self._job.payload.fill(local.data_ptr(), local.nbytes, seed, offset)
        return self

    def overwritten(self) -> State:
        for local in self.locals:
            ctypes.memset(local.data_ptr(), 0xEE, local.nbytes)
        return self

    def check(self) -> None:
        payload, rank = self._job.payload, dist.get_rank()
        for seed, (tensor, local) in enumerate(zip(self._job.layout.tensors, self.locals)):
            if self._dim == 0:
                offset = rank * local.nbytes
                payload.check(tensor.name, local.data_ptr(), local.nbytes, seed, offset)
                continue
            whole = torch.empty(tensor.shape)
            payload.fill(whole.data_ptr(), whole.nbytes, seed)
            right = whole.chunk(dist.get_world_size(), self._dim)[rank].contiguous()
            if not torch.equal(right.view(torch.int32), local.view(torch.int32)):
                raise AssertionError(f"{tensor.name} differs on rank {rank}")


def _sharded(tree: dict[str, DTensor]) -> dict[str, libdcp.Sharded]:
    made = {}
    for name, value in tree.items():
        local, offsets = value.to_local(), [0] * value.ndim
        dim = value.placements[0].dim
        offsets[dim] = dist.get_rank() * local.shape[dim]
        made[name] = libdcp.Sharded(value.shape, [(offsets, local)])
    return made


class Libdcp:
    def __init__(self, job: Any) -> None:
        self._comm = libdcp.torch.communicator()
        self._verified = job.option("verified", True)

    def save(self, tree: dict[str, DTensor], folder: pathlib.Path) -> None:
        libdcp.save(_sharded(tree), folder, communicator=self._comm)

    def load(self, tree: dict[str, DTensor], folder: pathlib.Path) -> None:
        report = libdcp.load_into(_sharded(tree), folder, communicator=self._comm)
        if report.bytes_unverified and self._verified:
            raise AssertionError(f"{report.bytes_unverified} bytes were loaded unchecked")


class Trainer:
    """The same calls of either module."""

    def __init__(self, job: Any, calls: Calls) -> None:
        self._calls = calls
        self._threads = job.option("threads", 1)

    def save(self, tree: dict[str, DTensor], folder: pathlib.Path) -> None:
        self._calls.write(tree, folder, self._threads)
        if dist.get_rank() == 0:
            self._calls.finish(folder)

    def load(self, tree: dict[str, DTensor], folder: pathlib.Path) -> None:
        self._calls.load(tree, folder)


CALLS = {
    "dcp": Calls(torch.distributed.checkpoint, syncs=False),
    "libdcp_torch": Calls(libdcp.torch, syncs=True),
}


def _library(job: Any) -> Any:
    by = job.option("by")
    return Libdcp(job) if by == "libdcp" else Trainer(job, CALLS[by])


def _use_once(library: Any, scratch: pathlib.Path) -> None:
    mesh = DeviceMesh("cpu", torch.arange(dist.get_world_size()))
    local = torch.zeros(WARM_UP // 64, 64)
    tree = {"weight": DTensor.from_local(local, mesh, [Shard(0)], run_check=False)}
    library.save(tree, scratch)
    library.load(tree, scratch)


def _work(job: Any, what: str, filled: bool) -> Any:
    """Options: by ("libdcp", "libdcp_torch", "dcp"), ranks, dim, threads, verified (every byte is
    checked)."""
    scratch = job.folder.parent / f"{job.folder.name}.warm-up"
    into_dim = job.option("dim", 0)

    def rank_work() -> Work:
        library = _library(job)
        _use_once(library, scratch)
        state = State(job, into_dim)
        state = state.filled() if filled else state.overwritten()
        dist.barrier()
        yield
        getattr(library, what)(state.tree, job.folder)
        yield
        if not filled:
            state.check()

    return together(Ranks(job.option("ranks"), rank_work))


WORKS = {
    "save": lambda job: _work(job, "save", True),
    "load": lambda job: _work(job, "load", False),
}
