"""torchsnapshot."""

from __future__ import annotations

import logging
import pathlib
import warnings
from typing import Any

warnings.filterwarnings("ignore")

import torch  # noqa: E402
from torchsnapshot import Snapshot, StateDict  # noqa: E402

from . import WARM_UP, loading, saving, sync_folder  # noqa: E402

logging.disable(logging.WARNING)


def warm_up(folder: pathlib.Path) -> None:
    state = StateDict(weight=torch.zeros(WARM_UP))
    Snapshot.take(str(folder / "snapshot"), {"state": state})
    Snapshot(str(folder / "snapshot")).restore({"state": state})


def _save(tensors: Any, job: Any) -> None:
    Snapshot.take(str(job.folder), {"state": StateDict(**tensors)})
    sync_folder(job.folder)


def _load(tensors: Any, job: Any) -> None:
    Snapshot(str(job.folder)).restore({"state": StateDict(**tensors)})


WORKS = {"save": saving(_save), "load": loading(_load)}
