#!/usr/bin/env python3
"""A process group that Python made, by its name, through ctypes: python_group.py <libdcp_torch.so>
<libdcp.so>, run by a Python with torch. While a thread makes the library's calls, the program uses the
group as before."""

import ctypes
import os
import subprocess
import sys
import tempfile
import threading

RANKS = 2
CALLS = 50


def check(dcp, status, error):
    if status != 0:
        dcp.dcp_error_message.restype = ctypes.c_char_p
        sys.exit(f"status {status}: {dcp.dcp_error_message(error).decode()}")


def all_gather(dcp, comm, mine):
    """Every rank's bytes, by the library."""
    buffers, error, size = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_size_t()
    status = dcp.dcp_communicator_all_gather(comm, mine, ctypes.c_size_t(len(mine)), ctypes.c_int64(60000),
                                             ctypes.byref(buffers), ctypes.byref(error))
    check(dcp, status, error)
    dcp.dcp_buffers_at.restype = ctypes.c_void_p
    everyones = []
    for rank in range(RANKS):
        data = dcp.dcp_buffers_at(buffers, ctypes.c_size_t(rank), ctypes.byref(size))
        everyones.append(ctypes.string_at(data, size.value))
    dcp.dcp_buffers_free(buffers)
    return everyones


def rank_main(rank, folder, libraries):
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS)
    dcp_torch, dcp = map(ctypes.CDLL, libraries)
    comm, error = ctypes.c_void_p(), ctypes.c_void_p()
    status = dcp_torch.dcp_torch_communicator_from_group_name(
        dist.group.WORLD.group_name.encode(), b"libdcp/1", ctypes.c_int32(-1), ctypes.c_int64(60000),
        ctypes.byref(comm), ctypes.byref(error))
    check(dcp, status, error)
    assert dcp.dcp_communicator_rank(comm) == rank and dcp.dcp_communicator_world_size(comm) == RANKS

    wrong = []

    def library_calls():
        for call in range(CALLS):
            got = all_gather(dcp, comm, b"%d of rank %d" % (call, rank))
            if got != [b"%d of rank %d" % (call, other) for other in range(RANKS)]:
                wrong.append(got)

    thread = threading.Thread(target=library_calls)
    thread.start()
    for call in range(CALLS):
        tensor = torch.full((3,), float(rank + call))
        dist.all_reduce(tensor)
        assert tensor.tolist() == [sum(other + call for other in range(RANKS))] * 3
    thread.join()
    assert not wrong, wrong[0]
    dist.barrier()
    dcp.dcp_communicator_free(comm)
    dist.destroy_process_group()
    print(f"rank {rank}: {CALLS} calls beside {CALLS} of the program's own", flush=True)


def main(*libraries):
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo"}
    with tempfile.TemporaryDirectory() as folder:
        ranks = [subprocess.Popen([sys.executable, __file__, "--rank", str(rank), folder, *libraries], env=environment)
                 for rank in range(RANKS)]
        codes = [rank.wait() for rank in ranks]
    if any(codes):
        sys.exit(f"exit codes by rank: {codes}")


if __name__ == "__main__":
    if sys.argv[1] == "--rank":
        rank_main(int(sys.argv[2]), sys.argv[3], sys.argv[4:])
    else:
        main(*sys.argv[1:])
