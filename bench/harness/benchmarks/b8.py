"""B8: `.metadata` of a million shards, decoded."""

from __future__ import annotations

from .. import files
from ..alternate import Subject, alternate
from ..claims import Claim, cost_against, faster
from ..processes import Failed
from ..report import Report, Table
from ..saves import OURS_C
from ..series import Sample, Series, best
from ..session import Session
from ..shards import shards

TITLE = "Decoding .metadata of many shards"


def _same_counts(table: dict[str, Series]) -> None:
    """Raises Failed unless everyone found as many names and chunks."""
    found = {
        (sample.facts["entries"], sample.facts["chunks"])
        for series in table.values()
        for sample in series.samples
    }
    if len(found) != 1:
        raise Failed(f"B8: names and chunks differ: {sorted(found)}")


def run(session: Session) -> Report:
    where = shards(session)
    nbytes = (where.folder / ".metadata").stat().st_size

    def warm() -> None:
        files.make_warm(where.folder)

    def ours() -> Sample:
        return session.driver("open", warm, folder=where.folder)

    def peer(collect_garbage: bool) -> Sample:
        return session.worker("dcp", "decode", where.folder, warm, collect_garbage=collect_garbage)

    table = alternate(
        session,
        "B8 decode",
        [
            Subject(OURS_C, "libdcp, C, a checkpoint opened", "ours", ours),
            Subject("pickle", "pickle.load", "peer", lambda: peer(True)),
            Subject("pickle-no-gc", "pickle.load, gc off", "peer", lambda: peer(False)),
        ],
    )
    _same_counts(table)
    pickles = [table["pickle"], table["pickle-no-gc"]]
    mine = table[OURS_C]
    rate = nbytes / mine.median("wall_s") / 1e9
    claims = [
        faster(mine, table["pickle"], at_least=25),
        faster(mine, table["pickle-no-gc"]),
        cost_against(
            mine, best(pickles, "extra_bytes"), "extra_bytes", "the extra memory", at_most=0.1
        ),
        Claim(f"libdcp, C: {rate:.2f} GB/s of .metadata; the bar's limit is 1 GB/s", rate),
    ]
    title = f"{where.chunks:,} shards, warm"
    return Report("B8", TITLE, [Table(title, nbytes, list(table.values()), claims)])
