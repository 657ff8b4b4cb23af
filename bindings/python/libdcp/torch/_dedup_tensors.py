"""Items that several plans have, left to the first of them."""

from __future__ import annotations

import dataclasses
import logging

from .metadata import MetadataIndex
from .planner import SavePlan, WriteItem

__all__ = ["dedup_tensors"]


def init_logger() -> logging.Logger:
    """This module's logger. Handlers and levels are the program's to set."""
    return logging.getLogger(__name__)


logger = init_logger()


def dedup_tensors(all_plans: list[SavePlan]) -> list[SavePlan]:
    """The plans, without the items that stand in a plan before or earlier in their own; those that
    lose nothing are the very objects."""
    taken: set[MetadataIndex] = set()
    result = []
    for number, plan in enumerate(all_plans):
        kept: list[WriteItem] = []
        lost: list[MetadataIndex] = []
        for item in plan.items:
            if item.index in taken:
                lost.append(item.index)
            else:
                taken.add(item.index)
                kept.append(item)
        if lost:
            logger.info("Duplicate keys to remove: rank %d: %s", number, lost)
            plan = dataclasses.replace(plan, items=kept)
        result.append(plan)
    return result
