"""What a run was measured on, without names of hosts or places."""

from __future__ import annotations

import os
import pathlib
import platform
import subprocess
import time
from importlib import metadata

from . import files
from .text import human_bytes

LIBRARIES = ("torch", "safetensors", "torchsnapshot", "torch_checkpointing", "numpy")


def _first(path: str, key: str) -> str:
    try:
        lines = pathlib.Path(path).read_text().splitlines()
    except OSError:
        return "unknown"
    for line in lines:
        if line.startswith(key):
            return line.partition(":")[2].strip()
    return "unknown"


def _file_system(folder: pathlib.Path) -> str:
    """The type of the innermost mount that holds the folder."""
    best, kind = "", "unknown"
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, place, type_, *_ = line.split()
        inside = str(folder.resolve()).startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best):
            best, kind = place, type_
    return kind


def _huge_pages() -> str:
    try:
        text = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        return "unknown"
    return text.partition("[")[2].partition("]")[0] or "unknown"


def _command(command: list[str], folder: pathlib.Path) -> str:
    try:
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _ticks() -> tuple[int, int]:
    """Of all cores since the start: busy, and all."""
    fields = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    ticks = [int(field) for field in fields]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def busy_share(seconds: float) -> float:
    """How much of the cores is in use while this process waits."""
    busy, everything = _ticks()
    time.sleep(seconds)
    busy_then, everything_then = _ticks()
    return (busy_then - busy) / max(everything_then - everything, 1)


def describe(root: pathlib.Path, folder: pathlib.Path) -> dict[str, str]:
    """`root` is the repository, `folder` where checkpoints were written."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    changed = _command(["git", "status", "--porcelain", "--untracked-files=no"], root)
    commit = _command(["git", "rev-parse", "--short=12", "HEAD"], root)
    return {
        "CPU": f"{_first('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores",
        "memory": human_bytes(memory),
        "huge pages": _huge_pages(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "file system": _file_system(folder),
        "cold means": "the page cache dropped"
        if files.can_drop_caches()
        else "posix_fadvise only: the page cache could not be dropped",
        "libdcp": commit + (" with changes" if changed else ""),
        "Python": platform.python_version(),
        **{name: _version(name) for name in LIBRARIES},
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
