"""Planners: what a save writes, and what a load reads and where it goes."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Any, Iterable, Iterator, Mapping, Union

from . import dcp_raw as raw
from ._errors import InvalidArgumentError, NotFoundError
from ._plan import (
    LoadPlan,
    LoadPlans,
    Metadata,
    ReadItem,
    SavePlan,
    SavePlans,
    WriteItem,
    settle_plan,
    settle_plans,
)

SaveItems = Union[SavePlan, Iterable[WriteItem]]
LoadItems = Union[LoadPlan, Iterable[ReadItem]]


class _Calls(threading.local):
    """What the planners' methods that run on this thread were lent, the innermost last."""

    def __init__(self) -> None:
        self.stack: list[tuple[Any, Any]] = []


_calls = _Calls()


@contextmanager
def _lending(planner: Any, lent: Any) -> Iterator[None]:
    _calls.stack.append((planner, lent))
    try:
        yield
    finally:
        _calls.stack.pop()


def _lent_to(planner: Any, kind: type, what: str) -> Any:
    if _calls.stack:
        owner, lent = _calls.stack[-1]
        if owner is planner and isinstance(lent, kind):
            return lent
    raise InvalidArgumentError(f"{what}, and only on the thread that it was called on")


def overridden(object: Any, base: type, names: Iterable[str]) -> set[str]:
    """Those of the names that a subclass, or the object itself, has of its own."""
    return {
        name
        for name in names
        if getattr(getattr(object, name), "__func__", None) is not getattr(base, name)
    }


class SavePlanner:
    """Chooses what a save writes: upstream's SavePlanner. Subclass it, override what is to be
    otherwise, and give it to :func:`libdcp.save`; ``super()`` is what the library does. What is not
    overridden costs nothing.

    What a method raises fails the save on all ranks, in the step "plan" (from ``finish_plan`` on:
    "write"); on its own rank it is the ``__cause__``. One planner serves one save at a time, and all
    ranks use planners of one class. Methods run on libdcp's threads, one at a time, except for
    ``resolve_data`` and what it calls: those run on several.
    """

    def set_up_planner(self, state: dict[str, Any], is_coordinator: bool) -> None:
        """First, on every rank. ``state`` is the nested state dict as it is saved: arrays over the
        memory that is saved, of an ``async_save`` the copies."""

    def create_local_plan(self) -> SaveItems:
        """The plan of this rank, or its items."""
        plan: SavePlan = _lent_to(self, _NewSavePlan, "the library plans in create_local_plan")
        raw.pydcp_plan_standard(plan._lent)
        return plan

    def create_global_plan(self, plans: SavePlans) -> Iterable[SaveItems]:
        """On the coordinator: leaves each rank what it is to write. Returns ``plans``, changed or
        not, or one list of items a rank."""
        plans.dedup()
        return plans

    def finish_plan(self, plan: SavePlan) -> SaveItems:
        """This rank's part of the global plan on its way to be written. Its items may not become
        others."""
        return plan

    def resolve_data(self, item: WriteItem) -> Any:
        """What an item holds, when its turn to be written comes: an array of the item's dtype and
        sizes, or any value for objects."""
        return self.transform_object(item, self.lookup_object(item))

    def lookup_object(self, item: WriteItem) -> Any:
        """What the state dict holds for an item."""
        plan, index = _lent_to(self, _Resolving, "the library looks up in resolve_data")
        found = raw.pydcp_plan_found(plan._lent, index)
        if not found:
            raise NotFoundError(
                f"the state dict holds nothing for the item '{item.name}': the planner that added it "
                "is to look it up"
            )
        return found[0]

    def transform_object(self, item: WriteItem, object: Any) -> Any:
        """``object``, which was looked up, as it is to be written."""
        return object


class LoadPlanner:
    """Chooses what a load reads and where it goes: upstream's LoadPlanner. As :class:`SavePlanner`;
    from ``finish_plan`` on the step is "read". Methods are called one at a time."""

    def set_up_planner(
        self, state: Mapping[Any, Any], metadata: Metadata, is_coordinator: bool
    ) -> None:
        """After the metadata was read, on every rank. ``state`` is the tree that is loaded into,
        itself; ``metadata`` may be looked at in the methods that follow too."""

    def create_local_plan(self) -> LoadItems:
        """The plan of this rank, or its items."""
        plan: LoadPlan = _lent_to(self, _NewLoadPlan, "the library plans in create_local_plan")
        raw.pydcp_plan_standard(plan._lent)
        return plan

    def create_global_plan(self, plans: LoadPlans) -> Iterable[LoadItems]:
        """On the coordinator, with all ranks' plans: returns ``plans``, changed or not, or one list
        of items a rank."""
        return plans

    def finish_plan(self, plan: LoadPlan) -> LoadItems:
        """The plan of this rank as it will be read."""
        return plan

    def load_bytes(self, item: ReadItem, value: Any) -> bool | None:
        """An object that was read. True: the planner has it. Else it is set in the tree, where the
        item's target is, or under the entry's name."""
        return False

    def resolve_tensor(self, item: ReadItem, found: Any) -> Any:
        """Where an item is to be read to: a writable array of the item's lengths. ``found`` is the
        part of the tree it is for, None without a target."""
        if found is None:
            raise InvalidArgumentError(
                f"the tree has no place for the item '{item.name}': the planner that added it is to "
                "give one"
            )
        return found

    def commit_tensor(self, item: ReadItem, tensor: Any) -> None:
        """It is there now, in what resolve_tensor gave."""


# What a method was lent, by which of super()'s methods it is for.
class _NewSavePlan(SavePlan):
    pass


class _NewLoadPlan(LoadPlan):
    pass


class _Resolving(tuple):  # type: ignore[type-arg]
    """(plan, number of the item)"""


class _SavePlannerCalls:
    """What the C half calls, with what the library lends."""

    def __init__(self, planner: SavePlanner, to_lowest_rank: bool) -> None:
        self._planner = planner
        self._to_lowest_rank = to_lowest_rank

    def set_up_planner(self, state: dict[str, Any], is_coordinator: int) -> None:
        self._planner.set_up_planner(state, bool(is_coordinator))

    def create_local_plan(self, lent: Any) -> None:
        plan = _NewSavePlan._of(lent)
        with _lending(self._planner, plan):
            settle_plan(plan, self._planner.create_local_plan(), "create_local_plan")

    def create_global_plan(self, lent: Any) -> None:
        plans = SavePlans(lent, self._to_lowest_rank)
        settle_plans(plans, self._planner.create_global_plan(plans), "create_global_plan")

    def finish_plan(self, lent: Any) -> None:
        plan = SavePlan._of(lent)
        settle_plan(plan, self._planner.finish_plan(plan), "finish_plan")

    def resolve_data(self, lent: Any, index: int) -> Any:
        plan = SavePlan._of(lent)
        with _lending(self._planner, _Resolving((plan, index))):
            return self._planner.resolve_data(plan[index])

    def transform_object(self, fields: Any, found: Any) -> Any:
        return self._planner.transform_object(WriteItem._of(fields, None), found)


class _LoadPlannerCalls:
    def __init__(self, planner: LoadPlanner, tree: Mapping[Any, Any]) -> None:
        self._planner = planner
        self._tree = tree

    def set_up_planner(self, metadata: Any, is_coordinator: int) -> None:
        self._planner.set_up_planner(self._tree, Metadata(metadata), bool(is_coordinator))

    def create_local_plan(self, lent: Any) -> None:
        plan = _NewLoadPlan(lent)
        with _lending(self._planner, plan):
            settle_plan(plan, self._planner.create_local_plan(), "create_local_plan")

    def create_global_plan(self, lent: Any) -> None:
        plans = LoadPlans(lent)
        settle_plans(plans, self._planner.create_global_plan(plans), "create_global_plan")

    def finish_plan(self, lent: Any) -> None:
        plan = LoadPlan(lent)
        settle_plan(plan, self._planner.finish_plan(plan), "finish_plan")

    def load_bytes(self, lent: Any, index: int, value: Any) -> bool:
        return bool(self._planner.load_bytes(LoadPlan(lent)[index], value))

    def resolve_tensor(self, lent: Any, index: int, found: Any) -> Any:
        return self._planner.resolve_tensor(LoadPlan(lent)[index], found)

    def commit_tensor(self, lent: Any, index: int, tensor: Any) -> None:
        self._planner.commit_tensor(LoadPlan(lent)[index], tensor)


def native_save_planner(planner: SavePlanner | None, to_lowest_rank: bool) -> Any:
    """The handle, or None for the library's own."""
    if planner is None:
        return None
    if not isinstance(planner, SavePlanner):
        raise TypeError(f"planner is a libdcp.SavePlanner, not {type(planner).__name__}")
    names = overridden(
        planner,
        SavePlanner,
        (
            "set_up_planner",
            "create_local_plan",
            "create_global_plan",
            "finish_plan",
            "resolve_data",
            "lookup_object",
            "transform_object",
        ),
    )
    if "lookup_object" in names:  # which may ask super() what the state dict holds
        names.add("resolve_data")
    return raw.pydcp_save_planner(_SavePlannerCalls(planner, to_lowest_rank), names)


def native_load_planner(planner: LoadPlanner | None, tree: Mapping[Any, Any]) -> Any:
    """The handle, or None for the library's own."""
    if planner is None:
        return None
    if not isinstance(planner, LoadPlanner):
        raise TypeError(f"planner is a libdcp.LoadPlanner, not {type(planner).__name__}")
    names = overridden(
        planner,
        LoadPlanner,
        (
            "set_up_planner",
            "create_local_plan",
            "create_global_plan",
            "finish_plan",
            "load_bytes",
            "resolve_tensor",
            "commit_tensor",
        ),
    )
    return raw.pydcp_load_planner(_LoadPlannerCalls(planner, tree), names)
