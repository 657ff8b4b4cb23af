"""B2: CPU time of a save, CRC32 included."""

from __future__ import annotations

import functools
import pathlib

from .. import files, saves
from ..alternate import Subject, alternate
from ..claims import Claim, cost_against
from ..report import Report, Table
from ..series import Sample, Series, best
from ..session import Session
from . import b1

TITLE = "CPU time of a save"
CACHED_WRITE = "cached-write"


def _cached(session: Session) -> dict[str, Series]:
    layout = session.state_layout()

    def ours() -> Sample:
        folder = files.fresh(session.folder / "save" / saves.OURS_C)
        try:
            sample = saves.ours_saves(session, layout, folder, durable=False, direct=False)
            what = f"{layout.name} saved by libdcp, C, into the page cache"
            session.once(what, lambda: session.verify_by_stock(folder, layout, what))
        finally:
            files.remove(folder)
        return sample

    def dcp(threads: int) -> Sample:
        folder: pathlib.Path = files.fresh(session.folder / "save" / f"dcp-{threads}")
        try:
            return saves.worker_saves(
                session, "dcp", layout, folder, threads=threads, durable=False
            )
        finally:
            files.remove(folder)

    def limit() -> Sample:
        return session.driver(
            "limit-cached-write", session.settle, folder=session.folder, bytes=layout.nbytes
        )

    subjects = [
        Subject(saves.OURS_C, "libdcp, C", "ours", ours),
        Subject(CACHED_WRITE, "write(2) and one pass of CRC32", "limit", limit),
    ]
    for name in saves.DCP:
        save = functools.partial(dcp, int(name[-1]))
        subjects.append(Subject(name, saves.LABELS[name], "peer", save))
    return alternate(session, "B2 save into the page cache", subjects)


def _a_gib(series: Series, nbytes: int) -> Claim:
    cpu = series.median("cpu_s") / (nbytes / (1 << 30))
    return Claim(f"{series.label}: {cpu:.3f} CPU seconds a GiB", cpu)


def run(session: Session) -> Report:
    nbytes = session.state_layout().nbytes
    cached, durable = _cached(session), b1.measured(session)
    cpu = "the CPU time"
    tables = []
    for title, table, last in (
        ("into the page cache, not synced", cached, CACHED_WRITE),
        ("durable", durable, ""),
    ):
        dcp = best([table[name] for name in saves.DCP], "cpu_s")
        ours = table[saves.OURS_C]
        claims = []
        if last:
            claims.append(cost_against(ours, table[last], "cpu_s", cpu, at_most=1.25))
            claims.append(cost_against(ours, dcp, "cpu_s", cpu))
        else:
            claims.append(cost_against(ours, dcp, "cpu_s", cpu, at_most=1 / 3))
        shown = [table[name] for name in (saves.OURS_C, last, *saves.DCP) if name in table]
        claims += [_a_gib(series, nbytes) for series in shown if series.samples]
        tables.append(Table(title, nbytes, shown, claims))
    return Report("B2", TITLE, tables)
