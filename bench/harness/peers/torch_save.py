"""torch.save and torch.load."""

from __future__ import annotations

import pathlib
from typing import Any

import torch

from . import WARM_UP, sync_folder

NAME = "state.pt"


def warm_up(folder: pathlib.Path) -> None:
    torch.save({"weight": torch.zeros(WARM_UP)}, folder / NAME)
    torch.load(folder / NAME, weights_only=True)


def save(job: Any) -> Any:
    state = job.torch_state().filled()
    yield
    job.folder.mkdir(parents=True)
    torch.save(state.tensors, job.folder / NAME)
    sync_folder(job.folder)
    yield


def load(job: Any) -> Any:
    """Into tensors that are there. Option: mmap."""
    state = job.torch_state().overwritten()
    yield
    loaded = torch.load(job.folder / NAME, weights_only=True, mmap=job.option("mmap", False))
    for name, tensor in state.tensors.items():
        tensor.copy_(loaded[name])
    yield
    state.check()


WORKS = {"save": save, "load": load}
