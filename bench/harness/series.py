"""Samples of one subject, and when the ratio of two may be told."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

NO_RATIO = "no ratio: spread wider than difference"


@dataclasses.dataclass
class Sample:
    """One run. `limit_s` is what the machine needed for the same bytes just before and after it,
    where that was measured."""

    wall_s: float
    cpu_s: float
    extra_bytes: int | None
    facts: dict[str, Any]
    limit_s: float | None = None

    @classmethod
    def of(cls, result: dict[str, Any]) -> Sample:
        facts = dict(result)
        return cls(facts.pop("wall_s"), facts.pop("cpu_s"), facts.pop("extra_bytes", None), facts)


@dataclasses.dataclass
class Series:
    """All runs of one subject. `kind` is "ours", "peer" or "limit"; `failure` says why there are no
    runs."""

    name: str
    label: str
    kind: str
    samples: list[Sample] = dataclasses.field(default_factory=list)
    failure: str = ""

    def values(self, quantity: str) -> list[float]:
        found = [getattr(sample, quantity) for sample in self.samples]
        return [value for value in found if value is not None]

    def median(self, quantity: str) -> float:
        return statistics.median(self.values(quantity))

    def shares(self) -> list[float]:
        """Of the limit's speed, run by run."""
        return [s.limit_s / s.wall_s for s in self.samples if s.limit_s is not None]


def told_apart(a: list[float], b: list[float]) -> bool:
    """Whether the difference of the medians is at least what their ranges overlap."""
    low, high = sorted((a, b), key=statistics.median)
    overlap = max(low) - min(high)
    return overlap <= 0 or overlap <= statistics.median(high) - statistics.median(low)


def ratio(slow: list[float], fast: list[float]) -> float | None:
    """Of the medians; None when they are not told apart."""
    if not told_apart(slow, fast):
        return None
    return statistics.median(slow) / statistics.median(fast)


def best(series: list[Series], quantity: str = "wall_s") -> Series:
    """The one with the smallest median of those that ran."""
    ran = [one for one in series if one.samples]
    return min(ran or series, key=lambda one: one.median(quantity) if ran else 0)
