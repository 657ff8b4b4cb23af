"""B10: the second save of a layout, at the coordinator."""

from __future__ import annotations

import dataclasses

from ..alternate import Subject, alternate
from ..claims import Claim, faster
from ..report import Report, Table
from ..saves import OURS_C
from ..series import Sample, Series
from ..session import Session
from ..simulated_plans import PlannedJob
from ..text import digits, human_bytes, human_seconds

TITLE = "A second save of the same layout, at the coordinator"

# By the mode of the sizes: the job that both do, the large one, and whether that has a bar.
SHARED = {
    "full": PlannedJob(256, 1000),
    "quick": PlannedJob(64, 500),
    "self-test": PlannedJob(8, 40),
}
LARGE = {
    "full": PlannedJob(8960, 302, stages=8),
    "quick": PlannedJob(8960, 302, stages=8),
    "self-test": PlannedJob(16, 40, stages=2),
}
SLACK_S = 0.010  # above memcpy


def _ours(session: Session, job: PlannedJob) -> Sample:
    return session.planning("second-save", **dataclasses.asdict(job))


def _same(ours: Series) -> Claim:
    facts = [sample.facts for sample in ours.samples]
    most = max(max(fact["up_bytes"], fact["down_bytes"]) for fact in facts)
    text = (
        f"at most {most} bytes a rank for its plan and as many back; the results are 32 bytes a "
        f"rank and 4 an item, {human_bytes(facts[0]['result_bytes'])} in all"
    )
    return Claim(text, most, "32 bytes", "met" if most <= 32 else "missed")


def _shared(session: Session, job: PlannedJob) -> Table:
    def dcp() -> Sample:
        return session.worker(
            "dcp_plans", "second_save", session.folder, planned=dataclasses.astuple(job)
        )

    table = alternate(
        session,
        "B10 both",
        [
            Subject(OURS_C, "libdcp, C", "ours", lambda: _ours(session, job)),
            Subject("dcp", "DCP, plans cached", "peer", dcp),
        ],
    )
    title = f"{job.total:,} items from {job.ranks:,} ranks"
    claims = [faster(table[OURS_C], table["dcp"]), _same(table[OURS_C])]
    return Table(title, 0, list(table.values()), claims)


def _large(session: Session, job: PlannedJob, has_bar: bool) -> Table:
    size = int(_ours(session, job).facts["metadata_bytes"])

    def copy() -> Sample:
        return session.planning("memcpy", bytes=size)

    table = alternate(
        session,
        f"B10 {job.total:,}",
        [Subject(OURS_C, "libdcp, C", "ours", lambda: _ours(session, job), limit=copy)],
        limit_label="memcpy of .metadata",
    )
    ours = table[OURS_C]
    above = max(s.wall_s - s.limit_s for s in ours.samples if s.limit_s is not None)
    more = f"{human_seconds(above)} more" if above > 0 else f"{human_seconds(-above)} less"
    claims = [
        Claim(
            f"{ours.label}: {more} than memcpy around it, in the slowest run",
            above,
            f"< {human_seconds(SLACK_S)} more" if has_bar else "",
            ("met" if above < SLACK_S else "missed") if has_bar else "",
        ),
        _same(ours),
    ]
    patched = sum(sample.facts["patched"] for sample in ours.samples)
    runs = len(ours.samples)
    claims.append(Claim(f".metadata was written over in {digits(patched)} of {runs} runs"))
    title = f"{job.total:,} items from {job.ranks:,} ranks, .metadata of"
    return Table(title, size, list(table.values()), claims)


def run(session: Session) -> Report:
    mode = session.sizes.mode
    both = _shared(session, SHARED[mode])
    return Report("B10", TITLE, [both, _large(session, LARGE[mode], mode != "self-test")])
