"""Writing a rank's file."""

from __future__ import annotations

import collections
import logging
import os
from concurrent.futures import Future
from typing import Any

import torch
from torch.distributed.checkpoint._experimental.checkpoint_writer import (
    CheckpointWriterConfig,
    WriterHook,
)

from ..._errors import CallbackError, UnsupportedError
from ..._rank_local import RankWriter
from .._patient_thread import PatientThread, Unanswered
from .barriers import Barrier, _EngineBarrier
from .types import STATE_DICT, RankInfo

__all__ = ["CheckpointWriter", "CheckpointWriterConfig", "WriterHook"]

logger = logging.getLogger("libdcp.torch")


class CheckpointWriter:
    """Writes ``checkpoint_{rank}.pt``, which torch.load reads, in this order: the file, durable;
    ``pre_commit`` of the hook; the barrier; ``post_commit``. The first that fails ends it, and an
    older file stays until the new one is whole.

    config: its timeout holds whatever the barrier does.
    barrier: anything with execute_barrier().
    """

    def __init__(
        self,
        config: CheckpointWriterConfig,
        rank_info: RankInfo,
        barrier: Barrier | None = None,
        commit_hook: WriterHook | None = None,
    ):
        self._config = config
        self._rank_info = rank_info
        self._commit_hook = commit_hook
        self._barrier = barrier

    def write(
        self,
        path: str,
        state_dict: STATE_DICT,
        **kwargs: Any,
    ) -> Future[None] | None:
        """Returns when all of it is done. ``kwargs`` are for the hook. What hook and barrier raise
        comes out as it is; libdcp.TimeoutError for ranks that do not come to the barrier."""
        rank = self._rank_info.global_rank
        logger.debug("writing the checkpoint of rank %d to '%s'", rank, path)
        hook = None
        if self._commit_hook is not None:
            hook = _Hook(self._commit_hook, path, kwargs)
        barrier, timeout = self._barrier_of_engine()
        writer = RankWriter(
            rank,
            self._rank_info.global_world_size,
            barrier=barrier,
            commit_hook=hook,
            barrier_timeout=timeout,
        )
        try:
            try:
                writer.write(os.fspath(path), _on_cpu(state_dict))
            except (TypeError, UnsupportedError) as error:
                if hook is not None and hook.called:
                    raise
                logger.debug("'%s' is pickled: %s", path, error)
                self._write_pickled(path, state_dict, hook, barrier, timeout)
        except CallbackError as error:
            if error.__cause__ is None:
                raise
            raise error.__cause__ from None
        finally:
            writer.close()
        logger.info("the checkpoint of rank %d is written to '%s'", rank, path)
        return None

    def _barrier_of_engine(self) -> tuple[Any, float]:
        timeout = float(self._config.write_barrier_timeout_secs)
        if self._barrier is None:
            return None, timeout
        if isinstance(self._barrier, _EngineBarrier):
            return self._barrier.within(timeout)  # type: ignore[no-any-return]
        return _ForeignBarrier(self._barrier), timeout

    def _write_pickled(
        self, path: str, state_dict: STATE_DICT, hook: Any, barrier: Any, timeout: float
    ) -> None:
        """For objects that have no plain form: the same order, the file by torch.save."""
        os.makedirs(path, exist_ok=True)
        name = os.path.join(path, f"checkpoint_{self._rank_info.global_rank}.pt")
        try:
            with open(f"{name}.tmp", "wb") as file:
                torch.save(state_dict, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(f"{name}.tmp", name)
        except BaseException:
            if os.path.exists(f"{name}.tmp"):
                os.unlink(f"{name}.tmp")
            raise
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        if hook is not None:
            hook.pre_commit(path)
        if isinstance(barrier, _ForeignBarrier):
            try:
                thread = PatientThread("libdcp barrier")
                thread.call(lambda: barrier.execute_barrier(None), timeout)
            except Unanswered:
                raise TimeoutError(f"not all ranks came to the barrier in {timeout} s") from None
        elif barrier is not None:
            barrier.execute_barrier(timeout)
        if hook is not None:
            hook.post_commit(path)

    def close(self) -> None:
        """Nothing to let go of here; derived classes may have."""
        logger.debug("closing the checkpoint writer")


def _on_cpu(value: Any) -> Any:
    """The same with tensors of devices copied to the CPU, where the file has them too."""
    if isinstance(value, torch.Tensor):
        return value if value.is_cpu or value.is_meta else value.detach().cpu()
    if type(value) in (dict, collections.OrderedDict):
        return type(value)((key, _on_cpu(item)) for key, item in value.items())
    if type(value) in (list, tuple):
        return type(value)(map(_on_cpu, value))
    return value


class _Hook:
    """A hook that gets its arguments as the caller gave them."""

    def __init__(self, hook: WriterHook, path: str, kwargs: dict[str, Any]) -> None:
        self._hook = hook
        self._path = path
        self._kwargs = kwargs
        self.called = False

    def pre_commit(self, _path: str, **_: Any) -> None:
        self.called = True
        self._hook.pre_commit(self._path, **self._kwargs)

    def post_commit(self, _path: str, **_: Any) -> None:
        self._hook.post_commit(self._path, **self._kwargs)


class _ForeignBarrier:
    """Knows no timeout; the engine leaves it behind when its own has passed."""

    def __init__(self, barrier: Any) -> None:
        self._barrier = barrier

    def execute_barrier(self, _timeout: float | None) -> None:
        self._barrier.execute_barrier()
