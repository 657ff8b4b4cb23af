"""The configuration of a checkpointer's parts."""

from torch.distributed.checkpoint._experimental.config import CheckpointerConfig

from .barriers import BarrierConfig
from .checkpoint_process import CheckpointProcessConfig
from .checkpoint_writer import CheckpointWriterConfig
from .staging import CheckpointStagerConfig

__all__ = [
    "BarrierConfig",
    "CheckpointProcessConfig",
    "CheckpointStagerConfig",
    "CheckpointWriterConfig",
    "CheckpointerConfig",
]
