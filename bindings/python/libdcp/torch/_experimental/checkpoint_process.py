"""A writer in a background process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from torch.distributed.checkpoint._experimental.checkpoint_process import (
    CheckpointProcessConfig,
    RequestType,
    WorkerRequest,
    WorkerResponse,
)

from .. import _background as background
from .._child_process import ChildDied, ChildProcess, ChildSilent
from .checkpoint_writer import CheckpointWriter
from .types import STATE_DICT, RankInfo

__all__ = [
    "CheckpointProcess",
    "CheckpointProcessConfig",
    "RequestType",
    "WorkerRequest",
    "WorkerResponse",
]

logger = logging.getLogger("libdcp.torch")


class CheckpointProcess:
    """Starts a process, in the background, which writes one checkpoint after another, and finishes
    the one it has if the trainer dies.

    subprocess_init_fn: called first in it; then ``checkpoint_writer_init_fn``, with ``rank_info``
        besides its arguments unless they have one, for the writer. All must pickle.
    """

    def __init__(
        self,
        rank_info: RankInfo,
        config: CheckpointProcessConfig,
        subprocess_init_fn: Callable[[Any], None],
        subprocess_init_args: tuple[Any, ...],
        checkpoint_writer_init_fn: Callable[..., CheckpointWriter],
        checkpoint_writer_init_args: dict[str, Any],
    ):
        self._rank_info = rank_info
        self._config = config
        self._child: ChildProcess | None = None
        self._closed = False
        arguments = (
            subprocess_init_fn,
            subprocess_init_args,
            checkpoint_writer_init_fn,
            {"rank_info": rank_info, **checkpoint_writer_init_args},
        )
        self.process_creation_future: Future[None] = Future()
        threading.Thread(
            target=self._create, args=(arguments,), name="libdcp-start", daemon=True
        ).start()

    @property
    def process(self) -> Any:
        """The multiprocessing.Process, once it is started."""
        return None if self._child is None else self._child.process

    def _create(self, arguments: tuple[Any, ...]) -> None:
        timeout = self._config.subprocess_init_timeout_secs
        try:
            self._child = ChildProcess(_set_up, arguments, name="libdcp-checkpoint")
            try:
                self._child.wait_started(timeout)
            except ChildSilent:
                self._child.kill()
                raise TimeoutError(
                    f"Timed out after {timeout}s waiting for checkpoint subprocess to initialize"
                ) from None
            except ChildDied as error:
                raise RuntimeError(f"Child process terminated unexpectedly: {error}") from error
            except Exception as error:
                raise _reported(error) from error
        except BaseException as error:
            self.process_creation_future.set_exception(error)
        else:
            self.process_creation_future.set_result(None)

    def write(
        self,
        state_dict: STATE_DICT | Future[STATE_DICT],
        path: str,
        **kwargs: Any,
    ) -> Future[None] | None:
        """The future is done when the checkpoint is written. RuntimeError in it for what the writer
        raised, and when the process has died; what kept the process from being started is raised
        here once it is known."""
        if self._closed:
            raise RuntimeError("the checkpoint process is closed")
        if self.process_creation_future.done():
            self.process_creation_future.result()
        given = [state_dict]

        def work() -> None:
            staged = given.pop()
            if isinstance(staged, Future):
                staged = staged.result()
            self.process_creation_future.result()
            self._write(staged, path, kwargs)

        what = f"the background save of rank {self._rank_info.global_rank} into '{path}'"
        return background.submit(("writer", id(self)), what, work)

    def _write(self, state_dict: STATE_DICT, path: str, kwargs: dict[str, Any]) -> None:
        assert self._child is not None
        try:
            self._child.call((path, state_dict, kwargs))
        except ChildDied as error:
            raise RuntimeError(f"Child process terminated unexpectedly: {error}") from error
        except ChildSilent:
            self._child.kill()
            raise
        except Exception as error:
            if not hasattr(error, "remote_traceback"):
                raise
            raise _reported(error) from error

    def close(self) -> None:
        """Ends the process when it has written what it was given; one that takes longer than the
        configured time is killed."""
        if self._closed:
            return
        self._closed = True
        timeout = self._config.subprocess_shutdown_timeout_secs
        try:
            self.process_creation_future.result(self._config.subprocess_init_timeout_secs + 10)
        except Exception as error:
            logger.debug("the checkpoint process was not started", exc_info=error)
        background.drain(("writer", id(self)), timeout)
        child = self._child
        if child is None or child._closed:
            return
        if not child.alive:
            logger.warning("%s", child.died())
            child.abandon()
            return
        if not child.stop(timeout):
            logger.warning("checkpoint process %d did not end in %s s: killed", child.pid, timeout)
            child.kill()


def _reported(error: Exception) -> RuntimeError:
    text = getattr(error, "remote_traceback", str(error))
    return RuntimeError(f"Unexpected response from worker process: {text}")


# ---- in the process ----


def _set_up(
    subprocess_init_fn: Callable[..., None],
    subprocess_init_args: tuple[Any, ...],
    checkpoint_writer_init_fn: Callable[..., CheckpointWriter],
    checkpoint_writer_init_args: dict[str, Any],
) -> Callable[[Any], None]:
    subprocess_init_fn(*subprocess_init_args)
    writer = checkpoint_writer_init_fn(**checkpoint_writer_init_args)

    def serve(request: Any) -> None:
        path, state_dict, kwargs = request
        written = writer.write(path=path, state_dict=state_dict, **kwargs)
        if isinstance(written, Future):
            written.result()

    return serve
