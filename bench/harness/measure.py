"""What a piece of work costs this process: the Python side of bench/driver/measure.h."""

from __future__ import annotations

import os
import pathlib
import time


def _proc_number(path: str, key: str) -> int | None:
    with open(path) as lines:
        for line in lines:
            if line.startswith(key):
                return int(line.split()[1])
    return None


def _status(key: str) -> int | None:
    kibibytes = _proc_number("/proc/self/status", key)
    return None if kibibytes is None else kibibytes * 1024


def _disk_read() -> int | None:
    try:
        return _proc_number("/proc/self/io", "read_bytes:")
    except OSError:
        return None


def _forget_peak() -> bool:
    """Sets the recorded peak of the resident memory back to what it is now."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    return True


def descendants_cpu() -> float:
    """CPU seconds of the processes that this one started, and those that they did."""
    parents, seconds = {}, {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        pid = int(stat.parent.name)
        parents[pid] = int(fields[1])
        seconds[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    found: set[int] = set()
    more = {os.getpid()}
    while more:
        more = {pid for pid, parent in parents.items() if parent in more} - found
        found |= more
    return sum(seconds[pid] for pid in found)


class Measure:
    """From its making to stop()."""

    def __init__(self) -> None:
        self._peak_known = _forget_peak()
        self._resident = _status("VmRSS:")
        self._disk_read = _disk_read()
        self._cpu = time.process_time()
        self._wall = time.perf_counter()

    def stop(self) -> dict[str, float]:
        wall = time.perf_counter() - self._wall
        cpu = time.process_time() - self._cpu
        peak = _status("VmHWM:")
        disk_read = _disk_read()
        cost: dict[str, float] = {"wall_s": wall, "cpu_s": cpu}
        if self._peak_known and self._resident is not None and peak is not None:
            cost["extra_bytes"] = max(peak - self._resident, 0)
        if self._disk_read is not None and disk_read is not None:
            cost["disk_read_bytes"] = disk_read - self._disk_read
        return cost
