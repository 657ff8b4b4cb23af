"""Checkpointers with the usual parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.distributed as dist

from .barriers import create_barrier_from_config
from .checkpoint_process import CheckpointProcess
from .checkpoint_reader import CheckpointReader
from .checkpoint_writer import CheckpointWriter, CheckpointWriterConfig, WriterHook
from .checkpointer import AsyncCheckpointer, SyncCheckpointer
from .config import CheckpointerConfig
from .staging import DefaultStager
from .types import RankInfo


def _get_default_rank_info() -> RankInfo:
    """Of the default process group when there is one, else one rank."""
    if dist.is_available() and dist.is_initialized():
        return RankInfo(global_rank=dist.get_rank(), global_world_size=dist.get_world_size())
    return RankInfo(global_rank=0, global_world_size=1)


def default_subprocess_init_fn(*_: Any) -> None:
    """Nothing."""


def default_writer_init_fn(rank_info: RankInfo) -> CheckpointWriter:
    """A writer without barrier and hook."""
    return CheckpointWriter(config=CheckpointWriterConfig(), rank_info=rank_info)


def make_sync_checkpointer(
    config: CheckpointerConfig = CheckpointerConfig(),
    rank_info: RankInfo | None = None,
    commit_hook: WriterHook | None = None,
) -> SyncCheckpointer:
    """A SyncCheckpointer with the barrier that ``config`` names."""
    if rank_info is None:
        rank_info = _get_default_rank_info()
    writer = CheckpointWriter(
        config=config.writer_config,
        rank_info=rank_info,
        barrier=create_barrier_from_config(config.barrier_config),
        commit_hook=commit_hook,
    )
    return SyncCheckpointer(writer=writer, reader=CheckpointReader(rank_info=rank_info))


def make_async_checkpointer(
    config: CheckpointerConfig = CheckpointerConfig(),
    rank_info: RankInfo | None = None,
    subprocess_init_fn: Callable[..., None] = default_subprocess_init_fn,
    subprocess_init_args: tuple[Any, ...] = (),
    checkpoint_writer_init_fn: Callable[..., CheckpointWriter] = default_writer_init_fn,
    checkpoint_writer_init_args: dict[str, Any] | None = None,
) -> AsyncCheckpointer:
    """An AsyncCheckpointer. In its process, ``subprocess_init_fn`` is called first, then
    ``checkpoint_writer_init_fn``, with ``rank_info`` besides its arguments, for the writer; both must
    pickle. A barrier is the writer's: ``config.barrier_config`` is not used, as in torch."""
    if rank_info is None:
        rank_info = _get_default_rank_info()
    process = CheckpointProcess(
        rank_info=rank_info,
        config=config.process_config,
        subprocess_init_fn=subprocess_init_fn,
        subprocess_init_args=subprocess_init_args,
        checkpoint_writer_init_fn=checkpoint_writer_init_fn,
        checkpoint_writer_init_args=checkpoint_writer_init_args or {},
    )
    try:
        stager = DefaultStager(config=config.staging_config)
    except BaseException:
        process.close()
        raise
    return AsyncCheckpointer(
        checkpoint_stager=stager,
        checkpoint_process=process,
        reader=CheckpointReader(rank_info=rank_info),
    )
