"""torch.save and torch.load."""

from __future__ import annotations

import pathlib
from typing import Any

import torch

from . import WARM_UP, loading, saving, sync_folder

NAME = "state.pt"


def warm_up(folder: pathlib.Path) -> None:
    torch.save({"weight": torch.zeros(WARM_UP)}, folder / NAME)
    torch.load(folder / NAME, weights_only=True)


def _save(tensors: Any, job: Any) -> None:
    job.folder.mkdir(parents=True)
    torch.save(tensors, job.folder / NAME)
    sync_folder(job.folder)


def _load(tensors: Any, job: Any) -> None:
    """Option: mmap."""
    loaded = torch.load(job.folder / NAME, weights_only=True, mmap=job.option("mmap", False))
    for name, tensor in tensors.items():
        tensor.copy_(loaded[name])


WORKS = {"save": saving(_save), "load": loading(_load)}
