"""Files of an fsspec file system, as the engine reads and writes them: by offset, from many threads."""

from __future__ import annotations

import io
import os
import threading
from typing import Any

from fsspec.caching import BaseCache
from fsspec.implementations.cached import CachingFileSystem
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from .fsspec_read_ahead import ReadAhead

REQUEST = 4 << 20  # bytes: longer reads are asked for in such parts, side by side
PART = 48 << 20  # bytes of a part of an upload that all services take
MOST_PARTS = 9_000  # of one upload: services take 10,000
ZEROS = bytes(1 << 20)


class WholeFile:
    """What was there when it was opened, in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self.size = len(data)

    def read(self, offset: int, buffer: memoryview) -> int:
        part = self._data[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._data.release()


class RangedFile:
    """Byte ranges asked for by name: each is a request of its own, and any number are under way."""

    def __init__(self, fs: AbstractFileSystem, path: str, size: int) -> None:
        self._fs = fs
        self._path = path
        self._ahead = ReadAhead(self._fetch, size)
        self.size = size

    def read(self, offset: int, buffer: memoryview) -> int:
        return self._ahead.read(offset, buffer)

    def _fetch(self, begin: int, end: int) -> bytes:
        if end - begin < 2 * REQUEST:
            return self._cut(self._fs.cat_file(self._path, start=begin, end=end), begin, end)
        begins = list(range(begin, end - REQUEST + 1, REQUEST))
        ends = [*begins[1:], end]
        parts = self._fs.cat_ranges([self._path] * len(begins), begins, ends)
        for part in parts:
            if isinstance(part, BaseException):
                raise part
        return b"".join(map(self._cut, parts, begins, ends))

    def _cut(self, data: bytes, begin: int, end: int) -> bytes:
        if len(data) <= end - begin:
            return data
        if len(data) == self.size:  # a server that knows no ranges sends all it has
            return data[begin:end]
        raise OSError(f"{self._path}: {len(data)} bytes came for {end - begin} asked for")

    def close(self) -> None:
        pass


class OpenFile:
    """As many handles as there are reads at the same time."""

    def __init__(self, fs: AbstractFileSystem, path: str, handle: Any) -> None:
        self._fs = fs
        self._path = path
        self._free = [handle]
        self._lock = threading.Lock()
        self.size = handle.seek(0, os.SEEK_END)
        # Those that the operating system serves are read ahead by it.
        remote = isinstance(handle, AbstractBufferedFile)
        self._ahead = ReadAhead(self._fetch, self.size) if remote else None

    def read(self, offset: int, buffer: memoryview) -> int:
        if self._ahead is not None:
            return self._ahead.read(offset, buffer)
        data = self._fetch(offset, offset + len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _fetch(self, begin: int, end: int) -> bytes:
        with self._lock:
            handle = self._free.pop() if self._free else None
        if handle is None:
            handle = open_handle(self._fs, self._path)
        try:
            handle.seek(begin)
            return _read(handle, end - begin)
        finally:
            with self._lock:
                self._free.append(handle)

    def close(self) -> None:
        with self._lock:
            handles, self._free = self._free, []
        for handle in handles:
            handle.close()


def _read(handle: Any, count: int) -> bytes:
    data: bytes = handle.read(count)
    while data and len(data) < count:  # streams may give less at a time
        more = handle.read(count - len(data))
        if not more:
            break
        data += more
    return data


def open_handle(fs: AbstractFileSystem, path: str) -> Any:
    """Without read-ahead: the engine asks for what it uses."""
    handle = fs.open(path, "rb")
    if isinstance(handle, AbstractBufferedFile) and handle.cache is not None:
        handle.cache = BaseCache(handle.blocksize, handle._fetch_range, handle.size)
    return handle


def has_ranges(fs: AbstractFileSystem) -> bool:
    """Whether requests for ranges of a name are what its files are read by anyway. Those that keep
    copies here are better read from these."""
    if isinstance(fs, DirFileSystem):
        return has_ranges(fs.fs)
    return bool(getattr(fs, "async_impl", False)) and not isinstance(fs, CachingFileSystem)


def open_for_reading(
    fs: AbstractFileSystem, path: str, whole: bool
) -> WholeFile | RangedFile | OpenFile:
    """`whole`: its name may be renamed over, and what is read is to stay that of now."""
    if whole:
        return WholeFile(fs.cat_file(path))
    if has_ranges(fs):
        size = fs.info(path).get("size")
        return WholeFile(fs.cat_file(path)) if size is None else RangedFile(fs, path, int(size))
    handle = open_handle(fs, path)
    if isinstance(handle, io.BytesIO):  # files in memory have one handle, which readers would share
        return WholeFile(handle.getvalue())
    return OpenFile(fs, path, handle)


class NewFile:
    """A file that is written from front to back. It exists when `finish` has returned; services that
    take uploads do not show it before."""

    def __init__(self, fs: AbstractFileSystem, path: str, expected_size: int) -> None:
        self._path = path
        self._position = 0
        options = {}
        if expected_size > PART * MOST_PARTS:
            options["block_size"] = -(-expected_size // MOST_PARTS)
        self._file = fs.open(path, "wb", **options)

    def write(self, offset: int, data: Any) -> None:
        if offset < self._position:
            raise ValueError(f"{self._path}: {offset} is before {self._position}, its end")
        self._pad(offset)
        self._put(data)

    def _pad(self, size: int) -> None:
        while self._position < size:
            self._put(ZEROS[: size - self._position])

    def _put(self, data: Any) -> None:
        left = memoryview(data)
        while len(left) > 0:
            count = self._file.write(left)
            if count is None:  # as files that take everything may answer
                count = len(left)
            if count <= 0:
                raise OSError(f"{self._path}: the file system takes no more bytes")
            self._position += count
            left = left[count:]

    def finish(self, size: int, durable: bool) -> None:
        try:
            self._pad(size)
            if size < self._position:
                raise ValueError(f"{self._path}: {self._position} bytes, more than {size}")
            if durable:
                self._sync()
        except BaseException:
            self.abort()
            raise
        self._file.close()

    def _sync(self) -> None:
        """Files on this machine. An upload is durable once it has been taken."""
        self._file.flush()
        try:
            number = self._file.fileno()
        except (AttributeError, OSError):  # io.UnsupportedOperation is one
            return
        os.fsync(number)

    def abort(self) -> None:
        try:
            self._file.discard()
        except Exception:  # has no such thing, or wrote it in place
            self._file.close()
            return
        if isinstance(self._file, AbstractBufferedFile):
            self._file.closed = True  # it would upload the rest when it is let go
