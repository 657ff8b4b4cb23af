"""B11: how long a save in the background keeps its caller."""

from __future__ import annotations

import dataclasses
import os

from .. import files, layouts, pages
from ..alternate import Subject, alternate
from ..claims import Claim, cost_against, faster, share_of_limit
from ..layouts import Layout
from ..report import Report, Table
from ..series import Sample, Series
from ..session import Session
from ..sizes import GIB
from ..text import human_bytes, human_seconds

TITLE = "How long async_save keeps its caller"
RANKS = 4
OURS, STOCK = "libdcp_torch", "dcp"
LABELS = {OURS: "libdcp.torch", STOCK: "DCP"}
FIRST, LATER = "first", "later"
TIMES = {FIRST: "the first save", LATER: "a later save"}
MEMCPY_SHARE = 0.9


@dataclasses.dataclass(frozen=True)
class Way:
    """To call async_save: its `mode`, and whether the caller gives it a DefaultStager, which is
    `kept` for the next call. `pages` are those that libdcp.torch copies into, as the memcpy of
    harness.peers.memcpy knows them, and whether it has written to them before."""

    title: str
    mode: str
    kept: bool
    pages: dict[str, tuple[str, bool]]


THREAD = Way("thread", "thread", False, {FIRST: ("huge", False), LATER: ("huge", False)})
KEPT = Way(
    "thread, the caller keeps a stager", "thread", True,
    {FIRST: ("huge", False), LATER: ("huge", True)},
)  # fmt: skip
PROCESS = Way(
    "process", "process", False, {FIRST: ("huge", False), LATER: ("shared", True)}
)


@dataclasses.dataclass(frozen=True)
class Case:
    layout: Layout
    ranks: int
    title: str
    ways: tuple[Way, ...]
    limited: bool  # the bytes are what takes the time


def _cases(session: Session) -> list[Case]:
    state = session.state_layout()
    nbytes = min(session.sizes.nbytes, GIB)
    count, tensor_bytes = session.sizes.many[0]
    matrices = session.layout("matrices", lambda: layouts.matrices(nbytes, RANKS))
    many = session.layout(
        f"many-matrices-{count}x{tensor_bytes}",
        lambda: layouts.many_matrices(count, tensor_bytes, RANKS),
    )
    small = f"{count:,} tensors of {human_bytes(tensor_bytes)}"
    large = f"{layouts.MATRICES} tensors"
    return [
        Case(state, 1, f"{len(state.tensors)} tensors, 1 rank", (THREAD, KEPT, PROCESS), True),
        Case(many, 1, f"{small}, 1 rank", (THREAD, PROCESS), False),
        Case(matrices, RANKS, f"{large}, {RANKS} ranks", (THREAD, PROCESS), False),
        Case(many, RANKS, f"{small}, {RANKS} ranks", (THREAD,), False),
    ]


def _ready(session: Session, case: Case) -> None:
    session.settle()
    pages.touch(2 * case.layout.nbytes)


def _subject(session: Session, case: Case, way: Way, by: str) -> Subject:
    def run() -> Sample:
        folder = files.fresh(session.folder / "save" / by)
        try:
            sample = session.worker(
                "background",
                "blocking",
                folder,
                lambda: _ready(session, case),
                layout=str(case.layout.path),
                ranks=case.ranks,
                by=by,
                mode=way.mode,
                kept=way.kept,
            )
            if by == OURS:
                for name, when in TIMES.items():
                    what = f"{case.title}, {way.title}, {when}"
                    saved = folder / name
                    session.once(what, lambda: session.verify_by_stock(saved, case.layout, what))
            sample.wall_s = sample.facts[LATER]["wall_s"]
            return sample
        finally:
            files.remove(folder)
            files.remove(folder.parent / f"{folder.name}.warm-up")

    return Subject(by, LABELS[by], "ours" if by == OURS else "peer", run)


def _memcpy(session: Session, case: Case, kind_and_use: tuple[str, bool]) -> Subject:
    kind, reused = kind_and_use
    threads = os.cpu_count() or 1
    label = f"memcpy into {'reused' if reused else 'fresh'} {kind} pages, threads: {threads}"

    def run() -> Sample:
        return session.worker(
            "memcpy",
            "copy",
            session.folder,
            lambda: _ready(session, case),
            layout=str(case.layout.path),
            pages=kind,
            reused=reused,
            threads=threads,
        )

    return Subject(_memcpy_name(kind_and_use), label, "limit", run)


def _memcpy_name(kind_and_use: tuple[str, bool]) -> str:
    return f"memcpy-{kind_and_use[0]}-{kind_and_use[1]}"


def _of(series: Series, when: str) -> Series:
    samples = [Sample.of(sample.facts[when]) for sample in series.samples]
    return dataclasses.replace(series, samples=samples)


def _measured(session: Session, case: Case, way: Way) -> list[Table]:
    session.need_space(2 * case.layout.nbytes)
    subjects = [_subject(session, case, way, by) for by in (OURS, STOCK)]
    if case.limited:
        for kind_and_use in dict.fromkeys(way.pages.values()):
            subjects.append(_memcpy(session, case, kind_and_use))
    table = alternate(session, f"B11 {case.title}, {way.title}", subjects)
    return [_told(table, case, way, when) for when in TIMES]


def _told(table: dict[str, Series], case: Case, way: Way, when: str) -> Table:
    ours, stock = _of(table[OURS], when), _of(table[STOCK], when)
    series, claims = [ours, stock], [faster(ours, stock, at_least=None if way.kept else 2)]
    if case.limited:
        limit = table[_memcpy_name(way.pages[when])]
        series.append(limit)
        for sample, paired in zip(ours.samples, limit.samples):
            sample.limit_s = paired.wall_s
        claims.append(share_of_limit(ours, limit, at_least=MEMCPY_SHARE))
    claims.append(cost_against(ours, stock, "cpu_s", "the CPU time"))
    claims += [_ended(one) for one in (ours, stock) if one.samples]
    return Table(f"{case.title}, {way.title}, {TIMES[when]}", case.layout.nbytes, series, claims)


def _ended(series: Series) -> Claim:
    seconds = sorted(sample.facts["done_s"] for sample in series.samples)[len(series.samples) // 2]
    return Claim(f"{series.label}: saved after {human_seconds(seconds)}", seconds)


def run(session: Session) -> Report:
    return Report(
        "B11",
        TITLE,
        [
            table
            for case in session.chosen(_cases(session))
            for way in case.ways
            for table in _measured(session, case, way)
        ],
    )
