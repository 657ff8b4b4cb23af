"""What a trainer writes, whichever module `dcp` is: torch.distributed.checkpoint, or libdcp.torch
in its place."""

from __future__ import annotations

import pathlib
from types import ModuleType
from typing import Any

import torch

from . import WARM_UP, loading, saving, sync_folder


class Calls:
    """`syncs`: a save with sync_files also syncs `.metadata`, the folder, and its entry in the parent."""

    def __init__(self, dcp: ModuleType, syncs: bool) -> None:
        self.dcp: Any = dcp
        self._syncs = syncs

    def save(
        self, tensors: Any, folder: pathlib.Path, threads: int = 1, durable: bool = True
    ) -> None:
        self.write(tensors, folder, threads, durable)
        if durable:
            self.finish(folder)

    def write(self, tensors: Any, folder: pathlib.Path, threads: int, durable: bool = True) -> None:
        writer = self.dcp.FileSystemWriter(folder, thread_count=threads, sync_files=durable)
        self.dcp.save(tensors, storage_writer=writer)

    def finish(self, folder: pathlib.Path) -> None:
        """What a durable write lacks to be so, done once for all ranks."""
        if not self._syncs:
            sync_folder(folder)

    def load(self, tensors: Any, folder: pathlib.Path) -> None:
        self.dcp.load(tensors, storage_reader=self.dcp.FileSystemReader(folder))

    def warm_up(self, folder: pathlib.Path) -> None:
        tensors = {"weight": torch.zeros(WARM_UP)}
        self.save(tensors, folder / "ckpt")
        self.load(tensors, folder / "ckpt")

    def _save_job(self, tensors: Any, job: Any) -> None:
        """Options: threads, durable."""
        self.save(tensors, job.folder, job.option("threads", 1), job.option("durable", True))

    def works(self) -> dict[str, Any]:
        return {
            "save": saving(self._save_job),
            "load": loading(lambda tensors, job: self.load(tensors, job.folder)),
        }
