"""What a trainer does with libdcp.torch, in one process: poison_tour.py <folder>"""

import dataclasses
import io
import pathlib
import sys
import warnings

import torch
import torch.distributed as dist

import libdcp.torch as dcp
import libdcp.torch.default_planner as planners
from libdcp.torch import planner_helpers, utils
from libdcp.torch._nested_dict import flatten_state_dict, unflatten_state_dict
from libdcp.torch.metadata import MetadataIndex


def state():
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


def assert_same(one, other):
    flat, paths = flatten_state_dict(one)
    twin, other_paths = flatten_state_dict(other)
    assert paths == other_paths
    for key, value in flat.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, twin[key]), key
        else:
            assert value == twin[key], key
    assert unflatten_state_dict(flat, paths).keys() == one.keys()


def planning():
    """The planners' roles, one after another."""
    for caching in (False, True, True):
        saver = planners.DefaultSavePlanner(enable_plan_caching=caching)
        saver.set_up_planner(state(), is_coordinator=True)
        told, metadata = saver.create_global_plan([saver.create_local_plan()])
        plan = saver.finish_plan(told[0])
        held = {item.index: saver.resolve_data(item) for item in plan.items}
    target = zeroed(state())
    loader = planners.DefaultLoadPlanner()
    loader.set_up_planner(target, metadata, True)
    for item in loader.finish_plan(loader.create_global_plan([loader.create_local_plan()])[0]).items:
        data = held[next(i for i in held if i.fqn == item.storage_index.fqn)]
        if isinstance(data, io.BytesIO):
            data.seek(0)
            loader.load_bytes(item, data)
        else:
            part = loader.resolve_tensor(item)
            part.copy_(data)
            loader.commit_tensor(item, part)
    assert_same(target, state())
    assert planners._create_default_local_metadata(flatten_state_dict(state())[0]).state_dict_metadata
    assert utils.find_state_dict_object({"a": 1}, MetadataIndex("a")) == 1
    wrapper = utils._DistWrapper(None, False, 0)
    assert wrapper.all_reduce("step", lambda: 2, sum) == 2
    assert planner_helpers._compare_save_plans(plan, dataclasses.replace(plan))


def saved_and_loaded(where, save_with=None, load_with=None, save_planner=None, load_planner=None):
    dcp.save(state(), checkpoint_id=where, storage_writer=save_with, planner=save_planner)
    target = zeroed(state())
    dcp.load(target, checkpoint_id=where, storage_reader=load_with, planner=load_planner)
    assert_same(target, state())


class SavesByItself(planners.DefaultSavePlanner):
    def resolve_data(self, write_item):
        return super().resolve_data(write_item)


class LoadsByItself(planners.DefaultLoadPlanner):
    def commit_tensor(self, read_item, tensor):
        super().commit_tensor(read_item, tensor)


def calls(folder):
    saved_and_loaded(folder / "plain")
    saved_and_loaded(folder / "own", save_planner=SavesByItself(), load_planner=LoadsByItself())
    saved_and_loaded(
        None,
        dcp.FileSystemWriter(folder / "files", single_file_per_rank=False, thread_count=2),
        dcp.FileSystemReader(folder / "files"),
        planners.DefaultSavePlanner(enable_plan_caching=True, dedup_save_to_lowest_rank=True),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save_state_dict(state(), dcp.FileSystemWriter(folder / "old"))
        target = zeroed(state())
        dcp.load_state_dict(target, dcp.FileSystemReader(folder / "old"))
        assert_same(target, state())
    metadata = dcp.FileSystemReader(folder / "plain").read_metadata()
    assert set(metadata.state_dict_metadata) == set(flatten_state_dict(state())[0])


def in_the_background(folder):
    from libdcp.torch.state_dict_saver import AsyncCheckpointerType

    for kind in AsyncCheckpointerType:
        where = folder / kind.value
        dcp.async_save(state(), checkpoint_id=where, async_checkpointer_type=kind).result(timeout=300)
        target = zeroed(state())
        dcp.load(target, checkpoint_id=where)
        assert_same(target, state())


def single_files(folder):
    from libdcp.torch import format_utils

    dcp.save(state(), checkpoint_id=folder / "c")
    format_utils.dcp_to_torch_save(folder / "c", folder / "file.pt")
    assert_same(torch.load(folder / "file.pt", weights_only=True), state())
    format_utils.torch_save_to_dcp(folder / "file.pt", folder / "again")
    target = zeroed(state())
    dcp.load(target, checkpoint_id=folder / "again")
    assert_same(target, state())
    target = {"model": zeroed(state()["model"])}
    dcp.load(
        target,
        storage_reader=format_utils.BroadcastingTorchSaveReader(folder / "file.pt"),
        planner=format_utils.DynamicMetaLoadPlanner(),
    )
    assert_same(target, {"model": state()["model"]})


def rank_local(folder):
    from libdcp.torch import _experimental as experimental

    checkpointer = experimental.make_sync_checkpointer()
    checkpointer.save(str(folder / "local"), state())
    assert_same(checkpointer.load(str(folder / "local")), state())
    checkpointer.close()


def main(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    store = dist.TCPStore("127.0.0.1", 0, 1, True, wait_for_workers=False)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    for part in (planning, calls, in_the_background, single_files, rank_local):
        below = folder / part.__name__
        below.mkdir()
        part(*([below] if part is not planning else []))
        print(part.__name__)
    dist.destroy_process_group()
    print("the tour is over")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1])
