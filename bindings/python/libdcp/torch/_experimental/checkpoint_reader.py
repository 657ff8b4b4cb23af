"""Reading a rank's file."""

from __future__ import annotations

import collections
import logging
import os
from itertools import zip_longest
from typing import Any

import torch

from ..._errors import UnsupportedError
from ..._rank_local import RankReader
from ._values import NotPlain, to_torch
from .types import STATE_DICT, RankInfo

logger = logging.getLogger("libdcp.torch")

_LOGGED_KEYS = 10


class CheckpointReader:
    """Reads what a CheckpointWriter of either library wrote."""

    def __init__(
        self,
        rank_info: RankInfo,
    ):
        self._rank_info = rank_info

    def read(
        self,
        path: str,
        state_dict: STATE_DICT | None = None,
        *,
        map_location: Any = None,
        **kwargs: dict[str, Any],
    ) -> tuple[STATE_DICT, list[str]]:
        """(state, missing keys). Without ``state_dict`` the whole file. Else only what that has: its
        tensors are filled in place, None takes what is there, other values are set, and what the
        file lacks stays as it was.

        map_location: where tensors go that are not filled in place, as for torch.load; the CPU if not
            given.

        FileNotFoundError without a file; RuntimeError for a value of another type, or a tensor of
        another size or dtype.
        """
        rank = self._rank_info.global_rank
        file = os.path.join(path, f"checkpoint_{rank}.pt")
        if not os.path.exists(file):
            raise FileNotFoundError(f"Checkpoint file not found at {file}")
        if map_location is not None and not isinstance(map_location, (str, torch.device, int)):
            return self._read_pickled(file, state_dict, map_location)
        reader = RankReader(rank, self._rank_info.global_world_size)
        template = None if state_dict is None else _template(state_dict)
        try:
            state, missing = reader.read(os.fspath(path), template)
            state = to_torch(state, map_location)
        except (TypeError, UnsupportedError, NotPlain):  # there is what has no plain form
            return self._read_pickled(file, state_dict, map_location)
        if state_dict is not None:
            state = _filled(state_dict, state, "", [])
        _log_missing(missing)
        return state, missing

    def _read_pickled(
        self, file: str, state_dict: STATE_DICT | None, map_location: Any
    ) -> tuple[STATE_DICT, list[str]]:
        """Objects that torch.load allows, and the engine does not know."""
        state = torch.load(file, map_location=map_location)
        if state_dict is None:
            return state, []
        missing: list[str] = []
        state = _filled(state_dict, state, "", missing)
        _log_missing(missing)
        return state, missing


def _log_missing(missing: list[str]) -> None:
    if missing:
        more = len(missing) - _LOGGED_KEYS
        logger.warning(
            "Missing %d keys from checkpoint: %s%s",
            len(missing),
            missing[:_LOGGED_KEYS],
            f" and {more} more" if more > 0 else "",
        )


def _engine_fills(target: torch.Tensor) -> bool:
    return (
        type(target) in (torch.Tensor, torch.nn.Parameter)
        and target.device.type == "cpu"
        and target.layout is torch.strided
        and not (target.is_quantized or target.is_conj() or target.is_neg())
    )


def _template(target: Any) -> Any:
    """The same with None for tensors that the engine cannot fill."""
    if isinstance(target, torch.Tensor):
        return target.detach() if _engine_fills(target) else None
    if isinstance(target, dict):
        kind = collections.OrderedDict if isinstance(target, collections.OrderedDict) else dict
        return kind((key, _template(value)) for key, value in target.items())
    if isinstance(target, list):
        return [_template(value) for value in target]
    return target


@torch.no_grad()
def _filled(target: Any, read: Any, key: str, missing: list[str]) -> Any:
    """The target with what was read put in; keys that were not read stay."""
    if isinstance(target, torch.Tensor):
        if read is None and not _engine_fills(target):  # the file lacks it
            return target
        if not isinstance(read, torch.Tensor):
            raise _mismatch(target, read, key)
        if target.size() != read.size() or target.dtype != read.dtype:
            raise RuntimeError(
                f"Target tensor size={target.size()} dtype={target.dtype} does not match "
                f"source tensor size={read.size()} dtype={read.dtype} for key {key}"
            )
        if target.device != read.device or target.data_ptr() != read.data_ptr():
            target.copy_(read)
        return target
    if target is None:
        return read
    if not isinstance(target, type(read)):
        raise _mismatch(target, read, key)
    if isinstance(target, dict):
        for name in list(target):
            inner = f"{key}.{name}" if key else str(name)
            if name in read:
                target[name] = _filled(target[name], read[name], inner, missing)
            else:
                missing.append(inner)
        return target
    if isinstance(target, list):
        return [
            _filled(old, new, f"{key}[{i}]", missing)
            for i, (old, new) in enumerate(zip_longest(target, read))
        ]
    return read


def _mismatch(target: Any, read: Any, key: str) -> RuntimeError:
    return RuntimeError(
        f"Target value {key} is set to {type(target)}, but source value is {type(read)}"
    )
