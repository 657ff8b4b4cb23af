"""Process groups on the ranks of a Gloo job."""

import pathlib
import threading
import warnings

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as stock
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard

import libdcp.torch as dcp
from libdcp.torch._engine import groups

warnings.simplefilter("ignore")


def state(ranks, filled):
    """A row for each rank of the group, and what they share."""
    mesh = DeviceMesh("cpu", torch.tensor(ranks))
    local = torch.full((1, 4), float(dist.get_rank()) if filled else -1.0)
    rows = DTensor.from_local(local, mesh, [Shard(0)], run_check=False, shape=torch.Size((len(ranks), 4)), stride=(4, 1))
    return {"rows": rows, "copied": torch.arange(5) if filled else torch.zeros(5, dtype=torch.int64), "n": 3 if filled else 0}


def check(found, ranks):
    assert torch.equal(found["rows"].to_local(), torch.full((1, 4), float(dist.get_rank())))
    assert torch.equal(found["copied"], torch.arange(5)) and found["n"] == 3


def sub_groups(folder):
    """Groups that overlap and leave rank 0 out, saving at the same time; any of their ranks coordinates."""
    folder, rank = pathlib.Path(folder), dist.get_rank()
    split = [([0, 2], dist.new_group([0, 2])), ([1, 3], dist.new_group([1, 3]))]
    overlapping = [([1, 2, 3], dist.new_group([1, 2, 3]))]
    for number, (ranks, group) in enumerate(split + overlapping):
        full = state(ranks, True) if rank in ranks else state_of_others(ranks)
        if rank not in ranks:
            try:
                dcp.save(full, checkpoint_id=folder / str(number), process_group=group)
            except ValueError:
                pass
            else:
                raise AssertionError("a rank outside of the group saved")
            continue
        for coordinator in range(len(ranks)):
            where = folder / f"{number}-{coordinator}"
            dcp.save_state_dict(full, dcp.FileSystemWriter(where), process_group=group, coordinator_rank=coordinator)
            found = state_again(full)
            dcp.load_state_dict(found, dcp.FileSystemReader(where), process_group=group, coordinator_rank=coordinator)
            check(found, ranks)
            found = state_again(full)
            stock.load(found, checkpoint_id=where, process_group=group)
            check(found, ranks)
    print("sub-groups saved")


def state_of_others(ranks):
    DeviceMesh("cpu", torch.tensor(ranks))  # made by all ranks of the job
    return {}


def state_again(full):
    rows = full["rows"]
    empty = DTensor.from_local(torch.full_like(rows.to_local(), -1), rows.device_mesh, rows.placements, run_check=False,
                               shape=rows.shape, stride=rows.stride())
    return {"rows": empty, "copied": torch.zeros_like(full["copied"]), "n": 0}


def in_the_background(folder):
    """Saves in the background beside the program's own collectives and store, and its saves."""
    folder, ranks = pathlib.Path(folder), list(range(dist.get_world_size()))
    full = state(ranks, True)
    store = dist.distributed_c10d._get_default_store()
    futures = []
    for number in range(3 * groups.LANES):  # more than may go on at the same time
        futures.append(dcp.async_save(full, checkpoint_id=folder / f"async-{number}"))
        total = torch.ones(1000)
        dist.all_reduce(total)
        assert total[0] == len(ranks)
        store.set(f"own/{dist.get_rank()}/{number}", b"x")
        if number % 4 == 1:
            dcp.save(full, checkpoint_id=folder / f"sync-{number}")
    for number in reversed(range(len(futures))):  # read in any order
        if number % 2 == dist.get_rank() % 2:
            assert "rows" in futures[number].result(120).state_dict_metadata
    for future in futures:
        future.result(120)
    dist.barrier()
    for where in sorted(folder.glob("*sync-*")):
        found = state_again(full)
        dcp.load(found, checkpoint_id=where)
        check(found, ranks)
    print("all in the background")


def planners_in_the_background(folder):
    """What is run on threads of Python: a planner of the user's, beside saves that are waited for."""
    folder, ranks = pathlib.Path(folder), list(range(dist.get_world_size()))
    full = state(ranks, True)

    class Planner(dcp.DefaultSavePlanner):
        pass

    futures = []
    for number in range(4):
        futures.append(dcp.async_save(full, checkpoint_id=folder / f"a{number}", planner=Planner()))
        dcp.save(full, checkpoint_id=folder / f"s{number}")
    for number, future in enumerate(futures):
        future.result(120)
        found = state_again(full)
        dcp.load(found, checkpoint_id=folder / f"a{number}")
        check(found, ranks)


def failures(folder):
    """Of any rank: the same CheckpointException on all, and the next call works."""
    folder, ranks, rank = pathlib.Path(folder), list(range(dist.get_world_size())), dist.get_rank()
    last = ranks[-1]
    full = state(ranks, True)

    def caught(call):
        try:
            call()
        except dcp.CheckpointException as error:
            return error
        raise AssertionError("no exception")

    bad = {**full, f"own{rank}": (lambda: 1) if rank == last else 1}
    for save in (
        lambda: dcp.save(bad, checkpoint_id=folder / "bad"),
        lambda: dcp.async_save(bad, checkpoint_id=folder / "bad").result(120),
    ):
        error = caught(save)
        assert error.args[0] == "plan" and list(error.failures) == [last], error
        assert "pickle" in str(error.failures[last][0]), error
        assert not (folder / "bad" / ".metadata").exists()

    dcp.save(full, checkpoint_id=folder / "good")
    found = {**state_again(full), **({"none": torch.ones(1)} if rank == last else {})}
    error = caught(lambda: dcp.load(found, checkpoint_id=folder / "good"))
    assert error.args[0] == "plan" and list(error.failures) == [last]
    assert isinstance(error.failures[last][0], RuntimeError)
    assert str(error.failures[last][0]) == "Missing key in checkpoint state_dict: none."

    own = {**full, f"own{rank}": Own() if rank == 0 else 1}
    dcp.save(own, checkpoint_id=folder / "own")
    found = {**state_again(full), f"own{rank}": None}
    error = caught(lambda: dcp.load(found, checkpoint_id=folder / "own"))
    assert error.args[0] == "read" and list(error.failures) == [0]
    assert "gloo_groups.Own" in str(error.failures[0][0])
    check(found, ranks)
    assert found[f"own{rank}"] == (None if rank == 0 else 1)
    dcp.load(found, checkpoint_id=folder / "own", allow_objects=True)
    print("failures told")


class Own:
    pass


def raw_without_collectives(folder):
    """Without collectives a rank that fails gets what it raised; the others do not wait for ever."""
    folder, rank = pathlib.Path(folder), dist.get_rank()
    bad = {"f": (lambda: 1) if rank == 0 else 1}
    try:
        dcp.save(bad, checkpoint_id=folder / "c", use_collectives=False)
    except dcp.CheckpointException as error:
        assert rank != 0 and list(error.failures) == [0]
    except Exception as error:
        assert rank == 0 and "pickle" in str(error), repr(error)
    else:
        raise AssertionError("no exception")


def plan_caching(folder):
    """DefaultSavePlanner(enable_plan_caching=True): the same planner, and new ones, as the layout stays
    and changes; the dtype counts."""
    folder, mesh = pathlib.Path(folder), DeviceMesh("cpu", torch.arange(dist.get_world_size()))
    for number, (dtype, extra) in enumerate([(torch.float32, 0), (torch.float32, 0), (torch.float64, 0), (torch.float64, 2)]):
        local = torch.full((1, 4), float(10 * number + dist.get_rank()), dtype=dtype)
        full = {
            "rows": DTensor.from_local(local, mesh, [Shard(0)], run_check=False),
            **{f"x{i}": torch.full((3,), float(number)) for i in range(extra)},
        }
        dcp.save(full, checkpoint_id=folder / str(number), planner=dcp.DefaultSavePlanner(enable_plan_caching=True))
        for loader in (dcp, stock):
            found = {
                "rows": DTensor.from_local(torch.zeros_like(local), mesh, [Shard(0)], run_check=False),
                **{f"x{i}": torch.zeros(3) for i in range(extra)},
            }
            loader.load(found, checkpoint_id=folder / str(number))
            assert torch.equal(found["rows"].to_local(), local)
            assert all(found[f"x{i}"][0] == number for i in range(extra))


def again(folder):
    """After the process group was destroyed and made anew."""
    folder, ranks = pathlib.Path(folder), list(range(dist.get_world_size()))
    for number in range(2):
        full = state(ranks, True)
        dcp.save(full, checkpoint_id=folder / str(number))
        dcp.async_save(full, checkpoint_id=folder / f"later{number}").result(120)
        if number == 0:
            rank, size = dist.get_rank(), dist.get_world_size()
            store = dist.distributed_c10d._get_default_store()
            dist.barrier()
            dist.destroy_process_group()
            dist.init_process_group("gloo", store=dist.PrefixStore("again", store), rank=rank, world_size=size)


def threads(folder):
    """Two groups save at the same time on two threads of each process."""
    folder, size = pathlib.Path(folder), dist.get_world_size()
    made = [dist.new_group(list(range(size))) for _ in range(2)]
    errors = []

    def work(number):
        try:
            for turn in range(5):
                dcp.save({"a": torch.full((100,), float(turn)), f"r{dist.get_rank()}": number},
                         checkpoint_id=folder / f"{number}-{turn}", process_group=made[number])
        except BaseException as error:
            errors.append(error)

    both = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert not errors, errors


def late(folder):
    """A rank that comes when the others have given it up is told so too, and the next save works."""
    folder, rank = pathlib.Path(folder), dist.get_rank()
    full = {"a": torch.ones(2), f"r{rank}": rank}
    dcp.save(full, checkpoint_id=folder / "c")
    store = dist.distributed_c10d._get_default_store()
    if rank == 1:
        store.wait(["given up"])
    try:
        dcp.save({**full, "new": 1}, checkpoint_id=folder / "c")
    except dcp.CheckpointException as error:
        assert list(error.failures) == [1] and isinstance(error.failures[1][0], TimeoutError), error
    else:
        raise AssertionError("saved")
    store.set("given up", b"")
    found = {"a": torch.zeros(2), f"r{rank}": -1}
    dcp.load(found, checkpoint_id=folder / "c")
    assert found["a"].tolist() == [1, 1] and found[f"r{rank}"] == rank
    dcp.save({**full, "new": 1}, checkpoint_id=folder / "c")
    dcp.load({"new": 0}, checkpoint_id=folder / "c")
