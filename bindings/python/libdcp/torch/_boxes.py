"""Boxes in an index space: where two of them meet, and which of many do."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Iterable, Iterator, Sequence

from torch.distributed.checkpoint.metadata import ChunkStorageMetadata


def overlap(one: ChunkStorageMetadata, other: ChunkStorageMetadata) -> bool:
    """Whether neither box lies wholly before the other in any dimension. Two boxes without
    dimensions overlap, and an empty box overlaps one that has it inside."""
    for start, size, other_start, other_size in zip(
        one.offsets, one.sizes, other.offsets, other.sizes
    ):
        if start >= other_start + other_size or other_start >= start + size:
            return False
    return True


def inside(box: ChunkStorageMetadata, shape: Sequence[int]) -> bool:
    """Whether the box lies in a tensor of that shape."""
    return all(
        start >= 0 and size >= 0 and start + size <= limit
        for limit, start, size in zip(shape, box.offsets, box.sizes)
    )


def shared_region(
    saved: ChunkStorageMetadata, wanted: ChunkStorageMetadata
) -> list[tuple[int, int, int]]:
    """Of two boxes that overlap, for each dimension: where what they share starts in the first,
    where in the second, and how long it is."""
    region = []
    for start, size, wanted_start, wanted_size in zip(
        saved.offsets, saved.sizes, wanted.offsets, wanted.sizes
    ):
        first = max(start, wanted_start)
        last = min(start + size, wanted_start + wanted_size)
        region.append((first - start, first - wanted_start, last - first))
    return region


class Entered:
    """The boxes that a sweep along one dimension has entered and not yet left, by where they end
    and then by number."""

    def __init__(self) -> None:
        self._ends: list[tuple[int, int]] = []

    def enter(self, end: int, number: int) -> None:
        insort(self._ends, (end, number))

    def leave_before(self, position: int) -> None:
        """Those that end before ``position``; one that ends there stays."""
        del self._ends[: bisect_left(self._ends, (position,))]

    def __iter__(self) -> Iterator[int]:
        return (number for _, number in self._ends)


def span(box: ChunkStorageMetadata, dimension: int | None) -> tuple[int, int]:
    """Where the box starts and ends in that dimension; boxes without dimensions share one place."""
    if dimension is None:
        return 0, 1
    start = box.offsets[dimension]
    return start, start + box.sizes[dimension]


def widest(boxes: Iterable[ChunkStorageMetadata], dimensions: int) -> int | None:
    """The dimension in which they reach furthest, the one in which a sweep leaves most behind."""
    if dimensions == 0:
        return None
    reach = [0] * dimensions
    for box in boxes:
        for dimension in range(dimensions):
            reach[dimension] = max(reach[dimension], span(box, dimension)[1])
    return reach.index(max(reach))
