"""Staging of rank-local saves."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, TypeVar

from torch.distributed.checkpoint._experimental.staging import (
    CheckpointStager,
    CheckpointStagerConfig,
)

from .._state_dict_stager import StateDictStager  # noqa: F401
from ..staging import DefaultStager as _Stager
from ..staging import StagingOptions
from .types import STATE_DICT

__all__ = ["CheckpointStager", "CheckpointStagerConfig", "DefaultStager"]

T = TypeVar("T")


class DefaultStager(CheckpointStager):
    """As :class:`libdcp.torch.staging.DefaultStager`; also a context manager that closes itself."""

    def __init__(
        self,
        config: CheckpointStagerConfig = CheckpointStagerConfig(),
    ):
        self._config = config
        self._stager = _Stager(
            StagingOptions(
                config.use_pinned_memory,
                config.use_shared_memory,
                config.use_async_staging,
                config.use_non_blocking_copy,
            )
        )

    def stage(
        self,
        state_dict: STATE_DICT,
        **kwargs: Any,
    ) -> STATE_DICT | Future[STATE_DICT]:
        """The copy, or its future with ``use_async_staging``."""
        return self._stager.stage(state_dict, **kwargs)

    def close(self) -> None:
        """Waits for staging under way, and lets go of thread and memory."""
        self._stager.close()

    def __enter__(self) -> "DefaultStager":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
