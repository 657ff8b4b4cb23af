"""Saves in the background on several ranks of a Gloo job."""

import os
import pathlib
import sys
import warnings

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Shard, distribute_tensor

import libdcp.torch as dcp
from libdcp.torch._async_process_executor import save_process
from libdcp.torch.staging import DefaultStager, StagingOptions
from libdcp.torch.state_dict_saver import AsyncCheckpointerType

warnings.simplefilter("ignore")

KINDS = {"thread": AsyncCheckpointerType.THREAD, "process": AsyncCheckpointerType.PROCESS}
ROWS = 10


def whole(step):
    return torch.arange(ROWS * 4.0).reshape(ROWS, 4) + 1000 * step


def state(mesh, step):
    return {
        "sharded": distribute_tensor(whole(step), mesh, [Shard(0)], src_data_rank=None),
        "columns": distribute_tensor(whole(step + 1), mesh, [Shard(1)], src_data_rank=None),
        "own": {f"rank{dist.get_rank()}": torch.full((5,), float(step))},
        "step": step,
    }


def spoil(saved):
    for name in ("sharded", "columns"):
        saved[name].to_local().fill_(-1)
    for tensor in saved["own"].values():
        tensor.fill_(-1)


def check(mesh, path, step):
    loaded = state(mesh, -7)
    dcp.load(loaded, checkpoint_id=path)
    assert torch.equal(loaded["sharded"].full_tensor(), whole(step))
    assert torch.equal(loaded["columns"].full_tensor(), whole(step + 1))
    assert torch.equal(loaded["own"][f"rank{dist.get_rank()}"], torch.full((5,), float(step)))
    assert loaded["step"] == step


def saves(folder, kind):
    """One after another, several at the same time, beside the program's own collectives and calls."""
    mesh = DeviceMesh("cpu", torch.arange(dist.get_world_size()))
    for step in range(3):
        saved = state(mesh, step)
        future = dcp.async_save(saved, checkpoint_id=f"{folder}/{step}", async_checkpointer_type=KINDS[kind])
        spoil(saved)
        dist.all_reduce(torch.ones(3))
        future.result(120)
        check(mesh, f"{folder}/{step}", step)
    futures = []
    for step in range(3, 9):
        saved = state(mesh, step)
        futures.append(dcp.async_save(saved, checkpoint_id=f"{folder}/{step}", async_checkpointer_type=KINDS[kind]))
        spoil(saved)
    dcp.save(state(mesh, 50), checkpoint_id=f"{folder}/50")
    check(mesh, f"{folder}/50", 50)
    for future in futures:
        assert future.result(120).state_dict_metadata["sharded"].size == torch.Size((ROWS, 4))
    for step in range(3, 9):
        check(mesh, f"{folder}/{step}", step)


def staged(folder, kind):
    """By a stager that works on a thread; and by one that fails on one rank, which fails the save on all."""
    mesh = DeviceMesh("cpu", torch.arange(dist.get_world_size()))
    stager = DefaultStager(StagingOptions(False, kind == "process", True, False))
    for step in range(4):
        saved = state(mesh, step)
        response = dcp.async_save(
            saved, checkpoint_id=f"{folder}/{step}", async_checkpointer_type=KINDS[kind], async_stager=stager
        )
        response.staging_completion.result(60)
        spoil(saved)
        response.upload_completion.result(120)
        check(mesh, f"{folder}/{step}", step)
    if dist.get_rank() == 1:
        stager._state_dict_stager.stage = broken
    response = dcp.async_save(
        state(mesh, 5), checkpoint_id=f"{folder}/5", async_checkpointer_type=KINDS[kind], async_stager=stager
    )
    error = response.upload_completion.exception(120)
    assert error is not None and "no room to stage" in f"{error} {getattr(error, 'failures', '')}", repr(error)
    assert not pathlib.Path(f"{folder}/5/.metadata").exists()
    if dist.get_rank() == 1:
        del stager._state_dict_stager.stage
    dist.barrier()
    response = dcp.async_save(
        state(mesh, 6), checkpoint_id=f"{folder}/6", async_checkpointer_type=KINDS[kind], async_stager=stager
    )
    response.upload_completion.result(120)
    check(mesh, f"{folder}/6", 6)
    stager.close()


def broken(*_, **__):
    raise MemoryError("no room to stage")


def killed(folder):
    """Rank 1's process is killed between two saves: an error on every rank, then all goes on."""
    mesh = DeviceMesh("cpu", torch.arange(dist.get_world_size()))

    def save(step):
        return dcp.async_save(
            state(mesh, step), checkpoint_id=f"{folder}/{step}", async_checkpointer_type=KINDS["process"]
        )

    save(0).result(120)
    process = save_process(None, False)
    before = process.pid
    if dist.get_rank() == 1:
        os.kill(before, 9)
        process._child.process.join(30)
    dist.barrier()
    error = save(1).exception(120)
    assert isinstance(error, RuntimeError) and "rank 1" in str(error) and "SIGKILL" in str(error), repr(error)
    assert not pathlib.Path(f"{folder}/1").exists()
    save(2).result(120)
    check(mesh, f"{folder}/2", 2)
    assert process.pid != before
    check(mesh, f"{folder}/0", 0)


class Slow(dcp.FileSystemWriter):
    """Writes when it is told to."""

    def write_data(self, plan, planner):
        folder = pathlib.Path(self.path).parent
        (folder / f"begun{os.getpid()}").touch()
        wait_for(lambda: (folder / "go").exists())
        return super().write_data(plan, planner)


def wait_for(condition, seconds=60):
    import time

    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            sys.exit("waited in vain")
        time.sleep(0.02)


def killed_at_work(folder):
    """Rank 1's process is killed in the middle of a save: an error on every rank, at once and not after
    the timeout of a rank that is silent; the checkpoint before stays; then all goes on."""
    import time

    folder = pathlib.Path(folder)
    folder.mkdir(exist_ok=True)
    mesh = DeviceMesh("cpu", torch.arange(dist.get_world_size()))
    kind = KINDS["process"]
    dcp.async_save(state(mesh, 0), checkpoint_id=folder / "x", async_checkpointer_type=kind).result(120)
    writer = Slow(folder / "x")
    future = dcp.async_save(state(mesh, 1), storage_writer=writer, async_checkpointer_type=kind)
    wait_for(lambda: len(list(folder.glob("begun*"))) == dist.get_world_size())
    dist.barrier()
    begin = time.monotonic()
    if dist.get_rank() == 1:
        os.kill(save_process(None, False).pid, 9)
    error = future.exception(120)
    assert isinstance(error, RuntimeError) and "SIGKILL" in str(error), repr(error)
    assert time.monotonic() - begin < 100
    check(mesh, folder / "x", 0)
    dcp.async_save(state(mesh, 2), checkpoint_id=folder / "x", async_checkpointer_type=kind).result(120)
    check(mesh, folder / "x", 2)


def dies(folder):
    """All trainers die while their processes save."""
    folder = pathlib.Path(folder)
    folder.mkdir(exist_ok=True)
    mesh = DeviceMesh("cpu", torch.arange(dist.get_world_size()))
    kind = KINDS["process"]
    dcp.async_save(state(mesh, 0), checkpoint_id=folder / "x", async_checkpointer_type=kind).result(120)
    dcp.async_save(state(mesh, 1), storage_writer=Slow(folder / "x"), async_checkpointer_type=kind)
    wait_for(lambda: len(list(folder.glob("begun*"))) == dist.get_world_size())
    dist.barrier()
    os.kill(os.getpid(), 9)
