#!/usr/bin/env python3
"""Kills, stops and delays each rank in each phase of a save over MPI: the others name it in time, and
the checkpoint that was there before still verifies. lost_rank.py <program> <dcpctl> <mpirun ...>

LOST_RANK_RUNS says how many runs to make (12); each picks its case by a seed that is printed.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

TIMEOUT_MS = 1500
SLACK_MS = 1000  # named within the timeout and this
PHASES = ("start", "plan", "write", "commit")


def run(mpirun, ranks, program, folder, rank, phase, what):
    command = [*mpirun, "--enable-recovery", "-n", str(ranks), program, str(folder), str(rank), phase, what,
               str(TIMEOUT_MS)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    return lines, result


def check(case, lines, result):
    ranks, rank, phase, what = case
    told = f"{what} rank {rank} of {ranks} at {phase}: {lines}\n{result.stderr[-2000:]}"
    others = [line for line in lines if line["rank"] != rank]
    if len(others) != ranks - 1:
        sys.exit(f"not every survivor ended: {told}")
    for line in others:
        names = {named for named, _, _ in line["named"]}
        committed = line["status"] == "OK"
        # Whoever is lost when all is written leaves the others with a checkpoint, or in doubt.
        late = phase == "commit" and line["status"] in ("OK", "OUTCOME_UNKNOWN")
        if not late and (committed or names != {rank}):
            sys.exit(f"rank {line['rank']} named {sorted(names)}: {told}")
        if line["ms"] > TIMEOUT_MS + SLACK_MS:
            sys.exit(f"rank {line['rank']} took {line['ms']} ms: {told}")


def main(program, dcpctl, *mpirun):
    runs = int(os.environ.get("LOST_RANK_RUNS", "12"))
    seed = int(os.environ.get("LOST_RANK_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"{runs} runs, seed {seed}")
    choose = random.Random(seed)
    kinds = {}
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(runs):
            ranks = choose.choice((2, 3, 4))
            phase = choose.choice(PHASES)
            rank = 0 if phase == "commit" else choose.randrange(ranks)
            what = choose.choice(("kill", "stop", "late"))
            folder = pathlib.Path(temporary) / f"run{number}"
            before, result = run(mpirun, ranks, program, folder, -1, "start", "late")
            if [line["status"] for line in before] != ["OK"] * ranks:
                sys.exit(f"the first save failed: {before}\n{result.stderr[-2000:]}")
            lines, result = run(mpirun, ranks, program, folder, rank, phase, what)
            check((ranks, rank, phase, what), lines, result)
            subprocess.run([dcpctl, "verify", str(folder)], check=True, capture_output=True)
            after, result = run(mpirun, ranks, program, folder, -1, "start", "late")
            if [line["status"] for line in after] != ["OK"] * ranks:
                sys.exit(f"the save after it failed: {after}\n{result.stderr[-2000:]}")
            files = sorted(path.name for path in folder.iterdir())
            if len(files) != ranks + 1:
                sys.exit(f"half files are left: {files}")
            kinds[f"{what} at {phase}"] = kinds.get(f"{what} at {phase}", 0) + 1
    print(f"{runs} runs, each time the lost rank was named in time and the old checkpoint whole:")
    print(", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))


if __name__ == "__main__":
    main(*sys.argv[1:])
