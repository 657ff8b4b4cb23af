"""scripts/bench.sh: measures libdcp beside its peers and the machine's limits."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import pathlib
import shutil
import sys
import time

from . import chart, files, machine, publish, table
from .benchmarks import BENCHMARKS
from .processes import Failed
from .report import Report
from .session import Session
from .sizes import FULL, GIB, QUICK, SELF_TEST, Sizes
from .text import percent

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / "build/bench"


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench.sh", description=__doc__)
    known = ", ".join(BENCHMARKS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {known}; all by default")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small sizes, under 5 minutes")
    size.add_argument(
        "--self-test",
        action="store_true",
        help="toy sizes: that everything runs; the figures mean nothing",
    )
    parser.add_argument("--gib", type=float, help="GiB of tensors in the large benchmarks")
    parser.add_argument("--rounds", type=int, help="runs of each subject")
    parser.add_argument(
        "--folder",
        type=pathlib.Path,
        help="a folder of the disk to measure (build/bench)",
    )
    parser.add_argument(
        "--publish", action="store_true", help="write docs/benchmarks.md and docs/benchmarks.svg"
    )
    parser.add_argument(
        "--only", metavar="TEXT", default="", help="cases of B11 and B15 with this in their titles"
    )
    parser.add_argument("--list", action="store_true", help="the benchmarks")
    arguments = parser.parse_args(argv)
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {known}")
    sizes = _sizes(arguments)
    if arguments.publish and (arguments.self_test or sizes.rounds < QUICK.rounds):
        parser.error(f"figures of a self-test, or of fewer than {QUICK.rounds} rounds, stay here")
    return arguments


def _sizes(arguments: argparse.Namespace) -> Sizes:
    sizes = SELF_TEST if arguments.self_test else QUICK if arguments.quick else FULL
    if arguments.gib is not None:
        sizes = dataclasses.replace(sizes, nbytes=int(arguments.gib * GIB))
    if arguments.rounds is not None:
        sizes = dataclasses.replace(sizes, rounds=arguments.rounds)
    return sizes


def _tell(line: str) -> None:
    """Progress, on standard error: one line that changes on a terminal."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\x1b[K{line[:width]}", end="", file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)


QUIET = 0.1  # of all cores: what others may use while nothing is measured


def _warn_when_busy(seconds: float) -> str:
    """How busy others keep the cores, watched for so long."""
    share = machine.busy_share(seconds)
    if share > QUIET:
        print(
            f"WARNING: other programs use {percent(share)} of the CPU. A quiet machine has other\n"
            "WARNING: figures, most of all where PyTorch's copies wait for their threads.",
            flush=True,
        )
    return percent(share)


def _warn_about_cold() -> None:
    if files.can_drop_caches():
        return
    print(
        "WARNING: /proc/sys/vm/drop_caches may not be written here (run as root for that).\n"
        "WARNING: cold runs rely on posix_fadvise alone; what the system keeps nevertheless makes\n"
        "WARNING: them warmer than they say.",
        flush=True,
    )


def _measure(session: Session, names: list[str]) -> tuple[list[Report], list[str]]:
    """The reports, and what failed."""
    reports, failures = [], []
    for name in names:
        begin = time.monotonic()
        seen = len(session.verified)
        try:
            report = BENCHMARKS[name](session)
        except (Failed, OSError) as failure:
            failures.append(f"{name}: {failure}")
            print(f"{name} FAILED: {failure}\n", flush=True)
            continue
        report.verified = session.verified[seen:]
        reports.append(report)
        failures += report.failures()
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        seconds = time.monotonic() - begin
        if session.sizes.mode == "self-test":
            subjects = sum(len(part.series) for part in report.tables)
            print(f"{name:4} ran, {subjects} subjects, {seconds:.1f} s", flush=True)
        else:
            print(table.plain(report, sys.stdout.isatty()), flush=True)
            session.tell(f"{name} took {seconds:.0f} s")
    return reports, failures


def main(argv: list[str]) -> int:
    arguments = _arguments(argv)
    if arguments.list:
        for name, run in BENCHMARKS.items():
            print(f"{name:4} {sys.modules[run.__module__].TITLE}")
        return 0
    names = [name for name in BENCHMARKS if name in arguments.names or not arguments.names]
    sizes = _sizes(arguments)
    begin = time.monotonic()
    cache = CACHE / "self-test" if arguments.self_test else CACHE
    folder = (arguments.folder or cache) / "work"
    files.remove(folder)
    folder.mkdir(parents=True)
    files.remove(cache / "logs")
    described = machine.describe(ROOT, folder)
    for key, value in described.items():
        print(f"{key:20} {value}")
    _warn_about_cold()
    watched = 0.2 if arguments.self_test else 3.0
    described["CPU used by others"] = f"{_warn_when_busy(watched)} before the run"
    print(flush=True)
    session = Session(sizes, ROOT / "build/release", folder, cache, sys.executable, _tell, arguments.only)
    try:
        reports, failures = _measure(session, names)
    finally:
        session.end()
        files.remove(folder)
    described["CPU used by others"] += f", {_warn_when_busy(watched)} after it"
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    results = publish.Results(now, sizes, described, reports)
    publish.write_json(results, cache / "results.json")
    picture = cache / "chart.svg"
    chart.write(reports, picture)
    if arguments.publish and not failures:
        shutil.copyfile(picture, ROOT / "docs/benchmarks.svg")
        publish.write_docs(results, ROOT / "docs/benchmarks.md", ROOT / "docs/benchmarks.svg")
        print("written: docs/benchmarks.md, docs/benchmarks.svg")
    for failure in failures:
        print(f"FAILED {failure}")
    seconds = time.monotonic() - begin
    print(f"{len(reports)} of {len(names)} benchmarks, {len(failures)} failures, {seconds:.0f} s;")
    print(f"{(cache / 'results.json').relative_to(ROOT)} has every run")
    return 1 if failures else 0
