"""Which rank writes what several of them hold."""

from __future__ import annotations

import dataclasses

from .metadata import MetadataIndex
from .planner import SavePlan, WriteItem

__all__ = ["dedup_save_plans"]


def dedup_save_plans(
    all_plans: list[SavePlan],
    save_to_lowest_rank: bool = False,
) -> list[SavePlan]:
    """New plans in which each item is left to one of the ranks that had it: the one with the least
    to write so far, items taken in order of first appearance, or the lowest. A tensor counts with
    the bytes of the whole of it, anything else as one."""
    holders: dict[MetadataIndex, set[int]] = {}
    last: dict[MetadataIndex, WriteItem] = {}
    for rank, plan in enumerate(all_plans):
        for item in plan.items:
            # Of several least loaded ranks the first that the set gives is taken, as PyTorch does.
            holders.setdefault(item.index, set()).add(rank)
            last[item.index] = item

    load = [0] * len(all_plans)
    writer: dict[MetadataIndex, int] = {}
    for index, ranks in holders.items():
        chosen = min(ranks) if save_to_lowest_rank else min(ranks, key=load.__getitem__)
        load[chosen] += last[index].tensor_storage_size() or 1
        writer[index] = chosen

    return [
        dataclasses.replace(
            plan, items=[item for item in plan.items if writer[item.index] == rank]
        )
        for rank, plan in enumerate(all_plans)
    ]
