"""Jobs of a few processes that talk by Gloo, one machine.

gloo_job.py <folder> <rank> <world size> <module> <function> [argument ...]   is one of them
gloo_job.py --fork <folder> <world size> <module> <function> [argument ...]   imports once, and forks all;
    prints the numbers of those that failed, as JSON
"""

import datetime
import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent


def one_threaded():
    return {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}


def start(folder, size, module, function, *arguments):
    """The processes, by rank: each calls function(*arguments) of tests/exchange/<module>.py."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    environment = one_threaded()
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


def run(folder, size, module, function, *arguments, timeout=300):
    """What each rank has printed; an AssertionError when one has failed. The ranks are forked from a
    process that has imported what they need."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    launcher = subprocess.Popen(
        [sys.executable, __file__, "--fork", str(folder), str(size), module, function, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=one_threaded(), start_new_session=True)
    try:
        said = launcher.communicate(timeout=timeout)[0]
    finally:
        try:
            os.killpg(launcher.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        launcher.wait()
    texts = [path.read_text() if path.exists() else "" for path in (output_of(folder, rank) for rank in range(size))]
    assert launcher.returncode == 0, f"the ranks were not started:\n{said}"
    failed = json.loads(said.splitlines()[-1])
    assert not failed, f"ranks {failed} failed:\n" + "\n".join(texts[rank] for rank in failed)
    return texts


def output_of(folder, rank):
    return pathlib.Path(folder) / f"rank{rank}.txt"


def fork(folder, size, module, function, *arguments):
    """In each forked rank this returns when its work is done, and the process ends as any other."""
    import libdcp  # noqa: F401  as in main
    import torch.distributed.checkpoint  # noqa: F401
    import torch.distributed.fsdp  # noqa: F401
    import torch.distributed.tensor  # noqa: F401

    sys.path.insert(0, str(HERE))
    importlib.import_module(module)
    children = []
    for rank in range(int(size)):
        child = os.fork()
        if child == 0:
            output = os.open(output_of(folder, rank), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(output)
            return main(folder, rank, size, module, function, *arguments)
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    print(json.dumps([rank for rank, status in enumerate(statuses) if status != 0]), flush=True)


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
    if sys.argv[1] == "--fork":
        fork(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
