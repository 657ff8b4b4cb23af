"""B5r: ranks that save and load together."""

from __future__ import annotations

import pathlib
from typing import Any

from .. import files, layouts
from ..alternate import LIMIT, Subject, alternate
from ..claims import faster, share_of_limit
from ..layouts import MATRICES, Layout
from ..report import Report, Table
from ..saves import LIMIT_WRITE, limit_write
from ..series import Sample, best
from ..session import Session
from ..sizes import GIB

TITLE = "Four ranks, processes over Gloo, tensors cut along dim 0"
RANKS = 4
DCP = ("dcp-1", "dcp-2", "dcp-4")
OURS = "ours-python"
OURS_STOCK = "ours-python-stock"
LABELS = {
    OURS: "libdcp, Python",
    OURS_STOCK: "libdcp, Python, of DCP's files",
    "dcp": "DCP",
    "dcp-1": "DCP, thread_count 1 (its default)",
    "dcp-2": "DCP, thread_count 2",
    "dcp-4": "DCP, thread_count 4",
}


def _run(session: Session, layout: Layout, work: str, folder: pathlib.Path, **options: Any) -> Sample:
    before_go = session.settle if work == "save" else lambda: files.make_warm(folder)
    try:
        return session.worker(
            "ranks", work, folder, before_go, layout=str(layout.path), ranks=RANKS, **options
        )
    finally:
        files.remove(folder.parent / f"{folder.name}.warm-up")


def _by(name: str) -> dict[str, Any]:
    if name.startswith("ours"):
        return {"by": "libdcp"}
    return {"by": "dcp", "threads": int(name[-1]) if name in DCP else 1}


def _saves(session: Session, layout: Layout) -> Table:
    def subject(name: str) -> Subject:
        def run() -> Sample:
            folder = files.fresh(session.folder / "save" / name)
            try:
                sample = _run(session, layout, "save", folder, **_by(name))
                if name == OURS:
                    what = f"{layout.name} saved by {RANKS} ranks of {LABELS[name]}"
                    session.once(what, lambda: session.verify_by_stock(folder, layout, what))
            finally:
                files.remove(folder)
            return sample

        limit = (lambda: limit_write(session, layout.nbytes)) if name == OURS else None
        return Subject(name, LABELS[name], "ours" if name == OURS else "peer", run, limit)

    table = alternate(
        session, "B5r save", [subject(name) for name in (OURS, *DCP)], LIMIT_WRITE
    )
    claims = [
        faster(table[OURS], best([table[name] for name in DCP]), at_least=1.5),
        faster(table[OURS], table["dcp-1"]),
        share_of_limit(table[OURS], table[LIMIT]),
    ]
    return Table(_title("durable save"), layout.nbytes, list(table.values()), claims)


def _loads(
    session: Session, layout: Layout, saved: dict[str, pathlib.Path], dim: int, at_least: float
) -> Table:
    def subject(name: str, by: str) -> Subject:
        folder = saved["dcp" if by == "dcp" or name == OURS_STOCK else "ours"]
        kind = "peer" if by == "dcp" else "ours"
        # A part of one of DCP's items has no checksum of its own.
        options = {"by": by, "dim": dim, "verified": name != OURS_STOCK or dim == 0}
        return Subject(
            name, LABELS[name], kind, lambda: _run(session, layout, "load", folder, **options)
        )

    title = "warm load" if dim == 0 else "warm load along dim 1"
    subjects = [subject(OURS, "libdcp"), subject("dcp", "dcp"), subject(OURS_STOCK, "libdcp")]
    table = alternate(session, f"B5r {title}", subjects)
    claims = [
        faster(table[OURS], table["dcp"], at_least=at_least),
        faster(table[OURS_STOCK], table["dcp"]),
    ]
    return Table(_title(title), layout.nbytes, list(table.values()), claims)


def _title(what: str) -> str:
    return f"{MATRICES} tensors on {RANKS} ranks, {what}"


def run(session: Session) -> Report:
    nbytes = min(session.sizes.nbytes, GIB)
    layout = session.layout("matrices", lambda: layouts.matrices(nbytes, RANKS))
    session.need_space(3 * layout.nbytes)
    tables = [_saves(session, layout)]
    saved = {}
    for name, by in (("ours", OURS), ("dcp", "dcp")):
        session.tell(f"files for loads: {layout.name} saved by {RANKS} ranks, {LABELS[by]}")
        saved[name] = files.fresh(session.folder / "files" / layout.name / name)
        _run(session, layout, "save", saved[name], **_by(by))
    tables.append(_loads(session, layout, saved, 0, at_least=2))
    tables.append(_loads(session, layout, saved, 1, at_least=5))
    for folder in saved.values():
        files.remove(folder)
    return Report("B5r", TITLE, tables)
