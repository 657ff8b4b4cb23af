"""B9: the global plan of very many items from very many ranks."""

from __future__ import annotations

import dataclasses
import statistics

from ..alternate import Subject, alternate
from ..claims import Claim, faster, within_seconds
from ..processes import Failed
from ..report import Report, Table
from ..saves import OURS_C
from ..series import Sample, Series
from ..session import Session
from ..simulated_plans import PlannedJob
from ..text import digits, human_bytes, human_seconds

TITLE = "The global plan of many ranks, at the coordinator"

# By the mode of the sizes: the job that both do, and those that ours does as well, with bars.
SHARED = {
    "full": PlannedJob(256, 1000),
    "quick": PlannedJob(64, 500),
    "self-test": PlannedJob(8, 40),
}
LARGE = {
    "full": ((PlannedJob(1024, 977), 1.0), (PlannedJob(8960, 302, stages=8), 3.0)),
    "quick": ((PlannedJob(1024, 977), 1.0), (PlannedJob(8960, 302, stages=8), 3.0)),
    "self-test": ((PlannedJob(16, 40, stages=2), None),),
}
MOST = 0.1  # of the bytes of pickles


def _ours(session: Session, job: PlannedJob) -> Sample:
    return session.planning("global-plan", **dataclasses.asdict(job))


def _each_way(series: Series) -> tuple[int, int]:
    facts = series.samples[0].facts
    return facts["wire_bytes"], facts["back_bytes"]


def _bytes(ours: Series, theirs: Series) -> Claim:
    mine, other = _each_way(ours)[0], _each_way(theirs)[0]
    share = mine / other
    text = (
        f"{ours.label}: plans of the ranks are {human_bytes(mine)}, {digits(share)}x the bytes of "
        f"{theirs.label}'s pickles; what they are told is {human_bytes(_each_way(ours)[1])} "
        f"against {human_bytes(_each_way(theirs)[1])}"
    )
    return Claim(text, share, f"<= {MOST:g}x", "met" if share <= MOST else "missed")


def _shared(session: Session, job: PlannedJob) -> tuple[Table, Series]:
    def dcp() -> Sample:
        return session.worker(
            "dcp_plans", "global_plan", session.folder, planned=dataclasses.astuple(job)
        )

    table = alternate(
        session,
        "B9 both",
        [
            Subject(OURS_C, "libdcp, C", "ours", lambda: _ours(session, job)),
            Subject("dcp", "DCP", "peer", dcp),
        ],
    )
    digests = {sample.facts["digest"] for series in table.values() for sample in series.samples}
    if len(digests) != 1:
        raise Failed(f"B9: the global plans differ: {digests}")
    claims = [faster(table[OURS_C], table["dcp"])]
    if table["dcp"].samples:
        claims.append(_bytes(table[OURS_C], table["dcp"]))
        claims.append(Claim("every rank writes the same items, as the same chunks, by both plans"))
    title = f"{job.total:,} items from {job.ranks:,} ranks"
    return Table(title, 0, list(table.values()), claims), table["dcp"]


def _large(
    session: Session, job: PlannedJob, bar: float | None, dcp: Series, measured: PlannedJob
) -> Table:
    subject = Subject(OURS_C, "libdcp, C", "ours", lambda: _ours(session, job))
    ours = alternate(session, f"B9 {job.total:,}", [subject])[OURS_C]
    claims = [within_seconds(ours, bar)] if bar else []
    wire, back = _each_way(ours)
    up, down = digits(wire / job.total), digits(back / job.total)
    claims.append(Claim(f"{up} bytes an item from the ranks, {down} back"))
    if dcp.samples:
        seconds = dcp.median("wall_s") * job.total / measured.total
        ratio = seconds / statistics.median(ours.values("wall_s"))
        claims.append(
            Claim(
                f"DCP, EXTRAPOLATED from its {measured.total:,} items: {human_seconds(seconds)}, "
                f"of which libdcp takes 1/{digits(ratio)}"
            )
        )
    title = f"{job.total:,} items from {job.ranks:,} ranks"
    return Table(title, 0, [ours], claims)


def run(session: Session) -> Report:
    job = SHARED[session.sizes.mode]
    both, dcp = _shared(session, job)
    large = [_large(session, one, bar, dcp, job) for one, bar in LARGE[session.sizes.mode]]
    return Report("B9", TITLE, [both, *large])
