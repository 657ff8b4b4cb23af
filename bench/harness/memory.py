"""The tensors of a layout in this process, filled and checked as bench/driver/payload.h says."""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Callable, Iterable

from .layouts import Layout, Tensor


@functools.cache
def _library(path: str) -> ctypes.CDLL:
    library = ctypes.CDLL(path)
    arguments: Any = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64]
    library.bench_payload_fill.argtypes = arguments
    library.bench_payload_fill.restype = None
    library.bench_payload_check.argtypes = arguments
    library.bench_payload_check.restype = ctypes.c_uint64
    return library


class Memory:
    """Fills and checks memory by address, with the library at `payload_library`."""

    def __init__(self, payload_library: str) -> None:
        self._library = _library(payload_library)

    def fill(self, address: int, size: int, seed: int, offset: int = 0) -> None:
        self._library.bench_payload_fill(address, size, seed, offset)

    def check(self, name: str, address: int, size: int, seed: int, offset: int = 0) -> None:
        same = self._library.bench_payload_check(address, size, seed, offset)
        if same != size:
            raise AssertionError(f"{name} differs at byte {same} of {size}")


def torch_empty(tensor: Tensor) -> Any:
    import torch

    return torch.empty(tensor.shape, dtype=getattr(torch, tensor.dtype))


def torch_address(tensor: Any) -> int:
    return tensor.data_ptr()


def numpy_empty(tensor: Tensor) -> Any:
    import ml_dtypes
    import numpy

    dtype = ml_dtypes.bfloat16 if tensor.dtype == "bfloat16" else tensor.dtype
    return numpy.empty(tensor.shape, dtype)


def numpy_address(array: Any) -> int:
    return array.ctypes.data


class State:
    """A layout's tensors, each in memory of its own."""

    def __init__(
        self,
        layout: Layout,
        memory: Memory,
        empty: Callable[[Tensor], Any],
        address: Callable[[Any], int],
    ) -> None:
        self._layout = layout
        self._memory = memory
        self._address = address
        self.tensors: dict[str, Any] = {tensor.name: empty(tensor) for tensor in layout.tensors}

    def filled(self) -> State:
        """With the payload."""
        for seed, (tensor, address) in enumerate(self._places()):
            self._memory.fill(address, tensor.nbytes, seed)
        return self

    def overwritten(self) -> State:
        """With other bytes, so that every page is there."""
        for tensor, address in self._places():
            ctypes.memset(address, 0xEE, tensor.nbytes)
        return self

    def check(self) -> None:
        """Raises AssertionError unless every tensor holds its payload."""
        for seed, (tensor, address) in enumerate(self._places()):
            self._memory.check(tensor.name, address, tensor.nbytes, seed)

    def _places(self) -> Iterable[tuple[Tensor, int]]:
        for tensor in self._layout.tensors:
            yield tensor, self._address(self.tensors[tensor.name])
