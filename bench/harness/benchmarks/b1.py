"""B1: a durable save from one process."""

from __future__ import annotations

from .. import saves
from ..alternate import LIMIT, alternate
from ..claims import faster, share_of_limit
from ..report import Report, Table
from ..series import Series, best
from ..session import Session

TITLE = "Durable save, one process, checksummed"


def measured(session: Session) -> dict[str, Series]:
    def make() -> dict[str, Series]:
        subjects = saves.save_subjects(session, session.state_layout())
        return alternate(session, "B1 save", subjects, saves.LIMIT_WRITE)

    return session.once("B1", make)


def run(session: Session) -> Report:
    table = measured(session)
    ours, python = table[saves.OURS_C], table[saves.OURS_PYTHON]
    dcp = [table[name] for name in saves.DCP]
    claims = [
        share_of_limit(ours, table[LIMIT], at_least=0.95),
        faster(ours, dcp[0], at_least=2),
        faster(ours, best(dcp), at_least=1.3),
        *[faster(ours, table[name]) for name in saves.OTHERS],
        share_of_limit(python, table[LIMIT]),
        faster(python, dcp[0]),
        faster(python, best(dcp)),
    ]
    layout = session.state_layout()
    title = f"{len(layout.tensors)} tensors"
    return Report("B1", TITLE, [Table(title, layout.nbytes, list(table.values()), claims)])
