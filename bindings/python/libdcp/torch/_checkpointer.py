"""A storage writer and a storage reader in one."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import torch.distributed as dist
from torch.distributed.checkpoint.metadata import STATE_DICT_TYPE, Metadata
from torch.distributed.checkpoint.planner import LoadPlanner, SavePlanner
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter

from . import state_dict_loader as loader
from . import state_dict_saver as saver
from ._engine.state import plain

__all__: list[str] = []


class _Checkpointer:
    """Saves and loads with the storage, group and planners that it was made with.

    coordinator_rank: the rank of the group that plans and commits ``save``; in the background it is
        rank 0.
    """

    def __init__(
        self,
        storage_writer: StorageWriter,
        storage_reader: StorageReader,
        *,
        process_group: dist.ProcessGroup | None = None,
        coordinator_rank: int = 0,
        no_dist: bool = False,
        load_planner: LoadPlanner | None = None,
        save_planner: SavePlanner | None = None,
    ):
        self.storage_writer = storage_writer
        self.storage_reader = storage_reader
        self.process_group = process_group
        self.coordinator_rank = coordinator_rank
        self.no_dist = no_dist
        self.load_planner = load_planner
        self.save_planner = save_planner

    def save(
        self,
        state_dict: STATE_DICT_TYPE,
    ) -> Metadata:
        self.storage_writer.reset()
        return saver._save_state_dict(
            plain(state_dict),
            self.storage_writer,
            self.process_group,
            self.coordinator_rank,
            self.no_dist,
            self.save_planner,
        )

    def async_save(
        self,
        state_dict: STATE_DICT_TYPE,
    ) -> Future:
        """The future of the Metadata."""
        saved = saver.async_save(
            state_dict,
            planner=self.save_planner,
            storage_writer=self.storage_writer,
            process_group=self.process_group,
            no_dist=self.no_dist,
        )
        return saved if isinstance(saved, Future) else saved.upload_completion

    def load(self, state_dict: dict[str, Any]) -> None:
        loader.load(
            state_dict,
            planner=self.load_planner,
            storage_reader=self.storage_reader,
            process_group=self.process_group,
            no_dist=self.no_dist,
        )
