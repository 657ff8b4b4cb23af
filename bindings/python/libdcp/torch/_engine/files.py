"""The files of a checkpoint's folder, by the calls of a libdcp.Storage."""

from __future__ import annotations

import os
import re
import urllib.parse
import urllib.request
from typing import Any, Iterable, NamedTuple

from ..._storage import Storage, Where

_DATA_FILE = re.compile(r"__(0|[1-9]\d*)_(0|[1-9]\d*)(?:\.g([1-9]\d*))?\.distcp", re.ASCII)
_RANK_METADATA = re.compile(r"__(0|[1-9]\d*)\.metadata", re.ASCII)


class DataFile(NamedTuple):
    """What the name of a data file says; generation 0 is the plain name."""

    rank: int
    number: int
    generation: int


def data_file(name: str) -> DataFile | None:
    match = _DATA_FILE.fullmatch(name)
    return DataFile(*(int(part or 0) for part in match.groups())) if match else None


def rank_metadata(name: str) -> int | None:
    """The rank whose metadata of a save without collectives has this name."""
    match = _RANK_METADATA.fullmatch(name)
    return int(match.group(1)) if match else None


class LocalFiles(Storage):
    """A folder on this machine."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.fspath(folder)

    def location(self) -> str:
        return str(self.folder)

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def make_root(self) -> None:
        os.makedirs(self.folder, exist_ok=True)

    def create(self, path: str, expected_size: int) -> Any:
        return os.open(self._path(path), os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_CLOEXEC, 0o666)

    def write(self, file: Any, offset: int, data: memoryview) -> None:
        done = 0
        while done < len(data):
            done += os.pwrite(file, data[done:], offset + done)

    def finish(self, file: Any, size: int, durable: bool) -> None:
        try:
            os.ftruncate(file, size)
            if durable:
                os.fsync(file)
        finally:
            os.close(file)

    def abort(self, file: Any) -> None:
        os.close(file)

    def open(self, path: str) -> tuple[Any, int]:
        file = os.open(self._path(path), os.O_RDONLY | os.O_CLOEXEC)
        return file, os.fstat(file).st_size

    def read(self, file: Any, offset: int, buffer: memoryview) -> int:
        done = 0
        while done < len(buffer):
            count = os.preadv(file, [buffer[done:]], offset + done)
            if count == 0:
                break
            done += count
        return done

    def close(self, file: Any) -> None:
        os.close(file)

    def rename(self, source: str, target: str) -> None:
        os.replace(self._path(source), self._path(target))

    def remove(self, path: str) -> None:
        os.remove(self._path(path))

    def list(self) -> Iterable[str]:
        with os.scandir(self.folder) as entries:
            return [entry.name for entry in entries if entry.is_file()]

    def sync_folder(self) -> None:
        file = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def files_of(where: Where) -> Storage:
    """The files behind what says where a checkpoint is: a path, a file:// URL, or a Storage."""
    if isinstance(where, Storage):
        return where
    if isinstance(where, (str, os.PathLike)):
        path = os.fspath(where)
        if path.startswith("file://"):
            path = urllib.request.url2pathname(urllib.parse.urlsplit(path).path)
        elif "://" in path:
            raise ValueError(f"'{path}' is no path of this machine, and no storage was given for it")
        return LocalFiles(path)
    raise TypeError(f"a checkpoint is at a path or in a libdcp.Storage, not a {type(where).__name__}")


def names_in(files: Storage) -> list[str]:
    """Of its files; none where there is no folder."""
    try:
        return list(files.list())
    except FileNotFoundError:
        return []


def read_file(files: Storage, name: str) -> bytes:
    """All of a file. FileNotFoundError when it is missing."""
    file, size = files.open(name)
    try:
        data = bytearray(size)
        given = files.read(file, 0, memoryview(data)) if size else 0
        if given is not None and given < size:
            raise EOFError(f"'{name}' gave {given} bytes of {size}")
        return bytes(data)
    finally:
        files.close(file)


def write_file(files: Storage, name: str, data: bytes, durable: bool) -> None:
    """A file as a whole; after a failure it is gone."""
    file = files.create(name, len(data))
    try:
        if data:
            files.write(file, 0, memoryview(data))
    except BaseException:
        files.abort(file)
        remove_file(files, name)
        raise
    files.finish(file, len(data), durable)


def remove_file(files: Storage, name: str) -> None:
    """Gone already is as good."""
    try:
        files.remove(name)
    except FileNotFoundError:
        pass


def commit_file(files: Storage, name: str, data: bytes, mark: str, durable: bool) -> None:
    """Readers of ``name`` see what was there or ``data``, at every instant; ``mark`` is this
    commit's own, in the name of the file it is written as first."""
    temporary = f"{name}.{mark}.tmp"
    if durable:
        files.sync_folder()  # the names of the data files
    write_file(files, temporary, data, durable)
    try:
        files.rename(temporary, name)
    except BaseException:
        remove_file(files, temporary)
        raise
    if durable:
        files.sync_folder()
