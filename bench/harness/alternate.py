"""Subjects in turns, so that each sees the same machine."""

from __future__ import annotations

import dataclasses
from typing import Callable

from .processes import Failed
from .series import Sample, Series
from .session import Session
from .sizes import LONG_S
from .text import human_seconds


@dataclasses.dataclass
class Subject:
    """`run` makes one measured run from a clear state. With a `limit`, that is run just before and
    just after, and the mean of both is what the run is held against. `name` is short and unique
    among its table's subjects. `kind` is "ours", "peer" or "limit"."""

    name: str
    label: str
    kind: str
    run: Callable[[], Sample]
    limit: Callable[[], Sample] | None = None


LIMIT = "limit"


def alternate(
    session: Session, title: str, subjects: list[Subject], limit_label: str = ""
) -> dict[str, Series]:
    """Runs every subject as often as the sizes say, in turns that begin one further each round.
    Limits that subjects are paired with become the series LIMIT. A peer that fails is out; anything
    else that fails raises Failed. A peer's run longer than LONG_S is done once."""
    table = {s.name: Series(s.name, s.label, s.kind) for s in subjects}
    if any(subject.limit for subject in subjects):
        table[LIMIT] = Series(LIMIT, limit_label, "limit")
    rounds = session.sizes.rounds
    for number in range(rounds):
        turn = number % len(subjects)
        for subject in subjects[turn:] + subjects[:turn]:
            series = table[subject.name]
            if series.failure or _long(series):
                continue
            try:
                sample = _run(subject, table)
            except Failed as failure:
                if subject.kind != "peer":
                    raise Failed(f"{title}: {subject.label}: {failure}") from None
                series.failure = str(failure)
                session.tell(f"{title}: {subject.label} failed: {failure}")
                continue
            series.samples.append(sample)
            what = f"{title}, round {number + 1} of {rounds}"
            session.tell(f"{what}: {subject.label} {human_seconds(sample.wall_s)}")
    return table


def _long(series: Series) -> bool:
    return series.kind == "peer" and any(sample.wall_s > LONG_S for sample in series.samples)


def _run(subject: Subject, table: dict[str, Series]) -> Sample:
    if subject.limit is None:
        return subject.run()
    before = subject.limit()
    sample = subject.run()
    after = subject.limit()
    table[LIMIT].samples += [before, after]
    sample.limit_s = (before.wall_s + after.wall_s) / 2
    return sample
