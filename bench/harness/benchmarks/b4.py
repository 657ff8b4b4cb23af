"""B4: a warm load into tensors that are there."""

from __future__ import annotations

import os

from .. import loads
from ..alternate import LIMIT, Subject, alternate
from ..claims import faster, share_of_limit
from ..report import Report, Table
from ..saves import OTHERS, OURS_C, OURS_PYTHON
from ..series import Series
from ..session import Session

TITLE = "Warm load into tensors that are there, every CRC checked by libdcp"
ONE_THREAD = "memcpy-1"


def measured(session: Session) -> dict[str, Series]:
    def make() -> dict[str, Series]:
        layout = session.state_layout()
        threads = os.cpu_count() or 1
        subjects = loads.load_subjects(
            session,
            layout,
            cold=False,
            limit=lambda folder: loads.limit_copy(session, layout.nbytes, threads),
        )
        if threads > 1:
            subjects.append(
                Subject(
                    ONE_THREAD,
                    "memcpy, one thread",
                    "limit",
                    lambda: loads.limit_copy(session, layout.nbytes, 1),
                )
            )
        table = alternate(session, "B4 warm load", subjects, f"memcpy, threads: {threads}")
        loads.release(session, layout, OTHERS)  # no benchmark behind this one reads them
        return table

    return session.once("B4", make)


def run(session: Session) -> Report:
    table = measured(session)
    ours, python = table[OURS_C], table[OURS_PYTHON]
    claims = [
        faster(ours, table["dcp"], at_least=3),
        faster(table[loads.OURS_C_STOCK], table["dcp"], at_least=3),
        share_of_limit(ours, table[LIMIT]),
        *[faster(ours, table[name]) for name in (*OTHERS, loads.MMAP)],
        faster(python, table["dcp"]),
    ]
    layout = session.state_layout()
    title = f"{len(layout.tensors)} tensors"
    return Report("B4", TITLE, [Table(title, layout.nbytes, list(table.values()), claims)])
