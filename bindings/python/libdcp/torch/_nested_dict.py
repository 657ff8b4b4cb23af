"""Nested state dicts as flat ones, and back."""

from __future__ import annotations

from . import _version
from ._traverse import (
    OBJ_PATH,
    STATE_DICT_ITEM,
    set_element,
    traverse_state_dict,
    traverse_state_dict_v_2_3,
)
from .metadata import STATE_DICT_TYPE

FLATTEN_MAPPING = dict[str, OBJ_PATH]


def flatten_state_dict(state_dict: STATE_DICT_TYPE) -> tuple[STATE_DICT_TYPE, FLATTEN_MAPPING]:
    """The leaves by name, and each name's path: ``{"a": {"b": 1}}`` gives ``{"a.b": 1}`` and
    ``{"a.b": ("a", "b")}``. ValueError where two paths give one name."""
    return flatten_by_rule(state_dict, before_2_4=_version._derived_version == "2_3")


def flatten_by_rule(
    state_dict: STATE_DICT_TYPE, *, before_2_4: bool
) -> tuple[STATE_DICT_TYPE, FLATTEN_MAPPING]:
    """flatten_state_dict by the rule of that time, whatever ``_version`` says."""
    flattened: STATE_DICT_TYPE = {}
    mappings: FLATTEN_MAPPING = {}

    def keep(path: OBJ_PATH, value: STATE_DICT_ITEM) -> None:
        name = ".".join(map(str, path))
        if name in mappings:
            raise ValueError(f"duplicated flatten key {name}")
        flattened[name] = value
        mappings[name] = path

    traverse = traverse_state_dict_v_2_3 if before_2_4 else traverse_state_dict
    traverse(state_dict, keep)
    return flattened, mappings


def unflatten_state_dict(state_dict: STATE_DICT_TYPE, mapping: FLATTEN_MAPPING) -> STATE_DICT_TYPE:
    """The nested state dict of a flat one and its paths."""
    nested: STATE_DICT_TYPE = {}
    for name, value in state_dict.items():
        set_element(nested, mapping[name], value)
    return nested
