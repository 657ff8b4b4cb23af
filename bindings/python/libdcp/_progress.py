"""Progress events and a bar that shows them."""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any, Callable, NamedTuple, TextIO

PHASES = {1: "plan", 2: "stage", 3: "write", 4: "commit", 5: "read", 6: "verify"}


class ProgressEvent(NamedTuple):
    """How far the work is; about ten a second, and one at the end of each phase."""

    phase: str
    bytes_done: int
    bytes_total: int
    items_done: int
    items_total: int


ProgressCallback = Callable[[ProgressEvent], Any]


def adapt(callback: ProgressCallback) -> Callable[[int, int, int, int, int], None]:
    """What the C half calls. An exception of the callback stops the work."""

    def update(phase: int, done: int, total: int, items: int, items_total: int) -> None:
        callback(ProgressEvent(PHASES.get(phase, str(phase)), done, total, items, items_total))

    return update


class _PlainBar:
    """A one-line bar for terminals without tqdm."""

    WIDTH = 28

    def __init__(self, description: str, stream: TextIO) -> None:
        self._description = description
        self._stream = stream
        self._start = time.monotonic()
        self._phase = ""

    def __call__(self, event: ProgressEvent) -> None:
        if event.phase != self._phase:
            self._end_line()
            self._phase = event.phase
            self._start = time.monotonic()
        fraction = event.bytes_done / event.bytes_total if event.bytes_total else 1.0
        filled = int(self.WIDTH * min(fraction, 1.0))
        seconds = max(time.monotonic() - self._start, 1e-3)
        self._stream.write(
            f"\r{self._description}{event.phase:<7}"
            f"|{'#' * filled}{'.' * (self.WIDTH - filled)}| {fraction:4.0%} "
            f"{event.bytes_done / 1e6:.1f} MB, {event.bytes_done / 1e6 / seconds:.0f} MB/s "
        )
        self._stream.flush()

    def _end_line(self) -> None:
        if self._phase:
            self._stream.write("\n")
            self._stream.flush()
            self._phase = ""

    def close(self) -> None:
        self._end_line()

    def __del__(self) -> None:
        try:
            self._end_line()
        except Exception:  # the stream is gone
            pass


class _TqdmBar:
    def __init__(self, tqdm: Any, description: str, options: dict[str, Any]) -> None:
        self._tqdm = tqdm
        self._description = description
        self._options = {"unit": "B", "unit_scale": True, **options}
        self._bar: Any = None
        self._phase = ""

    def __call__(self, event: ProgressEvent) -> None:
        if event.phase != self._phase:
            self.close()
            self._phase = event.phase
            self._bar = self._tqdm(
                total=event.bytes_total, desc=self._description + event.phase, **self._options
            )
        if self._bar.total != event.bytes_total:
            self._bar.total = event.bytes_total
        self._bar.update(event.bytes_done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def progress_bar(
    description: str = "", *, stream: TextIO | None = None, tqdm: Any = None, **options: Any
) -> Any:
    """A callback for ``progress=`` that draws a bar: with tqdm when it is installed (or the class
    given as ``tqdm``; ``options`` go to it), else a plain one on ``stream`` (stderr)."""
    label = f"{description} " if description else ""
    if tqdm is None and stream is None:
        try:
            tqdm = importlib.import_module("tqdm.auto").tqdm
        except ImportError:
            pass
    if tqdm is not None:
        return _TqdmBar(tqdm, label, options)
    return _PlainBar(label, stream or sys.stderr)
