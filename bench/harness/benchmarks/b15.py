"""B15: libdcp.torch in the place of torch.distributed.checkpoint, by the same calls."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from .. import files, layouts, pages
from ..alternate import Subject, alternate
from ..claims import Claim, cost_against, cost_each, faster
from ..layouts import Layout
from ..report import Report, Table
from ..series import Sample, Series, best
from ..session import Session
from ..sizes import GIB
from ..text import human_bytes

TITLE = "libdcp.torch and torch.distributed.checkpoint, the same calls"
RANKS = 4
OURS, STOCK = "libdcp_torch", "dcp"
OURS_STOCK = "libdcp_torch-stock"
DCP = ("dcp-1", "dcp-2", "dcp-4")
LABELS = {
    OURS: "libdcp.torch",
    OURS_STOCK: "libdcp.torch, of DCP's files",
    STOCK: "DCP",
    "dcp-1": "DCP, thread_count 1 (its default)",
    "dcp-2": "DCP, thread_count 2",
    "dcp-4": "DCP, thread_count 4",
}
MANY_AT_LEAST, LOAD_AT_LEAST = 30, 2
MEMORY_BESIDES = 256 << 20


@dataclasses.dataclass(frozen=True)
class Case:
    """One layout on so many ranks: tensors of one process, or DTensors of several over Gloo."""

    layout: Layout
    ranks: int
    title: str
    many: bool


def _cases(session: Session) -> list[Case]:
    nbytes = min(session.sizes.nbytes, GIB)
    count, tensor_bytes = session.sizes.many[0]
    large = session.layout("matrices", lambda: layouts.matrices(nbytes, RANKS))
    many = session.layout(
        f"many-matrices-{count}x{tensor_bytes}",
        lambda: layouts.many_matrices(count, tensor_bytes, RANKS),
    )
    small = f"{count:,} tensors of {human_bytes(tensor_bytes)}"
    return [
        Case(layout, ranks, f"{what}, {ranks} {'rank' if ranks == 1 else 'ranks'}", layout is many)
        for layout, what in ((large, f"{layouts.MATRICES} tensors"), (many, small))
        for ranks in (1, RANKS)
    ]


def _run(
    session: Session, case: Case, work: str, folder: pathlib.Path, by: str, **options: Any
) -> Sample:
    def before_go() -> None:
        session.settle() if work == "save" else files.make_warm(folder)
        pages.touch(2 * case.layout.nbytes + MEMORY_BESIDES)

    options["layout"] = str(case.layout.path)
    if case.ranks == 1:
        return session.worker(by, work, folder, before_go, **options)
    try:
        options |= {"by": by, "ranks": case.ranks}
        return session.worker("ranks", work, folder, before_go, **options)
    finally:
        files.remove(folder.parent / f"{folder.name}.warm-up")


def _claims(
    case: Case, ours: Series, stock: Series, cpu: Series, at_least: int | None
) -> list[Claim]:
    claims = [
        faster(ours, stock, at_least=MANY_AT_LEAST if case.many else at_least),
        cost_against(ours, cpu, "cpu_s", "the CPU time"),
    ]
    if case.many:
        count = len(case.layout.tensors)
        claims += [cost_each(one, count, "tensor") for one in (ours, stock) if one.samples]
    return claims


def _saves(session: Session, case: Case) -> Table:
    def subject(name: str) -> Subject:
        def run() -> Sample:
            folder = files.fresh(session.folder / "save" / name)
            try:
                if name == OURS:
                    sample = _run(session, case, "save", folder, OURS)
                    what = f"{case.title}, saved by {LABELS[name]}"
                    session.once(what, lambda: session.verify_by_stock(folder, case.layout, what))
                    return sample
                return _run(session, case, "save", folder, STOCK, threads=int(name[-1]))
            finally:
                files.remove(folder)

        return Subject(name, LABELS[name], "ours" if name == OURS else "peer", run)

    title = f"{case.title}, durable save"
    table = alternate(session, f"B15 {title}", [subject(name) for name in (OURS, *DCP)])
    dcp = [table[name] for name in DCP]
    claims = _claims(case, table[OURS], best(dcp), best(dcp, "cpu_s"), None)
    return Table(title, case.layout.nbytes, list(table.values()), claims)


def _loads(session: Session, case: Case, saved: dict[str, pathlib.Path], dim: int) -> Table:
    def subject(name: str) -> Subject:
        by = STOCK if name == STOCK else OURS
        folder = saved[OURS if name == OURS else STOCK]
        kind = "peer" if name == STOCK else "ours"
        return Subject(
            name, LABELS[name], kind, lambda: _run(session, case, "load", folder, by, dim=dim)
        )

    title = f"{case.title}, warm load" + (" along dim 1" if dim else "")
    names = (OURS, STOCK, OURS_STOCK)
    table = alternate(session, f"B15 {title}", [subject(name) for name in names])
    claims = _claims(case, table[OURS], table[STOCK], table[STOCK], LOAD_AT_LEAST)
    claims.append(faster(table[OURS_STOCK], table[STOCK]))
    return Table(title, case.layout.nbytes, list(table.values()), claims)


def _measured(session: Session, case: Case) -> list[Table]:
    session.need_space(3 * case.layout.nbytes)
    tables = [_saves(session, case)]
    saved = {}
    for by in (OURS, STOCK):
        session.tell(f"files for loads: {case.title}, saved by {LABELS[by]}")
        saved[by] = files.fresh(session.folder / "files" / case.layout.name / by)
        _run(session, case, "save", saved[by], by)
    tables.append(_loads(session, case, saved, 0))
    if case.ranks > 1:
        tables.append(_loads(session, case, saved, 1))
    for folder in saved.values():
        files.remove(folder)
    return tables


def run(session: Session) -> Report:
    tables = [table for case in session.chosen(_cases(session)) for table in _measured(session, case)]
    return Report("B15", TITLE, tables)
