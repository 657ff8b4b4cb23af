"""Saving state dicts."""

from __future__ import annotations

import os
import time
import warnings
from concurrent.futures import Future
from typing import Any

import torch.distributed as dist
from torch.distributed.checkpoint.state_dict_saver import AsyncCheckpointerType, AsyncSaveResponse
from typing_extensions import deprecated

from ._async_executor import _AsyncCheckpointExecutor
from ._async_process_executor import _ProcessBasedAsyncCheckpointExecutor
from ._async_thread_executor import _ThreadBasedAsyncCheckpointExecutor
from ._background import SaveFuture
from ._default_stagers import default_process_stager, default_stager
from ._engine import saving
from ._engine.fast import holds_tensors_for_torch
from ._engine.groups import group_of, is_distributed
from ._engine.state import plain
from ._storage_utils import _storage_setup
from .logger import _dcp_method_logger
from .metadata import STATE_DICT_TYPE, Metadata
from .planner import SavePlanner
from .staging import AsyncStager, BlockingAsyncStager
from .storage import StorageWriter
from .utils import _api_bc_check, _profile

__all__ = [
    "save_state_dict",
    "save",
    "async_save",
    "AsyncCheckpointerType",
    "AsyncSaveResponse",
]


@deprecated(
    "`save_state_dict` is deprecated and will be removed in future versions."
    "Please use `save` instead.",
    category=FutureWarning,
)
def save_state_dict(
    state_dict: STATE_DICT_TYPE,
    storage_writer: StorageWriter,
    process_group: dist.ProcessGroup | None = None,
    coordinator_rank: int = 0,
    no_dist: bool = False,
    planner: SavePlanner | None = None,
) -> Metadata:
    """The older name of :func:`save`. ``coordinator_rank``, of the group, plans and commits."""
    storage_writer.reset()
    with _profile():
        return _save_state_dict(
            state_dict, storage_writer, process_group, coordinator_rank, no_dist, planner
        )


@_dcp_method_logger(log_exceptions=True)
@_api_bc_check
def save(
    state_dict: STATE_DICT_TYPE,
    *,
    checkpoint_id: str | os.PathLike[str] | None = None,
    storage_writer: StorageWriter | None = None,
    planner: SavePlanner | None = None,
    process_group: dist.ProcessGroup | None = None,
    no_dist: bool = False,
    use_collectives: bool = True,
) -> Metadata:
    """Saves a state dict that the ranks of a process group share, and commits it: readers find the old
    checkpoint or the new one, whole, at every instant. Every rank calls it; a failure on any is
    CheckpointException on all.

    state_dict: names to tensors (DTensor and ShardedTensor by this rank's part), to nested containers
        of them, to any object that can be pickled, and to Stateful objects, whose ``state_dict()``
        is called.
    checkpoint_id: where: a path, or a URL that fsspec knows.
    storage_writer: stores it; one is chosen for ``checkpoint_id`` if not given.
    planner: decides what is written, and by which rank; DefaultSavePlanner if not given.
    process_group: who saves together; all ranks if not given. Rank 0 of it coordinates.
    no_dist: this process saves alone. So it does where torch.distributed is not initialized.
    use_collectives: False: no plans are exchanged, each rank writes what it has and metadata of its
        own, ``__{rank}.metadata``.

    Returns the metadata that was written.
    """
    _warn_if_alone(no_dist, "save")
    with _profile():
        storage_writer = _storage_setup(storage_writer, checkpoint_id, reader=False)
        return _save_state_dict(
            plain(state_dict),
            storage_writer,
            process_group,
            no_dist=no_dist,
            planner=planner,
            use_collectives=use_collectives,
        )


def _warn_if_alone(no_dist: bool, what: str, stacklevel: int = 5) -> None:
    if not is_distributed(no_dist):
        warnings.warn(
            "torch.distributed is disabled, unavailable or uninitialized: "
            f"this process is to {what} by itself.",
            stacklevel=stacklevel,
        )


@_dcp_method_logger(log_exceptions=True)
def async_save(
    state_dict: STATE_DICT_TYPE,
    *,
    checkpoint_id: str | os.PathLike[str] | None = None,
    storage_writer: StorageWriter | None = None,
    planner: SavePlanner | None = None,
    process_group: dist.ProcessGroup | None = None,
    async_checkpointer_type: AsyncCheckpointerType = AsyncCheckpointerType.THREAD,
    async_stager: AsyncStager | None = None,
    no_dist: bool = False,
    use_collectives: bool = True,
) -> Future[Metadata] | AsyncSaveResponse:
    """Copies the tensors, then saves in the background: the state dict may change once this returns,
    or, of an AsyncSaveResponse, once its ``staging_completion`` is done. Other arguments as of
    :func:`save`.

    Ranks talk over a clone of the group's store with keys of its own, not by the group's
    collectives: the program may use the group meanwhile, and no CPU backend is needed. Several saves
    may go on at the same time; of many ranks, four.

    async_checkpointer_type: a thread of this process, or a process.
    async_stager: copies the tensors. If not given the storage writer does where it is a stager, else
        the library.

    Returns a future of the metadata; with a stager that works in the background an AsyncSaveResponse
    of two. An interpreter that exits waits for the save.
    """
    _warn_if_alone(no_dist, "save", 4)
    if async_checkpointer_type == AsyncCheckpointerType.THREAD and _stages_itself(
        storage_writer, async_stager
    ):
        writer = _storage_setup(storage_writer, checkpoint_id, reader=False)
        group = group_of(process_group, no_dist)
        call = saving.Call(writer, planner, None, 0, use_collectives, group)
        if call.is_direct():
            state_dict = plain(state_dict)
            if group is not None or not holds_tensors_for_torch(state_dict):
                lane = None if group is None else group.lane()
                call = call._replace(communicator=None if lane is None else lane.communicator)
                return saving.begin(state_dict, call, lane)
        storage_writer, checkpoint_id = writer, None
    return _staged_save(
        state_dict,
        checkpoint_id,
        storage_writer,
        planner,
        process_group,
        async_checkpointer_type,
        async_stager,
        no_dist,
        use_collectives,
    )


def _stages_itself(writer: Any, stager: Any) -> bool:
    """Whether nobody but the library is to copy the tensors."""
    if stager is not None:
        return False
    if writer is None or not isinstance(writer, AsyncStager):
        return True
    return (
        isinstance(writer, BlockingAsyncStager)
        and type(writer).stage is BlockingAsyncStager.stage
        and "stage" not in vars(writer)
        and not getattr(writer, "cache_staged_state_dict", False)
    )


def _staged_save(
    state_dict: STATE_DICT_TYPE,
    checkpoint_id: str | os.PathLike[str] | None,
    writer: Any,
    planner: SavePlanner | None,
    process_group: Any,
    kind: AsyncCheckpointerType,
    stager: Any,
    no_dist: bool,
    use_collectives: bool,
) -> Any:
    began = time.monotonic()
    if stager is None:
        if writer is not None and isinstance(writer, AsyncStager):
            stager = writer
        elif kind == AsyncCheckpointerType.PROCESS:
            stager = default_process_stager()
        else:
            stager = default_stager()
    staged = stager.stage(plain(state_dict))
    uploaded = _executor(kind).execute_save(
        staged,
        checkpoint_id=checkpoint_id,
        storage_writer=writer,
        planner=planner,
        process_group=process_group,
        no_dist=no_dist,
        use_collectives=use_collectives,
    )
    if not isinstance(staged, Future) and stager.should_synchronize_after_execute:
        stager.synchronize_staging()
    if isinstance(uploaded, SaveFuture):
        uploaded.staged_bytes = getattr(stager, "staged_bytes", None)
        uploaded.blocked(time.monotonic() - began)
    if isinstance(staged, Future):
        response = AsyncSaveResponse.__new__(AsyncSaveResponse)  # no code of its module is run
        response.staging_completion = _only_its_end(staged)
        response.upload_completion = uploaded
        return response
    return uploaded


def _executor(kind: AsyncCheckpointerType) -> _AsyncCheckpointExecutor:
    if kind == AsyncCheckpointerType.PROCESS:
        return _ProcessBasedAsyncCheckpointExecutor()
    return _ThreadBasedAsyncCheckpointExecutor()


def _only_its_end(staged: Future[Any]) -> Future[None]:
    ended: Future[None] = Future()

    def tell(done: Future[Any]) -> None:
        error = done.exception()
        if error is None:
            ended.set_result(None)
        else:
            ended.set_exception(error)

    staged.add_done_callback(tell)
    return ended


def _stateful_to_state_dict(state_dict: STATE_DICT_TYPE) -> STATE_DICT_TYPE:
    """A copy of the top level with what Stateful objects say in their places."""
    return plain(state_dict)


def _save_state_dict(
    state_dict: STATE_DICT_TYPE,
    storage_writer: StorageWriter,
    process_group: dist.ProcessGroup | None = None,
    coordinator_rank: int = 0,
    no_dist: bool = False,
    planner: SavePlanner | None = None,
    use_collectives: bool = True,
) -> Metadata:
    group = group_of(process_group, no_dist)
    communicator = None if group is None else group.communicator()
    coordinator = 0 if group is None else coordinator_rank
    call = saving.Call(
        storage_writer, planner, communicator, coordinator, use_collectives, group
    )
    return saving.save(state_dict, call)
