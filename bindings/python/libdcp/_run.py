"""Blocking calls that Ctrl-C can stop, and an orderly exit."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from . import dcp_raw as raw

if TYPE_CHECKING:
    from ._future import Future

T = TypeVar("T")

# A call that was asked to stop gets this long before its caller goes on without it.
GRACE_SECONDS = 0.9


def blocking(call: Callable[[], T], cancel: Callable[[], None]) -> T:
    """Runs `call`. On the main thread it runs on a helper, so that a signal handler that raises
    (Ctrl-C) gets through at once: then `cancel` is called, and the exception goes on when the call
    has ended, or after GRACE_SECONDS."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    outcome: list[Any] = []
    done = threading.Event()

    def work() -> None:
        try:
            outcome.append((True, call()))
        except BaseException as error:  # handed to the caller as it is
            outcome.append((False, error))
        finally:
            done.set()

    helper = threading.Thread(target=work, name="libdcp-call", daemon=True)
    try:
        helper.start()
        done.wait()
    except BaseException:
        cancel()
        done.wait(GRACE_SECONDS)
        raise
    succeeded, result = outcome.pop()
    if succeeded:
        return result  # type: ignore[no-any-return]
    try:
        raise result
    finally:
        del result


class Running:
    """Background saves that have not ended, so that an exit can wait for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: dict[int, Future] = {}

    def add(self, future: Future) -> None:
        with self._lock:
            self._futures[id(future)] = future

    def discard(self, future: Future) -> None:
        with self._lock:
            self._futures.pop(id(future), None)

    def all(self) -> list[Future]:
        with self._lock:
            return list(self._futures.values())

    def forget(self) -> None:
        self._lock = threading.Lock()
        self._futures = {}


running = Running()
os.register_at_fork(after_in_child=running.forget)


def _at_exit() -> None:
    """Saves finish, or are cancelled when their timeout has passed since; then the gate is shut, as
    no thread may ask for the GIL while the interpreter goes away."""
    futures = running.all()
    start = time.monotonic()
    for future in futures:
        left = None
        if future.timeout is not None:
            left = max(future.timeout - (time.monotonic() - start), 0.0)
        try:
            future.exception(timeout=left)
        except BaseException:  # cancelled, or still going on, or Ctrl-C
            pass
    late = [future for future in futures if not future.done()]
    for future in late:
        future.cancel()
    for future in late:
        try:
            future.exception(timeout=2.0)
        except BaseException:
            pass
        print(
            f"libdcp: the save into '{future.location}' had not ended when the interpreter exited; "
            "it was cancelled",
            file=sys.stderr,
        )
    raw.pydcp_shut(2.0)


atexit.register(_at_exit)
