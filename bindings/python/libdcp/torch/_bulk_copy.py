"""Many tensors copied into others, by as many threads as are worth it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import torch

_PIECE = 8 << 20  # bytes that a thread copies at a time
_WORTH_A_THREAD = 16 << 20
_MOST_THREADS = 8


def copy_all(to: list[torch.Tensor], sources: list[torch.Tensor], non_blocking: bool) -> None:
    """Of the same shapes and dtypes, pair by pair. Where torch is to use one thread, as torchrun sets
    it for each rank, the host's memory is nevertheless copied by several: the caller waits."""
    nbytes = sum(y.numel() * y.element_size() for y in to) if len(to) < 4096 else 0
    threads = min(_cores(), _MOST_THREADS, nbytes // _WORTH_A_THREAD)
    if threads < 2 or torch.get_num_threads() > 1 or not all(x.is_cpu for x in sources):
        if to:
            torch._foreach_copy_(to, sources, non_blocking=non_blocking)
        return
    _by_threads(_pieces(to, sources), threads)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pieces(
    to: list[torch.Tensor], sources: list[torch.Tensor]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    pieces = []
    for y, x in zip(to, sources):
        most = _PIECE // x.element_size()
        if x.numel() <= most or not (x.is_contiguous() and y.is_contiguous()):
            pieces.append((y, x))
            continue
        pieces += zip(y.view(-1).split(most), x.view(-1).split(most))
    return pieces


def _by_threads(pieces: list[tuple[torch.Tensor, torch.Tensor]], threads: int) -> None:
    left: Iterator[tuple[torch.Tensor, torch.Tensor]] = iter(pieces)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with torch.no_grad():
                for y, x in left:
                    y.copy_(x)
        except BaseException as error:
            failures.append(error)

    others = [threading.Thread(target=work, name="libdcp-copy") for _ in range(threads - 1)]
    for thread in others:
        thread.start()
    work()
    for thread in others:
        thread.join()
    if failures:
        raise failures[0]
