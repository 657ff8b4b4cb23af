"""Calls that may never return, on a thread that can be left behind."""

from __future__ import annotations

import concurrent.futures
import queue
import threading
import weakref
from typing import Any, Callable, Optional, Tuple

_Work = Optional[Tuple["concurrent.futures.Future[Any]", Callable[[], Any]]]


class Unanswered(Exception):
    """The call has not returned in time. It may still run, or never be begun."""


class PatientThread:
    """Runs one call after another, in order. A call that hangs holds up those behind it, and nobody
    who waits for one."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[_Work] = queue.SimpleQueue()
        self._last: concurrent.futures.Future[Any] | None = None
        threading.Thread(target=_run, args=(self._calls,), name=name, daemon=True).start()
        # Not when the interpreter exits: saves that still run are waited for, and need the thread.
        weakref.finalize(self, self._calls.put, None).atexit = False

    @property
    def stuck(self) -> bool:
        """A call that was given up has not returned yet."""
        return self._last is not None and not self._last.done()

    def call(self, work: Callable[[], Any], timeout: float | None) -> Any:
        """What `work` returns or raises; Unanswered after `timeout` seconds."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._calls.put((future, work))
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            if future.done():  # it has raised that itself, or ended just now
                return future.result()
            if not future.cancel():
                self._last = future
            raise Unanswered() from None


def _run(calls: queue.SimpleQueue[_Work]) -> None:
    while (call := calls.get()) is not None:
        future, work = call
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
        del call, future, work
