"""How much a run measures."""

from __future__ import annotations

import dataclasses

GIB = 1 << 30


@dataclasses.dataclass(frozen=True)
class Sizes:
    """`nbytes` of tensors, `rounds` runs of each subject, `many` small tensors as (count, bytes of
    one), `ranks` times `tensors` shards of one `.metadata`."""

    mode: str
    nbytes: int
    rounds: int
    many: tuple[tuple[int, int], ...]
    ranks: int
    tensors: int

    @property
    def slice_bytes(self) -> int:
        """Of the tensor that a slice is taken of."""
        return self.nbytes // 2


FULL = Sizes("full", 4 * GIB, 5, ((20_000, 4096), (178_000, 16384)), 1024, 1000)
QUICK = Sizes("quick", GIB // 4, 3, ((2_000, 4096), (2_000, 16384)), 128, 1000)
SELF_TEST = Sizes("self-test", 12 << 20, 1, ((40, 4096),), 8, 20)

# A peer's run longer than this is done once.
LONG_S = 60.0
