"""Folders and the page cache."""

from __future__ import annotations

import os
import pathlib
import shutil

DROP = pathlib.Path("/proc/sys/vm/drop_caches")


def remove(folder: pathlib.Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def fresh(folder: pathlib.Path) -> pathlib.Path:
    """The path of a folder that is not there, in a parent that is."""
    remove(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def can_drop_caches() -> bool:
    return os.access(DROP, os.W_OK)


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def make_cold(folder: pathlib.Path, drop: bool) -> None:
    """Leaves nothing of the folder's files in the page cache: everything is dropped, or the system
    is asked to let go of these files."""
    if drop:
        os.sync()
        DROP.write_text("3")
        return
    for path in _files(folder):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def make_warm(folder: pathlib.Path) -> None:
    """Puts the folder's files into the page cache."""
    block = bytearray(1 << 20)
    for path in _files(folder):
        with open(path, "rb", buffering=0) as file:
            while file.readinto(block):
                pass


def free_bytes(folder: pathlib.Path) -> int:
    return shutil.disk_usage(folder).free
