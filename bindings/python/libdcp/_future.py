"""The future of a background save."""

from __future__ import annotations

import concurrent.futures
import os
from typing import Any

from . import dcp_raw as raw
from ._errors import CancelledError, ForkedError
from ._report import SaveReport
from ._run import running


class Future(concurrent.futures.Future[SaveReport]):
    """A save in the background; a ``concurrent.futures.Future`` whose result is a SaveReport.

    ``cancel()`` is a request: it returns True when the save was still going on, and the future then
    ends as cancelled unless the commit was already made. Until then ``running()`` is True.
    """

    def __init__(self, native: Any, location: str, timeout: float | None, keep: Any) -> None:
        super().__init__()
        self.location = location
        self.timeout = timeout
        self._native = native
        self._keep = keep  # what the save uses, until its end
        self._process = os.getpid()
        running.add(self)
        raw.pydcp_on_done(native, self._finish)

    def _finish(self) -> None:
        """On libdcp's thread, once."""
        try:
            try:
                report = SaveReport.of(raw.dcp_future_wait(self._native, 0), self.location)
            finally:
                self._keep = None
        except CancelledError:
            super().cancel()
            self.set_running_or_notify_cancel()
        except BaseException as error:
            self.set_exception(error)
        else:
            self.set_result(report)
        finally:
            running.discard(self)

    def cancel(self) -> bool:
        if self.done():
            return self.cancelled()
        raw.dcp_future_cancel(self._native)
        return True

    def running(self) -> bool:
        return not self.done()

    def _check_process(self) -> None:
        if os.getpid() != self._process and not self.done():
            raise ForkedError("the save belongs to the parent of this forked process")

    def result(self, timeout: float | None = None) -> SaveReport:
        self._check_process()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._check_process()
        return super().exception(timeout)
