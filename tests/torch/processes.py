#!/usr/bin/env python3
"""Runs a program as the ranks of a job: processes.py <ranks> <program> <arguments ...>. Each gets as
further arguments its rank, the number of ranks, a free port of this machine and a folder that is
new and empty. All must end well."""

import socket
import subprocess
import sys
import tempfile


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def main(size, program, *arguments):
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        ranks = [
            subprocess.Popen([program, *arguments, str(rank), size, str(port), folder])
            for rank in range(int(size))
        ]
        codes = [rank.wait() for rank in ranks]
    failed = {rank: code for rank, code in enumerate(codes) if code != 0}
    if failed:
        sys.exit(f"exit codes by rank: {failed}")


if __name__ == "__main__":
    main(*sys.argv[1:])
