"""Jobs of a few processes that talk by Gloo, one machine.

gloo_job.py <folder> <rank> <world size> <module> <function> [argument ...]   is one of them
"""

import datetime
import importlib
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent


def start(folder, size, module, function, *arguments):
    """The processes, by rank: each calls function(*arguments) of tests/exchange/<module>.py."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, __file__, str(folder), str(rank), str(size), module, function, *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
        for rank in range(size)
    ]


def finish(processes, timeout=300):
    """What each has printed; an AssertionError when one has failed."""
    texts = []
    try:
        texts = [process.communicate(timeout=timeout)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    failed = [rank for rank, process in enumerate(processes) if process.returncode != 0]
    assert not failed, f"ranks {failed} failed:\n" + "\n".join(texts[rank] for rank in failed)
    return texts


def run(folder, size, module, function, *arguments):
    return finish(start(folder, size, module, function, *arguments))


def init(folder, rank, size):
    """Rank 0 hosts the store, and leaves its port in the folder."""
    import torch.distributed as dist

    place = pathlib.Path(folder) / "port"
    if rank == 0:
        store = dist.TCPStore("127.0.0.1", 0, size, True, wait_for_workers=False)
        place.with_suffix(".tmp").write_text(str(store.port))
        place.with_suffix(".tmp").rename(place)
    else:
        until = time.monotonic() + 60
        while not place.exists():
            if time.monotonic() > until:
                sys.exit("rank 0 has left no port")
            time.sleep(0.01)
        store = dist.TCPStore("127.0.0.1", int(place.read_text()), size, False)
    dist.init_process_group("gloo", store=dist.PrefixStore("job", store), rank=rank, world_size=size,
                            timeout=datetime.timedelta(seconds=120))


def main(folder, rank, size, module, function, *arguments):
    import libdcp  # noqa: F401  before torch: then what torch does at exit comes before what libdcp does
    import torch.distributed as dist

    sys.path.insert(0, str(HERE))
    init(folder, int(rank), int(size))
    getattr(importlib.import_module(module), function)(*arguments)
    dist.barrier()  # the store's host leaves last
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
