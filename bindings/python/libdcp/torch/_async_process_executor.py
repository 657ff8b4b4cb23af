"""Saves in a background process, which finishes what it was given even if the trainer dies."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from typing import Any

import torch.distributed as dist
from torch.distributed.checkpoint.metadata import STATE_DICT_TYPE, Metadata  # noqa: F401
from torch.distributed.checkpoint.planner import SavePlanner
from torch.distributed.checkpoint.storage import StorageWriter

from . import _background as background
from ._async_executor import _AsyncCheckpointExecutor, described, staged
from ._save_process import SaveProcess

_lock = threading.Lock()
_processes: dict[Any, SaveProcess] = {}  # by group; None for ranks alone


def save_process(process_group: dist.ProcessGroup | None, no_dist: bool) -> SaveProcess:
    """Of a group; started by its first save."""
    group = None
    if not no_dist and dist.is_available() and dist.is_initialized():
        group = process_group if process_group is not None else dist.group.WORLD
    with _lock:
        found = _processes.get(group)
        if found is None:
            found = _processes[group] = SaveProcess(group)
        return found


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _processes.clear()


os.register_at_fork(after_in_child=_after_fork)


class _ProcessBasedAsyncCheckpointExecutor(_AsyncCheckpointExecutor):
    """The first save of a group starts the process of each rank, without keeping its caller."""

    def execute_save(
        self,
        staging_future_or_state_dict: Future[STATE_DICT_TYPE] | STATE_DICT_TYPE,
        *,
        checkpoint_id: str | os.PathLike | None = None,
        storage_writer: StorageWriter | None = None,
        planner: SavePlanner | None = None,
        process_group: dist.ProcessGroup | None = None,
        no_dist: bool = False,
        use_collectives: bool = True,
    ) -> Future:
        process = save_process(process_group, no_dist)
        given = [staging_future_or_state_dict]

        def request() -> dict[str, Any]:
            return {
                "state_dict": staged(given.pop()),
                "checkpoint_id": checkpoint_id,
                "storage_writer": storage_writer,
                "planner": planner,
                "no_dist": no_dist,
                "use_collectives": use_collectives,
            }

        what = described(checkpoint_id, storage_writer)
        return background.submit(("process", id(process)), what, lambda: process.save(request))
