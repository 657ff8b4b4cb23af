"""Any fsspec file system as the engine's storage."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
import threading
import weakref
from typing import Any, Callable, TypeVar, cast

from fsspec.core import url_to_fs
from fsspec.implementations.cached import CachingFileSystem
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem

from ... import _storage
from .fsspec_files import NewFile, OpenFile, RangedFile, WholeFile, open_for_reading

METADATA = ".metadata"

F = TypeVar("F", bound=Callable[..., Any])


def _in_turn(method: F) -> F:
    @functools.wraps(method)
    def call(self: FsspecStorage, *arguments: Any) -> Any:
        with self._turn:
            return method(self, *arguments)

    return cast(F, call)


class FsspecStorage(_storage.Storage):
    """One checkpoint's folder: `root` in `fs`, without protocol; `location` is for messages.

    Writes stream into files of the file system. Reads are ranges asked for side by side where the file
    system is asynchronous, and go through one handle per reader elsewhere. File systems that are not
    made for several threads are used by one at a time.

    The metadata file is put in place by one step: the file system's own move where it has one, else a
    copy of the whole object, which object stores show at once or not at all. A move that refuses to
    replace is done again after the old file is removed: then readers may find none for an instant.

    Of a file system that keeps copies here, data files are read by these copies; which files there are,
    and the metadata, are always those behind it.
    """

    def __init__(self, fs: AbstractFileSystem, root: str, location: str | None = None) -> None:
        self.fs = fs
        self._live = fs.fs if isinstance(fs, CachingFileSystem) else fs
        self.root = root.rstrip("/") if root.strip("/") else root
        self._turn = contextlib.nullcontext() if for_threads(fs) else _turn_on(self._live)
        self._location = without_password(location or fs.unstrip_protocol(root))

    @classmethod
    def of(cls, url: str | os.PathLike[str], **options: Any) -> FsspecStorage:
        """From what fsspec takes as a URL, chained or not, and options of the file system."""
        fs, root = url_to_fs(url, **options)
        return cls(fs, root, os.fspath(url))

    def location(self) -> str:
        return self._location

    def _path(self, name: str) -> str:
        return f"{self.root}{name}" if self.root.endswith("/") else _joined(self.root, name)

    @_in_turn
    def make_root(self) -> None:
        if self.root:
            self._live.makedirs(self.root, exist_ok=True)

    @_in_turn
    def create(self, path: str, expected_size: int) -> NewFile:
        folder = path.rpartition("/")[0]
        if folder:
            self._live.makedirs(self._path(folder), exist_ok=True)
        return NewFile(self.fs, self._path(path), expected_size)

    @_in_turn
    def write(self, file: NewFile, offset: int, data: memoryview) -> None:
        file.write(offset, data)

    @_in_turn
    def finish(self, file: NewFile, size: int, durable: bool) -> None:
        file.finish(size, durable)

    @_in_turn
    def abort(self, file: NewFile) -> None:
        file.abort()

    @_in_turn
    def open(self, path: str) -> tuple[WholeFile | RangedFile | OpenFile, int]:
        whole = path.endswith(METADATA)
        if whole:
            self._live.invalidate_cache(self.root)  # what another process saved is to be seen
        fs = self._live if whole else self.fs
        file = open_for_reading(fs, self._path(path), whole)
        return file, file.size

    @_in_turn
    def read(self, file: Any, offset: int, buffer: memoryview) -> int:
        count: int = file.read(offset, buffer)
        return count

    @_in_turn
    def close(self, file: Any) -> None:
        file.close()

    @_in_turn
    def rename(self, source: str, target: str) -> None:
        old, new = self._path(source), self._path(target)
        if not _moves(self._live):
            _copy(self._live, old, new)
            _remove(self._live, old)
            return
        try:
            self._live.mv(old, new)
        except Exception:
            if not (self._live.exists(new) and self._live.exists(old)):
                raise
            _remove(self._live, new)
            self._live.mv(old, new)

    @_in_turn
    def remove(self, path: str) -> None:
        _remove(self._live, self._path(path))

    @_in_turn
    def list(self) -> list[str]:
        self._live.invalidate_cache(self.root)
        names = []
        for entry in self._live.ls(self.root, detail=True):
            name = entry["name"].rpartition("/")[2]
            if entry["type"] == "file" and name and entry["name"] != self.root:
                names.append(name)
        return names


def _joined(root: str, name: str) -> str:
    return f"{root}/{name}" if root else name


def without_password(url: str) -> str:
    return re.sub(r"(://[^/@:]*:)[^/@]*@", r"\1***@", url)


def for_threads(fs: AbstractFileSystem) -> bool:
    """Whether threads may share it. fsspec itself makes an instance for each thread, as those that hold
    one connection have to be."""
    if isinstance(fs, (CachingFileSystem, DirFileSystem)):
        return isinstance(fs, DirFileSystem) and for_threads(fs.fs)
    if getattr(fs, "async_impl", False) or isinstance(fs, (LocalFileSystem, MemoryFileSystem)):
        return True
    arrow = sys.modules.get("fsspec.implementations.arrow")
    return arrow is not None and isinstance(fs, arrow.ArrowFSWrapper)


_turns: weakref.WeakKeyDictionary[AbstractFileSystem, threading.Lock] = weakref.WeakKeyDictionary()
_turns_lock = threading.Lock()


def _turn_on(fs: AbstractFileSystem) -> threading.Lock:
    """fsspec hands one file system to all who ask for it on a thread."""
    with _turns_lock:
        return _turns.setdefault(fs, threading.Lock())


def _moves(fs: AbstractFileSystem) -> bool:
    """It has a move of its own; fsspec's copies and removes, and expands wildcards in names."""
    return getattr(fs.mv, "__func__", fs.mv) is not AbstractFileSystem.mv


def _copy(fs: AbstractFileSystem, source: str, target: str) -> None:
    try:
        fs.cp_file(source, target)
    except NotImplementedError:
        fs.pipe_file(target, fs.cat_file(source))


def _remove(fs: AbstractFileSystem, path: str) -> None:
    try:
        fs.rm_file(path)
    except NotImplementedError:
        fs.rm(path)


def local_folder(storage: FsspecStorage) -> str | None:
    """The folder's path where the file system is this machine's: the engine reaches it itself."""
    return storage.root if type(storage.fs) is LocalFileSystem else None
