"""The machine's free memory."""

from __future__ import annotations

import ctypes
import mmap


def touch(nbytes: int) -> None:
    """Writes to so much new memory, in large pages and in small ones, and gives it back. The host of a
    virtual machine has granted it then: no run pays for that, or all would, by chance."""
    for advice in (mmap.MADV_HUGEPAGE, mmap.MADV_NOHUGEPAGE):
        with mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
            memory.madvise(advice)
            first = ctypes.c_char.from_buffer(memory)
            ctypes.memset(ctypes.addressof(first), 1, nbytes)
            del first
