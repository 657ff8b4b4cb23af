"""Trainers that end in the middle of things. trainer.py <function> <folder>"""

import os
import pathlib
import sys
import time
import warnings

import torch
import torch.multiprocessing

import libdcp.torch as dcp
from libdcp.torch import _background
from libdcp.torch.state_dict_saver import AsyncCheckpointerType

KINDS = {"thread": AsyncCheckpointerType.THREAD, "process": AsyncCheckpointerType.PROCESS}


class Slow(dcp.FileSystemWriter):
    """Says that it is about to write, and waits for the word to go on."""

    def write_data(self, plan, planner):
        folder = pathlib.Path(self.path).parent
        (folder / f"begun{os.getpid()}").touch()
        wait_for(folder / "go")
        return super().write_data(plan, planner)


def wait_for(path, seconds=60):
    until = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > until:
            raise RuntimeError(f"{path} did not come")
        time.sleep(0.02)


def state(value):
    return {"weights": torch.full((1000,), float(value)), "nested": {"step": value}}


def begin(folder, kind, value=1):
    saved = state(value)
    future = dcp.async_save(saved, storage_writer=Slow(folder / "x"), async_checkpointer_type=KINDS[kind])
    saved["weights"].fill_(-1)
    return future


def dies(folder, kind):
    begin(folder, kind)
    while not list(folder.glob("begun*")):
        time.sleep(0.02)
    os.kill(os.getpid(), 9)


def exits(folder, kind):
    begin(folder, kind)
    print("leaving", flush=True)


def leaves_late(folder, kind):
    _background.EXIT_PATIENCE_S = 0.2
    begin(folder, kind)
    while not list(folder.glob("begun*")):
        time.sleep(0.02)


def fails_at_exit(folder, kind):
    (folder / "a file").touch()
    future = dcp.async_save(state(1), checkpoint_id=folder / "a file" / "x", async_checkpointer_type=KINDS[kind])
    while not future.done():
        time.sleep(0.02)


def knows_it_failed(folder, kind):
    (folder / "a file").touch()
    future = dcp.async_save(state(1), checkpoint_id=folder / "a file" / "x", async_checkpointer_type=KINDS[kind])
    assert future.exception(60) is not None


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        return torch.full((2,), float(index))


def forks(folder, kind):
    """A data loader's workers are forked while a save goes on, and end while it goes on."""
    future = begin(folder, kind)
    loader = torch.utils.data.DataLoader(Numbers(), batch_size=4, num_workers=2, multiprocessing_context="fork")
    total = sum(batch.sum().item() for batch in loader)
    assert total == 2 * sum(range(16)), total
    assert not future.done()
    (folder / "go").touch()
    future.result(60)
    loaded = state(0)
    dcp.load(loaded, checkpoint_id=folder / "x")
    assert (loaded["weights"] == 1).all() and loaded["nested"]["step"] == 1
    print("loaded", flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    globals()[sys.argv[1]](pathlib.Path(sys.argv[2]), *sys.argv[3:])
