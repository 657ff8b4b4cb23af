#!/usr/bin/env python3
"""Kills, stops and delays each rank in each phase of a save: the others name it in time, and the
checkpoint that was there before still verifies. lost_rank.py <program> <dcpctl> <mpirun ... or "c10d">

LOST_RANK_RUNS says how many runs to make (12); each picks its case by a seed that is printed.
"""

import functools
import json
import os
import pathlib
import random
import select
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "torch"))
import ranks as torch_ranks  # noqa: E402

TIMEOUT_MS = 1500
DEADLINE_S = 120
SLACK_MS = 1000  # named within the timeout and this
PHASES = ("start", "plan", "write", "commit")


def outcomes(stdout):
    return [json.loads(line) for line in stdout.splitlines() if line.startswith("{")]


def run_mpi(mpirun, ranks, program, arguments, lost):
    command = [*mpirun, "--enable-recovery", "-n", str(ranks), program, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    return result.stdout, result.stderr


def run_c10d(ranks, program, arguments, lost):
    """Rank 0 hosts the store: all stay until the survivors have told how it went."""

    def all_told():
        whole = told[: told.rfind(b"\n") + 1].decode()
        return sum(line["rank"] != lost for line in outcomes(whole)) == ranks - (lost >= 0)

    told = b""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as errors:
        their_input, hold = os.pipe()
        output, their_output = os.pipe()
        processes = torch_ranks.start([program], arguments, ranks, folder, stdin=their_input, stdout=their_output,
                                      stderr=errors)
        os.close(their_input)
        os.close(their_output)
        deadline = time.monotonic() + DEADLINE_S
        more = b"?"
        while more and not all_told() and time.monotonic() < deadline:
            if select.select([output], [], [], 1)[0]:
                more = os.read(output, 1 << 16)
                told += more
        os.close(hold)
        late = threading.Timer(DEADLINE_S, lambda: [process.kill() for process in processes])
        late.start()
        while more := os.read(output, 1 << 16):
            told += more
        os.close(output)
        for process in processes:
            process.wait()
        late.cancel()
        errors.seek(0)
        return told.decode(), errors.read().decode(errors="replace")


def run(launch, ranks, program, folder, rank, phase, what):
    arguments = [str(folder), str(rank), phase, what, str(TIMEOUT_MS)]
    stdout, stderr = launch(ranks, program, arguments, rank)
    return outcomes(stdout), stderr


def check(case, lines, stderr):
    ranks, rank, phase, what = case
    told = f"{what} rank {rank} of {ranks} at {phase}: {lines}\n{stderr[-4000:]}"
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


def main(program, dcpctl, *transport):
    launch = run_c10d if transport == ("c10d",) else functools.partial(run_mpi, transport)
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
            before, stderr = run(launch, ranks, program, folder, -1, "start", "late")
            if [line["status"] for line in before] != ["OK"] * ranks:
                sys.exit(f"the first save failed: {before}\n{stderr[-4000:]}")
            lines, stderr = run(launch, ranks, program, folder, rank, phase, what)
            check((ranks, rank, phase, what), lines, stderr)
            subprocess.run([dcpctl, "verify", str(folder)], check=True, capture_output=True)
            after, stderr = run(launch, ranks, program, folder, -1, "start", "late")
            if [line["status"] for line in after] != ["OK"] * ranks:
                sys.exit(f"the save after it failed: {after}\n{stderr[-4000:]}")
            files = sorted(path.name for path in folder.iterdir())
            if len(files) != ranks + 1:
                sys.exit(f"half files are left: {files}")
            kinds[f"{what} at {phase}"] = kinds.get(f"{what} at {phase}", 0) + 1
    print(f"{runs} runs, each time the lost rank was named in time and the old checkpoint whole:")
    print(", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))


if __name__ == "__main__":
    main(*sys.argv[1:])
