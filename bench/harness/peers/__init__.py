"""The work of each library: WORKS maps its name to a generator function (see harness.worker), and
warm_up(folder) uses the library once in a small way before anything is measured, so that modules it
imports late and threads it keeps are there. Nothing here may start threads when it is imported."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

WARM_UP = 1 << 18  # elements: enough for PyTorch to use its threads


def saving(save: Callable[[Any, Any], None]) -> Callable[[Any], Iterator[None]]:
    """The work of saving PyTorch tensors: save(tensors, job) is measured."""

    def work(job: Any) -> Iterator[None]:
        state = job.torch_state().filled()
        yield
        save(state.tensors, job)
        yield

    return work


def loading(load: Callable[[Any, Any], None]) -> Callable[[Any], Iterator[None]]:
    """The work of loading into PyTorch tensors that are there, which are then compared with what was
    saved: load(tensors, job) is measured."""

    def work(job: Any) -> Iterator[None]:
        state = job.torch_state().overwritten()
        yield
        load(state.tensors, job)
        yield
        state.check()

    return work


def sync_folder(folder: pathlib.Path) -> None:
    """Makes a saved folder as durable as libdcp makes it: every file, the folders, and the entry of
    the folder in its parent."""
    for root, _, names in os.walk(folder):
        for name in names:
            _sync(os.path.join(root, name))
        _sync(root)
    _sync(folder.parent)


def _sync(path: str | os.PathLike[str]) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
