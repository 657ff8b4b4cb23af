"""Ranks of a Gloo job that are lost, and saves beside the job's own work."""

import json
import os
import pathlib
import signal
import sys
import time

import numpy as np
import torch
import torch.distributed as dist

import libdcp
import libdcp.torch


def rows(rank, size):
    whole = np.arange(4 * size * 3, dtype=np.float32).reshape(4 * size, 3)
    return {"w": libdcp.Sharded((4 * size, 3), [((4 * rank, 0), whole[4 * rank:4 * rank + 4].copy())])}


def told(**values):
    print("told " + json.dumps(values), flush=True)


def lose(where, victim, what, timeout, coordinator):
    """One rank of three is killed or stopped before a save; the others tell whom their errors name."""
    rank, size = dist.get_rank(), dist.get_world_size()
    comm = libdcp.torch.communicator()
    libdcp.save(rows(rank, size), where, communicator=comm)
    ready = [pathlib.Path(f"{where}.ready{other}") for other in range(size) if other != int(victim)]
    if rank != int(victim):
        pathlib.Path(f"{where}.ready{rank}").touch()
    else:
        while not all(path.exists() for path in ready):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL if what == "kill" else signal.SIGSTOP)
    named, kind = [], None
    begin = time.monotonic()
    try:
        libdcp.save(rows(rank, size), where, communicator=comm, timeout=float(timeout),
                    coordinator=int(coordinator))
    except libdcp.Error as error:
        named, kind = sorted(error.failures), type(error).__name__
        print(error)
    took = time.monotonic() - begin
    told(named=named, kind=kind, took=took)
    pathlib.Path(f"{where}.done{rank}").touch()
    while rank == 0 and not pathlib.Path(f"{where}.done{3 - int(victim)}").exists():
        time.sleep(0.01)  # the store's host leaves last
    os._exit(0)


def save_beside_work(where):
    """A save waits for rank 1 while the job goes on with its store and its collectives."""
    rank, size = dist.get_rank(), dist.get_world_size()
    comm = libdcp.torch.communicator()
    store = dist.distributed_c10d._get_default_store()
    future = None
    if rank != 1:
        future = libdcp.async_save(rows(rank, size), where, communicator=comm)
    store.set(f"said by {rank}", "hello")
    heard = [store.get(f"said by {other}") for other in range(size)]
    total = torch.tensor([rank + 1.0])
    dist.all_reduce(total)
    waited = future is not None and not future.done()
    dist.barrier()  # all have looked at their saves before rank 1 joins
    if rank == 1:
        future = libdcp.async_save(rows(rank, size), where, communicator=comm)
    future.result()
    told(heard=[text.decode() for text in heard], total=total.item(), waited=waited)


def leave_no_keys(where):
    """Saves and loads; what is in the store afterwards that was not there before."""
    rank, size = dist.get_rank(), dist.get_world_size()
    store = dist.distributed_c10d._get_default_store()
    comm = libdcp.torch.communicator()
    dist.barrier()
    before = store.num_keys() if rank == 0 else 0
    dist.barrier()
    for _ in range(3):
        libdcp.save(rows(rank, size), where, communicator=comm)
        libdcp.load_into(rows(rank, size), where, communicator=comm)
    comm.broadcast(b"x" * (9 << 20) if rank == 0 else b"", 0, 60.0)
    own = store.num_keys
    dist.barrier()
    after = own() if rank == 0 else 0
    told(left=after - before)


def leave_while_saving(where):
    """Ends the interpreter with a save in the background that rank 1 has not even begun."""
    rank, size = dist.get_rank(), dist.get_world_size()
    comm = libdcp.torch.communicator()
    leaving = pathlib.Path(f"{where}.leaving")
    while rank == 1 and not leaving.exists():
        time.sleep(0.01)
    libdcp.async_save(rows(rank, size), where, communicator=comm, timeout=60.0)
    if rank == 0:
        leaving.touch()
    sys.exit(0)
