"""What is logged, under one name: ``libdcp.torch``. Records of ends of calls have an attribute
``event``: a dict with "operation", "phase", "rank", "checkpoint_id", "bytes", "items", "seconds"."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from ..._context import Context
from ..._progress import ProgressCallback, ProgressEvent

NAME = "libdcp.torch"
logger = logging.getLogger(NAME)

_progress: ProgressCallback | None = None


def set_progress(callback: ProgressCallback | None) -> ProgressCallback | None:
    """``callback`` gets a libdcp.ProgressEvent about ten times a second, from every save and load of
    rank 0 that follows; ``libdcp.progress_bar()`` is one that draws a bar. None for no more. Returns
    the callback there was."""
    global _progress
    before, _progress = _progress, callback
    return before


class Operation:
    """One save or load of this rank: times its phases, and tells how it ended."""

    def __init__(self, name: str, checkpoint_id: Any, rank: int) -> None:
        self._name = name
        self._id = None if checkpoint_id is None else str(checkpoint_id)
        self._rank = rank
        self._began = time.monotonic()
        self._shown = _progress if rank == 0 else None
        self._phase = ""
        self._phase_began = self._began
        self._last: ProgressEvent | None = None
        self._lock = threading.Lock()

    def context(self) -> Context:
        """For the call of the engine. Nothing of Python runs meanwhile, unless somebody listens."""
        listens = logger.isEnabledFor(logging.INFO)
        progress = self._update if listens or self._shown is not None else None
        return Context(progress=progress, log=_engine_log)

    def _update(self, event: ProgressEvent) -> None:
        with self._lock:
            if event.phase != self._phase:
                self._end_phase()
                self._phase, self._phase_began = event.phase, time.monotonic()
            self._last = event
        if self._shown is not None:
            self._shown(event)

    def _end_phase(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            seconds = time.monotonic() - self._phase_began
            self._record(logging.INFO, last.phase, last.bytes_done, last.items_done, seconds)

    def _record(self, level: int, phase: str, size: int, items: int, seconds: float) -> None:
        if not logger.isEnabledFor(level):
            return
        logger.log(
            level,
            "%s %s: %s, %d bytes, %d items, %.3f s",
            self._name,
            self._id,
            phase,
            size,
            items,
            seconds,
            extra={"event": self._event(phase, size, items, seconds)},
        )

    def _event(self, phase: str, size: int, items: int, seconds: float) -> dict[str, Any]:
        return {
            "operation": self._name,
            "phase": phase,
            "rank": self._rank,
            "checkpoint_id": self._id,
            "bytes": size,
            "items": items,
            "seconds": seconds,
        }

    def succeeded(self, size: int, items: int) -> None:
        with self._lock:
            self._end_phase()
        self._record(logging.INFO, "done", size, items, time.monotonic() - self._began)

    def failed(self, error: BaseException) -> None:
        """The caller gets the error itself."""
        with self._lock:
            self._end_phase()
        if not logger.isEnabledFor(logging.INFO):
            return
        seconds = time.monotonic() - self._began
        failures = getattr(error, "failures", None)
        if isinstance(failures, dict) and failures:
            rank, (first, _) = next(iter(failures.items()))
            text = f"rank {rank}: {type(first).__name__}: {first}"
        else:
            text = f"{type(error).__name__}: {error}"
        event = {**self._event("failed", 0, 0, seconds), "error": text}
        logger.info(
            "%s %s failed after %.3f s: %s",
            self._name,
            self._id,
            seconds,
            text,
            extra={"event": event},
        )


def _engine_log(level: int, message: str) -> None:
    logger.log(level, "%s", message)


