"""Which calls need no Python per item: the default planners with the library's own storages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed.checkpoint as stock
from torch.distributed.checkpoint.api import CheckpointException

from ..default_planner import DefaultLoadPlanner, DefaultSavePlanner
from .storage_roles import EngineStorageReader, EngineStorageWriter

_WRITER_ROLES = (
    "storage_meta",
    "set_up_storage_writer",
    "prepare_local_plan",
    "prepare_global_plan",
    "write_data",
    "finish",
)
_READER_ROLES = (
    "read_metadata",
    "set_up_storage_reader",
    "prepare_local_plan",
    "prepare_global_plan",
    "read_data",
)
_SAVE_PLANNERS = (DefaultSavePlanner, stock.DefaultSavePlanner)
_LOAD_PLANNERS = (DefaultLoadPlanner, stock.DefaultLoadPlanner)


def is_default_save_planner(planner: Any) -> bool:
    """Of the very class: what derives from it may do anything."""
    return planner is None or (type(planner) in _SAVE_PLANNERS and _unpatched(planner))


def is_default_load_planner(planner: Any) -> bool:
    return planner is None or (type(planner) in _LOAD_PLANNERS and _unpatched(planner))


def _unpatched(planner: Any) -> bool:
    return not any(callable(value) for value in vars(planner).values())


def is_own_writer(writer: Any) -> bool:
    """Of the library, and with the roles it was given there."""
    return isinstance(writer, EngineStorageWriter) and _has_roles(
        writer, EngineStorageWriter, _WRITER_ROLES
    )


def is_own_reader(reader: Any) -> bool:
    return isinstance(reader, EngineStorageReader) and _has_roles(
        reader, EngineStorageReader, _READER_ROLES
    )


def _has_roles(storage: Any, base: type, roles: tuple[str, ...]) -> bool:
    own, kind = vars(storage), type(storage)
    return all(name not in own and getattr(kind, name) is getattr(base, name) for name in roles)


# What the engine says of tensors that it leaves to torch, and of objects where tensors are wanted.
_FOR_TORCH = ("a quantized tensor cannot be stored", "has no memory of its own")
_REPLACES_TENSOR = "expected TensorStorageMetadata but found BytesStorageMetadata"


def is_for_torch(error: CheckpointException) -> bool:
    """Whether a call failed for tensors alone that only torch can write and read: quantized ones, and
    those of classes with memory of another kind. All ranks are told the same, and decide alike."""
    return _all_say(error, _FOR_TORCH)


def holds_tensors_for_torch(value: Any) -> bool:
    """Whether there are quantized tensors in mappings and lists."""
    if isinstance(value, torch.Tensor):
        return bool(value.is_quantized)
    if isinstance(value, Mapping):
        return any(map(holds_tensors_for_torch, value.values()))
    return isinstance(value, list) and any(map(holds_tensors_for_torch, value))


def replaces_tensor(error: CheckpointException) -> bool:
    """Whether a load failed for objects alone that are to stand where the state dict has tensors,
    which upstream allows."""
    return _all_say(error, (_REPLACES_TENSOR,))


def _all_say(error: CheckpointException, texts: tuple[str, ...]) -> bool:
    said = [str(failure) for failure, _ in error.failures.values()]
    return bool(said) and all(any(text in one for text in texts) for one in said)
