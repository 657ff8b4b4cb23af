"""A worker's own group of processes that talk by Gloo, each a rank."""

from __future__ import annotations

import datetime
import multiprocessing
import os
import pathlib
import sys
import tempfile
import traceback
from multiprocessing.connection import Connection
from typing import Any, Callable, Generator

from .measure import Measure

Work = Generator[None, None, Any]


class Ranks:
    """Forks `size` ranks of this process. `work()` is a generator as in harness.worker."""

    def __init__(self, size: int, work: Callable[[], Work]) -> None:
        self._scratch = tempfile.TemporaryDirectory()
        self._pipes: list[Connection] = []
        self._pids: list[int] = []
        for rank in range(size):
            ours, theirs = multiprocessing.Pipe()
            pid = os.fork()
            if pid == 0:
                _live(rank, size, pathlib.Path(self._scratch.name) / "port", work, theirs)
            theirs.close()
            self._pipes.append(ours)
            self._pids.append(pid)

    def hear(self) -> list[Any]:
        """What every rank says next."""
        try:
            return [pipe.recv() for pipe in self._pipes]
        except EOFError:
            raise RuntimeError("a rank failed; its words are above") from None

    def go(self) -> None:
        for pipe in self._pipes:
            pipe.send("go")

    def end(self) -> None:
        statuses = [os.waitpid(pid, 0)[1] for pid in self._pids]
        self._scratch.cleanup()
        if any(statuses):
            raise RuntimeError(f"ranks ended with {statuses}")


def _live(
    rank: int, size: int, port: pathlib.Path, work: Callable[[], Work], pipe: Connection
) -> None:
    status = 1
    try:
        _join(rank, size, port)
        running = work()
        next(running)
        pipe.send("ready")
        pipe.recv()
        measured = Measure()
        next(running)
        cost: dict[str, Any] = dict(measured.stop())
        pipe.send(cost)
        facts = None
        try:
            next(running)
        except StopIteration as end:
            facts = end.value
        pipe.send(facts)
        _leave()
        status = 0
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(status)


def _join(rank: int, size: int, port: pathlib.Path) -> None:
    """As torchrun would: one thread a rank. Rank 0 hosts the store and leaves its port."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    if rank == 0:
        store = dist.TCPStore("127.0.0.1", 0, size, True, wait_for_workers=False)
        port.with_suffix(".new").write_text(str(store.port))
        port.with_suffix(".new").rename(port)
    else:
        while not port.exists():
            os.sched_yield()
        store = dist.TCPStore("127.0.0.1", int(port.read_text()), size, False)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=size, timeout=datetime.timedelta(minutes=10)
    )


def _leave() -> None:
    import torch.distributed as dist

    dist.barrier()


def together(
    ranks: Ranks, combined: Callable[[list[Any]], dict[str, Any]] = lambda facts: {}
) -> Any:
    """A worker's work, done by all. CPU time and extra memory are the sums, unless `combined` says
    otherwise, which makes the facts of all out of each rank's."""
    ranks.hear()
    yield
    ranks.go()
    costs = ranks.hear()
    yield
    facts = ranks.hear()
    ranks.end()
    slowest = max(cost["wall_s"] for cost in costs)
    return {**summed(costs), "slowest_rank_s": slowest, **combined(facts)}


def summed(costs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        name: sum(cost[name] for cost in costs)
        for name in ("cpu_s", "extra_bytes", "disk_read_bytes")
        if all(name in cost for cost in costs)
    }
