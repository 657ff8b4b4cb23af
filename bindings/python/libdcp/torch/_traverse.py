"""Nested state dicts: their leaves, and one of them by its path."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, MutableMapping
from typing import Any, TypeVar

import torch
from torch.distributed._shard.sharded_tensor.api import ShardedTensor
from torch.distributed.tensor import DTensor
from typing_extensions import TypeIs

from .metadata import STATE_DICT_TYPE

PATH_ITEM = str | int
OBJ_PATH = tuple[PATH_ITEM, ...]
T = TypeVar("T")

STATE_DICT_ITEM = object
CONTAINER_TYPE = MutableMapping[PATH_ITEM, STATE_DICT_ITEM]

__all__ = ["traverse_state_dict", "set_element", "get_element", "print_tensor"]

_Visitor = Callable[[OBJ_PATH, STATE_DICT_ITEM], None]
_Keeps = Callable[[STATE_DICT_ITEM], bool]


def _keep_visiting_tensors(value: STATE_DICT_ITEM) -> TypeIs[torch.Tensor]:
    return isinstance(value, torch.Tensor)


def traverse_state_dict(
    state_dict: STATE_DICT_TYPE,
    visitor: Callable[[OBJ_PATH, STATE_DICT_ITEM], None],
    keep_traversing: Callable[[STATE_DICT_ITEM], bool] = _keep_visiting_tensors,
) -> None:
    """Calls ``visitor(path, value)`` for the leaves of ``state_dict``. Every mapping is gone into;
    a list only when something in it, however deep in lists, is a mapping or is one that
    ``keep_traversing`` holds for. Tuples are leaves. Keys become strings, places in lists ints."""
    for key, value in state_dict.items():
        _visit((str(key),), value, visitor, keep_traversing)


def _visit(path: OBJ_PATH, value: Any, visitor: _Visitor, keeps: _Keeps) -> None:
    if isinstance(value, Mapping):
        for key, below in value.items():
            _visit((*path, str(key)), below, visitor, keeps)
    elif isinstance(value, list) and _holds(value, keeps):
        for number, below in enumerate(value):
            _visit((*path, number), below, visitor, keeps)
    else:
        visitor(path, value)


def _holds(values: list[Any], keeps: _Keeps) -> bool:
    return any(
        isinstance(entry, Mapping)
        or (isinstance(entry, list) and _holds(entry, keeps))
        or (keeps is not None and keeps(entry))
        for entry in values
    )


def traverse_state_dict_v_2_3(
    state_dict: STATE_DICT_TYPE,
    visitor: Callable[[OBJ_PATH, STATE_DICT_ITEM], None],
    keep_traversing: Callable[[STATE_DICT_ITEM], bool] = _keep_visiting_tensors,
) -> None:
    """By the rule before PyTorch 2.4: mappings, like lists, are leaves unless something in them, at
    any depth, is one that ``keep_traversing`` holds for."""
    for key, value in state_dict.items():
        _visit_v_2_3((str(key),), value, visitor, keep_traversing)


def _visit_v_2_3(path: OBJ_PATH, value: Any, visitor: _Visitor, keeps: _Keeps) -> None:
    below: Any
    if not _holds_v_2_3(value, keeps):
        visitor(path, value)
    elif isinstance(value, Mapping):
        for key, below in value.items():
            _visit_v_2_3((*path, str(key)), below, visitor, keeps)
    else:
        for number, below in enumerate(value):
            _visit_v_2_3((*path, number), below, visitor, keeps)


def _holds_v_2_3(value: Any, keeps: _Keeps) -> bool:
    entries: Collection[Any]
    if isinstance(value, Mapping):
        entries = value.values()
    elif isinstance(value, list):
        entries = value
    else:
        return False
    return any(
        _holds_v_2_3(entry, keeps) or (keeps is not None and keeps(entry)) for entry in entries
    )


def set_element(root_dict: STATE_DICT_TYPE, path: OBJ_PATH, value: STATE_DICT_ITEM) -> None:
    """Puts ``value`` where ``path`` leads. Containers on the way that are missing are made: a list
    where the next step is an int, a dict where it is a string; lists grow, filled with None."""
    container: Any = root_dict
    for step, following in zip(path, path[1:]):
        made: Any = {} if type(following) is str else []
        if isinstance(container, Mapping):
            container = container.setdefault(step, made)  # type: ignore[attr-defined]
            continue
        _grow(container, step)
        if container[step] is None:
            container[step] = made
        container = container[step]
    last = path[-1]
    if type(last) is int:
        _grow(container, last)
    container[last] = value


def _grow(values: list[Any], place: Any) -> None:
    if place >= len(values):
        values.extend([None] * (place + 1 - len(values)))


def get_element(
    root_dict: STATE_DICT_TYPE,
    path: OBJ_PATH,
    default_value: T | None = None,
) -> T | None:
    """What ``path`` leads to, ``default_value`` where there is nothing."""
    found: Any = root_dict
    for step in path:
        if type(step) is int:
            if not isinstance(found, list) or step >= len(found):
                return default_value
        elif not isinstance(found, Mapping) or step not in found:
            return default_value
        found = found[step]
    result: T | None = found
    return result


def _print_nested(
    value: STATE_DICT_ITEM,
    prefix: str = "",
    print_fun: Callable[[str], None] = print,
) -> None:
    parts: list[tuple[Any, str]] = []
    if type(value) is ShardedTensor:
        what = "ShardedTensor"
        parts = [(own.tensor, f"{own.metadata.shard_offsets} ") for own in value.local_shards()]
    elif type(value) is DTensor:
        what, parts = "DistributedTensor", [(value._local_tensor, "")]
    elif isinstance(value, torch.Tensor):
        what = "Tensor"
    else:
        print_fun(f"{prefix} Type: {type(value)}")
        return
    print_fun(f"{prefix} {what} size: {value.size()}")
    for part, place in parts:
        _print_nested(part, place, print_fun)


def print_tensor(
    path: OBJ_PATH,
    value: STATE_DICT_ITEM,
    print_fun: Callable[[str], None] = print,
) -> None:
    """A visitor for :func:`traverse_state_dict` that prints what it meets, by ``print_fun``."""
    _print_nested(value, prefix=str(path), print_fun=print_fun)
