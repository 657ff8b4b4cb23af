#!/usr/bin/env python3
"""Counts the instructions of fixed work under Callgrind and compares them with those kept here.

    count.py <workload program> <fixture checkpoint> [--record]

A slow-down shows without a clock: it fails when some work takes half as many instructions again as
recorded. Compilers and C libraries differ by less. With --record the new counts are kept.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

COUNTS = pathlib.Path(__file__).with_name("counts.json")
MARGIN = 1.5
NOT_RUN = 77

# What is counted, and what the same program does besides.
WORK = {
    "decode .metadata of 4 ranks (FSDP2), 20 times": (["decode", "FIXTURE"], ["nothing"]),
    "save 1,000 tensors of 4 KiB": (["save"], ["nothing"]),
    "open a checkpoint of 1,000 tensors": (["open"], ["save"]),
    "load 1,000 tensors of 4 KiB": (["load"], ["save"]),
}


def instructions(program, arguments):
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={scratch}/out", program, *arguments],
            capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or found is None:
        sys.exit(f"{' '.join(arguments)}: valgrind ended with {done.returncode}\n{done.stderr[-2000:]}")
    return int(found.group(1))


def main(program, fixture, *options):
    if shutil.which("valgrind") is None:
        print("NOT RUN: valgrind is not here, so no instructions were counted")
        return NOT_RUN
    kept = json.loads(COUNTS.read_text()) if COUNTS.exists() else {}
    totals, counts, faults = {}, {}, 0
    for name, (work, besides) in WORK.items():
        for arguments in (work, besides):
            key = tuple(fixture if part == "FIXTURE" else part for part in arguments)
            if key not in totals:
                totals[key] = instructions(program, key)
            if arguments is work:
                count = totals[key]
            else:
                count -= totals[key]
        counts[name] = count
        before = kept.get(name)
        ratio = count / before if before else None
        print(f"{name:<48} {count:>12,}  recorded {before or 0:>12,}  ratio {ratio or 0:.2f}")
        if "--record" in options:
            continue
        if ratio is None or ratio > MARGIN:
            print(f"  more than {MARGIN} times what is recorded" if ratio else "  nothing is recorded")
            faults += 1
        elif ratio < 1 / MARGIN:
            print("  far fewer: keep the gain by recording anew (--record)")
    if "--record" in options:
        COUNTS.write_text(json.dumps(counts, indent=2) + "\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
