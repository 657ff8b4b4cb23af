"""The planning pieces against PyTorch's, on random inputs: equal results and equal errors."""

import copy
import dataclasses
import importlib
import io
import random

import pytest
import random_plans
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as stock_dcp
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
)
from torch.distributed.checkpoint.planner import (
    SavePlan,
    SavePlanner,
    TensorWriteData,
    WriteItem,
    WriteItemType,
)
from torch.distributed.checkpoint.state_dict_loader import _load_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard

ROUNDS = 300


def both(module):
    """The module of PyTorch's and ours."""
    return (
        importlib.import_module(f"torch.distributed.checkpoint.{module}"),
        importlib.import_module(f"libdcp.torch.{module}"),
    )


def outcome(function, *args):
    """What it returns, or the kind and text of what it raises."""
    try:
        return "returned", function(*args)
    except (TypeError, AttributeError) as error:  # worded by Python, after what the code does
        return type(error), ""
    except Exception as error:
        return type(error), str(error)


def same(one, other):
    """As ==, where tensors are compared by identity of kind, shape, dtype and elements."""
    if isinstance(one, torch.Tensor):
        assert type(one) is type(other) and one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert type(one) is type(other) and len(one) == len(other)
        for a, b in zip(one, other):
            same(a, b)
    else:
        assert one == other


def assert_same(module_name, function, *inputs):
    stock, ours = both(module_name)
    expected = outcome(function, stock, *copy.deepcopy(inputs))
    got = outcome(function, ours, *copy.deepcopy(inputs))
    same(got, expected)
    return expected


@pytest.mark.parametrize("version", [None, "2_3"])
def test_flatten_and_unflatten(version, monkeypatch):
    for module in both("_version"):
        monkeypatch.setattr(module, "_derived_version", version)
    duplicates = 0
    for seed in range(ROUNDS):
        state = random_plans.state_dict(random_plans.dice(seed))
        kind, flat = assert_same("_nested_dict", lambda m, s: m.flatten_state_dict(s), state)
        if kind == "returned":
            assert_same("_nested_dict", lambda m, f: m.unflatten_state_dict(*f), flat)
        duplicates += kind is ValueError
    assert_same(
        "_nested_dict", lambda m, s: m.flatten_state_dict(s), {"a": {"b": {"c": 1}, "b.c": 2}}
    )


def test_traversal_with_another_rule_for_lists():
    def visits(module, state):
        seen = []
        module.traverse_state_dict(state, lambda *at: seen.append(at), lambda v: v == 1)
        module.traverse_state_dict_v_2_3(state, lambda *at: seen.append(at), lambda v: v == 1)
        module.traverse_state_dict(state, lambda *at: seen.append(at), None)
        return seen

    assert_same("_traverse", visits, {"a": [1, 2], "b": [[2], [2, [1]]], "c": {"d": [2, 2]}, "e": {}})


def test_elements_by_path():
    for seed in range(ROUNDS):
        dice = random_plans.dice(seed)
        root = {"a": [1, None, [2]], "b": {"c": 3, "d": [None]}, "e": None}
        path = ("a", "b", "e", "z")[dice.randrange(4)], *(
            dice.choice(["c", "d", 0, 1, 2, 5]) for _ in range(dice.randrange(0, 4))
        )

        def put(module, root, path):
            module.set_element(root, path, "value")
            return root

        assert_same("_traverse", put, root, path)
        if not (path[0] == "a" and 3 in path[1:]):
            stock, ours = both("_traverse")
            found = outcome(ours.get_element, root, path, "none")
            expected = outcome(stock.get_element, root, path, "none")
            # PyTorch's raises IndexError for the place right behind a list's end.
            assert found == (("returned", "none") if expected[0] is IndexError else expected)


def test_print_tensor():
    def lines(module):
        out = []
        module.print_tensor(("a", 1), torch.zeros(2, 3), out.append)
        module.print_tensor(("b",), "text", out.append)
        return out

    assert_same("_traverse", lines)


def test_pairs_of_boxes():
    met = 0
    for seed in range(ROUNDS):
        dice = random_plans.dice(seed)
        size = random_plans.shape(dice)
        one, other = random_plans.box(dice, size, 0.2), random_plans.box(dice, size, 0.2)
        _, overlap = assert_same(
            "resharding", lambda m, a, b: m._check_shard_metadata_pair_overlap(a, b), one, other
        )
        assert_same("default_planner", lambda m, a, b: m._check_box_overlap(a, b), one, other)
        assert_same("default_planner", lambda m, s, b: m._check_box_bounds(s, b), size, one)
        if overlap:
            met += 1
            assert_same(
                "resharding",
                lambda m, a, b: m._shards_get_overlap_region_wrt_saved_tensor(a, b),
                one,
                other,
            )
    assert met > ROUNDS / 10


def test_read_items_of_chunk_lists():
    items = 0
    for seed in range(ROUNDS):
        dice = random_plans.dice(seed)
        size = random_plans.shape(dice)
        saved = random_plans.tensor_entry(dice, random_plans.split(dice, size), size)
        wanted = random_plans.split(dice, size)
        wanted += [random_plans.box(dice, size) for _ in range(dice.randrange(0, 4))]
        _, found = assert_same(
            "planner_helpers",
            lambda m, md, local: m.create_read_items_for_chunk_list("name", md, local),
            saved,
            wanted if dice.random() < 0.95 else [],
        )
        items += len(found)
    assert items > ROUNDS


@pytest.mark.parametrize("lowest", [False, True])
@pytest.mark.parametrize("ranks", [1, 2, 3, 9, 40])
def test_dedup(ranks, lowest):
    for seed in range(60):
        plans = random_plans.plans(random_plans.dice(seed), ranks)
        assert_same("_dedup_save_plans", lambda m, p: m.dedup_save_plans(p, lowest), plans)
        assert_same("_dedup_tensors", lambda m, p: m.dedup_tensors(p), plans)


def test_plans_against_plans():
    equal = 0
    for seed in range(ROUNDS):
        dice = random_plans.dice(seed)
        plans = random_plans.plans(dice, 4)
        others = [random_plans.changed(dice, plan) for plan in plans]
        for plan, other in zip(plans, others):
            _, answer = assert_same(
                "planner_helpers", lambda m, a, b: m._compare_save_plans(a, b), plan, other
            )
            equal += answer
        assert_same("planner_helpers", lambda m, p: m._contains_usable_plan(p), others)
        assert_same("planner_helpers", lambda m, a, b: m._merge_delta_local_plans(a, b), plans, others)
    assert ROUNDS * 4 / 20 < equal < ROUNDS * 4 / 2


@pytest.mark.parametrize("hints", [True, False])
def test_global_save_plans(hints):
    refused = 0
    for seed in range(ROUNDS):
        plans = random_plans.plans(random_plans.dice(seed), 3)
        stock, ours = both("default_planner")
        expected = outcome(stock.create_default_global_save_plan, copy.deepcopy(plans), hints)
        got = outcome(ours.create_default_global_save_plan, copy.deepcopy(plans), hints)
        assert got[0] == expected[0]
        if expected[0] == "returned":
            assert got == expected
            for plan, twin in zip(got[1][0], expected[1][0]):
                assert [i.index.index for i in plan.items] == [i.index.index for i in twin.items]
        else:
            refused += 1
    assert refused > 10


@pytest.mark.parametrize("lowest", [True, False])
def test_global_plans_of_planners(lowest):
    """Paths too: where ranks name others for one entry, the first rank's stand."""
    planned = 0
    for seed in range(ROUNDS):
        plans = random_plans.plans(random_plans.dice(seed), 3)

        def play(module, plans):
            planner = module.DefaultSavePlanner(dedup_save_to_lowest_rank=lowest)
            told, metadata = planner.create_global_plan(plans)
            return told, metadata, list(metadata.planner_data.items())

        planned += assert_same("default_planner", play, plans)[0] == "returned"
    assert planned > ROUNDS / 10


def test_validation():
    found = 0
    for seed in range(ROUNDS):
        dice = random_plans.dice(seed)
        metadata = random_plans.metadata(dice, 0.5)
        plans = [SavePlan([])] * dice.randrange(1, 3)
        _, errors = assert_same(
            "default_planner", lambda m, p, md: m._validate_global_plan(p, md), plans, metadata
        )
        found += len(errors)
    assert found > ROUNDS / 2


# State dicts with distributed tensors, in the place of each rank of a job that is not there.


@pytest.fixture(params=[0, 1, 5, 7])
def rank_of_eight(request):
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=request.param, world_size=8)
    yield request.param
    dist.destroy_process_group()


def checkpointable(global_shape=(6, 4)):
    tensor = torch.arange(12.0).reshape(3, 4)
    tensor.global_shape = global_shape
    tensor.global_offsets = ((4, 0), (1, 0))
    tensor.local_offsets = ((0, 0), (2, 0))
    tensor.local_sizes = ((2, 4), (1, 4))
    return tensor


def distributed_state(rank):
    from torch.distributed._shard import sharded_tensor
    from torch.distributed._shard.sharding_spec import ChunkShardingSpec
    from torch.distributed.tensor._shards_wrapper import LocalShardsWrapper

    flat = init_device_mesh("cpu", (8,))
    square = init_device_mesh("cpu", (2, 4), mesh_dim_names=("dp", "tp"))
    part = dist.device_mesh.DeviceMesh("cpu", [0, 5])
    spec = ChunkShardingSpec(dim=0, placements=[f"rank:{r}/cpu" for r in range(8)])
    wrapper = LocalShardsWrapper([torch.ones(2, 3), torch.ones(2, 5)], [(2, 0), (2, 3)])
    state = {
        "plain": torch.zeros(3, 5),
        "scalar": torch.tensor(1.0),
        "object": {"lr": 0.1},
        "even": DTensor.from_local(torch.zeros(2, 3), flat, [Shard(0)]),
        "uneven": dtensor(torch.zeros(11, 3), flat, [Shard(0)]),
        "replicated": DTensor.from_local(torch.zeros(4), flat, [Replicate()]),
        "grid": dtensor(torch.zeros(6, 10), square, [Shard(0), Shard(1)]),
        "both_on_0": dtensor(torch.zeros(9, 2), square, [Shard(0), Shard(0)]),
        "hybrid": dtensor(torch.zeros(9, 2), square, [Replicate(), Shard(1)]),
        "submesh": dtensor(torch.zeros(4, 2), part, [Shard(0)]),
        "wrapped": DTensor.from_local(
            wrapper, flat, [Shard(0)], run_check=False, shape=torch.Size((4, 8)), stride=(8, 1)
        ),
        "sharded": sharded_tensor.zeros(spec, 19, 3),
    }
    if hasattr(stock_dcp, "CheckpointableTensor"):
        state["chunks"] = checkpointable()
    return state


def dtensor(tensor, mesh, placements):
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, mesh, placements, src_data_rank=None)


def test_local_plans_and_metadata_of_distributed_tensors(rank_of_eight):
    state = distributed_state(rank_of_eight)
    stock, ours = both("default_planner")
    expected = stock.create_default_local_save_plan(state, False)
    assert len(expected.items) >= 11
    got = ours.create_default_local_save_plan(state, False)
    assert got == expected
    assert [i.index.index for i in got.items] == [i.index.index for i in expected.items]
    assert ours._create_default_local_metadata(state) == stock._create_default_local_metadata(state)

    helpers_of_stock, helpers = both("planner_helpers")
    for key, value in state.items():
        if key != "submesh" or value.device_mesh.get_coordinate() is not None:
            assert outcome(helpers._create_chunk_list, value) == outcome(
                helpers_of_stock._create_chunk_list, value
            )


def test_load_plans_of_distributed_tensors(rank_of_eight):
    state = distributed_state(rank_of_eight)
    dice = random_plans.dice(rank_of_eight)
    stock, ours = both("default_planner")
    for _ in range(20):
        metadata = stock._create_default_local_metadata(state)
        for entry in metadata.state_dict_metadata.values():
            if hasattr(entry, "size"):
                entry.chunks[:] = random_plans.split(dice, entry.size)
        expected = stock.create_default_local_load_plan(state, metadata)
        assert ours.create_default_local_load_plan(state, metadata) == expected
    assert len(expected.items) > 12


def test_lookups_of_distributed_tensors(rank_of_eight):
    state = distributed_state(rank_of_eight)
    stock, ours = both("utils")
    plan = both("default_planner")[0].create_default_local_save_plan(state, False)
    indices = [item.index for item in plan.items]
    for index in [
        *indices,
        *(dataclasses.replace(index, index=1) for index in indices),
        *(MetadataIndex(index.fqn, None) for index in indices),
        *(MetadataIndex(index.fqn, (9, 9)) for index in indices),
        MetadataIndex("absent"),
    ]:
        expected = outcome(stock.find_state_dict_object, state, index)
        got = outcome(ours.find_state_dict_object, state, index)
        assert got[0] == expected[0]
        if isinstance(expected[1], torch.Tensor):
            assert got[1].data_ptr() == expected[1].data_ptr()
            assert got[1].shape == expected[1].shape
        else:
            assert got[1] == expected[1]


def test_refusals_of_load_plans_are_the_same():
    stock, ours = both("default_planner")
    metadata = stock._create_default_local_metadata(
        {"a": torch.zeros(2), "b": 1, "c": torch.zeros(3)}
    )
    for state in [
        {"absent": 1},
        {"a": torch.zeros(3)},
        {"a": 5},
        {"a": "text"},
        {"b": torch.zeros(3)},
        {"c": None},
    ]:
        for strict in (True, False):
            expected = outcome(stock.create_default_local_load_plan, state, metadata, strict)
            assert outcome(ours.create_default_local_load_plan, state, metadata, strict) == expected


@pytest.mark.skipif(not hasattr(stock_dcp, "CheckpointableTensor"), reason="PyTorch before 2.14")
def test_refusals_of_contradicting_attributes_are_the_same():
    stock, ours = both("protocol")
    wrong = {
        "global_shape": [(6,), (4, 4)],
        "global_offsets": [((4, 0),), ((4,), (1, 0)), ((5, 0), (1, 0)), ((-1, 0), (1, 0))],
        "local_offsets": [((0, 0),), ((0,), (2, 0)), ((2, 0), (2, 0))],
        "local_sizes": [((2, 4),), ((2,), (1, 4)), ((2, 5), (1, 4))],
    }
    for name, values in wrong.items():
        for value in values:
            tensor = checkpointable()
            setattr(tensor, name, value)
            expected = outcome(stock._get_checkpointable_tensor_chunks, tensor)
            assert expected[0] is ValueError
            assert outcome(ours._get_checkpointable_tensor_chunks, tensor) == expected
    assert not ours._is_checkpointable_tensor(torch.zeros(2))
    assert not ours._is_checkpointable_tensor("text")
    copied = torch.zeros(3, 4)
    ours._copy_checkpointable_tensor_metadata(checkpointable(), copied)
    assert stock._is_checkpointable_tensor(copied) and copied.local_sizes == ((2, 4), (1, 4))


def test_meta_tensors_get_memory_and_all_else_stays(rank_of_eight):
    _, ours = both("planner_helpers")
    mesh = init_device_mesh("cpu", (8,))
    marker = object()
    numbers = [1, 2]
    state = {
        "tensor": torch.zeros(2, 3, device="meta"),
        "below": {"list": [torch.zeros(2, device="meta"), 1], "tuple": (marker,)},
        "dtensor": DTensor.from_local(torch.zeros(1, 2, device="meta"), mesh, [Shard(0)]),
        "numbers": numbers,
        "marker": marker,
    }
    ours._init_state_dict(state)
    assert state["tensor"].device.type == "cpu" and state["tensor"].shape == (2, 3)
    assert state["below"]["list"][0].device.type == "cpu"
    assert state["dtensor"].to_local().device.type == "cpu"
    assert state["dtensor"].shape == (8, 2)
    assert state["numbers"] is numbers and state["marker"] is marker
    assert state["below"]["tuple"][0] is marker


# The planners as save and load call them.


@pytest.fixture(autouse=True)
def empty_plan_caches():
    caches = [
        SavePlanner._cached_save_plan,
        SavePlanner._cached_final_save_plan,
        SavePlanner._cached_all_plans,
        SavePlanner._cached_global_plan,
        SavePlanner._cached_metadata,
    ]
    for cache in caches:
        cache.clear()
    yield caches
    for cache in caches:
        cache.clear()


def play_save(make, states):
    """A save's planning by ranks in one process. Returns what each step gave."""
    planners = [make() for _ in states]
    for rank, (planner, state) in enumerate(zip(planners, states)):
        planner.set_up_planner(state, is_coordinator=rank == 0)
    local = [planner.create_local_plan() for planner in planners]
    told, metadata = planners[0].create_global_plan(local)
    final = [planner.finish_plan(plan) for planner, plan in zip(planners, told)]
    data = [[planner.resolve_data(i) for i in plan.items] for planner, plan in zip(planners, final)]
    shown = [[d.getvalue() if isinstance(d, io.BytesIO) else d for d in some] for some in data]
    return local, told, metadata, final, shown


def rank_states(dice, ranks):
    common = random_plans.state_dict(dice)
    return [{**common, f"own{rank}": torch.full((rank + 1,), rank)} for rank in range(ranks)]


@pytest.mark.parametrize("flatten", [True, False])
@pytest.mark.parametrize("lowest", [True, False])
def test_save_planning(flatten, lowest):
    stock, ours = both("default_planner")
    for seed in range(60):
        states = rank_states(random_plans.dice(seed), 3)
        results = [
            outcome(
                play_save,
                lambda: module.DefaultSavePlanner(
                    flatten_state_dict=flatten, dedup_save_to_lowest_rank=lowest
                ),
                states,
            )
            for module in (stock, ours)
        ]
        same(results[1], results[0])


def test_plan_caching_tells_ranks_what_changed(empty_plan_caches):
    """One process plays one rank here: the caches are its."""
    stock, ours = both("default_planner")
    states = [
        {"w": torch.zeros(3), "n": 1},
        {"w": torch.ones(3), "n": 2},
        {"w": torch.zeros(4), "n": 2},
        {"w": torch.zeros(4), "n": 2},
    ]
    runs = []
    for module in (stock, ours):
        for cache in empty_plan_caches:
            cache.clear()
        runs.append(
            [
                play_save(lambda: module.DefaultSavePlanner(enable_plan_caching=True), [state])
                for state in states
            ]
        )
    same(runs[1], runs[0])
    usable = [local[0].usable for local, *_ in runs[1]]
    assert usable == [True, False, True, False]
    assert SavePlanner._cached_metadata["DefaultSavePlanner"] is not None


def test_plan_caching_sees_another_dtype():
    _, ours = both("default_planner")
    for dtype in (torch.float32, torch.float64):
        _, _, metadata, _, _ = play_save(
            lambda: ours.DefaultSavePlanner(enable_plan_caching=True), [{"w": torch.zeros(2, dtype=dtype)}]
        )
        assert metadata.state_dict_metadata["w"].properties.dtype == dtype


def test_a_refused_plan_is_not_cached():
    _, ours = both("default_planner")

    class Overlapping(ours.DefaultSavePlanner):
        wrong = False

        def create_local_plan(self):
            plan = super().create_local_plan()
            if self.wrong and plan.usable:
                item = plan.items[0]
                shard = dataclasses.replace(item, type=WriteItemType.SHARD)
                plan.items[:] = [shard, dataclasses.replace(shard, index=MetadataIndex("w", (1,)))]
            return plan

    make = lambda: Overlapping(enable_plan_caching=True)  # noqa: E731
    play_save(make, [{"w": torch.zeros(2)}])
    before = dict(SavePlanner._cached_all_plans), dict(SavePlanner._cached_save_plan)
    Overlapping.wrong = True
    with pytest.raises(ValueError, match="Failed to validate global plan: key:w has overlapping"):
        play_save(make, [{"w": torch.zeros(3)}])
    assert (SavePlanner._cached_all_plans, SavePlanner._cached_save_plan) == before


def test_word_of_an_unchanged_plan_that_the_coordinator_lacks():
    _, ours = both("default_planner")
    planner = ours.DefaultSavePlanner(enable_plan_caching=True)
    with pytest.raises(RuntimeError, match="rank 1 sent word"):
        planner.create_global_plan([SavePlan([], planner_data={}), SavePlan([], usable=False)])


def test_long_refusals_are_cut():
    stock, ours = both("default_planner")
    chunk = ChunkStorageMetadata(torch.Size((5,)), torch.Size((5,)))
    items = [
        WriteItem(
            MetadataIndex(f"key{i}", (5,)),
            WriteItemType.SHARD,
            tensor_data=TensorWriteData(chunk, TensorProperties(), torch.Size((7,))),
        )
        for i in range(20)
    ]
    results = [
        outcome(module.DefaultSavePlanner().create_global_plan, [SavePlan(items, planner_data={})])
        for module in (stock, ours)
    ]
    assert results[0] == results[1]
    assert results[1][1].endswith("... (truncated)")


def test_the_deprecated_argument_is_reported(caplog):
    _, ours = both("default_planner")
    ours.DefaultSavePlanner(dedup_replicated_tensors=True)
    assert "no longer has any effect" in caplog.text


def saved_state():
    return {
        "model": {"w": torch.arange(12.0).reshape(3, 4), "b": torch.arange(4, dtype=torch.bfloat16)},
        "layers": [torch.ones(2), {"deep": torch.full((1,), 7)}],
        "step": 5,
        "text": ["a", {"b": 1}],
    }


def zeroed(value):
    if isinstance(value, torch.Tensor):
        return torch.zeros_like(value)
    if isinstance(value, dict):
        return {key: zeroed(below) for key, below in value.items()}
    if isinstance(value, list):
        return [zeroed(below) for below in value]
    return None


@pytest.mark.parametrize("flatten", [True, False])
def test_in_stocks_save_and_load(tmp_path, flatten):
    _, ours = both("default_planner")
    state = saved_state()
    if not flatten:
        state = {"w": torch.arange(5.0), "o": {"x": 1}, "n": 3}
    stock_dcp.save(
        state,
        checkpoint_id=tmp_path,
        planner=ours.DefaultSavePlanner(flatten_state_dict=flatten),
        no_dist=True,
    )
    for module in both("default_planner"):
        planner = module.DefaultLoadPlanner(
            flatten_state_dict=flatten,
            # With both, PyTorch's planner puts objects into a dict that nobody sees.
            flatten_sharded_tensors=flatten or module is ours,
        )
        target = zeroed(state)
        stock_dcp.load(target, checkpoint_id=tmp_path, planner=planner, no_dist=True)
        same(target, state)


def test_subclasses_in_stocks_save_and_load(tmp_path):
    _, ours = both("default_planner")

    class Halves(ours.DefaultSavePlanner):
        def set_up_planner(self, state_dict, storage_meta=None, is_coordinator=False):
            super().set_up_planner(
                {f"foo_{k}": v for k, v in state_dict.items()}, storage_meta, is_coordinator
            )

        def create_local_plan(self):
            plan = super().create_local_plan()
            for item in plan.items:
                if item.tensor_data is not None:
                    item.tensor_data.properties.dtype = torch.float16
            return plan

        def transform_object(self, write_item, object):
            made = super().transform_object(write_item, object)
            return made.to(torch.float16) if isinstance(made, torch.Tensor) else made

    class Doubled(ours.DefaultLoadPlanner):
        def lookup_tensor(self, index):
            self.seen = getattr(self, "seen", []) + [index.fqn]
            return super().lookup_tensor(index)

        def commit_tensor(self, read_item, tensor):
            tensor.mul_(2)

    stock_dcp.save({"w": torch.full((3,), 1.5), "n": 4}, checkpoint_id=tmp_path, planner=Halves(), no_dist=True)
    planner = Doubled(allow_partial_load=True)
    target = {"foo_w": torch.zeros(3, dtype=torch.float16), "foo_n": None, "absent": torch.ones(2)}
    stock_dcp.load(target, checkpoint_id=tmp_path, planner=planner, no_dist=True)
    assert target["foo_w"].tolist() == [3, 3, 3] and target["foo_n"] == 4
    assert target["absent"].tolist() == [1, 1] and planner.seen == ["foo_w"]
    with pytest.raises(BaseException, match="Missing key in checkpoint state_dict: absent"):
        stock_dcp.load(target, checkpoint_id=tmp_path, planner=Doubled(), no_dist=True)


def test_a_checkpoint_flattened_by_the_rule_before_2_4(tmp_path, monkeypatch):
    stock, ours = both("default_planner")
    monkeypatch.setattr(both("_version")[0], "_derived_version", "2_3")
    state = {"opt": {"state": {"lr": 0.1, "betas": [1, 2]}, "w": torch.ones(3)}, "cfg": {"a": {"b": 1}}}
    stock_dcp.save(state, checkpoint_id=tmp_path, planner=stock.DefaultSavePlanner(), no_dist=True)
    monkeypatch.undo()
    names = set(stock_dcp.FileSystemReader(tmp_path).read_metadata().state_dict_metadata)
    assert names == {"opt.state", "opt.w", "cfg"}
    target = {"opt": {"state": {"lr": 0, "betas": [0]}, "w": torch.zeros(3)}, "cfg": {"a": {"b": 0}}}
    stock_dcp.load(target, checkpoint_id=tmp_path, planner=ours.DefaultLoadPlanner(), no_dist=True)
    same(target, state)
    assert both("_version")[1]._derived_version is None


@pytest.mark.parametrize("keys", [None, {"step"}, {"model"}, {"model.w", "layers"}])
def test_whole_checkpoints_without_a_template(tmp_path, keys):
    stock, ours = both("default_planner")
    stock_dcp.save(saved_state(), checkpoint_id=tmp_path, no_dist=True)
    results = []
    for module in (stock, ours):
        found = {}
        _load_state_dict(
            found,
            storage_reader=stock_dcp.FileSystemReader(tmp_path),
            planner=module._EmptyStateDictLoadPlanner(keys=keys),
            no_dist=True,
        )
        results.append(found)
    assert results[0]
    same(results[1], results[0])


@pytest.mark.parametrize(
    "key, expected",
    [
        ("layers.1", {"layers": [None, {"deep": torch.full((1,), 7)}]}),
        ("mixed.1", {"mixed": [None, "text"]}),
    ],
)
def test_one_of_a_list_without_a_template(tmp_path, key, expected):
    """PyTorch's planner flattens what it made of the paths once more, to other names, and fails."""
    _, ours = both("default_planner")
    state = {**saved_state(), "mixed": [torch.ones(1), "text"]}
    stock_dcp.save(state, checkpoint_id=tmp_path, no_dist=True)
    found = {}
    _load_state_dict(
        found,
        storage_reader=stock_dcp.FileSystemReader(tmp_path),
        planner=ours._EmptyStateDictLoadPlanner(keys={key}),
        no_dist=True,
    )
    same(found, expected)


def test_a_template_for_the_planner_without_one_is_refused():
    _, ours = both("default_planner")
    with pytest.raises(AssertionError, match="not state_dict"):
        ours._EmptyStateDictLoadPlanner().set_up_planner({"a": 1}, Metadata({}))
    with pytest.raises(AssertionError, match="metadata is not None"):
        ours._EmptyStateDictLoadPlanner().set_up_planner({})


# Odds and ends of utils.


def test_views_of_files():
    stock, ours = both("utils")
    for seed in range(ROUNDS):
        dice = random.Random(seed)
        script = [
            dice.choice(
                [("read", dice.randrange(-1, 30)), ("seek", dice.randrange(0, 20), 0), ("tell",),
                 ("seek", dice.randrange(0, 5), 2), ("readinto", dice.randrange(0, 30)),
                 ("seek", dice.randrange(0, 3), 1), ("readable",), ("seekable",)]
            )
            for _ in range(8)
        ]
        transcripts = []
        for module in (stock, ours):
            view = module._create_file_view(io.BytesIO(bytes(range(100))), 10, 20)
            transcript = []
            for name, *args in script:
                if view.tell() > 20:
                    break  # PyTorch's view would read on behind its end
                if name == "readinto":
                    buffer = bytearray(args[0])
                    transcript.append((view.readinto(buffer), bytes(buffer)))
                else:
                    transcript.append(getattr(view, name)(*args))
            transcripts.append(transcript)
        assert transcripts[0] == transcripts[1]


def test_old_order_of_arguments():
    _, ours = both("utils")

    @ours._api_bc_check
    def save(state_dict, *, storage_writer, planner=None):
        return state_dict, storage_writer, planner

    with pytest.warns(UserWarning, match="The argument order of save has been changed"):
        assert save({}, "writer", planner=1) == ({}, "writer", 1)
    assert save({}, storage_writer="writer") == ({}, "writer", None)


def test_small_helpers():
    for name, args in [
        ("_element_wise_add", ([1, 2], [3, 4])),
        ("_element_wise_sub", ([1, 2], [3, 4])),
        ("_normalize_device_info", ("cpu", 3)),
        ("_normalize_device_info", ("cuda", 3)),
    ]:
        assert_same("utils", lambda m: getattr(m, name)(*args))
