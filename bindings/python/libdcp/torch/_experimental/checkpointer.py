"""A rank's writer and reader in one."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from typing import Any, TypeVar

from torch.distributed.checkpoint._experimental.checkpointer import Checkpointer

from .checkpoint_process import CheckpointProcess
from .checkpoint_reader import CheckpointReader
from .checkpoint_writer import CheckpointWriter
from .staging import CheckpointStager
from .types import STATE_DICT
from .utils import wrap_future

__all__ = ["AsyncCheckpointer", "Checkpointer", "SyncCheckpointer"]

logger = logging.getLogger("libdcp.torch")

LOG_INTERVAL = 60
T = TypeVar("T")


def _load(
    reader: CheckpointReader,
    path: str,
    state_dict: STATE_DICT | None,
    map_location: Any,
    strict: bool,
    kwargs: dict[str, Any],
) -> STATE_DICT:
    loaded, missing = reader.read(
        path=path, state_dict=state_dict, map_location=map_location, **kwargs
    )
    if strict and missing:
        raise RuntimeError(f"Checkpoint at {path} is missing keys: {missing}")
    return loaded


class SyncCheckpointer(Checkpointer):
    """Saves while the caller waits."""

    def __init__(
        self,
        writer: CheckpointWriter,
        reader: CheckpointReader,
    ):
        self._writer = writer
        self._reader = reader

    def save(
        self,
        path: str,
        state_dict: STATE_DICT,
        **kwargs: dict[str, Any],
    ) -> tuple[Future, Future] | None:
        """None, when it is written. ``kwargs`` are the writer's, which gives them to its hook."""
        self._writer.write(path, state_dict, **kwargs)
        return None

    def load(
        self,
        path: str,
        state_dict: STATE_DICT | None = None,
        *,
        default_map_location: Any = None,
        strict: bool = False,
        **kwargs: dict[str, Any],
    ) -> STATE_DICT:
        """What CheckpointReader.read reads; RuntimeError for missing keys with ``strict``."""
        return _load(self._reader, path, state_dict, default_map_location, strict, kwargs)

    def close(self) -> None:
        """Closes the writer."""
        self._writer.close()


class AsyncCheckpointer(Checkpointer):
    """Saves in a background process, one save after another."""

    def __init__(
        self,
        checkpoint_stager: CheckpointStager,
        checkpoint_process: CheckpointProcess,
        reader: CheckpointReader,
    ):
        self._reader = reader
        self._checkpoint_stager = checkpoint_stager
        self._checkpoint_process = checkpoint_process
        self._write_future: Future[Any] | None = None

    def save(
        self,
        path: str,
        state_dict: STATE_DICT,
        **kwargs: Any,
    ) -> tuple[Future, Future] | None:
        """(staged, written): the state dict may change when the first is done. Waits for the save
        before; its error, if it failed, is raised here, once, and nothing is saved."""
        before, self._write_future = self._write_future, None
        if before is not None:
            before.result()
        staged = self._checkpoint_stager.stage(state_dict=state_dict, **kwargs)
        self._write_future = self._checkpoint_process.write(staged, path, **kwargs)
        if self._write_future is None:
            raise RuntimeError("the checkpoint process gave no future")
        return wrap_future(staged), self._write_future

    def load(
        self,
        path: str,
        state_dict: STATE_DICT | None = None,
        *,
        default_map_location: Any = None,
        strict: bool = False,
        **kwargs: Any,
    ) -> STATE_DICT:
        """As :meth:`SyncCheckpointer.load`, and as that while the caller waits."""
        return _load(self._reader, path, state_dict, default_map_location, strict, kwargs)

    def close(self) -> None:
        """Waits for the save under way, and ends stager and process."""
        self._checkpoint_stager.close()
        self._checkpoint_process.close()
