"""B5: many small tensors."""

from __future__ import annotations

import functools
import os

from .. import layouts, loads, saves
from ..alternate import LIMIT, Subject, alternate
from ..claims import Claim, cost_each, faster, share_of_limit
from ..layouts import Layout
from ..report import Report, Table
from ..saves import OURS_C, OURS_PYTHON
from ..series import Series, best
from ..session import Session
from ..text import human_bytes, human_seconds

TITLE = "Many small tensors"
OTHERS = ("safetensors",)


def _claims(
    ours: Series, python: Series, dcp: list[Series], other: Series, limit: Series, count: int
) -> list[Claim]:
    fastest = best(dcp)
    claims = [
        faster(ours, fastest, at_least=40),
        faster(ours, other, at_least=3),
        faster(python, fastest, at_least=25),
        faster(python, other),
        share_of_limit(ours, limit),
    ]
    ran = [series for series in (ours, python, fastest, other) if series.samples]
    claims += [cost_each(series, count, "tensor") for series in ran]
    claims.append(_python_share(ours, python, count))
    return claims


def _python_share(ours: Series, python: Series, count: int) -> Claim:
    """What a tensor costs more from Python than from C."""
    least = min(python.values("cpu_s")) - max(ours.values("cpu_s"))
    if least <= 0:
        return Claim("Python's own CPU time a tensor: not told, the spread is wider")
    each = (python.median("cpu_s") - ours.median("cpu_s")) / count
    return Claim(f"Python's own CPU time: {human_seconds(each)} a tensor", each)


def _saves(session: Session, layout: Layout, title: str) -> Table:
    subjects = saves.save_subjects(session, layout, OTHERS)
    table = alternate(session, f"B5 save {layout.name}", subjects, saves.LIMIT_WRITE)
    dcp = [table[name] for name in saves.DCP]
    claims = _claims(
        table[OURS_C],
        table[OURS_PYTHON],
        dcp,
        table["safetensors"],
        table[LIMIT],
        len(layout.tensors),
    )
    return Table(f"{title}, durable save", layout.nbytes, list(table.values()), claims)


def _loads(session: Session, layout: Layout, title: str) -> Table:
    threads = os.cpu_count() or 1
    subjects = loads.load_subjects(
        session,
        layout,
        cold=False,
        others=OTHERS,
        limit=lambda folder: loads.limit_copy(session, layout.nbytes, threads),
    )
    table = alternate(
        session, f"B5 load {layout.name}", _without_stock(subjects), f"memcpy, threads: {threads}"
    )
    claims = _claims(
        table[OURS_C],
        table[OURS_PYTHON],
        [table["dcp"]],
        table["safetensors"],
        table[LIMIT],
        len(layout.tensors),
    )
    return Table(
        f"{title}, warm load into tensors that are there",
        layout.nbytes,
        list(table.values()),
        claims,
    )


def _without_stock(subjects: list[Subject]) -> list[Subject]:
    return [subject for subject in subjects if subject.name != loads.OURS_C_STOCK]


def run(session: Session) -> Report:
    tables = []
    for count, tensor_bytes in session.sizes.many:
        make = functools.partial(layouts.many, count, tensor_bytes)
        layout = session.layout(f"many-{count}x{tensor_bytes}", make)
        title = f"{count:,} tensors of {human_bytes(tensor_bytes)}"
        tables.append(_saves(session, layout, title))
        tables.append(_loads(session, layout, title))
        loads.release(session, layout, ("ours", "dcp", *OTHERS))
    return Report("B5", TITLE, tables)
