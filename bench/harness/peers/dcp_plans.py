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


def _results(plans: list[Any]) -> list[bytes]:
    """What each rank says of its writes."""
    from torch.distributed.checkpoint.filesystem import _StorageInfo
    from torch.distributed.checkpoint.storage import WriteResult

    return [
        pickle.dumps(
            [
                WriteResult(
                    index=item.index,
                    size_in_bytes=132_000,
                    storage_data=_StorageInfo(f"__{rank}_0.distcp", i * 140_000, 132_000),
                )
                for i, item in enumerate(of_rank.items)
            ]
        )
        for rank, of_rank in enumerate(plans)
    ]


def second_save(job: Job) -> Iterator[None]:
    """With DCP's plan cache: ranks say that nothing changed, and the metadata is pickled again."""
    from torch.distributed.checkpoint import DefaultSavePlanner
    from torch.distributed.checkpoint.planner import SavePlan

    planned = PlannedJob(*job.option("planned"))
    planner = DefaultSavePlanner(enable_plan_caching=True)
    first, _ = planner.create_global_plan([plan(planned, rank) for rank in range(planned.ranks)])
    results = _results(first)
    told = [pickle.dumps(SavePlan([], usable=False)) for _ in range(planned.ranks)]
    yield
    deltas, metadata = planner.create_global_plan([pickle.loads(one) for one in told])
    back = [pickle.dumps(one) for one in deltas]
    storage: dict[Any, Any] = {}
    for of_rank in results:
        storage.update({one.index: one.storage_data for one in pickle.loads(of_rank)})
    metadata.storage_data = storage
    file = pickle.dumps(metadata)
    yield
    return {  # type: ignore[return-value]
        "up_bytes": max(len(one) for one in told),
        "down_bytes": max(len(one) for one in back),
        "result_bytes": sum(len(one) for one in results),
        "metadata_bytes": len(file),
    }


WORKS = {"global_plan": global_plan, "second_save": second_save}
