"""Bit-exact comparison of what torch holds with what torch or libdcp reads."""

import struct

import numpy as np
import torch


def tensor_bytes(tensor):
    """The elements in row-major order, of any dtype."""
    tensor = tensor.detach().resolve_conj().resolve_neg() if tensor.is_complex() else tensor.detach()
    if tensor.numel() == 0:
        return b""
    item = tensor.element_size()
    storage = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
    strides = [s * item for s in tensor.stride()] + [1]
    raw = storage.as_strided([*tensor.shape, item], strides, tensor.storage_offset() * item)
    return raw.contiguous().numpy().tobytes()


def array_bytes(array):
    """The same for what libdcp reads: numpy arrays, its RawArray, scalars' arrays."""
    return array.tobytes()


def dtype_name(thing):
    return str(getattr(thing, "dtype", thing)).removeprefix("torch.")


def describe(value):
    """Any value as nested tuples of plain data, alike for torch's objects and libdcp's."""
    if isinstance(value, torch.Tensor):
        return ("tensor", dtype_name(value), tuple(value.shape), tensor_bytes(value))
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return ("objects", value.dtype.str, value.shape, describe(value.tolist()))
    if isinstance(value, np.ndarray) or type(value).__name__ == "RawArray":
        return ("tensor", dtype_name(value), tuple(value.shape), array_bytes(value))
    if isinstance(value, bool) or value is None:
        return (type(value).__name__, value)
    if isinstance(value, float):
        return ("float", struct.pack("<d", value))
    if isinstance(value, complex):
        return ("complex", struct.pack("<dd", value.real, value.imag))
    if isinstance(value, torch.dtype) or type(value).__name__ == "DType":
        return ("dtype", dtype_name(value))
    if isinstance(value, torch.device) or type(value).__name__ == "Device":
        return ("device", str(value))
    if type(value).__name__ == "Size":
        return ("Size", tuple(value))
    if isinstance(value, dict):
        return (type(value).__name__, tuple((describe(k), describe(v)) for k, v in value.items()))
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, tuple(describe(item) for item in value))
    if isinstance(value, (set, frozenset)):
        return (type(value).__name__, tuple(sorted((describe(item) for item in value), key=repr)))
    if type(value).__name__ == "deque":
        return ("deque", tuple(describe(item) for item in value))
    return (type(value).__name__, repr(value))


def same(a, b):
    return describe(a) == describe(b)
