"""Loading state dicts."""

from __future__ import annotations

import os
from typing import Any

import torch.distributed as dist
from typing_extensions import deprecated

from ._engine import loading
from ._engine.fast import is_own_reader
from ._engine.groups import group_of
from ._engine.state import stateful_keys
from ._storage_utils import _storage_setup
from .default_planner import _EmptyStateDictLoadPlanner
from .logger import _dcp_method_logger
from .planner import LoadPlanner
from .state_dict_saver import _warn_if_alone
from .storage import StorageReader
from .utils import _api_bc_check, _profile

__all__ = ["load_state_dict", "load"]


@deprecated(
    "`load_state_dict` is deprecated and will be removed in future versions. "
    "Please use `load` instead.",
    category=FutureWarning,
)
def load_state_dict(
    state_dict: dict[str, Any],
    storage_reader: StorageReader,
    process_group: dist.ProcessGroup | None = None,
    coordinator_rank: int = 0,
    no_dist: bool = False,
    planner: LoadPlanner | None = None,
) -> None:
    """The older name of :func:`load`, without what that does for Stateful objects."""
    storage_reader.reset()
    with _profile():
        _load_state_dict(
            state_dict, storage_reader, process_group, coordinator_rank, no_dist, planner
        )


@_dcp_method_logger(log_exceptions=True)
@_api_bc_check
def load(
    state_dict: dict[str, Any],
    *,
    checkpoint_id: str | os.PathLike[str] | None = None,
    storage_reader: StorageReader | None = None,
    planner: LoadPlanner | None = None,
    process_group: dist.ProcessGroup | None = None,
    no_dist: bool = False,
    allow_objects: bool | None = None,
) -> None:
    """Loads into a state dict that the ranks of a process group share: tensors in place, whatever
    their placements were when they were saved; other values are set in their containers. Every rank
    calls it, with the same keys; a failure on any is CheckpointException on all.

    state_dict: Stateful objects are asked for their ``state_dict()``, which is loaded into and given
        to their ``load_state_dict()``.
    checkpoint_id: where: a path, or a URL that fsspec knows.
    storage_reader: reads it; one is chosen for ``checkpoint_id`` if not given.
    planner: decides what is read and where it goes; DefaultLoadPlanner if not given.
    process_group: who loads together; all ranks if not given. Rank 0 of it coordinates.
    no_dist: this process loads alone. So it does where torch.distributed is not initialized.
    allow_objects: build objects of any class, which runs code that the checkpoint names. False, and
        None without LIBDCP_ALLOW_OBJECTS=1 in the environment: of torch's safe globals, the standard
        library's and numpy's data only; others are an error once everything else is loaded.
    """
    _warn_if_alone(no_dist, "load")
    with _profile():
        storage_reader = _storage_setup(storage_reader, checkpoint_id, reader=True)
        said = dict(state_dict)
        # In one order on all ranks: state_dict() and load_state_dict() may be collective.
        stateful = sorted(stateful_keys(state_dict))
        for key in stateful:
            said[key] = state_dict[key].state_dict()
        try:
            _load_state_dict(
                said,
                storage_reader,
                process_group,
                no_dist=no_dist,
                planner=planner,
                allow_objects=allow_objects,
            )
        except BaseException:
            for key in stateful:
                said.pop(key, None)
            _put_back(state_dict, said)
            raise
        for key in stateful:
            if key in state_dict:  # one that was loaded may have removed another
                state_dict[key].load_state_dict(said.pop(key))
        _put_back(state_dict, said)


def _put_back(state_dict: dict[str, Any], said: dict[str, Any]) -> None:
    """What was loaded, where it is another object than before."""
    for key, value in said.items():
        if key in state_dict and state_dict[key] is not value:
            state_dict[key] = value


def _load_state_dict(
    state_dict: dict[str, Any],
    storage_reader: StorageReader,
    process_group: dist.ProcessGroup | None = None,
    coordinator_rank: int = 0,
    no_dist: bool = False,
    planner: LoadPlanner | None = None,
    allow_objects: bool | None = None,
) -> None:
    call = _call(
        storage_reader, planner, process_group, coordinator_rank, no_dist, allow_objects
    )
    if type(planner) is _EmptyStateDictLoadPlanner and is_own_reader(storage_reader):
        if state_dict:
            raise AssertionError("this planner makes the state dict: give an empty one")
        state_dict.update(_whole(call, planner.keys))
        return
    loading.load(state_dict, call)


def _call(
    reader: StorageReader,
    planner: LoadPlanner | None,
    process_group: Any,
    coordinator_rank: int,
    no_dist: bool,
    allow_objects: bool | None,
) -> loading.Call:
    group = group_of(process_group, no_dist)
    communicator = None if group is None else group.communicator()
    coordinator = 0 if group is None else coordinator_rank
    return loading.Call(reader, planner, communicator, coordinator, allow_objects, group)


def _whole(call: loading.Call, keys: Any) -> dict[str, Any]:
    if isinstance(keys, str):
        keys = {keys}
    return loading.whole(call._replace(planner=None), None if keys is None else set(keys))


def _load_state_dict_from_keys(
    keys: set[str] | str | None = None,
    *,
    checkpoint_id: str | os.PathLike[str] | None = None,
    storage_reader: StorageReader | None = None,
    process_group: dist.ProcessGroup | None = None,
) -> dict[str, Any]:
    """The entries that ``keys`` name, and those below them ("model" takes "model.weight"), in a new
    state dict; the whole checkpoint if none are given. Whole tensors, on every rank."""
    _warn_if_alone(False, "load", 3)
    storage_reader = _storage_setup(storage_reader, checkpoint_id, reader=True)
    if isinstance(keys, str):
        keys = {keys}
    state_dict: dict[str, Any] = {}
    _load_state_dict(
        state_dict,
        storage_reader,
        process_group,
        planner=_EmptyStateDictLoadPlanner(keys=keys),
    )
    return state_dict
