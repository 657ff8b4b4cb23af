"""Rank-local checkpoints, one file a rank, under the names of
``torch.distributed.checkpoint._experimental``."""

from .barriers import (
    Barrier,
    BarrierConfig,
    TCPStoreBarrier,
    create_barrier_from_config,
)
from .builder import make_async_checkpointer, make_sync_checkpointer
from .checkpoint_reader import CheckpointReader
from .checkpoint_writer import CheckpointWriter, CheckpointWriterConfig, WriterHook
from .checkpointer import AsyncCheckpointer, Checkpointer, SyncCheckpointer
from .config import CheckpointerConfig
from .staging import CheckpointStager, CheckpointStagerConfig, DefaultStager
from .types import STATE_DICT, RankInfo
from .utils import wrap_future

__all__ = [
    "Barrier",
    "TCPStoreBarrier",
    "CheckpointReader",
    "CheckpointWriter",
    "CheckpointWriterConfig",
    "WriterHook",
    "Checkpointer",
    "SyncCheckpointer",
    "AsyncCheckpointer",
    "CheckpointerConfig",
    "BarrierConfig",
    "create_barrier_from_config",
    "CheckpointStager",
    "CheckpointStagerConfig",
    "DefaultStager",
    "RankInfo",
    "STATE_DICT",
    "wrap_future",
    "make_sync_checkpointer",
    "make_async_checkpointer",
]
