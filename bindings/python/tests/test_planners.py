"""Planners of Python: what is written, what is read and where it goes."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import libdcp
from ranks import on_ranks


def tree_of(rank: int = 0, size: int = 1) -> dict[str, Any]:
    rows = np.arange(4 * size * 3, dtype=np.float32).reshape(4 * size, 3)
    return {
        "model": {
            "sharded": libdcp.Sharded(
                (4 * size, 3), [((4 * rank, 0), rows[4 * rank : 4 * rank + 4].copy())]
            ),
            "same": np.arange(7),
        },
        "step": 5,
        "name": "run",
    }


class Recording(libdcp.SavePlanner):
    """Everything as the library does it, by way of Python."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.resolved: list[libdcp.WriteItem] = []
        self.state: Any = None

    def set_up_planner(self, state: Any, is_coordinator: bool) -> None:
        self.calls.append(f"set_up_planner {is_coordinator}")
        self.state = state

    def create_local_plan(self) -> Any:
        self.calls.append("create_local_plan")
        return super().create_local_plan()

    def create_global_plan(self, plans: libdcp.SavePlans) -> Any:
        self.calls.append(f"create_global_plan {len(plans)}")
        return super().create_global_plan(plans)

    def finish_plan(self, plan: libdcp.SavePlan) -> Any:
        self.calls.append(f"finish_plan {len(plan)}")
        return super().finish_plan(plan)

    def resolve_data(self, item: libdcp.WriteItem) -> Any:
        self.resolved.append(item)
        return super().resolve_data(item)


@pytest.mark.parametrize("begin", [libdcp.save, libdcp.async_save])
@pytest.mark.parametrize("ranks", [1, 3])
def test_super_is_what_the_library_does(tmp_path: Any, begin: Any, ranks: int) -> None:
    def save(comm: Any) -> Recording:
        planner = Recording()
        outcome = begin(
            tree_of(comm.rank, ranks), tmp_path / "c", communicator=comm, planner=planner
        )
        if begin is libdcp.async_save:
            outcome.result()
        return planner

    planners = on_ranks(libdcp.local_communicators(ranks), save)
    written = sum(len(planner.resolved) for planner in planners)
    assert written == ranks + 3  # each rank's shard, and one of each of what all have
    for rank, planner in enumerate(planners):
        coordinator = rank == 0
        calls = [f"set_up_planner {coordinator}", "create_local_plan"]
        calls += [f"create_global_plan {ranks}"] if coordinator else []
        assert planner.calls == [*calls, f"finish_plan {len(planner.resolved)}"]
        sharded = planner.state["model"]["sharded"]
        assert sharded.global_shape == (4 * ranks, 3) and sharded.chunks[0][0] == (4 * rank, 0)
        assert np.array_equal(
            sharded.chunks[0][1], tree_of(rank, ranks)["model"]["sharded"].chunks[0][1]
        )
        assert planner.state["step"] == 5
    whole = libdcp.load(tmp_path / "c")
    assert np.array_equal(
        whole["model"]["sharded"], np.arange(12 * ranks, dtype=np.float32).reshape(-1, 3)
    )
    assert np.array_equal(whole["model"]["same"], np.arange(7))
    assert (whole["step"], whole["name"]) == (5, "run")
    assert libdcp.verify(tmp_path / "c").ok


def test_what_an_item_says(tmp_path: Any) -> None:
    planner = Recording()
    libdcp.save(tree_of(), tmp_path / "c", planner=planner)
    items = {item.name: item for item in planner.resolved}
    shard = items["model.sharded"]
    assert (shard.kind, shard.dtype, shard.global_shape) == ("shard", np.dtype("float32"), (4, 3))
    assert (shard.offsets, shard.sizes, shard.requires_grad) == ((0, 0), (4, 3), False)
    assert items["model.same"].kind == "tensor" and items["model.same"].sizes == (7,)
    assert items["step"].kind == "object" and items["step"].dtype is None
    assert sorted(item.source for item in planner.resolved) == [0, 1, 2, 3]


def test_no_bytes_are_copied_on_the_way(tmp_path: Any) -> None:
    array = np.arange(1000.0)
    seen: list[Any] = []

    class Looks(libdcp.SavePlanner):
        def set_up_planner(self, state: Any, is_coordinator: bool) -> None:
            seen.append(state["a"])

        def transform_object(self, item: libdcp.WriteItem, object: Any) -> Any:
            seen.append(object)
            return object

    libdcp.save({"a": array}, tmp_path / "c", planner=Looks())
    assert len(seen) == 2
    assert all(np.shares_memory(array, one) for one in seen)


def test_what_is_not_overridden_is_not_called(tmp_path: Any, monkeypatch: Any) -> None:
    """Python is asked for the methods of its own only, one put on the object included."""
    from libdcp import dcp_raw

    asked: list[set[str]] = []
    make = dcp_raw.pydcp_save_planner

    def remember(calls: Any, names: set[str]) -> Any:
        asked.append(names)
        return make(calls, names)

    monkeypatch.setattr(dcp_raw, "pydcp_save_planner", remember)

    class Empty(libdcp.SavePlanner):
        pass

    class Looks(libdcp.SavePlanner):
        def lookup_object(self, item: libdcp.WriteItem) -> Any:
            return super().lookup_object(item)

    seen: list[str] = []
    patched = Empty()
    patched.transform_object = lambda item, object: seen.append(item.name) or object  # type: ignore
    for planner in (Empty(), Looks(), patched):
        libdcp.save({"a": np.arange(3)}, tmp_path / "c", planner=planner)
        assert np.array_equal(libdcp.load(tmp_path / "c")["a"], np.arange(3))
    assert asked == [set(), {"lookup_object", "resolve_data"}, {"transform_object"}]
    assert seen == ["a"]


class Editing(libdcp.SavePlanner):
    """Renames, drops, adds, and transforms."""

    def create_local_plan(self) -> Any:
        plan = super().create_local_plan()
        assert isinstance(plan, libdcp.SavePlan)
        for item in plan.items:
            if item.name == "model.same":
                plan.remove(item)
            elif item.name == "model.sharded":
                plan.remove(item)
                plan.add(replace(item, name="model.renamed"))
                plan.set_path("model.renamed", ("model", "renamed"))
        plan.add(libdcp.WriteItem("added.array", "tensor", np.int16, (2, 2)))
        plan.add(libdcp.WriteItem("added.object"))
        return plan

    def lookup_object(self, item: libdcp.WriteItem) -> Any:
        if item.name == "added.array":
            return np.array([[1, 2], [3, 4]], np.int16)
        if item.name == "added.object":
            return {"by": "the planner"}
        return super().lookup_object(item)

    def transform_object(self, item: libdcp.WriteItem, object: Any) -> Any:
        if item.name == "step":
            return object + 1000
        return object * 2 if item.name == "model.renamed" else object


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("collectives", [True, False])
def test_rename_drop_add_transform(tmp_path: Any, ranks: int, collectives: bool) -> None:
    outcomes = on_ranks(
        libdcp.local_communicators(ranks),
        lambda comm: libdcp.save(
            tree_of(comm.rank, ranks),
            tmp_path / "c",
            communicator=comm,
            planner=Editing(),
            use_collectives=collectives,
        ),
    )
    assert all(isinstance(outcome, libdcp.SaveReport) for outcome in outcomes), outcomes
    flat = libdcp.load(tmp_path / "c", nested=False)
    assert sorted(flat) == ["added.array", "added.object", "model.renamed", "name", "step"]
    doubled = 2 * np.arange(12 * ranks, dtype=np.float32).reshape(-1, 3)
    assert np.array_equal(flat["model.renamed"], doubled)
    assert np.array_equal(flat["added.array"], np.array([[1, 2], [3, 4]], np.int16))
    assert flat["added.object"] == {"by": "the planner"}
    assert (flat["step"], flat["name"]) == (1005, "run")
    assert np.array_equal(libdcp.load(tmp_path / "c")["model"]["renamed"], doubled)
    assert libdcp.verify(tmp_path / "c").ok


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_plan_in_another_order_with_items_left_out(tmp_path: Any, ranks: int) -> None:
    """What an item holds is told by its source, wherever it stands."""

    class Reversed(libdcp.SavePlanner):
        def create_local_plan(self) -> Any:
            items = list(super().create_local_plan())
            return [item for item in reversed(items) if item.name != "b"]

    def tree(rank: int) -> dict[str, Any]:
        return {key: np.full(4, 10 * i + 0 * rank) for i, key in enumerate("abcd")}

    on_ranks(
        libdcp.local_communicators(ranks),
        lambda comm: libdcp.save(
            tree(comm.rank), tmp_path / "c", communicator=comm, planner=Reversed()
        ),
    )
    flat = libdcp.load(tmp_path / "c")
    assert {key: int(value[0]) for key, value in flat.items()} == {"a": 0, "c": 20, "d": 30}


def test_the_coordinator_deals_the_items_out(tmp_path: Any) -> None:
    """Items that all ranks have, dealt round; sources of one rank mean nothing on another."""

    class RoundRobin(libdcp.SavePlanner):
        def __init__(self) -> None:
            self.mine: list[str] = []

        def create_global_plan(self, plans: libdcp.SavePlans) -> Any:
            items = list(plans[0])
            return [items[rank :: len(plans)] for rank in range(len(plans))]

        def finish_plan(self, plan: libdcp.SavePlan) -> Any:
            self.mine = [item.name for item in plan]
            return plan

    def tree(rank: int) -> dict[str, Any]:
        # the same names, in another order on each rank
        keys = "abcdef"[rank:] + "abcdef"[:rank]
        return {key: np.full(3, ord(key)) for key in keys}

    def save(comm: Any) -> Any:
        planner = RoundRobin()
        libdcp.save(tree(comm.rank), tmp_path / "c", communicator=comm, planner=planner)
        return planner.mine

    assert on_ranks(libdcp.local_communicators(3), save) == [["a", "d"], ["b", "e"], ["c", "f"]]
    flat = libdcp.load(tmp_path / "c")
    assert {key: int(value[0]) for key, value in flat.items()} == {k: ord(k) for k in "abcdef"}


@pytest.mark.parametrize("lowest", [False, True])
def test_dedup_as_the_save_was_told(tmp_path: Any, lowest: bool) -> None:
    def save(comm: Any) -> list[str]:
        planner = Recording()
        libdcp.save(
            {"a": np.zeros(100), "b": np.zeros(100)},
            tmp_path / "c",
            communicator=comm,
            planner=planner,
            dedup_to_lowest_rank=lowest,
        )
        return sorted(item.name for item in planner.resolved)

    names = on_ranks(libdcp.local_communicators(2), save)
    assert names == ([["a", "b"], []] if lowest else [["a"], ["b"]])


def test_a_loan_ends_with_its_method(tmp_path: Any) -> None:
    kept: list[Any] = []

    class Keeps(libdcp.SavePlanner):
        def create_local_plan(self) -> Any:
            kept.append(super().create_local_plan())
            return kept[-1]

        def create_global_plan(self, plans: libdcp.SavePlans) -> Any:
            kept.append(plans[0])
            return super().create_global_plan(plans)

        def finish_plan(self, plan: libdcp.SavePlan) -> Any:
            kept.append(plan)
            return plan

    planner = Keeps()
    libdcp.save({"a": 1}, tmp_path / "c", planner=planner)
    assert len(kept) == 3
    for plan in kept:
        with pytest.raises(libdcp.InvalidArgumentError, match="lent to a callback that has returned"):
            len(plan)
        with pytest.raises(libdcp.InvalidArgumentError, match="has returned"):
            plan.add(libdcp.WriteItem("late"))
    with pytest.raises(libdcp.InvalidArgumentError, match="plans in create_local_plan"):
        libdcp.SavePlanner.create_local_plan(planner)
    with pytest.raises(libdcp.InvalidArgumentError, match="looks up in resolve_data"):
        planner.lookup_object(libdcp.WriteItem("a"))


def test_a_plan_that_is_settled_is_read_only(tmp_path: Any) -> None:
    class Late(libdcp.LoadPlanner):
        def load_bytes(self, item: libdcp.ReadItem, value: Any) -> bool:
            return False

    class Meddling(libdcp.StorageWriter):
        def write_data(self, request: libdcp.WriteRequest) -> bytes:
            with pytest.raises(libdcp.InvalidArgumentError, match="read only"):
                request.plan.add(libdcp.WriteItem("late"))
            return b""

        def finish(self, metadata: libdcp.Metadata, results: list[bytes]) -> None:
            pass

    libdcp.save({"a": 1}, storage_writer=Meddling())
    libdcp.save({"a": 1}, tmp_path / "c")
    libdcp.load_into({"a": 0}, tmp_path / "c", planner=Late())


def test_what_methods_may_not_return(tmp_path: Any) -> None:
    class Nothing(libdcp.SavePlanner):
        def create_local_plan(self) -> Any:
            super().create_local_plan()

    class TooFew(libdcp.SavePlanner):
        def create_global_plan(self, plans: libdcp.SavePlans) -> Any:
            return []

    class Empty(libdcp.SavePlanner):
        def lookup_object(self, item: libdcp.WriteItem) -> Any:
            return super().lookup_object(replace(item, name="other"))

        def create_local_plan(self) -> Any:
            return [libdcp.WriteItem("unknown")]

    for planner, text, kind in (
        (Nothing(), "create_local_plan returned None", TypeError),
        (TooFew(), "for each of 1 ranks", TypeError),
        (Empty(), "holds nothing for the item 'other'", libdcp.NotFoundError),
    ):
        with pytest.raises(libdcp.Error, match=text) as raised:
            libdcp.save({"a": 1}, tmp_path / "c", planner=planner)
        assert isinstance(raised.value.__cause__, kind)
    with pytest.raises(TypeError, match="planner is a libdcp.SavePlanner"):
        libdcp.save({"a": 1}, tmp_path / "c", planner=libdcp.LoadPlanner())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="planner is a libdcp.LoadPlanner"):
        libdcp.load_into({"a": 1}, tmp_path / "c", planner=Nothing())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="kind is one of"):
        libdcp.SavePlan([libdcp.WriteItem("a", "banana")])


def test_data_of_the_wrong_form_is_refused(tmp_path: Any) -> None:
    class Wrong(libdcp.SavePlanner):
        def __init__(self, data: Any) -> None:
            self.data = data

        def transform_object(self, item: libdcp.WriteItem, object: Any) -> Any:
            return self.data

    for data in (np.zeros(3), np.zeros(4, np.int8), "text"):
        with pytest.raises(libdcp.Error) as raised:
            libdcp.save({"a": np.zeros(4)}, tmp_path / "c", planner=Wrong(data))
        assert [(f.rank, f.step) for f in raised.value.failures.values()] == [(0, "write")]
    assert not (tmp_path / "c" / ".metadata").exists()


# ---- loads ----


class Renaming(libdcp.LoadPlanner):
    """Reads "old.*" into a tree that calls it "new.*"."""

    def set_up_planner(self, state: Any, metadata: libdcp.Metadata, is_coordinator: bool) -> None:
        self.state = state
        self.metadata = metadata

    def create_local_plan(self) -> Any:
        items = []
        for target, key in enumerate(self.state["new"]):
            entry = self.metadata[f"old.{key}"]
            for number, chunk in enumerate(entry.chunks):
                items.append(
                    libdcp.ReadItem(
                        entry.name,
                        entry.kind,
                        chunk=number,
                        storage_offsets=(0,) * len(chunk.sizes),
                        dest_offsets=chunk.offsets,
                        lengths=chunk.sizes,
                        target=target,
                    )
                )
        return items


@pytest.mark.parametrize("ranks", [1, 4])
def test_a_load_that_renames(tmp_path: Any, ranks: int) -> None:
    whole = np.arange(24.0).reshape(8, 3)
    on_ranks(
        libdcp.local_communicators(2),
        lambda comm: libdcp.save(
            {
                "old": {
                    "w": libdcp.Sharded((8, 3), [((4 * comm.rank, 0), whole[4 * comm.rank :][:4])]),
                    "n": {7, 8},
                }
            },
            tmp_path / "c",
            communicator=comm,
        ),
    )

    def load(comm: Any) -> Any:
        tree = {"new": {"w": np.zeros((8, 3)), "n": None}}
        planner = Renaming()
        libdcp.load_into(tree, tmp_path / "c", communicator=comm, planner=planner)
        with pytest.raises(libdcp.InvalidArgumentError, match="has returned"):
            planner.metadata.entries
        assert planner.state is tree
        return tree

    for tree in on_ranks(libdcp.local_communicators(ranks), load):
        assert np.array_equal(tree["new"]["w"], whole)
        assert tree["new"]["n"] == {7, 8}


class Staging(libdcp.LoadPlanner):
    """Loads into buffers of its own, and puts what came, doubled, where it belongs."""

    def __init__(self) -> None:
        self.open: dict[int, Any] = {}
        self.committed: list[str] = []
        self.objects: dict[str, Any] = {}

    def resolve_tensor(self, item: libdcp.ReadItem, found: Any) -> Any:
        staged = np.empty(item.lengths, found.dtype)
        self.open[id(staged)] = (staged, super().resolve_tensor(item, found))
        return staged

    def commit_tensor(self, item: libdcp.ReadItem, tensor: Any) -> None:
        for staged, found in self.open.values():
            if np.shares_memory(staged, tensor):
                found[...] = 2 * tensor
                self.committed.append(item.name)

    def load_bytes(self, item: libdcp.ReadItem, value: Any) -> bool:
        self.objects[item.name] = value
        return item.name == "kept"


def test_staging_buffers(tmp_path: Any) -> None:
    saved = {"a": np.arange(6.0).reshape(2, 3), "b": np.arange(5), "kept": "k", "set": "s"}
    libdcp.save(saved, tmp_path / "c")
    tree = {"a": np.zeros((2, 3)), "b": np.zeros(5, int), "kept": None, "set": None}
    planner = Staging()
    libdcp.load_into(tree, tmp_path / "c", planner=planner)
    assert sorted(planner.committed) == ["a", "b"]
    assert np.array_equal(tree["a"], 2 * saved["a"]) and np.array_equal(tree["b"], 2 * saved["b"])
    assert planner.objects == {"kept": "k", "set": "s"}
    assert (tree["kept"], tree["set"]) == (None, "s")  # the planner took one of them


def test_commit_alone_and_what_it_is_given(tmp_path: Any) -> None:
    libdcp.save({"a": np.arange(6.0)}, tmp_path / "c")
    target = np.zeros(6)
    seen: list[Any] = []

    class Commits(libdcp.LoadPlanner):
        def commit_tensor(self, item: libdcp.ReadItem, tensor: Any) -> None:
            assert np.shares_memory(tensor, target)
            seen.append(tensor.tolist())

    libdcp.load_into({"a": target}, tmp_path / "c", planner=Commits())
    assert seen == [[0, 1, 2, 3, 4, 5]]


def test_places_that_are_refused(tmp_path: Any) -> None:
    libdcp.save({"a": np.arange(6.0)}, tmp_path / "c")
    frozen = np.zeros(6)
    frozen.setflags(write=False)

    class Gives(libdcp.LoadPlanner):
        def __init__(self, place: Any) -> None:
            self.place = place

        def resolve_tensor(self, item: libdcp.ReadItem, found: Any) -> Any:
            return self.place

    for place in (frozen, np.zeros(5), "text", None):
        with pytest.raises(libdcp.Error) as raised:
            libdcp.load_into({"a": np.zeros(6)}, tmp_path / "c", planner=Gives(place))
        assert [(f.rank, f.step) for f in raised.value.failures.values()] == [(0, "read")]
    assert frozen.sum() == 0


def test_a_global_load_plan(tmp_path: Any) -> None:
    """The coordinator leaves each rank the names that end in its number."""
    libdcp.save({f"a{rank}": np.full(3, rank + 1) for rank in range(3)}, tmp_path / "c")

    class Splits(libdcp.LoadPlanner):
        def create_global_plan(self, plans: libdcp.LoadPlans) -> Any:
            return [
                [item for item in plan if item.name == f"a{rank}"]
                for rank, plan in enumerate(plans)
            ]

    def load(comm: Any) -> Any:
        tree = {f"a{rank}": np.zeros(3, int) for rank in range(3)}
        libdcp.load_into(tree, tmp_path / "c", communicator=comm, planner=Splits())
        return [int(tree[f"a{rank}"][0]) for rank in range(3)]

    loaded = on_ranks(libdcp.local_communicators(3), load)
    assert loaded == [[1, 0, 0], [0, 2, 0], [0, 0, 3]]


# ---- failures ----


class Boom(Exception):
    pass


SAVE_METHODS = {
    "set_up_planner": "plan",
    "create_local_plan": "plan",
    "create_global_plan": "plan",
    "finish_plan": "write",
    "resolve_data": "write",
    "lookup_object": "write",
    "transform_object": "write",
}
LOAD_METHODS = {
    "set_up_planner": "plan",
    "create_local_plan": "plan",
    "create_global_plan": "plan",
    "finish_plan": "read",
    "load_bytes": "read",
    "resolve_tensor": "read",
    "commit_tensor": "read",
}


def raising(base: type, method: str, bad: int, rank: int, raised: list[Any]) -> Any:
    """A planner whose `method` raises on rank `bad`, and is overridden on all."""

    def wrong(self: Any, *args: Any) -> Any:
        if rank == bad:
            raised.append(Boom(f"in {method}"))
            raise raised[-1]
        return getattr(base, method)(self, *args)

    return type("Raising", (base,), {method: wrong})()


def check_failure(errors: list[Any], bad: int, step: str, raised: list[Any]) -> None:
    for rank, error in enumerate(errors):
        expected = libdcp.RankFailedError if len(errors) > 1 else libdcp.CallbackError
        assert type(error) is expected, (rank, error)
        assert [(failure.rank, failure.step) for failure in error.failures.values()] == [(bad, step)]
        assert type(error.failures[bad].error) is libdcp.CallbackError
        assert "Boom" in str(error.failures[bad].error)
        cause = error.failures[bad].error.__cause__
        assert (cause in raised and type(cause) is Boom) == (rank == bad)


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("begin", [libdcp.save, libdcp.async_save])
@pytest.mark.parametrize("method", SAVE_METHODS)
def test_exceptions_of_a_save_planner(tmp_path: Any, method: str, begin: Any, ranks: int) -> None:
    bad = 0 if ranks == 1 or method == "create_global_plan" else 2
    raised: list[Any] = []

    def save(comm: Any) -> Any:
        planner = raising(libdcp.SavePlanner, method, bad, comm.rank, raised)
        done = begin(tree_of(comm.rank, ranks), tmp_path / "c", communicator=comm, planner=planner)
        return done.result() if begin is libdcp.async_save else done

    errors = on_ranks(libdcp.local_communicators(ranks), save)
    check_failure(errors, bad, SAVE_METHODS[method], raised)
    assert not (tmp_path / "c" / ".metadata").exists()


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("method", LOAD_METHODS)
def test_exceptions_of_a_load_planner(tmp_path: Any, method: str, ranks: int) -> None:
    bad = 0 if ranks == 1 or method == "create_global_plan" else 2
    raised: list[Any] = []
    libdcp.save({"a": np.zeros(4), "step": 5}, tmp_path / "c")

    def load(comm: Any) -> Any:
        planner = raising(libdcp.LoadPlanner, method, bad, comm.rank, raised)
        tree = {"a": np.zeros(4), "step": 0}
        return libdcp.load_into(tree, tmp_path / "c", communicator=comm, planner=planner)

    check_failure(on_ranks(libdcp.local_communicators(ranks), load), bad, LOAD_METHODS[method], raised)


def test_async_saves_are_planned_on_the_copies(tmp_path: Any) -> None:
    array = np.arange(8.0)
    gate = threading.Event()

    class Waits(libdcp.SavePlanner):
        def set_up_planner(self, state: Any, is_coordinator: bool) -> None:
            gate.wait(60)
            self.state = state

        def resolve_data(self, item: libdcp.WriteItem) -> Any:
            assert np.shares_memory(self.state["a"], super().resolve_data(item))
            return self.state["a"]

    future = libdcp.async_save({"a": array}, tmp_path / "c", planner=Waits())
    array[:] = -1
    gate.set()
    future.result(60)
    assert np.array_equal(libdcp.load(tmp_path / "c")["a"], np.arange(8.0))
