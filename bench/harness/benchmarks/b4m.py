"""B4m: every tensor of a checkpoint, in the mapped file."""

from __future__ import annotations

from .. import files
from ..alternate import Subject, alternate
from ..claims import Claim, faster, within_seconds
from ..loads import saved_by
from ..report import Report, Table
from ..saves import LABELS, OURS_C, OURS_PYTHON
from ..series import Sample
from ..session import Session
from ..text import human_bytes
from . import b4

TITLE = "Mapped open of one of our checkpoints, not verified until asked"


def run(session: Session) -> Report:
    layout = session.state_layout()
    folder = saved_by(session, "ours", layout)

    def warm() -> None:
        files.make_warm(folder)

    def from_c() -> Sample:
        return session.driver("map", warm, layout=layout.path, folder=folder)

    def from_python() -> Sample:
        return session.worker("libdcp", "map", folder, warm, layout=str(layout.path))

    table = alternate(
        session,
        "B4m mapped open",
        [
            Subject(OURS_C, LABELS[OURS_C], "ours", from_c),
            Subject(OURS_PYTHON, LABELS[OURS_PYTHON], "ours", from_python),
        ],
    )
    dcp = b4.measured(session)["dcp"]
    facts = table[OURS_C].samples[0].facts
    read = (
        f"{facts['read_tensors']} of {facts['tensors']} tensors, "
        f"{human_bytes(facts['read_bytes'])}, do not lie where they can be used, and are read"
    )
    claims = [
        within_seconds(table[OURS_C], 0.010),
        faster(table[OURS_C], dcp, at_least=300),
        within_seconds(table[OURS_PYTHON], 0.010),
        faster(table[OURS_PYTHON], dcp),
        Claim(read, facts["read_bytes"]),
    ]
    shown = [*table.values(), dcp]
    title = f"{len(layout.tensors)} tensors; DCP's figure is its warm load of B4"
    return Report("B4m", TITLE, [Table(title, layout.nbytes, shown, claims)])
