"""B3: a cold load into tensors that are there."""

from __future__ import annotations

from .. import loads
from ..alternate import LIMIT, alternate
from ..claims import faster, share_of_limit
from ..report import Report, Table
from ..saves import OTHERS, OURS_C, OURS_PYTHON
from ..series import Series
from ..session import Session

TITLE = "Cold load into tensors that are there, every CRC checked by libdcp"


def measured(session: Session) -> dict[str, Series]:
    def make() -> dict[str, Series]:
        subjects = loads.load_subjects(
            session,
            session.state_layout(),
            cold=True,
            limit=lambda folder: loads.limit_read(session, folder),
        )
        return alternate(session, "B3 cold load", subjects, loads.LIMIT_READ)

    return session.once("B3", make)


def run(session: Session) -> Report:
    table = measured(session)
    ours, python = table[OURS_C], table[OURS_PYTHON]
    claims = [
        share_of_limit(ours, table[LIMIT], at_least=0.95),
        faster(ours, table["dcp"], at_least=1.9),
        share_of_limit(table[loads.OURS_C_STOCK], table[LIMIT], at_least=0.95),
        faster(table[loads.OURS_C_STOCK], table["dcp"], at_least=1.9),
        *[faster(ours, table[name]) for name in (*OTHERS, loads.MMAP)],
        share_of_limit(python, table[LIMIT]),
        faster(python, table["dcp"]),
    ]
    layout = session.state_layout()
    title = f"{len(layout.tensors)} tensors"
    return Report("B3", TITLE, [Table(title, layout.nbytes, list(table.values()), claims)])
