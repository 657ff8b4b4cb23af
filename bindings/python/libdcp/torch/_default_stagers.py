"""Who copies state dicts for async_save, where neither the caller nor the storage does."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.checkpoint.metadata import STATE_DICT_TYPE
from torch.distributed.checkpoint.staging import AsyncStager, StagingOptions

from ._async_executor import Unshared
from ._state_dict_stager import StateDictStager
from .staging import DefaultStager

_LARGE = 64 << 20  # bytes: below, pages that are new do not matter
_LOOKED_AT = 1000  # tensors


class DefaultProcessStager(AsyncStager):
    """For saves in a background process that are given none. Its shared memory is kept from one save to
    the next, at most that of the last one. The first pages of shared memory take several times as
    long as the copy: where none is free, a large state dict is copied into memory of this process,
    and from there into shared memory once nobody waits for it."""

    _synchronize_after_execute: bool = False

    def __init__(self) -> None:
        self._shared = StateDictStager(share_memory=True)
        self.staged_bytes = 0

    def stage(self, state_dict: STATE_DICT_TYPE, **kwargs: Any) -> Any:
        """The copy, or an :class:`Unshared`."""
        if self._shared.is_ready() or not _is_large(state_dict):
            staged = self._shared.stage(state_dict)
            self.staged_bytes = self._shared.staged_bytes
            return staged
        private = StateDictStager()
        unshared = Unshared(private.stage(state_dict), self._shared)
        self.staged_bytes = private.staged_bytes
        return unshared

    def synchronize_staging(self) -> None:
        """Nothing: what is left to be done needs nobody's state dict."""

    def close(self) -> None:
        """Lets go of the memory that is kept."""
        self._shared.close()


def _is_large(state_dict: Any) -> bool:
    """By its first tensors."""
    nbytes = count = 0
    left = [iter((state_dict,))]
    while left and count < _LOOKED_AT:
        for value in left[-1]:
            if isinstance(value, torch.Tensor):
                local = getattr(value, "_local_tensor", value)
                nbytes += local.numel() * local.element_size()
                count += 1
                if nbytes >= _LARGE:
                    return True
            elif isinstance(value, dict):
                left.append(iter(value.values()))
                break
            elif isinstance(value, (list, tuple)):
                left.append(iter(value))
                break
        else:
            left.pop()
    return False


_process_stager: DefaultProcessStager | None = None


def default_process_stager() -> DefaultProcessStager:
    global _process_stager
    if _process_stager is None:
        _process_stager = DefaultProcessStager()
    return _process_stager


_default_stager: DefaultStager | None = None


def default_stager() -> DefaultStager:
    """For saves on a thread that are given none. Its memory is kept from one to the next, at most that
    of the last one; while a save still reads it, the next one gets other memory."""
    global _default_stager
    if _default_stager is None:
        _default_stager = DefaultStager(StagingOptions(False, False, False, False))
    return _default_stager
