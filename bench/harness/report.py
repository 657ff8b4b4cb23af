"""What a benchmark found."""

from __future__ import annotations

import dataclasses

from .claims import Claim
from .series import Series


@dataclasses.dataclass
class Table:
    """Series of the same work on the same `nbytes` (0: bytes are not what it is about), ours first,
    limits last. `only_memory`: times are shown elsewhere."""

    title: str
    nbytes: int
    series: list[Series]
    claims: list[Claim]
    only_memory: bool = False

    def __post_init__(self) -> None:
        self.series = sorted(self.series, key=lambda s: ("ours", "peer", "limit").index(s.kind))


@dataclasses.dataclass
class Report:
    """`name` is "B1" and so on, `verified` what PyTorch has loaded and compared."""

    name: str
    title: str
    tables: list[Table]
    verified: list[str] = dataclasses.field(default_factory=list)

    def failures(self) -> list[str]:
        return [
            f"{self.name}: {series.label}: {series.failure}"
            for table in self.tables
            for series in table.series
            if series.failure
        ]
