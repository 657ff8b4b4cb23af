"""Saves on a thread of the trainer."""

from __future__ import annotations

import os
from concurrent.futures import Future
from typing import Any

import torch.distributed as dist
from torch.distributed.checkpoint.metadata import STATE_DICT_TYPE
from torch.distributed.checkpoint.planner import SavePlanner
from torch.distributed.checkpoint.storage import StorageWriter

from . import _background as background
from ._async_executor import _AsyncCheckpointExecutor, described, staged
from ._engine.failures import RoleFailure
from ._engine.groups import in_background, is_distributed
from ._engine.state import Unsaid
from ._storage_utils import _storage_setup


def save_wrapper(
    staging_future_or_state_dict: Future[STATE_DICT_TYPE] | STATE_DICT_TYPE,
    *,
    checkpoint_id: str | os.PathLike | None = None,
    storage_writer: StorageWriter | None = None,
    planner: SavePlanner | None = None,
    process_group: dist.ProcessGroup | None = None,
    no_dist: bool = False,
    use_collectives: bool = True,
) -> Future:
    """Waits for staging, and saves. Where staging failed the other ranks, which wait for this one, fail
    with it."""
    from .state_dict_saver import _save_state_dict, save

    arguments = {
        "planner": planner,
        "process_group": process_group,
        "no_dist": no_dist,
        "use_collectives": use_collectives,
    }
    with in_background():
        try:
            state_dict = staged(staging_future_or_state_dict)
            del staging_future_or_state_dict
        except Exception as error:
            if not is_distributed(no_dist) or not use_collectives:
                raise
            failed: Any = Unsaid(RoleFailure(error))
            writer = _storage_setup(storage_writer, checkpoint_id)
            return _save_state_dict(failed, writer, **arguments)  # type: ignore[return-value]
        return save(  # type: ignore[return-value]
            state_dict, checkpoint_id=checkpoint_id, storage_writer=storage_writer, **arguments
        )


class _ThreadBasedAsyncCheckpointExecutor(_AsyncCheckpointExecutor):
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
        given = [staging_future_or_state_dict]

        def work() -> object:
            # The staged copy goes when it is saved, not when the future goes.
            return save_wrapper(
                given.pop(),
                checkpoint_id=checkpoint_id,
                storage_writer=storage_writer,
                planner=planner,
                process_group=process_group,
                no_dist=no_dist,
                use_collectives=use_collectives,
            )

        alone = no_dist or not (dist.is_available() and dist.is_initialized())
        lane = ("thread", None if alone else process_group or dist.group.WORLD)
        return background.submit(lane, described(checkpoint_id, storage_writer), work)
