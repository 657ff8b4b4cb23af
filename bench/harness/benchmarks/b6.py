"""B6: one small tensor of a checkpoint of a million shards, in a fresh process."""

from __future__ import annotations

from .. import files
from ..alternate import Subject, alternate
from ..claims import faster, within_seconds
from ..report import Report, Table
from ..saves import OURS_C
from ..series import Sample
from ..session import Session
from ..shards import ELEMENTS, NAME, shards

TITLE = "One tensor of 16 KiB out of a checkpoint of many shards, fresh process"


def _table(session: Session, cold: bool) -> Table:
    where = shards(session)

    def ready() -> None:
        (session.make_cold if cold else files.make_warm)(where.folder)

    def ours() -> Sample:
        return session.driver("tensor", ready, folder=where.folder, name=NAME, seed=0)

    def dcp() -> Sample:
        return session.worker(
            "dcp", "tensor", where.folder, ready, name=NAME, seed=0, elements=ELEMENTS
        )

    def preads() -> Sample:
        # As small as what a sidecar index would need: three places of one file.
        return session.driver(
            "limit-preads", ready, folder=where.folder, file=".metadata", bytes=4096, count=3
        )

    heat = "cold" if cold else "warm"
    table = alternate(
        session,
        f"B6 {heat}",
        [
            Subject(OURS_C, "libdcp, C, from .metadata alone", "ours", ours),
            Subject("dcp", "DCP", "peer", dcp),
            Subject("preads", "three preads of 4 KiB", "limit", preads),
        ],
    )
    claims = [
        within_seconds(table[OURS_C], 1.0),
        faster(table[OURS_C], table["dcp"]),
    ]
    title = f"{where.chunks:,} shards, {heat}"
    return Table(title, 0, list(table.values()), claims)


def run(session: Session) -> Report:
    return Report("B6", TITLE, [_table(session, cold=False), _table(session, cold=True)])
