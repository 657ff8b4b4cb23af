"""torchsnapshot."""

from __future__ import annotations

import logging
import pathlib
import warnings
from typing import Any

warnings.filterwarnings("ignore")

import torch  # noqa: E402
from torchsnapshot import Snapshot, StateDict  # noqa: E402

from . import WARM_UP, sync_folder  # noqa: E402

logging.disable(logging.WARNING)


def warm_up(folder: pathlib.Path) -> None:
    state = StateDict(weight=torch.zeros(WARM_UP))
    Snapshot.take(str(folder / "snapshot"), {"state": state})
    Snapshot(str(folder / "snapshot")).restore({"state": state})


def save(job: Any) -> Any:
    state = job.torch_state().filled()
    yield
    Snapshot.take(str(job.folder), {"state": StateDict(**state.tensors)})
    sync_folder(job.folder)
    yield


def load(job: Any) -> Any:
    """Into tensors that are there."""
    state = job.torch_state().overwritten()
    yield
    Snapshot(str(job.folder)).restore({"state": StateDict(**state.tensors)})
    yield
    state.check()


WORKS = {"save": save, "load": load}
