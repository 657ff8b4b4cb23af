"""Runs examples/torch/fsdp2_resume.py, one job after another, as torchrun would, but with ranks forked from
a process that has imported torch already. training.py JOBS: a JSON list of [ranks, [argument, ...]].
Prints a JSON list: for each job the lines that it told."""

import io
import json
import os
import pathlib
import runpy
import signal
import socket
import sys
import traceback

import torch  # noqa: F401
import torch.distributed.fsdp  # noqa: F401
import torch.distributed.tensor.parallel  # noqa: F401
import torch.distributed.checkpoint  # noqa: F401

import libdcp.torch  # noqa: F401

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "torch" / "fsdp2_resume.py"
LIMIT_S = 120


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def rank_of_job(rank, ranks, port, arguments, told):
    signal.alarm(LIMIT_S)
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(ranks),
        LOCAL_WORLD_SIZE=str(ranks),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    sys.argv = [str(EXAMPLE), *arguments]
    sys.stdout = told
    runpy.run_path(str(EXAMPLE), run_name="__main__")


def run(ranks, arguments):
    port = free_port()
    source, sink = os.pipe()
    children = []
    for rank in range(ranks):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(source)
                with io.open(sink, "w", buffering=1) as told:
                    rank_of_job(rank, ranks, port, arguments, told)
                status = 0
            except BaseException:
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(status)
        children.append(child)
    os.close(sink)
    with io.open(source) as lines:
        told = [json.loads(line) for line in lines]
    statuses = [os.waitpid(child, 0)[1] for child in children]
    if any(statuses):
        raise SystemExit(f"ranks of {arguments} ended with {statuses}")
    return told


if __name__ == "__main__":
    print(json.dumps([run(ranks, arguments) for ranks, arguments in json.loads(sys.argv[1])]))
