"""What the engine reads, as torch.load would give it."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import torch

from ..._types import Constructed, Device, DType, Layout, MemoryFormat, Opaque, RawArray, Size


class NotPlain(Exception):
    """An object that the engine keeps, and does not build."""


def to_torch(value: Any, device: Any = None) -> Any:
    """Arrays become tensors over the same memory, or copies on ``device``. NotPlain for objects that
    are to be unpickled."""
    kind = type(value)
    if kind is np.ndarray or kind is RawArray:
        tensor = _tensor(value)
        return tensor if device is None else tensor.to(device)
    if kind is dict:
        return {key: to_torch(item, device) for key, item in value.items()}
    if kind is collections.OrderedDict:
        return collections.OrderedDict((k, to_torch(item, device)) for k, item in value.items())
    if kind is list:
        return [to_torch(item, device) for item in value]
    if kind is tuple:
        return tuple(to_torch(item, device) for item in value)
    if kind is Size:
        return torch.Size(value)
    if kind is DType:
        return getattr(torch, value.name)
    if kind is Device:
        return torch.device(value.name)
    if kind is Layout or kind is MemoryFormat:
        return getattr(torch, value.name.removeprefix("torch."))
    if kind is Constructed or kind is Opaque:
        raise NotPlain
    return value


def _tensor(array: Any) -> torch.Tensor:
    if isinstance(array, np.ndarray):
        if array.dtype.kind in "biufc" and array.dtype.isnative:
            if not array.flags.writeable or any(step < 0 for step in array.strides):
                array = array.copy()
            return torch.from_numpy(array)
        dtype = getattr(torch, array.dtype.name, None)  # bfloat16 and float8, of ml_dtypes
        if not isinstance(dtype, torch.dtype):
            raise NotPlain  # text, dates, objects: numpy's own
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        return torch.from_numpy(flat).view(dtype).view(array.shape)
    flat = np.ascontiguousarray(array.raw).reshape(-1)
    return torch.from_numpy(flat).view(getattr(torch, array.dtype.name)).view(array.shape)
