"""What runs a save in the background."""

from __future__ import annotations

import abc
import os
from concurrent.futures import Future
from typing import Any

import torch.distributed as dist
from torch.distributed.checkpoint.metadata import STATE_DICT_TYPE
from torch.distributed.checkpoint.planner import SavePlanner
from torch.distributed.checkpoint.storage import StorageWriter


class _AsyncCheckpointExecutor(abc.ABC):
    @abc.abstractmethod
    def execute_save(
        self,
        staging_future_or_state_dict: STATE_DICT_TYPE | Future[STATE_DICT_TYPE],
        *,
        checkpoint_id: str | os.PathLike | None = None,
        storage_writer: StorageWriter | None = None,
        planner: SavePlanner | None = None,
        process_group: dist.ProcessGroup | None = None,
        no_dist: bool = False,
        use_collectives: bool = True,
    ) -> Future:
        """Saves in the background what is staged, or what its future gives. The saves of one process
        group follow each other; the future's result is the Metadata."""


def described(
    checkpoint_id: str | os.PathLike | None, storage_writer: StorageWriter | None
) -> str:
    """A save in words, for messages."""
    where = checkpoint_id if checkpoint_id is not None else None
    if where is None:
        where = getattr(storage_writer, "checkpoint_id", None)
    if where is None:
        where = getattr(storage_writer, "path", None)
    return "the background save" if where is None else f"the background save into '{where}'"


class Unshared:
    """A state dict that is staged in memory of this process, on its way to another one."""

    def __init__(self, state_dict: STATE_DICT_TYPE, stager: Any) -> None:
        self._state_dict: STATE_DICT_TYPE | None = state_dict
        self._stager = stager

    def share(self) -> STATE_DICT_TYPE:
        """The state dict in shared memory; once."""
        state_dict, self._state_dict = self._state_dict, None
        return self._stager.stage(state_dict)  # type: ignore[no-any-return]


def staged(
    staging_future_or_state_dict: STATE_DICT_TYPE | Future[STATE_DICT_TYPE] | Unshared,
) -> STATE_DICT_TYPE:
    if isinstance(staging_future_or_state_dict, Future):
        return staging_future_or_state_dict.result()
    if isinstance(staging_future_or_state_dict, Unshared):
        return staging_future_or_state_dict.share()
    return staging_future_or_state_dict
