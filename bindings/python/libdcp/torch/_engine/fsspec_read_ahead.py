"""Reading ahead where each request has its price."""

from __future__ import annotations

import collections
import concurrent.futures
import threading
from typing import Callable

SEQUENTIAL = 64 << 10  # bytes: shorter reads are no part of a long one
GROWTH = 4  # each window is so many times the last one
MOST = 16 << 20  # bytes of a window
WINDOWS = 8  # kept of a file
ENDS = 64  # of reads that the next one may go on from

Fetch = Callable[[int, int], bytes]


class _Window:
    def __init__(self, begin: int, end: int) -> None:
        self.begin = begin
        self.end = end
        self.data: concurrent.futures.Future[bytes] = concurrent.futures.Future()


class ReadAhead:
    """The engine reads a long tensor in steps of some hundred KiB. A read that goes on where another
    ended fetches more than it needs, and the more the longer this goes on. Several threads read at the
    same time, each its own part; what one is fetching others wait for, and do not fetch again."""

    def __init__(self, fetch: Fetch, size: int) -> None:
        self._fetch = fetch
        self._size = size
        self._lock = threading.Lock()
        self._ends: collections.OrderedDict[int, int] = collections.OrderedDict()
        self._windows: collections.OrderedDict[int, _Window] = collections.OrderedDict()

    def read(self, offset: int, buffer: memoryview) -> int:
        """How many bytes were put there: fewer at the end of the file."""
        count = max(0, min(len(buffer), self._size - offset))
        done = 0
        while done < count:
            at = offset + done
            with self._lock:
                window, mine = self._window(at, count - done)
            data = self._load(window) if mine else window.data.result()
            part = memoryview(data)[at - window.begin : at - window.begin + count - done]
            if not part:
                break
            buffer[done : done + len(part)] = part
            done += len(part)
        return done

    def _window(self, at: int, count: int) -> tuple[_Window, bool]:
        """One that begins at or before `at` and goes beyond, and whether it is the caller's to load."""
        for window in self._windows.values():
            if window.begin <= at < window.end:
                if at + count >= window.end:  # read to its end, as far as can be told
                    self._note(window.end, window.end - window.begin)
                    del self._windows[window.begin]
                return window, False
        before = self._ends.pop(at, 0)
        if before < SEQUENTIAL:
            window = _Window(at, at + count)
            self._note(window.end, count)
            return window, True
        length = max(count, min(GROWTH * before, MOST))
        window = _Window(at, min(at + length, self._size))
        if window.end == at + count:
            self._note(window.end, length)
        else:
            self._windows[at] = window
            while len(self._windows) > WINDOWS:
                self._windows.popitem(last=False)
        return window, True

    def _note(self, end: int, length: int) -> None:
        self._ends[end] = length
        while len(self._ends) > ENDS:
            self._ends.popitem(last=False)

    def _load(self, window: _Window) -> bytes:
        try:
            data = self._fetch(window.begin, window.end)
        except BaseException as error:
            with self._lock:
                if self._windows.get(window.begin) is window:
                    del self._windows[window.begin]
            window.data.set_exception(error)
            raise
        window.data.set_result(data)
        return data
