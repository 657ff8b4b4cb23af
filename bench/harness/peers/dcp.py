"""torch.distributed.checkpoint."""

from __future__ import annotations

import logging
import pathlib
import warnings
from typing import Any

import torch
import torch.distributed.checkpoint as dcp

from . import WARM_UP, loading, saving, sync_folder
from .dcp_parts import PARTS
from .dcp_shards import make_shards

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


def _save(tensors: Any, folder: pathlib.Path, threads: int, durable: bool) -> None:
    writer = dcp.FileSystemWriter(folder, thread_count=threads, sync_files=durable)
    dcp.save(tensors, storage_writer=writer)
    if durable:
        sync_folder(folder)


def _load(tensors: Any, folder: pathlib.Path) -> None:
    dcp.load(tensors, storage_reader=dcp.FileSystemReader(folder))


def warm_up(folder: pathlib.Path) -> None:
    tensors = {"weight": torch.zeros(WARM_UP)}
    _save(tensors, folder / "ckpt", 1, True)
    _load(tensors, folder / "ckpt")


def _save_job(tensors: Any, job: Any) -> None:
    """Options: threads, durable."""
    _save(tensors, job.folder, job.option("threads", 1), job.option("durable", True))


WORKS = {
    "save": saving(_save_job),
    "load": loading(lambda tensors, job: _load(tensors, job.folder)),
    "make_shards": make_shards,
    **PARTS,
}
