"""B12: peak extra memory."""

from __future__ import annotations

from .. import files
from ..alternate import Subject, alternate
from ..claims import memory_within
from ..loads import OURS_C_STOCK, saved_by
from ..report import Report, Table
from ..saves import OURS_C, OURS_PYTHON
from ..series import Sample, Series
from ..session import Session
from . import b1, b3, b4, b13

TITLE = "Peak extra memory"
BAR = 64 << 20


def _converted(session: Session) -> dict[str, Series]:
    """A copy with checks, beside the conversion that DCP offers."""
    layout = session.state_layout()
    ours, stock = saved_by(session, "ours", layout), saved_by(session, "dcp", layout)

    def copy() -> Sample:
        into = files.fresh(session.folder / "copy" / "ours")
        try:
            sample = session.driver("copy", session.settle, folder=ours, into=into)
            what = f"{layout.name} copied by libdcp"
            session.once(what, lambda: session.verify_by_stock(into, layout, what))
        finally:
            files.remove(into)
        return sample

    def to_torch_save() -> Sample:
        into = files.fresh(stock.parent / "to-torch-save")
        try:
            return session.worker("dcp", "to_torch_save", stock, session.settle, into=into.name)
        finally:
            files.remove(into)

    return alternate(
        session,
        "B12 convert",
        [
            Subject(OURS_C, "libdcp, C, copy", "ours", copy),
            Subject("dcp", "DCP, dcp_to_torch_save", "peer", to_torch_save),
        ],
    )


def run(session: Session) -> Report:
    tables = []
    for title, table in (
        ("durable save (B1)", b1.measured(session)),
        ("cold load (B3)", b3.measured(session)),
        ("warm load (B4)", b4.measured(session)),
        ("convert", _converted(session)),
        ("verify (B13)", b13.measured(session)),
    ):
        ours = [table[name] for name in (OURS_C, OURS_PYTHON, OURS_C_STOCK) if name in table]
        shown = [series for series in table.values() if series.kind != "limit"]
        claims = [memory_within(series, BAR) for series in ours]
        nbytes = session.state_layout().nbytes
        tables.append(Table(title, nbytes, shown, claims, only_memory=True))
    return Report("B12", TITLE, tables)
