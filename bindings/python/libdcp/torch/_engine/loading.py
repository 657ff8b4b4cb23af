"""Loads straight from the engine into the state dict."""

from __future__ import annotations

from typing import Any, Iterable, NamedTuple

import torch
from torch.distributed.checkpoint.api import CheckpointException

from ... import _load as engine
from ..._checkpoint import Checkpoint
from ..._communicator import Communicator
from ..default_planner import DefaultLoadPlanner
from . import storage_bridge
from .failures import RoleFailure, as_checkpoint_exception
from .fast import is_default_load_planner, is_for_torch, is_own_reader, replaces_tensor
from .groups import Group, alone, timeout
from .log import Operation, logger
from .objects import ObjectNotLoadedError, loaded
from .state import Prepared, Unsaid, copy_back, set_value, targets


class Call(NamedTuple):
    """What a load is told. ``communicator`` None: this rank is alone."""

    reader: Any
    planner: Any
    communicator: Communicator | None
    coordinator: int
    allow_objects: bool | None
    group: Group | None

    @property
    def rank(self) -> int:
        return 0 if self.communicator is None else self.communicator.rank

    def is_direct(self) -> bool:
        return is_own_reader(self.reader) and is_default_load_planner(self.planner)


def load(state_dict: dict[str, Any], call: Call) -> None:
    """Fills the tensors and sets the other values, in the nested containers themselves.
    ``state_dict``: Stateful objects said theirs already."""
    operation = Operation("load", getattr(call.reader, "checkpoint_id", None), call.rank)
    try:
        size, items = _direct(state_dict, call, operation) if call.is_direct() else (None, 0)
        if size is None:
            _bridged(state_dict, call)
        operation.succeeded(size or 0, items)
    except BaseException as error:
        operation.failed(error)
        raise


def _bridged(state_dict: dict[str, Any], call: Call) -> None:
    planner = call.planner if call.planner is not None else DefaultLoadPlanner()
    if isinstance(planner, DefaultLoadPlanner):
        planner._allow_objects = call.allow_objects
    storage_bridge.load(
        state_dict,
        call.reader,
        planner,
        communicator=call.communicator or alone(),
        coordinator=call.coordinator,
        timeout=timeout(),
    )


def _direct(
    state_dict: dict[str, Any], call: Call, operation: Operation
) -> tuple[int | None, int]:
    """(bytes, items); None where a planner in Python is to decide."""
    flatten = getattr(call.planner, "flatten_state_dict", True)
    try:
        prepared = targets(state_dict, flatten=flatten)
    except Exception as error:
        prepared = Prepared(Unsaid(RoleFailure(error)), [], 0)  # type: ignore[arg-type]
    options = {"verify": True, "transforms": (), **call.reader._load_options()}
    try:
        with as_checkpoint_exception(call.rank, "read"):
            report, objects, _ = engine.load_state(
                prepared.tree,
                call.reader._where(),
                partial=getattr(call.planner, "allow_partial_load", False),
                cast=True,
                flatten=flatten,
                timeout=timeout(),
                communicator=call.communicator or alone(),
                coordinator=call.coordinator,
                planner=None,
                storage_reader=None,
                checkpoint_id=None,
                progress=None,
                context=operation.context(),
                **options,
            )
    except CheckpointException as error:
        if not replaces_tensor(error) and not is_for_torch(error):
            raise
        first = next(iter(error.failures.values()))[0]
        logger.warning("this load is planned in Python, as the engine leaves it to torch: %s", first)
        return None, 0
    copy_back(prepared)
    _set_objects(state_dict, objects, flatten, call, options)
    return report.bytes_read, len(report.loaded)


def _set_objects(
    state_dict: dict[str, Any],
    objects: Iterable[tuple[str, tuple[str | int, ...], Any]],
    flatten: bool,
    call: Call,
    options: dict[str, Any],
) -> None:
    """All that may be built; then, on all ranks, what may not is the error."""
    refused: ObjectNotLoadedError | None = None
    broken: Exception | None = None
    with _Stored(call.reader._where(), options) as stored:
        for name, path, value in objects:
            try:
                built = loaded(name, value, lambda: stored.item(name), call.allow_objects)
            except ObjectNotLoadedError as error:
                refused = refused or error
                continue
            except Exception as error:
                broken = broken or error
                continue
            set_value(state_dict, path if flatten else (name,), built)
    _agree(call, broken or refused)


def _agree(call: Call, error: Exception | None) -> None:
    failures: dict[int, Any] = {}
    if error is not None:
        from torch.distributed.checkpoint.api import _wrap_exception

        failures[call.rank] = _wrap_exception(error)
    if call.communicator is not None and call.communicator.world_size > 1:
        from .metadata import pack, unpack

        told = pack(failures) if failures else b""
        for rank, heard in enumerate(call.communicator.all_gather(told, timeout())):
            if heard and rank != call.rank:
                failures.update(unpack(heard))
    if failures:
        raise CheckpointException("read", dict(sorted(failures.items()))) from error


class _Stored:
    """The stored bytes of objects; opens the checkpoint when the first is asked for."""

    def __init__(self, where: Any, options: dict[str, Any]) -> None:
        self._where = where
        self._options = options
        self._checkpoint: Checkpoint | None = None

    def __enter__(self) -> "_Stored":
        return self

    def __exit__(self, *_: Any) -> None:
        if self._checkpoint is not None:
            self._checkpoint.close()

    def item(self, name: str) -> bytes:
        if self._checkpoint is None:
            self._checkpoint = Checkpoint(
                self._where, verify=self._options["verify"], transforms=self._options["transforms"]
            )
        return self._checkpoint[name].item_bytes()


# ---- without a template ----


Path = tuple[str | int, ...]


def _places(keys: set[str] | None, reader: Any) -> tuple[dict[str, Any], dict[str, Path]]:
    """A place for every entry of the checkpoint, or for those named by ``keys`` and those below them:
    empty tensors, and None for objects; and where they belong in the nested state dict."""
    options = {"verify": True, "transforms": (), **reader._load_options()}
    places: dict[str, Any] = {}
    paths: dict[str, Path] = {}
    with Checkpoint(reader._where(), **options) as checkpoint:
        for name in checkpoint:
            entry = checkpoint[name]
            path = entry.path or (name,)
            if keys is not None and name not in keys and not _is_below(path, keys):
                continue
            paths[name] = path
            places[name] = (
                torch.empty(entry.shape, dtype=_dtype(name, entry.dtype_name))
                if entry.is_tensor
                else None
            )
    return places, paths


def _is_below(path: Path, keys: set[str]) -> bool:
    above = ""
    for count, step in enumerate(path):
        above = f"{above}.{step}" if count else str(step)
        if above in keys:
            return True
    return False


def _dtype(name: str, dtype_name: str | None) -> torch.dtype:
    found = getattr(torch, str(dtype_name).removeprefix("torch."), None)
    if not isinstance(found, torch.dtype):
        raise TypeError(f"'{name}' has dtype {dtype_name}, which this version of torch lacks")
    return found


def whole(call: Call, keys: set[str] | None) -> dict[str, Any]:
    """The checkpoint, or the part that ``keys`` name, in a new nested state dict."""
    with as_checkpoint_exception(call.rank, "plan"):
        places, paths = _places(keys, call.reader)
    load(places, call)  # by their flat names
    state_dict: dict[str, Any] = {}
    for name, path in paths.items():
        set_value(state_dict, path, places[name])
    return state_dict
