"""What saves, loads and verifications say they did."""

from __future__ import annotations

import dataclasses
from typing import Any

from . import dcp_raw as raw
from ._errors import CorruptError, Error, UnsupportedError


@dataclasses.dataclass(frozen=True)
class SaveReport:
    """What a save wrote. ``bytes`` and ``files`` are this process's own. ``plan_reused``: by a
    PlanCache, this rank's plan and what it was to write were those of the last save; on the
    coordinator, every rank's were."""

    save_id: str
    bytes: int
    items: int
    files: int
    warnings: list[str]
    location: str
    plan_reused: bool = False

    @classmethod
    def of(cls, native: Any, location: str) -> SaveReport:
        save_id, size, items, files, warnings, reused = raw.pydcp_save_report(native)
        return cls(save_id, size, items, files, warnings, location, reused)


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What a load did: names ``loaded``, ``missing`` (asked for, not in the checkpoint) and
    ``unexpected`` (in the checkpoint, not asked for); dtype changes in ``cast``
    ("name: float32 -> bfloat16"); ``uncovered`` elements that no chunk holds, which kept their
    values."""

    loaded: list[str]
    missing: list[str]
    unexpected: list[str]
    cast: list[str]
    uncovered: list[str]
    bytes_read: int
    bytes_unverified: int


@dataclasses.dataclass(frozen=True)
class Damage:
    """One damaged place: ``name`` of the tensor or object ("" for a file as a whole), ``offset`` of
    its item in ``file``."""

    name: str
    file: str
    offset: int
    error: Error | None

    def __str__(self) -> str:
        what = f"'{self.name}'" if self.name else "file"
        return f"{what} in {self.file} at {self.offset}: {self.error}"


@dataclasses.dataclass(frozen=True)
class VerifyReport:
    """What a verification found. ``unchecked`` items had no checksum: they were read and found
    well-formed only. ``unreadable`` ones lie behind a transform that is not known here, so that
    nothing can be said about them; they are counted neither in ``items`` nor as damage."""

    items: int
    unchecked: int
    bytes: int
    damage: list[Damage]
    notes: list[str]
    unreadable: list[Damage] = dataclasses.field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything could be checked and nothing is damaged."""
        return not self.damage and not self.unreadable

    def __bool__(self) -> bool:
        return self.ok

    def raise_if_damaged(self) -> None:
        """CorruptError that names the first damaged places; UnsupportedError when there is no
        damage but some items could not be checked."""
        if self.damage:
            raise _summed_up(CorruptError, "damaged", self.damage)
        if self.unreadable:
            raise _summed_up(UnsupportedError, "not checked", self.unreadable)


def _summed_up(kind: type[Error], what: str, places: list[Damage]) -> Error:
    lines = "; ".join(str(place) for place in places[:5])
    more = f"; and {len(places) - 5} more" if len(places) > 5 else ""
    first = places[0]
    error = kind(
        f"{len(places)} {what}: {lines}{more}",
        details={"file": first.file, "offset": str(first.offset), "tensor": first.name},
    )
    error.__cause__ = first.error
    return error
