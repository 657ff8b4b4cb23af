#!/usr/bin/env python3
"""Runs a program as the ranks of a job, in an empty folder: processes.py <ranks> <program> <argument> ...
See ranks.py for what is added to the arguments. All must end well."""

import sys
import tempfile

import ranks


def main(size, program, *arguments):
    with tempfile.TemporaryDirectory() as folder:
        processes = ranks.start([program], arguments, int(size), folder)
        codes = [process.wait() for process in processes]
    failed = {rank: code for rank, code in enumerate(codes) if code != 0}
    if failed:
        sys.exit(f"exit codes by rank: {failed}")


if __name__ == "__main__":
    main(*sys.argv[1:])
