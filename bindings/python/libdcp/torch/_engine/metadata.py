"""torch's Metadata and the bytes of a `.metadata` file, and the engine's Metadata.

The bytes are those of docs/format.md. Reading imports nothing that is not on the list below: what a
checkpoint names beyond it is an error, and none of its code runs.
"""

from __future__ import annotations

import copyreg
import importlib
import io
import pathlib
import pickle
import struct
import zlib
from typing import Any, Callable, Iterable, Mapping, Sequence

import torch
from torch.distributed.checkpoint.filesystem import _StorageInfo as StorageInfo
from torch.distributed.checkpoint.metadata import (
    _MEM_FORMAT_ENCODING,
    Metadata,
    StorageMeta,
    TensorProperties,
)
from torch.distributed.checkpoint.storage import WriteResult

from ..._collection import uncollected
from ..._errors import CorruptError, UnsupportedError
from ..._plan import Metadata as EngineMetadata
from .objects import VARIABLE, allowed

VERSION = "1.0.0"
METADATA = ".metadata"

_MAGIC = b"\x93DCPsum\n"
_TRAILER = struct.Struct("<8sIIQ")  # magic, version, CRC32 of what is before, its length


def storage_info(
    file: str, offset: int, length: int, descriptors: Sequence[str] | None = None
) -> StorageInfo:
    """Where an item lies, in the class that `.metadata` files name."""
    info = object.__new__(StorageInfo)
    info.relative_path = file
    info.offset = offset
    info.length = length
    info.transform_descriptors = list(descriptors) if descriptors else None
    return info


# ---- writing ----


def _reduced(cls: type, state: Any) -> tuple[Any, ...]:
    return copyreg.__newobj__, (cls,), state  # type: ignore[attr-defined]


def _reduce_info(info: Any) -> tuple[Any, ...]:
    return _reduced(StorageInfo, {k: v for k, v in info.__dict__.items() if v is not None})


def _reduce_storage_meta(meta: StorageMeta) -> tuple[Any, ...]:
    state = dict(meta.__dict__)
    if state.get("checkpoint_id") is not None:
        state["checkpoint_id"] = str(state["checkpoint_id"])
    return _reduced(StorageMeta, state)


_FORMATS = {
    torch.contiguous_format: _MEM_FORMAT_ENCODING.TORCH_CONTIGUOUS_FORMAT,
    torch.channels_last: _MEM_FORMAT_ENCODING.TORCH_CHANNELS_LAST,
    torch.preserve_format: _MEM_FORMAT_ENCODING.TORCH_PRESERVE_FORMAT,
}


def _reduce_properties(properties: TensorProperties) -> tuple[Any, ...]:
    """The five fields that every version of torch reads."""
    return _reduced(
        TensorProperties,
        (
            properties.dtype,
            properties.layout,
            properties.requires_grad,
            _FORMATS[properties.memory_format],
            properties.pin_memory,
        ),
    )


def _reduce_metadata(metadata: Metadata) -> tuple[Any, ...]:
    return _reduced(Metadata, {**metadata.__dict__, "_libdcp": {"trailer": 1}})


_INFO_ONLY: dict[type, Callable[[Any], Any]] = {StorageInfo: _reduce_info}
_ALL: dict[type, Callable[[Any], Any]] = {
    **_INFO_ONLY,
    StorageMeta: _reduce_storage_meta,
    TensorProperties: _reduce_properties,
    Metadata: _reduce_metadata,
}


def _pickled(value: Any, table: Mapping[type, Callable[[Any], Any]], protocol: int) -> bytes:
    out = io.BytesIO()
    pickler = pickle.Pickler(out, protocol)
    pickler.dispatch_table = {**copyreg.dispatch_table, **table}
    with uncollected():
        pickler.dump(value)
    return out.getvalue()


def pack(value: Any) -> bytes:
    """Plans, results and metadata on their way to another rank of the job."""
    return _pickled(value, _INFO_ONLY, pickle.HIGHEST_PROTOCOL)


def unpack(data: Any) -> Any:
    """What ``pack`` packed. Of ranks of this job only: it runs what the bytes name, as torch's own
    collectives of objects do."""
    with uncollected():
        return pickle.loads(data)


def encode(metadata: Metadata) -> bytes:
    """The bytes of a `.metadata` file, which torch 2.4 and later read; with the checksum of itself
    where ``metadata`` is of torch's own class."""
    data = _pickled(metadata, _ALL, 4)
    if type(metadata) is not Metadata:
        return data
    return data + _TRAILER.pack(_MAGIC, 1, zlib.crc32(data), len(data))


def to_engine(metadata: Metadata) -> EngineMetadata:
    """The engine's view of it. CorruptError or UnsupportedError for what is no checkpoint's."""
    return EngineMetadata.decode(encode(metadata))


# ---- reading ----

_CLASSES: dict[str, Iterable[str]] = {
    "torch.distributed.checkpoint.metadata": (
        "Metadata",
        "MetadataIndex",
        "TensorStorageMetadata",
        "BytesStorageMetadata",
        "ChunkStorageMetadata",
        "TensorProperties",
        "StorageMeta",
        "_MEM_FORMAT_ENCODING",
    ),
    "torch.distributed.checkpoint.filesystem": ("_StorageInfo",),
    "torch.distributed._shard.sharded_tensor.metadata": ("TensorProperties", "MEM_FORMAT_ENCODING"),
    "torch": ("Size", "device"),
    "torch.serialization": ("_get_layout",),
    "collections": ("OrderedDict", "defaultdict", "deque", "Counter"),
    "pathlib": (
        "Path",
        "PurePath",
        "PosixPath",
        "PurePosixPath",
        "WindowsPath",
        "PureWindowsPath",
    ),
    "pathlib._local": ("Path", "PurePath", "PosixPath", "PurePosixPath"),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "builtins": (
        "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list",
        "range", "set", "slice", "str", "tuple",
    ),
    "_codecs": ("encode",),
}  # fmt: skip


def _found(module: str, name: str) -> Any:
    if module == "__builtin__":
        module = "builtins"
    if name in _CLASSES.get(module, ()):
        if module == "pathlib._local" and name not in vars(pathlib):
            module = "pathlib"
        if "Windows" in name:
            return pathlib.PureWindowsPath
        if module.startswith("pathlib"):
            return getattr(pathlib, name)
        return getattr(importlib.import_module(module), name)
    if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
        return found
    for safe in torch.serialization.get_safe_globals():
        known, path = safe if isinstance(safe, tuple) else (safe, None)
        path = path or f"{known.__module__}.{known.__qualname__}"
        if path == f"{module}.{name}":
            return known
    return None


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _found(module, name)
        if found is None and allowed(None):
            return super().find_class(module, name)
        if found is None:
            raise UnsupportedError(
                f"the metadata names '{module}.{name}', which is not loaded: if you trust the "
                "checkpoint, allow it by torch.serialization.add_safe_globals, or set "
                f"{VARIABLE}=1",
                details={"global": f"{module}.{name}"},
            )
        return found

    def persistent_load(self, pid: Any) -> Any:
        raise CorruptError("the metadata refers to something outside of itself")


def decode(data: Any, name: str = METADATA) -> Metadata:
    """From the bytes of a `.metadata` file of any torch. CorruptError for damage; UnsupportedError
    for a class that is neither the format's nor among torch's safe globals, unless the environment
    allows all objects."""
    data = bytes(data)
    if len(data) >= _TRAILER.size:
        magic, version, checksum, length = _TRAILER.unpack(data[-_TRAILER.size :])
        if magic == _MAGIC and version == 1:
            data = data[: -_TRAILER.size]
            if length != len(data) or checksum != zlib.crc32(data):
                raise CorruptError(f"{name} is damaged: its checksum differs", details={"file": name})
    try:
        with uncollected():
            metadata = _Unpickler(io.BytesIO(data)).load()
    except (UnsupportedError, MemoryError):
        raise
    except Exception as error:
        raise CorruptError(
            f"{name} cannot be read: {type(error).__name__}: {error}", details={"file": name}
        ) from error
    if not isinstance(metadata, Metadata):
        raise CorruptError(
            f"{name} holds a {type(metadata).__name__}, not a checkpoint's metadata",
            details={"file": name},
        )
    vars(metadata).pop("_libdcp", None)
    return metadata


def from_engine(metadata: EngineMetadata) -> Metadata:
    """The engine's metadata as torch's objects."""
    return decode(metadata.encode())


def located(metadata: Metadata, results: Iterable[Iterable[WriteResult]]) -> None:
    """Writes into ``metadata`` where all ranks' items lie, and the format's version."""
    metadata.version = VERSION
    metadata.storage_data = {
        result.index: result.storage_data for written in results for result in written
    }
