"""The matrix of upstream's TestDistributedFailure, on a rank of a Gloo job: storage writers and readers
of Python that fail on one of four ranks."""

import json
import pathlib
import sys

import numpy as np
import torch.distributed as dist

import libdcp
import libdcp.torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "bindings/python/tests"))
import test_storage_roles as roles  # noqa: E402


class Shelf:
    """A dict of bytes that all processes see."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def __setitem__(self, name, data):
        (self.folder / name).write_bytes(data)

    def __getitem__(self, name):
        return (self.folder / name).read_bytes()

    def __contains__(self, name):
        return (self.folder / name).exists()


def outcome_of(call):
    try:
        return call()
    except libdcp.Error as error:
        return error


def check(error, rank, size, bad, step, fault):
    """Exactly that rank, that step and that kind; the object itself where it was raised."""
    assert type(error) is (libdcp.CheckpointException if size > 1 else libdcp.CallbackError), repr(error)
    assert [(failure.rank, failure.step) for failure in error.failures.values()] == [(bad, step)], error.failures
    failure = error.failures[bad].error
    assert type(failure) is libdcp.CallbackError and f"ValueError: fail {fault}" in str(failure)
    if rank == bad:
        assert type(failure.__cause__) is ValueError and str(failure.__cause__) == f"fail {fault}"
    else:
        assert failure.__cause__ is None


def matrix(folder):
    """Every case, saves in the foreground and in the background; prints how many."""
    comm = libdcp.torch.communicator()
    rank, size = dist.get_rank(), dist.get_world_size()
    runs = 0
    for begin in (libdcp.save, libdcp.async_save):
        for fault, coordinator, bad, step in roles.SAVE_MATRIX:
            shelf = Shelf(f"{folder}/save-{runs}")
            writer = roles.FaultyWriter(shelf, fault if rank == bad else None)

            def save():
                done = begin(roles.tree_of(rank, size), storage_writer=writer, communicator=comm, coordinator=coordinator)
                return done.result() if begin is libdcp.async_save else done

            check(outcome_of(save), rank, size, bad, step, fault)
            assert ".metadata" not in shelf and ("abandon" in writer.calls) == (step == "write")
            runs += 1
    shelf = Shelf(f"{folder}/good")
    libdcp.save(roles.tree_of(rank, size), storage_writer=roles.DictWriter(shelf), communicator=comm)
    for fault, coordinator, bad, step in roles.LOAD_MATRIX:
        reader = roles.FaultyReader(shelf, fault if rank == bad else None)
        tree = {"model": {"same": np.zeros(7, int)}, "step": 0}
        end = outcome_of(lambda: libdcp.load_into(tree, storage_reader=reader, communicator=comm, coordinator=coordinator))
        if fault is None:
            assert (tree["step"], tree["model"]["same"].tolist()) == (5, list(range(7))), end
        else:
            check(end, rank, size, bad, step, fault)
        runs += 1
    print("told " + json.dumps({"runs": runs}))
