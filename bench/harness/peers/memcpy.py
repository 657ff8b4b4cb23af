"""memcpy of a layout's tensors, one behind the other, into pages of some kind."""

from __future__ import annotations

import ctypes
import mmap
import os
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

from ..memory import numpy_address

PIECE = 8 << 20  # bytes that a thread copies at a time


def warm_up(folder: pathlib.Path) -> None:
    """Nothing is imported late."""


def _block(pages: str, size: int) -> mmap.mmap:
    if pages == "shared":
        descriptor = os.memfd_create("bench")
        os.ftruncate(descriptor, size)
        try:
            return mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block.madvise(mmap.MADV_HUGEPAGE if pages == "huge" else mmap.MADV_NOHUGEPAGE)
    return block


def _copy_all(pieces: list[tuple[int, int, int]], threads: int) -> None:
    left: Iterator[tuple[int, int, int]] = iter(pieces)

    def copy() -> None:
        for to, begin, size in left:
            ctypes.memmove(to, begin, size)

    others = [threading.Thread(target=copy) for _ in range(threads - 1)]
    for thread in others:
        thread.start()
    copy()
    for thread in others:
        thread.join()


def copy(job: Any) -> Any:
    """Options: pages ("small", "huge", "shared"), reused (they were written to before), threads."""
    state = job.numpy_state().filled()
    tensors = job.layout.tensors
    block = _block(job.option("pages"), job.layout.nbytes)
    into = ctypes.addressof(ctypes.c_char.from_buffer(block))
    pieces, places, end = [], [], into
    for tensor in tensors:
        begin = numpy_address(state.tensors[tensor.name])
        places.append(end)
        for at in range(0, tensor.nbytes, PIECE):
            pieces.append((end + at, begin + at, min(PIECE, tensor.nbytes - at)))
        end += tensor.nbytes
    if job.option("reused"):
        ctypes.memset(into, 0xEE, end - into)
    yield
    _copy_all(pieces, job.option("threads"))
    yield
    for seed, (tensor, place) in enumerate(zip(tensors, places)):
        job.payload.check(tensor.name, place, tensor.nbytes, seed)


WORKS = {"copy": copy}
