"""Planners and storages on several ranks of a Gloo job."""

import os
import pathlib
import warnings

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

import libdcp.torch
import libdcp.torch.default_planner as ours
from libdcp.torch._engine import storage_bridge as bridge
from user_planners import Reader, Writer, failing, halving, own_bytes, own_bytes_load, renaming, renaming_load

warnings.simplefilter("ignore")

WHOLE = torch.arange(7 * 5.0).reshape(7, 5) / 3


def state(mesh, placement, filled):
    """Sharded, replicated and plain tensors, and objects of this rank's own."""
    rank = dist.get_rank()
    make = (lambda tensor: tensor.clone()) if filled else torch.zeros_like

    def dtensor(tensor, place):
        value = distribute_tensor(tensor.clone(), mesh, [place], src_data_rank=None)
        return value if filled else DTensor.from_local(
            torch.zeros_like(value.to_local()), mesh, [place], run_check=False, shape=value.shape, stride=value.stride())

    return {
        "rows": dtensor(WHOLE, placement),
        "copied": dtensor(WHOLE.to(torch.bfloat16), Replicate()),
        "plain": make(torch.arange(11)),
        "nest": {f"own{rank}": make(torch.full((3,), rank + 0.5)), "list": [make(torch.ones(2))]},
        "step": 9 if filled else 0,
        f"obj{rank}": ("of", rank) if filled else None,
    }


def same(a, b):
    if isinstance(a, DTensor):
        a, b = a.to_local(), b.to_local()
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def exchange(folder):
    """Saved by the engine and by stock, with planners and storages of either; loaded by each other."""
    folder = pathlib.Path(folder)
    mesh = DeviceMesh("cpu", torch.arange(dist.get_world_size()))
    comm = libdcp.torch.communicator()
    full = state(mesh, Shard(0), True)
    last = dist.get_world_size() - 1
    plain = lambda base: base  # noqa: E731
    cases = {"plain": (plain, plain), "renamed": (renaming, renaming_load), "bytes": (own_bytes, own_bytes_load)}
    for name, (wrap, unwrap) in cases.items():
        saves = {
            "engine": lambda where: bridge.save(
                full, Writer(where, files=2), wrap(ours.DefaultSavePlanner)(), communicator=comm),
            "last": lambda where: bridge.save(  # by another coordinator, stock's storage
                full, dcp.FileSystemWriter(where), wrap(dcp.DefaultSavePlanner)(), communicator=comm, coordinator=last),
            "roles": lambda where: dcp.save(
                full, storage_writer=Writer(where), planner=wrap(ours.DefaultSavePlanner)()),
            "stock": lambda where: dcp.save(
                full, checkpoint_id=str(where), planner=wrap(dcp.DefaultSavePlanner)()),
        }
        for by, save in saves.items():
            where = folder / f"{name}-{by}"
            metadata = save(where)
            sharded = sum(index.fqn.endswith("rows") for index in metadata.storage_data)
            assert sharded == dist.get_world_size() and len(metadata.storage_data) == 4 + 3 * sharded
            dist.barrier()
            if by == "stock":
                loads = [lambda t: dcp.load(t, storage_reader=Reader(where), planner=unwrap(ours.DefaultLoadPlanner)())]
            else:
                loads = [lambda t: dcp.load(t, checkpoint_id=str(where), planner=unwrap(dcp.DefaultLoadPlanner)())]
            loads.append(lambda t: bridge.load(
                t, Reader(where), unwrap(ours.DefaultLoadPlanner)(), communicator=comm))
            for number, load in enumerate(loads):
                target = state(mesh, Shard(number), False)  # the second is cut the other way
                load(target)
                assert same(state(mesh, Shard(number), True), target), (where.name, number)
                print("equal")
            dist.barrier()
            if by in ("engine", "roles"):
                names = set(os.listdir(where))
                assert names == {".metadata"} | {info.relative_path for info in metadata.storage_data.values()}, names


class Boom(Exception):
    pass


def failures(folder):
    """A planner or a storage fails on one rank: all hear which, and with what."""
    folder, rank = pathlib.Path(folder), dist.get_rank()
    mesh = DeviceMesh("cpu", torch.arange(dist.get_world_size()))
    comm = libdcp.torch.communicator()
    full = state(mesh, Shard(0), True)
    where = folder / "c"
    bridge.save(full, Writer(where), dcp.DefaultSavePlanner(), communicator=comm)
    dist.barrier()
    before = sorted(os.listdir(where))

    def check(bad, step, error, call):
        try:
            call()
        except dcp.CheckpointException as caught:
            assert list(caught.failures) == [bad] and caught.args[0] == step, caught
            told, trace = caught.failures[bad]
            assert type(told) is Boom and told.args == error.args and trace, told
            assert (told is error) == (rank == bad)
            print("named")
        else:
            raise AssertionError(f"{error} did not come out")
        dist.barrier()

    for bad in (0, 2):
        methods = ["set_up_planner", "create_local_plan", "finish_plan", "resolve_data"]
        for method in methods + (["create_global_plan"] if bad == 0 else []):
            error = Boom(method, bad)
            planner = failing(dcp.DefaultSavePlanner, method, error) if rank == bad else dcp.DefaultSavePlanner
            step = "write" if method in ("finish_plan", "resolve_data") else "plan"
            check(bad, step, error, lambda: bridge.save(full, Writer(where), planner(), communicator=comm))
        for method in ["prepare_local_plan", "write_data"] + (["finish"] if bad == 0 else []):
            error = Boom(method, bad)
            writer = failing(Writer, method, error) if rank == bad else Writer
            step = "plan" if method == "prepare_local_plan" else "write"
            check(bad, step, error, lambda: bridge.save(full, writer(where), dcp.DefaultSavePlanner(), communicator=comm))
    assert sorted(os.listdir(where)) == before, os.listdir(where)  # the others' files went, too
    for bad, method in ((1, "create_local_plan"), (1, "resolve_tensor"), (3, "load_bytes"), (2, "commit_tensor")):
        error = Boom(method, bad)
        planner = failing(dcp.DefaultLoadPlanner, method, error) if rank == bad else dcp.DefaultLoadPlanner
        step = "plan" if method == "create_local_plan" else "read"
        target = state(mesh, Shard(1), False)
        check(bad, step, error, lambda: bridge.load(target, Reader(where), planner(), communicator=comm))
    target = state(mesh, Shard(1), False)
    bridge.load(target, Reader(where), dcp.DefaultLoadPlanner(), communicator=comm)
    assert same(state(mesh, Shard(1), True), target)


def without_collectives(folder):
    where, rank = pathlib.Path(folder) / "c", dist.get_rank()
    comm = libdcp.torch.communicator()
    mine = {"a": torch.full((4,), rank + 1.0), f"own{rank}": "x" * rank}
    empty = {"a": torch.zeros(4), f"own{rank}": None}
    bridge.save({"old": torch.ones(3)}, Writer(where), halving(dcp.DefaultSavePlanner)(), communicator=comm)
    metadata = bridge.save(mine, Writer(where), dcp.DefaultSavePlanner(), communicator=comm, use_collectives=False)
    assert set(metadata.state_dict_metadata) == set(mine)
    dist.barrier()
    names = sorted(os.listdir(where))
    assert names == sorted(f"__{r}{end}" for r in range(dist.get_world_size()) for end in (".metadata", "_0.g1.distcp")), names
    for load in (
        lambda t: bridge.load(t, Reader(where), dcp.DefaultLoadPlanner(), communicator=comm),
        lambda t: dcp.load(t, storage_reader=Reader(where)),
        lambda t: dcp.load(t, checkpoint_id=str(where)),
    ):
        target = {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in empty.items()}
        load(target)
        assert same(mine, target), target
        print("equal")
