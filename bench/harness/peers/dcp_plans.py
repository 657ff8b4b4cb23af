"""DCP's coordinator at work on the plans of simulated ranks."""

from __future__ import annotations

import pathlib
import pickle
import struct
import zlib
from typing import Any, Iterator

from ..simulated_plans import PlannedJob, plan
from ..worker import Job


def warm_up(scratch: pathlib.Path) -> None:
    _coordinate([pickle.dumps(plan(PlannedJob(2, 3), rank)) for rank in range(2)])


def _coordinate(pickles: list[bytes]) -> tuple[Any, list[bytes]]:
    from torch.distributed.checkpoint import DefaultSavePlanner

    plans = [pickle.loads(data) for data in pickles]
    # Deduplicates, merges and validates.
    plans, metadata = DefaultSavePlanner().create_global_plan(plans)
    return (plans, metadata), [pickle.dumps(one) for one in plans]


def _digest(job: PlannedJob, plans: list[Any], metadata: Any) -> int:
    """As bench/planning/global_plan.cc."""
    entries = {name: number for number, name in enumerate(metadata.state_dict_metadata)}
    crc = 0
    for rank, of_rank in enumerate(plans):
        numbers = {item.index: i for i, item in enumerate(plan(job, rank).items)}
        for item in of_rank.items:
            where = (rank, numbers[item.index], entries[item.index.fqn], item.index.index or 0)
            crc = zlib.crc32(struct.pack("<4I", *where), crc)
    return crc


def global_plan(job: Job) -> Iterator[None]:
    planned = PlannedJob(*job.option("planned"))
    pickles = [pickle.dumps(plan(planned, rank)) for rank in range(planned.ranks)]
    yield
    (plans, metadata), back = _coordinate(pickles)
    yield
    return {  # type: ignore[return-value]
        "items": planned.total,
        "wire_bytes": sum(len(data) for data in pickles),
        "back_bytes": sum(len(data) for data in back),
        "digest": _digest(planned, plans, metadata),
    }


WORKS = {"global_plan": global_plan}
