"""safetensors, with its PyTorch interface."""

from __future__ import annotations

import pathlib
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from . import WARM_UP, loading, saving, sync_folder

NAME = "state.safetensors"


def warm_up(folder: pathlib.Path) -> None:
    save_file({"weight": torch.zeros(WARM_UP)}, folder / NAME)
    _load({"weight": torch.zeros(WARM_UP)}, folder)


def _load(tensors: Any, folder: pathlib.Path) -> None:
    with safe_open(folder / NAME, framework="pt") as file:
        for name, tensor in tensors.items():
            tensor.copy_(file.get_tensor(name))


def _save(tensors: Any, job: Any) -> None:
    job.folder.mkdir(parents=True)
    save_file(tensors, job.folder / NAME)
    sync_folder(job.folder)


WORKS = {
    "save": saving(_save),
    "load": loading(lambda tensors, job: _load(tensors, job.folder)),
}
