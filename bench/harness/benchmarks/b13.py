"""B13: every checksum of a checkpoint."""

from __future__ import annotations

import pathlib

from .. import loads
from ..alternate import LIMIT, Subject, alternate
from ..claims import faster, share_of_limit
from ..loads import OURS_C_STOCK, saved_by
from ..report import Report, Table
from ..saves import OURS_C
from ..series import Sample, Series
from ..session import Session

TITLE = "Verifying a whole checkpoint, cold"


def measured(session: Session) -> dict[str, Series]:
    def make() -> dict[str, Series]:
        layout = session.state_layout()

        def ours(name: str, label: str, library: str) -> Subject:
            folder: pathlib.Path = saved_by(session, library, layout)

            def run() -> Sample:
                return session.driver("verify", lambda: session.make_cold(folder), folder=folder)

            return Subject(name, label, "ours", run, lambda: loads.limit_read(session, folder))

        stock = saved_by(session, "dcp", layout)
        peer = Subject(
            "testzip",
            "zipfile.testzip",
            "peer",
            lambda: session.worker("dcp", "testzip", stock, lambda: session.make_cold(stock)),
        )
        subjects = [
            ours(OURS_C, "libdcp, C", "ours"),
            peer,
            ours(OURS_C_STOCK, "libdcp, C, of DCP's files", "dcp"),
        ]
        return alternate(session, "B13 verify", subjects, loads.LIMIT_READ)

    return session.once("B13", make)


def run(session: Session) -> Report:
    table = measured(session)
    claims = [
        share_of_limit(table[OURS_C], table[LIMIT], at_least=0.95),
        share_of_limit(table[OURS_C_STOCK], table[LIMIT], at_least=0.95),
        faster(table[OURS_C], table["testzip"]),
        faster(table[OURS_C_STOCK], table["testzip"]),
    ]
    nbytes = session.state_layout().nbytes
    title = f"{len(session.state_layout().tensors)} tensors"
    return Report("B13", TITLE, [Table(title, nbytes, list(table.values()), claims)])
