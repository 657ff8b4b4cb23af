#!/usr/bin/env python3
"""Checkpoints of libdcp read by another PyTorch, bit for bit.

  versions.py write FOLDER DIALECT COUNT SEED   with libdcp and numpy; no torch
  versions.py read FOLDER                       with the torch that is asked, 2.1 or later; no libdcp

`write` leaves COUNT checkpoints and beside each what it holds; `read` compares.
"""

import hashlib
import inspect
import json
import math
import pathlib
import random
import sys

# torch 2.1 has all of these; later ones have more, which the live exchange covers.
DTYPES = ["float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool",
          "complex64", "complex128"]
OBJECTS = [0, -7, 2**40, 2**100, 0.25, float("inf"), True, None, "text", "名前", b"\x00\xff", (1, "two", 3.0), [],
           [1, (2,)], 1e-8]
MAX_ELEMENTS = 100_000


def random_shape(rng):
    """At most MAX_ELEMENTS elements, so that no seed makes a case of hundreds of megabytes."""
    while True:
        shape = tuple(rng.choice([0, 1, 2, 5, 17, 300]) for _ in range(rng.choice([0, 1, 1, 2, 2, 3])))
        if math.prod(shape) <= MAX_ELEMENTS:
            return shape


def random_state(rng):
    import ml_dtypes
    import numpy

    state = {}
    for number in range(rng.randrange(1, 12)):
        name = ".".join(rng.choice(["a", "weight", "0", "名", "x y", "bias"]) for _ in range(rng.randrange(1, 4)))
        name = f"{name}{number}"
        if rng.random() < 0.25:
            state[name] = rng.choice(OBJECTS)
            continue
        dtype = rng.choice(DTYPES)
        kind = numpy.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        shape = random_shape(rng)
        raw = rng.randbytes(math.prod(shape) * kind.itemsize)
        array = numpy.frombuffer(bytes(byte & 1 for byte in raw) if dtype == "bool" else raw, dtype=kind)
        array = array.reshape(shape)
        state[name] = array.T if rng.random() < 0.2 else array
    return state


def write(folder, dialect, count, seed):
    import libdcp

    rng = random.Random(seed)
    for number in range(count):
        where = folder / str(number)
        state = random_state(rng)
        libdcp.save(state, where / "ckpt", dialect=dialect, files=rng.randrange(1, 4))
        expected = {}
        for name, value in state.items():
            if not hasattr(value, "dtype"):
                continue
            expected[name] = {"dtype": str(value.dtype), "shape": list(value.shape),
                              "sha256": hashlib.sha256(value.tobytes()).hexdigest()}
        (where / "expected.json").write_text(json.dumps(expected))
        objects = {name: repr(value) for name, value in state.items() if name not in expected}
        (where / "objects.json").write_text(json.dumps(objects))


def load(dcp, state, where):
    reader = dcp.FileSystemReader(str(where))
    if not hasattr(dcp, "load"):  # 2.1
        dcp.load_state_dict(state, storage_reader=reader, no_dist=True)
    elif "no_dist" in inspect.signature(dcp.load).parameters:
        dcp.load(state, storage_reader=reader, no_dist=True)
    else:
        dcp.load(state, storage_reader=reader)


def read(folder):
    import warnings

    import torch
    import torch.distributed.checkpoint as dcp

    warnings.filterwarnings("ignore")
    tensors = objects = 0
    cases = sorted(path for path in folder.iterdir() if path.is_dir())
    for case in cases:
        expected = json.loads((case / "expected.json").read_text())
        texts = json.loads((case / "objects.json").read_text())
        state = {name: torch.zeros(tensor["shape"], dtype=getattr(torch, tensor["dtype"]))
                 for name, tensor in expected.items()}
        state.update(dict.fromkeys(texts, "placeholder"))
        load(dcp, state, case / "ckpt")
        for name, tensor in expected.items():
            data = state[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if state[name].numel() else b""
            if hashlib.sha256(data).hexdigest() != tensor["sha256"]:
                sys.exit(f"{case}: {name} differs")
            tensors += 1
        for name, text in texts.items():
            if repr(state[name]) != text:
                sys.exit(f"{case}: {name} is {state[name]!r}, not {text}")
            objects += 1
    if not cases:
        sys.exit(f"{folder}: nothing to read")
    print(f"torch {torch.__version__}: {len(cases)} checkpoints, {tensors} tensors, {objects} objects read, all equal")


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        read(pathlib.Path(sys.argv[2]))
