#!/usr/bin/env python3
"""make soak: the long counts behind libdcp's promises.

Each step of STEPS is a program that takes a seed and a count and fails when anything is wrong. What
has passed is kept in build/soak.json after each chunk, so an interrupted run goes on where it was.

  scripts/soak.py                 what is left of every step
  scripts/soak.py NAME...         only these steps
  scripts/soak.py --fiftieth      a fiftieth of each, fresh seed, nothing kept (make test)
  scripts/soak.py --list          the steps and how far they are
  scripts/soak.py --restart       forgets what was done
  scripts/soak.py --seed N        instead of a fresh one
"""

import argparse
import dataclasses
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time
import venv

ROOT = pathlib.Path(__file__).resolve().parents[1]
STATE = ROOT / "build/soak.json"
SCRATCH = ROOT / "build/soak-scratch"

# Releases of PyTorch that read what we write. Old ones want an older numpy.
TORCHES = {
    "2.1": ["torch==2.1.2", "numpy==1.26.4"],
    "2.4": ["torch==2.4.1", "numpy==1.26.4"],
    "2.8": ["torch==2.8.0", "numpy==2.4.6"],
    "2.13": ["torch==2.13.0", "numpy==2.4.6"],
    "2.15": ["-r", str(ROOT / "scripts/requirements-torch-2.15.txt")],
}


@dataclasses.dataclass
class Step:
    """`command` is a line for bash, run in the repository's root with dcpctl on its PATH, in which {seed}
    and {count} are filled in, {scratch} is an empty folder of its own, {python} is build/venv's and
    {torch} that of build/torch-<torch>."""

    name: str
    command: str
    total: int
    chunk: int
    torch: str = ""  # "2.15": the environment it needs, made on first use
    whole: str = ""  # run once instead of `total` in chunks, in make soak
    elsewhere: str = ""  # the stage of make test that runs its fiftieth, when --fiftieth need not


MPIRUN = "mpirun --oversubscribe" + (" --allow-run-as-root" if os.geteuid() == 0 else "")
SHARDED = "tests/fixtures/golden/torch-2.4/w2/sharded/ckpt"
OURS = f"dcpctl cp {SHARDED} {{scratch}}/ours --files 1 && "
EXCHANGE = "DCP_EXCHANGE_COUNT={count} DCP_EXCHANGE_SEED={seed} {torch} -m pytest -q -p no:cacheprovider tests/exchange -k "


def read_by(version, dialect):
    return Step(f"read-by-{version}-{dialect}",
                f"{{python}} tests/exchange/versions.py write {{scratch}} {dialect} {{count}} {{seed}} && "
                "{torch} tests/exchange/versions.py read {scratch}",
                total=200, chunk=50, torch=version)


STEPS = [
    Step("ours-read-by-torch", EXCHANGE + "stock_loads_what_libdcp_saves", 1000, 50, torch="2.15",
         elsewhere="live exchange"),
    Step("torch-read-by-ours", EXCHANGE + "libdcp_loads_what_stock_saves", 1000, 50, torch="2.15",
         elsewhere="live exchange"),
    Step("global-plans", EXCHANGE + "random_global_plans", 500, 100, torch="2.15", elsewhere="live exchange"),
    Step("kills", "build/release/bin/fault_kill_save {count} {seed}", 200, 25),
    # R6. Whole: every byte to every other value, and every truncation.
    Step("flips-ours", OURS + "build/release/bin/flips {scratch}/ours ours {count} {seed}", 2500000, 2500000,
         whole=OURS + "build/release/bin/flips {scratch}/ours ours all"),
    Step("flips-stock", f"build/release/bin/flips {SHARDED} stock {{count}} {{seed}}", 2500000, 2500000,
         whole=f"build/release/bin/flips {SHARDED} stock all"),
    # Checked for memory too: the pool of I/O buffers, and 1.5 KiB an item.
    Step("many-tensors", "build/release/bin/stress {scratch}/ckpt tensors {count} {seed}", 178000, 178000),
    Step("many-shards", "build/release/bin/stress {scratch}/ckpt shards {count} {seed}", 1000000, 1000000),
    Step("reshard", "build/release/bin/stress_reshard {count} {seed}", 10000, 1000),
    Step("reshard-with-torch", "{torch} tests/exchange/reshard.py {scratch} {count} {seed}", 500, 50, torch="2.15"),
    Step("ranks-tsan", "scripts/tsan.sh stress_ranks {count} {seed}", 1000, 250),
    Step("lost-ranks-mpi", f"LOST_RANK_RUNS={{count}} LOST_RANK_SEED={{seed}} {{python}} tests/lost_rank/lost_rank.py "
         f"build/release/bin/mpi_lost_rank build/release/bin/dcpctl {MPIRUN}", 250, 10, elsewhere="ctest release"),
    Step("lost-ranks-c10d", "LOST_RANK_RUNS={count} LOST_RANK_SEED={seed} {python} tests/lost_rank/lost_rank.py "
         "build/release/bin/torch_lost_rank build/release/bin/dcpctl c10d", 250, 10, torch="2.15",
         elsewhere="ctest libdcp_torch"),
    read_by("2.15", "default"),
    read_by("2.13", "default"),
    read_by("2.8", "default"),
    read_by("2.4", "default"),
    read_by("2.1", "torch-2.1"),
    read_by("2.15", "torch-2.1"),
]


def python_with_torch(version):
    """The environment's interpreter; makes the environment on first use."""
    folder = ROOT / f"build/torch-{version}"
    stamp = folder / ".soak-ready"
    python = folder / "bin/python"
    if not stamp.exists():
        print(f"installing PyTorch {version} into build/torch-{version}", flush=True)
        if not python.exists():
            venv.create(folder, with_pip=True)
        extra = [] if version == "2.15" else ["ml_dtypes", "pytest", "zstandard"]
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check",
                        *TORCHES[version], *extra], check=True)
        stamp.touch()
    return str(python)


def run_chunk(step, command, seed, count):
    scratch = SCRATCH / step.name
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    line = command.format(seed=seed, count=count, scratch=scratch, python=ROOT / "build/venv/bin/python",
                          torch=python_with_torch(step.torch) if step.torch else "")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "build/release/python"), "PYTHONUNBUFFERED": "1",
                   "PATH": f"{ROOT / 'build/release/bin'}:{os.environ['PATH']}"}
    result = subprocess.run(["bash", "-c", line], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        print(f"FAILED {step.name}, exit code {result.returncode}: {line}", flush=True)
        return False
    shutil.rmtree(scratch, ignore_errors=True)
    return True


def load_state():
    if STATE.exists():
        return json.loads(STATE.read_text())
    return {}


def save_state(state):
    temporary = STATE.with_suffix(".tmp")
    temporary.write_text(json.dumps(state, indent=1) + "\n")
    temporary.replace(STATE)


def fresh_seed(rng):
    return rng.randrange(1, 2**31)


def soak(steps, rng):
    state = load_state()
    for step in steps:
        done = state.setdefault(step.name, {"done": 0, "seeds": []})
        while done["done"] < step.total:
            seed = fresh_seed(rng)
            count = min(step.chunk, step.total - done["done"])
            begin = time.monotonic()
            print(f"step {step.name}: {done['done']} of {step.total}, next {count}, seed {seed}", flush=True)
            if not run_chunk(step, step.whole or step.command, seed, count):
                return 1
            done["done"] += count
            done["seeds"].append(seed)
            save_state(state)
            print(f"step {step.name}: {done['done']} of {step.total}, {time.monotonic() - begin:.0f} s", flush=True)
    print("soak: " + ", ".join(f"{step.name} {state[step.name]['done']}" for step in steps) + ", none failed")
    return 0


def fiftieth(steps, rng):
    ran = []
    for step in steps:
        if step.elsewhere:
            print(f"step {step.name}: its fiftieth runs in the stage {step.elsewhere}", flush=True)
            continue
        if step.torch and not (ROOT / f"build/torch-{step.torch}/bin/python").exists():
            print(f"step {step.name}: left to make soak, PyTorch {step.torch} is not installed here", flush=True)
            continue
        seed = fresh_seed(rng)
        count = -(-step.total // 50)
        print(f"step {step.name}: {count} of {step.total}, seed {seed}", flush=True)
        if not run_chunk(step, step.command, seed, count):
            return 1
        ran.append(f"{step.name} {count}/{step.total}")
    print("soak: " + ", ".join(ran) + ", none failed")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--fiftieth", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--restart", action="store_true")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    known = {step.name: step for step in STEPS}
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error(f"no step {', '.join(unknown)}; there are {', '.join(known)}")
    steps = [known[name] for name in arguments.names] or STEPS
    if arguments.list:
        state = load_state()
        for step in steps:
            print(f"{step.name:28} {state.get(step.name, {}).get('done', 0):8} of {step.total}")
        return 0
    if arguments.restart:
        STATE.unlink(missing_ok=True)
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1, 2**31)
    print(f"seed {seed}", flush=True)
    rng = random.Random(seed)
    return fiftieth(steps, rng) if arguments.fiftieth else soak(steps, rng)


if __name__ == "__main__":
    sys.exit(main())
