"""libdcp: checkpoints in the format of torch.distributed.checkpoint, without torch.

    import libdcp

    libdcp.save({"model": {"weight": array}, "step": 7}, "ckpt/step_7")
    tree = libdcp.load("ckpt/step_7")
    report = libdcp.load_into(tree, "ckpt/step_7")
    with libdcp.open("ckpt/step_7") as checkpoint:
        rows = checkpoint["model.weight"][100:200]
"""

from . import dcp_raw as _raw
from . import _convert

_convert.configure()

from ._barrier import (  # noqa: E402
    Barrier,
    BarrierConfig,
    CommunicatorBarrier,
    NativeBarrier,
    create_barrier_from_config,
    register_barrier,
)
from ._checkpoint import (  # noqa: E402
    Checkpoint,
    Chunk,
    Entry,
    copy_checkpoint as copy,
    open_checkpoint as open,
    verify_checkpoint as verify,
)
from ._communicator import Communicator, NativeCommunicator, local_communicators  # noqa: E402
from ._context import Context  # noqa: E402
from ._errors import (  # noqa: E402
    AlreadyExistsError,
    CallbackError,
    CancelledError,
    CheckpointException,
    CorruptError,
    Error,
    ForkedError,
    InternalError,
    InvalidArgumentError,
    IoError,
    LimitError,
    MismatchError,
    NoSuchEntryError,
    NotFoundError,
    OutcomeUnknownError,
    OutOfMemoryError,
    RankFailedError,
    RankFailure,
    ReplacedError,
    StateMismatchError,
    TimeoutError,
    UnsupportedError,
    missing_ranks,
)
from ._future import Future  # noqa: E402
from ._key_value import KeyValueStore, store_communicator  # noqa: E402
from ._load import load, load_into  # noqa: E402
from ._plan import (  # noqa: E402
    LoadPlan,
    LoadPlans,
    Metadata,
    MetadataEntry,
    ReadItem,
    SavePlan,
    SavePlans,
    WriteItem,
)
from ._plan_cache import PlanCache  # noqa: E402
from ._planner import LoadPlanner, SavePlanner  # noqa: E402
from ._progress import ProgressEvent, progress_bar  # noqa: E402
from ._rank_local import (  # noqa: E402
    AsyncCheckpointer,
    Checkpointer,
    CheckpointerConfig,
    CheckpointWriterConfig,
    CommitHook,
    RankInfo,
    RankReader,
    RankWriter,
    make_async_checkpointer,
    make_sync_checkpointer,
)
from ._report import Damage, LoadReport, SaveReport, VerifyReport  # noqa: E402
from ._save import async_save, save  # noqa: E402
from ._storage import FileStorage, MemoryStorage, Storage  # noqa: E402
from ._torch_barriers import DistBarrier, TCPStoreBarrier  # noqa: E402
from ._storage_roles import (  # noqa: E402
    ReadRequest,
    StorageReader,
    StorageWriter,
    WriteRequest,
)
from ._transform import Transform  # noqa: E402
from ._types import (  # noqa: E402
    Constructed,
    Device,
    DType,
    Layout,
    MemoryFormat,
    Opaque,
    RawArray,
    Sharded,
    Size,
)

__version__: str = _raw.dcp_version_string()


def build_info() -> str:
    """What the library was built with, one "name: state" a line."""
    return str(_raw.dcp_build_info())


__all__ = [
    "AlreadyExistsError",
    "AsyncCheckpointer",
    "Barrier",
    "BarrierConfig",
    "CallbackError",
    "CancelledError",
    "Checkpoint",
    "CheckpointWriterConfig",
    "Checkpointer",
    "CheckpointerConfig",
    "CheckpointException",
    "Chunk",
    "CommitHook",
    "Communicator",
    "CommunicatorBarrier",
    "Constructed",
    "Context",
    "CorruptError",
    "DType",
    "Damage",
    "Device",
    "DistBarrier",
    "Entry",
    "Error",
    "FileStorage",
    "ForkedError",
    "Future",
    "InternalError",
    "InvalidArgumentError",
    "IoError",
    "KeyValueStore",
    "Layout",
    "LimitError",
    "LoadPlan",
    "LoadPlanner",
    "LoadPlans",
    "LoadReport",
    "MemoryFormat",
    "MemoryStorage",
    "Metadata",
    "MetadataEntry",
    "MismatchError",
    "NativeBarrier",
    "NativeCommunicator",
    "NoSuchEntryError",
    "NotFoundError",
    "Opaque",
    "OutOfMemoryError",
    "OutcomeUnknownError",
    "PlanCache",
    "ProgressEvent",
    "RankFailedError",
    "RankFailure",
    "RankInfo",
    "RankReader",
    "RankWriter",
    "RawArray",
    "ReadItem",
    "ReadRequest",
    "ReplacedError",
    "SavePlan",
    "SavePlanner",
    "SavePlans",
    "SaveReport",
    "Sharded",
    "Size",
    "StateMismatchError",
    "Storage",
    "TCPStoreBarrier",
    "StorageReader",
    "StorageWriter",
    "TimeoutError",
    "Transform",
    "UnsupportedError",
    "VerifyReport",
    "WriteItem",
    "WriteRequest",
    "async_save",
    "build_info",
    "copy",
    "create_barrier_from_config",
    "load",
    "load_into",
    "local_communicators",
    "make_async_checkpointer",
    "make_sync_checkpointer",
    "missing_ranks",
    "open",
    "progress_bar",
    "register_barrier",
    "save",
    "store_communicator",
    "verify",
]
