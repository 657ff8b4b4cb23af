"""Staging: state dicts copied out of the trainer's way, under the names of
``torch.distributed.checkpoint.staging``."""

from __future__ import annotations

import io
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import torch
from torch.distributed.checkpoint.metadata import STATE_DICT_TYPE
from torch.distributed.checkpoint.staging import (
    AsyncStager,
    StagingOptions,
    _ReplicationStager,  # noqa: F401
)

from ._pg_transport import PGTransport  # noqa: F401
from ._state_dict_stager import StateDictStager

__all__ = ["AsyncStager", "BlockingAsyncStager", "DefaultStager", "StagingOptions"]


class DefaultStager(AsyncStager):
    """Copies a state dict once, into memory that it keeps for the next one. A copy that is still in
    use stays as it is: the next one is then made elsewhere.

    config: pinned memory (ignored with a warning without CUDA), shared memory for process mode,
        staging on a thread (``stage`` returns a Future), and copies that a device makes by itself,
        which need one (AssertionError else).

    Use it from one thread, and ``close()`` it after the last save.
    """

    def __init__(
        self,
        config: StagingOptions = StagingOptions(),
    ):
        self._config = config
        self._state_dict_stager = StateDictStager(
            pin_memory=config.use_pinned_memory, share_memory=config.use_shared_memory
        )
        self._staging_executor: ThreadPoolExecutor | None = None
        self._staging_stream: Any = None
        if config.use_async_staging:
            self._staging_executor = ThreadPoolExecutor(1, thread_name_prefix="libdcp-staging")
            if torch.accelerator.is_available():
                # Made on the caller's thread, which has set up the device.
                self._staging_stream = torch.Stream()
        if config.use_non_blocking_copy and not torch.accelerator.is_available():
            raise AssertionError(
                "Non-blocking copy requires that the current accelerator is available."
            )
        self._staging_future: Future[STATE_DICT_TYPE] | None = None

    @property
    def staged_bytes(self) -> int:
        """Bytes of tensors in the last state dict that was staged."""
        return self._state_dict_stager.staged_bytes

    def stage(
        self,
        state_dict: STATE_DICT_TYPE,
        **kwargs: Any,
    ) -> STATE_DICT_TYPE | Future[STATE_DICT_TYPE]:
        """The copy, or its future when staging runs on a thread: until that is done the state dict
        must not change."""
        if not self._config.use_async_staging:
            return self._stage(state_dict, **kwargs)
        if self._staging_executor is None:
            raise AssertionError("staging_executor should not be None for async staging")
        ready = None
        if self._staging_stream is not None:
            ready = torch.accelerator.current_stream().record_event()
        self._staging_future = self._staging_executor.submit(
            self._stage, state_dict, _ready=ready, **kwargs
        )
        return self._staging_future

    def _stage(
        self, state_dict: STATE_DICT_TYPE, *, _ready: Any = None, **kwargs: Any
    ) -> STATE_DICT_TYPE:
        stream = self._staging_stream
        if not self._config.use_non_blocking_copy:
            if _ready is not None:
                _ready.synchronize()
            return self._state_dict_stager.stage(state_dict, non_blocking=False)  # type: ignore[no-any-return]
        if stream is None and self._config.use_async_staging:
            raise AssertionError(
                "Non-blocking copy in a background thread needs a staging stream"
            )
        with stream if stream is not None else nullcontext():
            if _ready is not None:  # what the caller's stream has to do comes first
                stream.wait_event(_ready)
            staged = self._state_dict_stager.stage(state_dict, non_blocking=True)
        if stream is not None:
            stream.synchronize()
        else:
            torch.accelerator.synchronize()
        return staged  # type: ignore[no-any-return]

    def close(self) -> None:
        """Waits for staging under way, and lets go of thread and memory."""
        if self._staging_executor:
            self._staging_executor.shutdown(wait=True)
        self._state_dict_stager.close()

    def synchronize_staging(self) -> None:
        """Waits until the last state dict is staged."""
        if self._staging_future is not None:
            self._staging_future.result()


class BlockingAsyncStager(AsyncStager):
    """Copies a state dict while the caller waits.

    cache_staged_state_dict: keeps the memory, page-locked where there is CUDA, for the next save;
        keep the stager for it. Its last copy is ``state_dict_cache``.
    type_check: values other than tensors, containers, numbers, text, bytes and None are a ValueError.
    """

    # Nothing is left to wait for after stage().
    _synchronize_after_execute: bool = False

    def __init__(
        self,
        cache_staged_state_dict: bool = False,
        type_check: bool = False,
    ):
        self.cache_staged_state_dict = cache_staged_state_dict
        self.type_check = type_check
        self.state_dict_cache: STATE_DICT_TYPE | None = None
        self._stager: StateDictStager | None = None

    def stage(self, state_dict: STATE_DICT_TYPE) -> STATE_DICT_TYPE:
        """The copy, on the CPU."""
        if self.type_check:
            _check_types(state_dict, "")
        if not self.cache_staged_state_dict:
            return StateDictStager().stage(state_dict)  # type: ignore[no-any-return]
        if self._stager is None:
            self._stager = StateDictStager(pin_memory=torch.cuda.is_available())
        self.state_dict_cache = None  # its memory serves again, unless a save still reads it
        staged: STATE_DICT_TYPE = self._stager.stage(state_dict)
        self.state_dict_cache = staged
        return staged

    def synchronize_staging(self) -> None:
        """Nothing: staging blocks."""

    def close(self) -> None:
        """Lets go of the memory that is kept."""
        self.state_dict_cache = None
        if self._stager is not None:
            self._stager.close()


_CHECKED = (torch.Tensor, int, float, str, bytes, type(None), torch.Size, torch.dtype)


def _check_types(value: Any, path: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _check_types(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_types(item, f"{path}[{index}]")
    elif not isinstance(value, (*_CHECKED, io.BytesIO)):
        raise ValueError(f"Unexpected value type {type(value)} at '{path}'")
