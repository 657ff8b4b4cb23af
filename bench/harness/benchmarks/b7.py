"""B7: rows of a large tensor, checked by block checksums."""

from __future__ import annotations

import pathlib

from .. import files, layouts
from ..alternate import Subject, alternate
from ..claims import Claim, faster
from ..loads import release, saved_by
from ..processes import Failed
from ..report import Report, Table
from ..saves import LABELS, OURS_C, OURS_PYTHON
from ..series import Sample
from ..session import Session
from ..text import human_bytes

TITLE = "A slice of rows, checked by block checksums"
KIB = 1024


def _bytes_read(read: float, slice_bytes: int, what: str) -> Claim:
    bar = f"<= 1.02x the slice + 48 KiB ({human_bytes(1.02 * slice_bytes + 48 * KIB)})"
    met = read <= 1.02 * slice_bytes + 48 * KIB
    text = f"libdcp, C: {human_bytes(read)} {what}, for a slice of {human_bytes(slice_bytes)}"
    return Claim(text, read, bar, "met" if met else "missed")


def _layout(session: Session) -> layouts.Layout:
    return session.layout("one-large", lambda: layouts.one_large(session.sizes.slice_bytes))


def _table(session: Session, cold: bool) -> Table:
    layout = _layout(session)
    tensor = layout.tensors[0]
    rows = tensor.shape[0] // layouts.SLICE_PARTS
    slice_bytes = tensor.nbytes // layouts.SLICE_PARTS
    # From the middle, and not where a block or a page begins.
    box = {"name": tensor.name, "seed": 0, "first": tensor.shape[0] // 2 + 1, "rows": rows}
    ours, stock = saved_by(session, "ours", layout), saved_by(session, "dcp", layout)

    def ready(folder: pathlib.Path) -> None:
        (session.make_cold if cold else files.make_warm)(folder)

    def from_c(counted: bool = False) -> Sample:
        sample = session.driver("slice", lambda: ready(ours), folder=ours, counted=counted, **box)
        if sample.facts["unverified_bytes"]:
            raise Failed("the slice was not checked")
        return sample

    heat = "cold" if cold else "warm"
    table = alternate(
        session,
        f"B7 {heat}",
        [
            Subject(OURS_C, LABELS[OURS_C], "ours", from_c),
            Subject(
                OURS_PYTHON,
                LABELS[OURS_PYTHON],
                "ours",
                lambda: session.worker("libdcp", "rows", ours, lambda: ready(ours), **box),
            ),
            Subject(
                "dcp",
                LABELS["dcp"],
                "peer",
                lambda: session.worker("dcp", "rows", stock, lambda: ready(stock), **box),
            ),
            Subject(
                "preads",
                "one pread of as many bytes",
                "limit",
                lambda: session.driver(
                    "limit-preads",
                    lambda: ready(ours),
                    folder=ours,
                    file="__0_0.distcp",
                    bytes=slice_bytes,
                    count=1,
                ),
            ),
        ],
    )
    claims = [
        faster(table[OURS_C], table["dcp"], at_least=100),
        faster(table[OURS_PYTHON], table["dcp"]),
    ]
    if cold:
        disk = max(sample.facts.get("disk_read_bytes", 0) for sample in table[OURS_C].samples)
        text = f"libdcp, C: the disk read {human_bytes(disk)}, metadata and read-ahead included"
        claims.append(Claim(text, disk))
    else:
        facts = from_c(counted=True).facts
        claims.append(_bytes_read(facts["asked_data_bytes"], slice_bytes, "asked of data files"))
    title = f"1/{layouts.SLICE_PARTS} of a tensor of {human_bytes(tensor.nbytes)}, {heat}"
    return Table(title, slice_bytes, list(table.values()), claims)


def run(session: Session) -> Report:
    tables = [_table(session, cold=False), _table(session, cold=True)]
    release(session, _layout(session), ("ours", "dcp"))
    return Report("B7", TITLE, tables)
