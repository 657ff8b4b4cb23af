"""What the C half asks of Python, once a type: which kind of object this is, how to take the rarer
ones apart, and how to put them together again. Nothing here imports torch or unpickles."""

from __future__ import annotations

import collections
import collections.abc
import datetime
import decimal
import fractions
import importlib
import os
import pathlib
import sys
import uuid
from typing import Any, Callable

import numpy as np

from . import dcp_raw as raw
from . import _numpy_objects as numpy_forms
from ._errors import Error, make_error
from ._types import (
    Constructed,
    Device,
    DType,
    Layout,
    MemoryFormat,
    Opaque,
    RawArray,
    Sharded,
    Size,
)

# Types, as in pydcp.h.
_OTHER, _ARRAY, _SCALAR, _TORCH, _SIZE, _DLPACK, _MAPPING = range(7)
# Recipes, as in pydcp.h.
_AS_TEXT, _AS_PATH, _AS_OPAQUE, _AS_CONSTRUCTED, _AS_SHARDED, _AS_RAW, _AS_SEQUENCE, _AS_PAIRS = (
    range(1, 9)
)

# ---- dtypes ----

_NUMPY_NAMES = {
    "float32": np.float32,
    "float64": np.float64,
    "float16": np.float16,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "bool": np.bool_,
    "complex64": np.complex64,
    "complex128": np.complex128,
}
_ML_NAMES = {
    "bfloat16": "bfloat16",
    "float8_e4m3fn": "float8_e4m3fn",
    "float8_e4m3fnuz": "float8_e4m3fnuz",
    "float8_e5m2": "float8_e5m2",
    "float8_e5m2fnuz": "float8_e5m2fnuz",
    "float8_e8m0fnu": "float8_e8m0fnu",
}

# Both are shared with the C half and filled here.
numpy_dtypes: dict[Any, int] = {}  # numpy dtype -> dtype number
numpy_objects: dict[int, Any] = {}  # dtype number -> numpy dtype


def _add_dtypes() -> None:
    found: dict[str, Any] = dict(_NUMPY_NAMES)
    try:
        ml_dtypes = importlib.import_module("ml_dtypes")
    except ImportError:  # bfloat16 and float8 are RawArrays then
        pass
    else:
        for name, attribute in _ML_NAMES.items():
            if hasattr(ml_dtypes, attribute):
                found[name] = getattr(ml_dtypes, attribute)
    for name, scalar in found.items():
        number = raw.dcp_dtype_from_name(name)
        dtype = np.dtype(scalar)
        numpy_dtypes[dtype] = number
        numpy_objects[number] = dtype
    # "long long" and "long" are two dtypes of one size, equal and hashed alike; say so in any case.
    numpy_dtypes.setdefault(np.dtype(np.longlong), raw.dcp_dtype_from_name("int64"))
    numpy_dtypes.setdefault(np.dtype(np.ulonglong), raw.dcp_dtype_from_name("uint64"))


def dtype_of(number: int, name: str | None) -> Any:
    """What users see as dtype: numpy's where there is one, else a DType, else the bare name."""
    dtype = numpy_objects.get(number)
    if dtype is not None:
        return dtype
    return DType(name) if number and name else name


def dtype_number(dtype: Any) -> int:
    """The number for anything that names a dtype: numpy's, ours, torch's, or text."""
    if isinstance(dtype, DType):
        return int(raw.dcp_dtype_from_name(dtype.name))
    if isinstance(dtype, str) or type(dtype).__module__ == "torch":
        number = raw.dcp_dtype_from_name(str(dtype).removeprefix("torch."))
        if number:
            return int(number)
    try:
        number = numpy_dtypes.get(np.dtype(dtype), 0)
    except TypeError:
        number = 0
    if not number:
        raise TypeError(f"{dtype!r} is no dtype that a checkpoint can hold")
    return number


def torch_dtype(dtype: Any) -> int:
    number = raw.dcp_dtype_from_name(str(dtype).removeprefix("torch."))
    if not number:
        raise TypeError(f"dtype {dtype} cannot be stored")
    return int(number)


def raw_array(array: Any, name: str, shape: tuple[int, ...]) -> RawArray:
    return RawArray(array, name, shape)


def native_array(array: Any) -> Any:
    """A row-major copy in this machine's byte order."""
    array = np.asarray(array)
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).reshape(array.shape)


# ---- in ----


def _torch_kind(cls: type) -> str | None:
    for base in cls.__mro__:
        if base.__module__ == "torch" and base.__name__ in (
            "Tensor",
            "Size",
            "dtype",
            "device",
            "layout",
            "memory_format",
        ):
            return base.__name__
    return None


def classify(cls: type) -> int:
    if issubclass(cls, np.ndarray):
        return _OTHER if issubclass(cls, np.ma.MaskedArray) else _ARRAY
    if issubclass(cls, np.generic):
        return _SCALAR
    if issubclass(cls, Size):
        return _SIZE
    kind = _torch_kind(cls)
    if kind == "Size":
        return _SIZE
    if kind == "Tensor":
        return _OTHER if _is_wrapper(cls) else _TORCH
    if kind is not None or cls.__module__ == "torch" or cls.__module__.startswith("torch."):
        return _OTHER
    if issubclass(cls, collections.abc.Mapping):
        return _MAPPING
    if hasattr(cls, "__dlpack__") and hasattr(cls, "__dlpack_device__"):
        return _DLPACK
    return _OTHER


def _is_wrapper(cls: type) -> bool:
    """Tensor subclasses whose memory is not their own: DTensor, FakeTensor, quantized wrappers."""
    torch = sys.modules.get("torch")
    plain = getattr(getattr(torch, "_C", None), "_disabled_torch_dispatch_impl", None)
    dispatch = getattr(cls, "__torch_dispatch__", None)
    base = getattr(getattr(torch, "Tensor", None), "__torch_dispatch__", None)
    return dispatch is not None and dispatch is not plain and dispatch is not base


def _datetime(value: datetime.datetime) -> tuple[Any, ...]:
    reduced = value.__reduce_ex__(2)
    return tuple(reduced[1])


# Exact types -> (global, arguments). Each call of the global gives an equal object back.
_TAKE_APART: dict[type, tuple[str, Callable[[Any], tuple[Any, ...]]]] = {
    datetime.datetime: ("datetime.datetime", _datetime),
    datetime.date: ("datetime.date", lambda v: tuple(v.__reduce_ex__(2)[1])),
    datetime.time: ("datetime.time", lambda v: tuple(v.__reduce_ex__(2)[1])),
    datetime.timedelta: ("datetime.timedelta", lambda v: (v.days, v.seconds, v.microseconds)),
    datetime.timezone: ("datetime.timezone", lambda v: tuple(v.__getinitargs__())),
    decimal.Decimal: ("decimal.Decimal", lambda v: (str(v),)),
    fractions.Fraction: ("fractions.Fraction", lambda v: (str(v),)),
    range: ("builtins.range", lambda v: (v.start, v.stop, v.step)),
    slice: ("builtins.slice", lambda v: (v.start, v.stop, v.step)),
    collections.Counter: ("collections.Counter", lambda v: (dict(v),)),
    collections.deque: (
        "collections.deque",
        lambda v: (list(v),) if v.maxlen is None else (list(v), v.maxlen),
    ),
}


# Classes and constants that stand for themselves.
_NAMES: dict[str, Any] = {
    f"builtins.{thing.__name__}": thing
    for thing in (
        bool, bytearray, bytes, complex, dict, float, frozenset, int, list, set, str, tuple,
    )  # fmt: skip
} | {"builtins.Ellipsis": ..., "builtins.NotImplemented": NotImplemented}
_NAMED: dict[int, str] = {id(thing): name for name, thing in _NAMES.items()}


def encode_other(value: Any, descend: int) -> tuple[Any, ...]:
    """How to take a rarer object apart; TypeError for one that checkpoints hold only by pickle."""
    cls = type(value)
    if isinstance(value, RawArray):
        return _AS_RAW, dtype_number(value.dtype), value.shape, value.raw
    if isinstance(value, Sharded):
        number = dtype_number(value.dtype) if value.dtype is not None else 0
        if not number and value.chunks:
            number = _dtype_of_array(value.chunks[0][1])
        return _AS_SHARDED, number, value.global_shape, value.chunks
    if isinstance(value, Opaque):
        return _AS_OPAQUE, value.global_name, value.pickled
    if isinstance(value, Constructed):
        return _recipe_of_data(value)
    if isinstance(value, (DType, Device, Layout, MemoryFormat)):
        kind = {
            DType: raw.DCP_VALUE_DTYPE,
            Device: raw.DCP_VALUE_DEVICE,
            Layout: raw.DCP_VALUE_LAYOUT,
            MemoryFormat: raw.DCP_VALUE_MEMORY_FORMAT,
        }[type(value)]
        return _AS_TEXT, kind, value.name
    if isinstance(value, pathlib.PurePath):
        flavour = "Windows" if isinstance(value, pathlib.PureWindowsPath) else "Posix"
        pure = "" if isinstance(value, pathlib.Path) else "Pure"
        return _AS_PATH, f"pathlib.{pure}{flavour}Path", str(value)
    kind_name = _torch_kind(cls)
    if kind_name == "dtype":
        return _AS_TEXT, raw.DCP_VALUE_DTYPE, str(value).removeprefix("torch.")
    if kind_name == "device":
        return _AS_TEXT, raw.DCP_VALUE_DEVICE, str(value)
    if kind_name == "layout":
        return _AS_TEXT, raw.DCP_VALUE_LAYOUT, str(value)
    if kind_name == "memory_format":
        return _AS_TEXT, raw.DCP_VALUE_MEMORY_FORMAT, str(value)
    if kind_name == "Tensor" or cls.__module__.startswith("torch.distributed"):
        raise TypeError(
            f"a {cls.__qualname__} has no memory of its own: pass its local tensor, or "
            "libdcp.Sharded(global_shape, [(offsets, local), ...])"
        )
    if cls is uuid.UUID:  # as pickle does: no arguments, and the number as state
        return _AS_CONSTRUCTED, "uuid.UUID", (), {"int": value.int}
    if id(value) in _NAMED:
        return _AS_CONSTRUCTED, _NAMED[id(value)], None, None
    if cls is collections.defaultdict:
        return _AS_CONSTRUCTED, "collections.defaultdict", (value.default_factory, dict(value)), None
    known = _TAKE_APART.get(cls)
    if known is not None:
        return _AS_CONSTRUCTED, known[0], known[1](value), None
    if isinstance(value, np.dtype):
        return (_AS_CONSTRUCTED, *numpy_forms.dtype_call(value))
    if isinstance(value, np.generic):
        return (_AS_CONSTRUCTED, *numpy_forms.scalar_call(value))
    if isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray):
        return (_AS_CONSTRUCTED, *numpy_forms.array_call(value))
    raise TypeError(
        f"an object of class {cls.__module__}.{cls.__qualname__} has no plain form; wrap it in "
        "libdcp.Opaque.of(...) to store it pickled, or store what it is made of"
    )


def _dtype_of_array(array: Any) -> int:
    if isinstance(array, RawArray):
        return dtype_number(array.dtype)
    dtype = getattr(array, "dtype", None)
    if dtype is None:
        raise TypeError(f"a chunk holds an array, not {type(array).__name__}")
    return dtype_number(dtype)


# Sets and dicts with members that Python cannot hash, see decode_other.
_DATA_KINDS = {
    "builtins.set": raw.DCP_VALUE_SET,
    "builtins.frozenset": raw.DCP_VALUE_FROZENSET,
    "builtins.dict": raw.DCP_VALUE_DICT,
    "collections.OrderedDict": raw.DCP_VALUE_ORDERED_DICT,
}


def _recipe_of_data(value: Constructed) -> tuple[Any, ...]:
    kind = _DATA_KINDS.get(value.global_name)
    if kind is not None and value.arguments and isinstance(value.arguments[0], list):
        pairs = kind in (raw.DCP_VALUE_DICT, raw.DCP_VALUE_ORDERED_DICT)
        return (_AS_PAIRS if pairs else _AS_SEQUENCE), kind, value.arguments[0]
    if value.added:
        raise TypeError(f"{value!r} was read from a pickle and cannot be written again")
    return _AS_CONSTRUCTED, value.global_name, value.arguments, value.state


# ---- out ----


def _allowed() -> dict[str, Callable[..., Any]]:
    """Constructors that build data from data and do nothing else."""
    table: dict[str, Callable[..., Any]] = {
        "datetime.datetime": datetime.datetime,
        "datetime.date": datetime.date,
        "datetime.time": datetime.time,
        "datetime.timedelta": datetime.timedelta,
        "datetime.timezone": datetime.timezone,
        "decimal.Decimal": decimal.Decimal,
        "fractions.Fraction": fractions.Fraction,
        "collections.Counter": collections.Counter,
        "collections.deque": collections.deque,
    }
    for module in ("builtins", "__builtin__"):
        table[f"{module}.range"] = _small_range
        table[f"{module}.xrange"] = _small_range
        table[f"{module}.slice"] = slice
        table[f"{module}.complex"] = complex
    return table


def _small_range(*arguments: Any) -> Any:
    if all(type(argument) is int for argument in arguments):
        return range(*arguments)
    raise TypeError("range takes integers")


_ALLOWED = _allowed()


def _construct(
    name: str,
    arguments: tuple[Any, ...] | None,
    state: Any,
    has_state: bool,
    added: list[Any],
    has_pairs: bool,
) -> Any:
    """The object, or the call as data when it is not on the list or does not fit. `added` was set
    (pairs) or appended after the call."""
    if arguments is None:
        return _NAMES.get(name, Constructed(name, None))
    as_data = Constructed(name, arguments, state if has_state else None, added or None)
    try:
        if name == "uuid.UUID":
            return _uuid(arguments, state)
        if name == "collections.defaultdict":
            return _default_dict(arguments, added)
        if name == numpy_forms.DTYPE:
            return numpy_forms.make_dtype(arguments, state, has_state)
        if name == numpy_forms.RECONSTRUCT and has_state:
            return numpy_forms.make_array(state)
        if name == numpy_forms.BUFFER:
            return numpy_forms.make_from_buffer(arguments)
        if name == numpy_forms.SCALAR:
            return numpy_forms.make_scalar(arguments)
        make = _ALLOWED.get(name)
        if make is None:
            return as_data
        if has_state and state not in (None, (), {}):
            return as_data
        made = make(*arguments)
        if has_pairs:
            for key, value in added:
                made[key] = value
        elif added:
            made.extend(added)
        return made
    except Exception:  # arguments that do not fit stay data
        return as_data


def _default_dict(arguments: tuple[Any, ...], added: list[Any]) -> Any:
    factory = arguments[0] if arguments else None
    content = arguments[1] if len(arguments) > 1 else {}
    if not (factory is None or id(factory) in _NAMED) or type(content) is not dict:
        raise TypeError("not a plain defaultdict")
    return collections.defaultdict(factory, list(content.items()) + added)


def _uuid(arguments: tuple[Any, ...], state: Any) -> uuid.UUID:
    if len(arguments) == 1 and isinstance(arguments[0], str):
        return uuid.UUID(arguments[0])
    if isinstance(state, dict) and isinstance(state.get("int"), int):
        return uuid.UUID(int=state["int"])
    raise TypeError("not a UUID")


def _path(name: str, text: str) -> pathlib.PurePath:
    windows = "Windows" in name
    if "Pure" in name or windows != (os.name == "nt"):
        return pathlib.PureWindowsPath(text) if windows else pathlib.PurePosixPath(text)
    return pathlib.Path(text)


def decode_other(kind: int, *parts: Any) -> Any:
    """Puts together what the C half does not know how to."""
    if kind == raw.DCP_VALUE_SIZE:
        return Size(parts[0])
    if kind == raw.DCP_VALUE_DTYPE:
        return DType(parts[0])
    if kind == raw.DCP_VALUE_DEVICE:
        return Device(parts[0])
    if kind == raw.DCP_VALUE_LAYOUT:
        return Layout(parts[0])
    if kind == raw.DCP_VALUE_MEMORY_FORMAT:
        return MemoryFormat(parts[0])
    if kind == raw.DCP_VALUE_PATH:
        return _path(parts[0] or "", parts[1])
    if kind == raw.DCP_VALUE_OPAQUE:
        return Opaque(parts[0] or "", parts[1])
    if kind == raw.DCP_VALUE_SHARDED_TENSOR:
        return Sharded(*parts)
    if kind == raw.DCP_VALUE_CONSTRUCTED:
        return _construct(
            parts[0] or "", parts[1], parts[2], bool(parts[3]), parts[4], bool(parts[5])
        )
    for name, data_kind in _DATA_KINDS.items():
        if kind == data_kind:
            return Constructed(name, (parts[0],))
    raise TypeError(f"a value of kind {kind} has no Python form")


def configure() -> None:
    _add_dtypes()
    raw.pydcp_configure(
        {
            "error_class": Error,
            "make_error": make_error,
            "classify": classify,
            "encode_other": encode_other,
            "decode_other": decode_other,
            "raw_array": raw_array,
            "as_array": np.asarray,
            "native_array": native_array,
            "ndarray": np.ndarray,
            "numpy_dtypes": numpy_dtypes,
            "numpy_objects": numpy_objects,
            "torch_dtype": torch_dtype,
            "bytes_dtype": np.dtype(np.uint8),
        }
    )
