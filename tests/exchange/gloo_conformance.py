"""The conformance suite of communicators, on a rank of a Gloo job."""

import ctypes
import pathlib
import sys

import torch.distributed as dist

import libdcp
import libdcp.torch
from libdcp._communicator import native_communicator

RECOVERS, SAYS_STILL_HERE, CHECKS_CALLS = 1, 2, 4
SILENCE_MS = 1000


def suite():
    library = pathlib.Path(libdcp.__file__).parents[2] / "lib" / "libcommunicator_suite.so"
    function = ctypes.CDLL(str(library)).communicator_suite
    function.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_char_p, ctypes.c_size_t]
    return function


def communicator(kind, where):
    if kind == "group":
        return libdcp.torch.communicator()
    if kind == "subgroup":
        others = dist.get_world_size() - 1
        group = dist.new_group(list(range(1, others + 1)), backend="gloo")
        return libdcp.torch.communicator(group) if dist.get_rank() > 0 else None
    store = dist.FileStore(where, dist.get_world_size())
    return libdcp.torch.communicator(store=store, rank=dist.get_rank(), world_size=dist.get_world_size(),
                                     name="suite", store_host=None)


def conform(kind, where):
    comm = communicator(kind, where)
    if comm is None:
        return
    native = native_communicator(comm)
    wrong = ctypes.create_string_buffer(1024)
    if suite()(int(native.this), RECOVERS | SAYS_STILL_HERE | CHECKS_CALLS, SILENCE_MS, wrong, len(wrong)):
        sys.exit(wrong.value.decode())
    print("conforms")
