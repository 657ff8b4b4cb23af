"""libdcp's Python package, with numpy and without PyTorch."""

from __future__ import annotations

import pathlib
from typing import Any

import libdcp
import ml_dtypes  # noqa: F401
import numpy

from ..memory import numpy_address
from . import WARM_UP


def warm_up(folder: pathlib.Path) -> None:
    tensors = {"weight": numpy.zeros(WARM_UP, "float32")}
    libdcp.save(tensors, folder / "ckpt")
    libdcp.load_into(tensors, folder / "ckpt")


def save(job: Any) -> Any:
    state = job.numpy_state().filled()
    yield
    libdcp.save(state.tensors, job.folder)
    yield


def load(job: Any) -> Any:
    """Into arrays that are there."""
    state = job.numpy_state().overwritten()
    yield
    report = libdcp.load_into(state.tensors, job.folder)
    yield
    if report.bytes_unverified:
        raise AssertionError(f"{report.bytes_unverified} bytes were loaded unchecked")
    state.check()


def rows(job: Any) -> Any:
    """Options: name, seed, first, rows."""
    first = job.option("first")
    yield
    with libdcp.open(job.folder) as checkpoint:
        array = checkpoint[job.option("name")][first : first + job.option("rows")]
    yield
    job.payload.check(
        "the slice",
        numpy_address(array),
        array.nbytes,
        job.option("seed"),
        first * array[0].nbytes,
    )
    return {"bytes": array.nbytes}


def map_all(job: Any) -> Any:
    """Every tensor, in the mapped file; those that cannot be used there are read."""
    read = 0
    yield
    with libdcp.open(job.folder) as checkpoint:
        arrays = {}
        for name, entry in checkpoint.items():
            try:
                arrays[name] = entry.map()
            except libdcp.UnsupportedError:
                arrays[name] = entry.read()
                read += 1
    yield
    for seed, tensor in enumerate(job.layout.tensors):
        array = arrays[tensor.name]
        job.payload.check(tensor.name, numpy_address(array), tensor.nbytes, seed)
    return {"tensors": len(arrays), "read_tensors": read}


WORKS = {"save": save, "load": load, "rows": rows, "map": map_all}
