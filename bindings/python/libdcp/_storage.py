"""Where checkpoints live: paths, memory, and stores written in Python."""

from __future__ import annotations

import os
from typing import Any, Iterable, Union

from . import dcp_raw as raw


class Storage:
    """One checkpoint's folder in a store of your own. Subclass it and give it to any call that takes
    ``where``.

    Paths are relative to the folder, "/" between parts, never "..", never absolute. Methods are
    called on libdcp's threads, several at a time; one ``file`` (any object that ``create`` or
    ``open`` returned) is used by one thread at a time while it is written. ``data`` and ``buffer``
    are memoryviews that are valid during the call only. What a method raises ends the work, and
    comes out of the call as the ``__cause__`` of a :class:`libdcp.CallbackError`; an exception of
    libdcp's own keeps its status.
    """

    def location(self) -> str:
        """For messages, and the default checkpoint id."""
        return f"<{type(self).__name__}>"

    def make_root(self) -> None:
        """Makes the folder and its parents if they are missing."""

    def create(self, path: str, expected_size: int) -> Any:
        """Creates or truncates a file; ``expected_size`` is a hint, 0 unknown."""
        raise NotImplementedError

    def write(self, file: Any, offset: int, data: memoryview) -> None:
        """Stores ``data`` at ``offset``; ranges never overlap and come in ascending order."""
        raise NotImplementedError

    def finish(self, file: Any, size: int, durable: bool) -> None:
        """Sets the size, makes the data durable when asked, closes."""
        raise NotImplementedError

    def abort(self, file: Any) -> None:
        """Closes an unfinished file; the library then calls ``remove``."""

    def open(self, path: str) -> tuple[Any, int]:
        """(file, size), or FileNotFoundError. What it shows may not change when the name is renamed
        over."""
        raise NotImplementedError

    def read(self, file: Any, offset: int, buffer: memoryview) -> int | None:
        """Fills ``buffer`` wholly. May return how many bytes it gave: fewer is damage."""
        raise NotImplementedError

    def close(self, file: Any) -> None:
        """Ends reading."""

    def rename(self, source: str, target: str) -> None:
        """Atomic: readers see the old file or the new one."""
        raise NotImplementedError

    def remove(self, path: str) -> None:
        """FileNotFoundError when it is missing."""
        raise NotImplementedError

    def list(self) -> Iterable[str]:
        """Names of the files in the folder; FileNotFoundError when there is no folder."""
        raise NotImplementedError

    def sync_folder(self) -> None:
        """Makes creations, renames and removals durable; nothing when they are at once."""


class MemoryStorage:
    """Files in memory, gone with the last user."""

    def __init__(self) -> None:
        self._native = raw.dcp_storage_memory()


class FileStorage:
    """A folder on this machine by path or ``file://`` URL, with options.

    ``allow_symlinks`` follows links inside the folder, to regular files only; ``io_uring`` and
    ``direct`` turned off never use io_uring and O_DIRECT.
    """

    def __init__(
        self,
        where: str | os.PathLike[str],
        *,
        allow_symlinks: bool = False,
        io_uring: bool = True,
        direct: bool = True,
    ) -> None:
        options = raw.dcp_storage_options()
        options.allow_symlinks = int(allow_symlinks)
        options.io_uring = int(io_uring)
        options.direct = int(direct)
        self._native = raw.dcp_storage_open(where, options)


Where = Union[str, "os.PathLike[str]", Storage, MemoryStorage, FileStorage]


def native_storage(where: Where | None) -> Any:
    """The handle for anything that says where a checkpoint is."""
    if isinstance(where, Storage):
        return raw.pydcp_storage(where, str(where.location()))
    if isinstance(where, (MemoryStorage, FileStorage)):
        return where._native
    if isinstance(where, (str, bytes, os.PathLike)):
        return raw.dcp_storage_open(where, None)
    raise TypeError(
        f"where is a path, a URL or a libdcp.Storage, not {type(where).__name__}"
    )


def is_python(where: Where) -> bool:
    return isinstance(where, Storage)
