"""numpy arrays, scalars and dtypes that torch has no dtype for (text, bytes, dates, structures, long
doubles, objects): as the calls that numpy pickles them as, and back, without unpickling."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from ._types import Constructed

RECONSTRUCT = "numpy._core.multiarray._reconstruct"
SCALAR = "numpy._core.multiarray.scalar"
BUFFER = "numpy._core.numeric._frombuffer"
DTYPE = "numpy.dtype"

_MAX_NESTING = 16  # structures in structures
_MAX_DIMS = 32
_FOREIGN = ">" if sys.byteorder == "little" else "<"

# ---- in: (global, arguments, state) ----


def dtype_call(dtype: np.dtype[Any]) -> tuple[str, tuple[Any, ...], Any]:
    reduced: Any = dtype.__reduce__()
    return DTYPE, reduced[1], reduced[2]


def array_call(array: np.ndarray[Any, Any]) -> tuple[str, tuple[Any, ...], Any]:
    """numpy's own pickled form of it, which every version of numpy reads."""
    reduced: Any = np.asarray(array).__reduce__()
    return RECONSTRUCT, (Constructed("numpy.ndarray", None), (0,), b"b"), reduced[2]


def scalar_call(scalar: np.generic) -> tuple[str, tuple[Any, ...], Any]:
    dtype = scalar.dtype
    if dtype.hasobject:
        raise TypeError("a numpy scalar with Python objects inside has no plain form")
    return SCALAR, (dtype, scalar.tobytes()), None


# ---- out: TypeError or ValueError for what does not fit, which then stays data ----


def make_dtype(arguments: tuple[Any, ...], state: Any, has_state: bool) -> np.dtype[Any]:
    """Never through dtype.__setstate__, which trusts what it is given."""
    return _dtype(arguments, state if has_state else None, 0)


def _dtype(arguments: tuple[Any, ...], state: Any, depth: int) -> np.dtype[Any]:
    name = arguments[0] if arguments else None
    if not isinstance(name, str) or len(name) > 32 or "," in name or depth > _MAX_NESTING:
        raise TypeError("not a plain dtype")
    if state is None:
        return np.dtype(name)
    if not isinstance(state, tuple) or len(state) < 8 or state[1] not in ("<", ">", "=", "|"):
        raise TypeError("not the state of a dtype")
    _, order, subarray, names, fields, size, _, flags = state[:8]
    if subarray is not None:
        base, shape = subarray
        return np.dtype((_given(base), _shape(shape)))
    if names is not None:
        formats = [_given(fields[field][0]) for field in names]
        offsets = [int(fields[field][1]) for field in names]
        layout = {"names": list(names), "formats": formats, "offsets": offsets, "itemsize": size}
        return np.dtype(layout, align=bool(flags & 0x80))  # type: ignore[call-overload,no-any-return]
    dtype = np.dtype(name)
    if dtype.kind in "mM" and len(state) > 8 and state[8] is not None:
        unit, count = state[8][1][:2]
        unit = unit.decode("ascii") if isinstance(unit, bytes) else str(unit)
        if unit != "generic":
            dtype = np.dtype(f"{dtype.kind}8[{int(count)}{unit}]")
    return dtype.newbyteorder(order) if order == _FOREIGN else dtype


def _given(dtype: Any) -> np.dtype[Any]:
    if not isinstance(dtype, np.dtype):
        raise TypeError("not a dtype")
    return dtype


def _shape(shape: Any) -> tuple[int, ...]:
    if isinstance(shape, int):
        shape = (shape,)
    if not isinstance(shape, tuple) or len(shape) > _MAX_DIMS:
        raise TypeError("not a shape")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise TypeError("not a shape")
    return shape


def make_array(state: Any) -> np.ndarray[Any, Any]:
    _, shape, dtype, fortran, content = state
    return _array(shape, _given(dtype), bool(fortran), content)


def make_from_buffer(arguments: tuple[Any, ...]) -> np.ndarray[Any, Any]:
    content, dtype, shape, order = arguments
    return _array(shape, _given(dtype), order == "F", content)


def make_scalar(arguments: tuple[Any, ...]) -> Any:
    dtype, content = arguments
    return _array((), _given(dtype), False, content)[()]


def _array(shape: Any, dtype: np.dtype[Any], fortran: bool, content: Any) -> np.ndarray[Any, Any]:
    shape = _shape(shape)
    count = math.prod(shape)
    order: Any = "F" if fortran else "C"
    if dtype.hasobject:
        if dtype != np.dtype(object) or not isinstance(content, list) or len(content) != count:
            raise TypeError("not the objects of an array")
        objects = np.empty(count, dtype=object)
        for index, item in enumerate(content):  # one by one, so that a list stays an item
            objects[index] = item
        return objects.reshape(shape, order=order)
    if not isinstance(content, (bytes, bytearray)) or len(content) != count * dtype.itemsize:
        raise ValueError("bytes and shape do not fit")
    return np.ndarray(shape, dtype, bytearray(content), order=order)
