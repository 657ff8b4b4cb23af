"""torch_checkpointing, with its synchronous saver: the other one stages through a GPU."""

from __future__ import annotations

import logging
import pathlib
import warnings
from typing import Any

warnings.filterwarnings("ignore")

import torch  # noqa: E402
from torch_checkpointing import CheckpointManager, SyncCheckpointSaverConfig  # noqa: E402
from torch_checkpointing.storage.filesystem import LocalFileSystemStorageConfig  # noqa: E402

from . import WARM_UP, loading, saving, sync_folder  # noqa: E402

logging.disable(logging.WARNING)


def _manager() -> CheckpointManager:
    # Its O_DIRECT needs a file system that takes unaligned blocks; ext4 and XFS refuse them.
    storage = LocalFileSystemStorageConfig(use_direct_io=False)
    return CheckpointManager(
        CheckpointManager.Config(save=SyncCheckpointSaverConfig(), storage_config=storage)
    )


def _save(tensors: Any, folder: pathlib.Path) -> None:
    manager = _manager()
    manager.save(str(folder), {"state": tensors})
    manager.close()
    sync_folder(folder)


def _load(tensors: Any, folder: pathlib.Path) -> None:
    manager = _manager()
    manager.load(str(folder), into={"state": tensors})
    manager.close()


def warm_up(folder: pathlib.Path) -> None:
    tensors = {"weight": torch.zeros(WARM_UP)}
    _save(tensors, folder / "ckpt")
    _load(tensors, folder / "ckpt")


WORKS = {
    "save": saving(lambda tensors, job: _save(tensors, job.folder)),
    "load": loading(lambda tensors, job: _load(tensors, job.folder)),
}
