"""Saves in the background: in the order in which they were asked for, and none of them lost."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import sys
import threading
import time
import warnings
from concurrent.futures import Future
from typing import Any, Callable

logger = logging.getLogger("libdcp.torch")

EXIT_PATIENCE_S = 600.0  # that an interpreter that exits gives the saves under way, all together


class SaveFuture(Future):  # type: ignore[type-arg]
    """A save in the background; its result is the Metadata.

    blocking_seconds: how long ``async_save`` kept its caller.
    staged_bytes: of tensors that it copied meanwhile; None where a stager does not tell.
    """

    def __init__(self, what: str, lane: Any = None) -> None:
        super().__init__()
        self.what = what
        self.lane = lane
        self.blocking_seconds: float | None = None
        self.staged_bytes: int | None = None
        self._process = os.getpid()
        self._was_read = False

    def result(self, timeout: float | None = None) -> Any:
        self._check_process()
        self._was_read = self._was_read or self.done()
        value = None
        try:
            value = super().result(timeout)
            return value
        finally:
            self._was_read = self._was_read or self.done()
            del value

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._check_process()
        try:
            return super().exception(timeout)
        finally:
            self._was_read = self._was_read or self.done()

    def _check_process(self) -> None:
        if os.getpid() != self._process and not self.done():
            raise RuntimeError(f"{self.what} belongs to the parent of this forked process")

    def blocked(self, seconds: float) -> None:
        """``async_save`` is about to return, after so long."""
        self.blocking_seconds = seconds
        event = {"operation": "async_save", "phase": "blocked", "seconds": seconds}
        event["bytes"] = self.staged_bytes or 0
        logger.info("%s: its caller waited %.3f s", self.what, seconds, extra={"event": event})

    def failure(self) -> BaseException | None:
        """Why it failed, once it has ended; reading it here does not count."""
        return self._exception

    @property
    def is_forgotten(self) -> bool:
        """It failed, and nobody knows."""
        return self.done() and not self._was_read and self._exception is not None


class _Lane:
    """Saves that follow each other: on every rank in the same order, one at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, future: SaveFuture, work: Callable[[], Any]) -> None:
        if self._thread is None:
            # A daemon: what is under way when the interpreter exits is waited for below.
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._work.put((future, work))

    def _run(self) -> None:
        while True:
            future, work = self._work.get()
            if future.set_running_or_notify_cancel():
                try:
                    value = work()
                except BaseException as error:
                    logger.debug("%s failed", future.what, exc_info=error)
                    settle(future, None, error)
                else:
                    settle(future, value, None)
                    del value
            else:
                _ended(future, None)
            del future, work


class _State:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lanes: dict[Any, _Lane] = {}
        self.under_way: list[SaveFuture] = []
        self.failed: list[SaveFuture] = []  # until somebody has read why, or was told


_state = _State()
os.register_at_fork(after_in_child=_state.__init__)  # type: ignore[misc]


def submit(lane: Any, what: str, work: Callable[[], Any]) -> SaveFuture:
    """Runs ``work`` when what was submitted to the same lane before has ended. Failures of earlier
    saves that nobody has read are logged."""
    tell_failures()
    future = SaveFuture(what, lane)
    with _state.lock:
        _state.under_way.append(future)
        there = _state.lanes.get(lane)
        if there is None:
            there = _state.lanes[lane] = _Lane("libdcp-background")
    there.put(future, work)
    return future


def begin(what: str) -> SaveFuture:
    """The future of a save that goes on by itself; ``settle`` ends it. Failures of earlier saves are
    logged as by :func:`submit`."""
    tell_failures()
    future = SaveFuture(what)
    future.set_running_or_notify_cancel()
    with _state.lock:
        _state.under_way.append(future)
    return future


def settle(future: SaveFuture, value: Any, error: BaseException | None) -> None:
    _ended(future, error)
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


def drain(lane: Any, timeout: float) -> bool:
    """Whether all that was submitted to a lane has ended, after ``timeout`` seconds at most."""
    until = time.monotonic() + timeout
    with _state.lock:
        waiting = [future for future in _state.under_way if future.lane == lane]
    for future in waiting:
        try:
            Future.exception(future, timeout=max(0.0, until - time.monotonic()))
        except Exception:  # cancelled, or late
            pass
    return all(future.done() for future in waiting)


def _ended(future: SaveFuture, error: BaseException | None) -> None:
    with _state.lock:
        if future in _state.under_way:
            _state.under_way.remove(future)
        if error is not None:
            _state.failed.append(future)


def tell_failures() -> None:
    """Logs the failures that nobody has asked for, each once, as errors, and warns.

    They are not raised: where the ranks of a job read their futures at different times, one of them
    would leave the next save to the others.
    """
    with _state.lock:
        failed, _state.failed = _state.failed, []
        # What its done-callbacks are about to read is not forgotten yet.
        _state.failed = [future for future in failed if not future.done()]
    for future in failed:
        if future.is_forgotten:
            error = future.failure()
            future._was_read = True
            logger.error("%s failed, and nobody has read its future", future.what, exc_info=error)
            warnings.warn(
                f"{future.what} failed, and nobody has read its future: "
                f"{type(error).__name__}: {error}",
                RuntimeWarning,
                stacklevel=4,
            )


def _at_exit() -> None:
    until = time.monotonic() + EXIT_PATIENCE_S
    with _state.lock:
        waiting = list(_state.under_way)
    for future in waiting:
        try:
            Future.exception(future, timeout=max(0.0, until - time.monotonic()))
        except BaseException:  # cancelled, or late, or Ctrl-C
            if not future.done():
                _say(
                    f"{future.what} had not ended when the interpreter exited; "
                    "what was committed before is still there"
                )
    with _state.lock:
        failed, _state.failed = _state.failed, []
    for future in failed:
        if not future.done() or future.is_forgotten:
            error = future.failure()
            _say(f"{future.what} failed: {type(error).__name__}: {error}")


def _say(text: str) -> None:
    print(f"libdcp: {text}", file=sys.stderr, flush=True)


atexit.register(_at_exit)
