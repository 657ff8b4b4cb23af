"""libdcp in a PyTorch job: ``import libdcp.torch as dcp`` in place of
``import torch.distributed.checkpoint as dcp``.

The names, arguments, defaults and errors are those of torch.distributed.checkpoint; the work is the
engine's. Import it by name: ``libdcp`` itself never imports torch.
"""

from __future__ import annotations

from ._requirement import check

check()

from . import (  # noqa: E402
    _async_process_executor,
    _async_thread_executor,
    _consolidate_hf_safetensors,
    _extension,
    _hf_utils,
    _pg_transport,
    logging_handlers,
)
from ._communicator import StoreCommunicator, communicator  # noqa: E402
from ._engine.log import set_progress  # noqa: E402
from .api import CheckpointException  # noqa: E402
from .default_planner import DefaultLoadPlanner, DefaultSavePlanner  # noqa: E402
from .filesystem import FileSystemReader, FileSystemWriter  # noqa: E402
from .fsspec_filesystem import FsspecReader, FsspecWriter  # noqa: E402
from .hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter  # noqa: E402
from .metadata import (  # noqa: E402
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    TensorStorageMetadata,
)
from .optimizer import load_sharded_optimizer_state_dict  # noqa: E402
from .planner import (  # noqa: E402
    LoadPlan,
    LoadPlanner,
    ReadItem,
    SavePlan,
    SavePlanner,
    WriteItem,
)
from .protocol import CheckpointableTensor  # noqa: E402
from .quantized_hf_storage import QuantizedHuggingFaceStorageReader  # noqa: E402
from .state_dict_loader import load, load_state_dict  # noqa: E402
from .state_dict_saver import async_save, save, save_state_dict  # noqa: E402
from .stateful import Stateful  # noqa: E402
from .storage import StorageReader, StorageWriter  # noqa: E402

__all__ = [
    "BytesStorageMetadata",
    "CheckpointException",
    "CheckpointableTensor",
    "ChunkStorageMetadata",
    "DefaultLoadPlanner",
    "DefaultSavePlanner",
    "FileSystemReader",
    "FileSystemWriter",
    "FsspecReader",
    "FsspecWriter",
    "HuggingFaceStorageReader",
    "HuggingFaceStorageWriter",
    "LoadPlan",
    "LoadPlanner",
    "Metadata",
    "QuantizedHuggingFaceStorageReader",
    "ReadItem",
    "SavePlan",
    "SavePlanner",
    "Stateful",
    "StorageReader",
    "StorageWriter",
    "StoreCommunicator",
    "TensorStorageMetadata",
    "WriteItem",
    "async_save",
    "communicator",
    "load",
    "load_sharded_optimizer_state_dict",
    "load_state_dict",
    "save",
    "save_state_dict",
    "set_progress",
]
