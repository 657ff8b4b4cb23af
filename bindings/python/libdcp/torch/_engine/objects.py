"""Which objects a load builds: plain data, what torch.load builds by weights_only with the globals
that were added to it, and the constructors of the standard library and numpy. Anything else takes the
caller's word, as it runs code that the checkpoint names."""

from __future__ import annotations

import collections
import enum
import importlib
import io
import os
import pickle
import re
import sys
import types
from typing import Any, Callable, Iterable

import numpy as np
import torch
from torch import _weights_only_unpickler as weights_only

from ..._errors import UnsupportedError
from ..._types import Constructed, Device, DType, Layout, MemoryFormat, Opaque, RawArray, Sharded
from ..._types import Size

VARIABLE = "LIBDCP_ALLOW_OBJECTS"


class ObjectNotLoadedError(UnsupportedError, pickle.UnpicklingError):
    """An object whose class is not among those that load by themselves. ``details``: "entry" and
    "global"."""


def allowed(allow_objects: bool | None) -> bool:
    """What a call says of objects, or the environment where it says nothing."""
    if allow_objects is not None:
        return allow_objects
    return os.environ.get(VARIABLE, "").lower() in ("1", "true", "yes", "on")


# ---- what the engine has decoded ----

_READY = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray})


class _NotPlain(Exception):
    """It may be something else for torch than for numpy."""


def loaded(
    name: str, value: Any, stored: Callable[[], bytes], allow_objects: bool | None = None
) -> Any:
    """The object of an entry as torch.load gives it. ``value``: as libdcp decoded it; ``stored``
    reads the bytes of torch.save where those are needed."""
    if type(value) in _READY:
        return value
    if isinstance(value, Opaque):
        return load_object(io.BytesIO(value.pickled), name, allow_objects)
    try:
        return _torch_form(value)
    except _NotPlain:
        return load_object(io.BytesIO(stored()), name, allow_objects)


def _torch_form(value: Any) -> Any:
    kind = type(value)
    if kind in _READY:
        return value
    if kind is list:
        return [_torch_form(item) for item in value]
    if kind is tuple:
        return tuple(_torch_form(item) for item in value)
    if kind is dict:
        return {_torch_form(key): _torch_form(item) for key, item in value.items()}
    if kind is set or kind is frozenset:
        return kind(_torch_form(item) for item in value)
    if kind is Size:
        return torch.Size(value)
    if kind is DType:
        return getattr(torch, value.name)
    if kind is Device:
        return torch.device(value.name)
    if kind is Layout or kind is MemoryFormat:
        return getattr(torch, value.name.removeprefix("torch."))
    if isinstance(value, (np.ndarray, RawArray, Constructed, Opaque, Sharded)):
        raise _NotPlain
    if isinstance(value, np.generic):
        return value
    if kind is collections.OrderedDict or kind is collections.Counter:
        return kind({_torch_form(key): _torch_form(item) for key, item in value.items()})
    if kind is collections.defaultdict:
        pairs = {_torch_form(key): _torch_form(item) for key, item in value.items()}
        return collections.defaultdict(value.default_factory, pairs)
    if kind is collections.deque:
        return collections.deque(map(_torch_form, value), value.maxlen)
    return value if kind.__module__ in _STANDARD else _unknown()


def _unknown() -> Any:
    raise _NotPlain


_STANDARD = frozenset({"datetime", "decimal", "fractions", "pathlib", "uuid", "builtins"})

# ---- what torch.save wrote ----

# Constructors that build data from data. Modules are looked up as they are asked for.
_CONSTRUCTORS: dict[str, Iterable[str]] = {
    "builtins": (
        "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object",
        "range", "set", "slice", "str", "tuple",
    ),
    "collections": ("OrderedDict", "Counter", "defaultdict", "deque", "ChainMap", "UserDict", "UserList"),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "uuid": ("UUID", "SafeUUID"),
    "pathlib": (
        "Path", "PurePath", "PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath",
    ),
    "pathlib._local": ("Path", "PurePath", "PosixPath", "PurePosixPath"),
    "types": ("SimpleNamespace",),
    "argparse": ("Namespace",),
    "random": ("Random",),
    "array": ("array", "_array_reconstructor"),
    "zoneinfo": ("ZoneInfo._unpickle",),
    "_io": ("BytesIO", "StringIO"),
    "io": ("BytesIO", "StringIO"),
    "_codecs": ("encode",),
    "copyreg": ("_reconstructor",),
    "operator": ("itemgetter", "attrgetter"),
    "numpy": ("ndarray", "dtype"),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy.core.numeric": ("_frombuffer",),
    "numpy._core.numeric": ("_frombuffer",),
    "numpy.random._pickle": (
        "__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor",
    ),
    "numpy.random._mt19937": ("MT19937",),
    "numpy.random._pcg64": ("PCG64", "PCG64DXSM"),
    "numpy.random._philox": ("Philox",),
    "numpy.random._sfc64": ("SFC64",),
    "numpy.random._generator": ("Generator",),
    "numpy.random.mtrand": ("RandomState",),
    "numpy.random.bit_generator": ("SeedSequence", "__pyx_unpickle_SeedSequence"),
    "numpy.ma.core": ("MaskedArray", "_mareconstruct"),
}  # fmt: skip

_SHOWN = 8


def load_object(
    stream: Any, name: str, allow_objects: bool | None = None, **options: Any
) -> Any:
    """What torch.save wrote, from a stream that can seek. ObjectNotLoadedError where it needs more
    than what loads by itself; ``allow_objects`` None asks the environment. ``options``: torch.load's.
    """
    if allowed(allow_objects):
        return torch.load(stream, weights_only=False, **options)
    start = stream.tell()
    try:
        return torch.load(stream, weights_only=True, **options)
    except pickle.UnpicklingError as error:
        first = error
    stream.seek(start)
    wanted = _wanted(stream)
    stream.seek(start)
    unknown = [path for path in wanted if _constructor(path) is None]
    if unknown:
        raise _refused(name, unknown, first) from None
    try:
        return torch.load(stream, pickle_module=_known, weights_only=False, **options)
    except pickle.UnpicklingError as error:
        raise _refused(name, [], error) from None


class _KnownUnpickler(pickle._Unpickler):  # type: ignore[misc]
    """Builds what is on the lists, and nothing else. It knows more containers than torch.load's
    weights_only; nothing that was looked up by its name can be changed."""

    dispatch = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def find_class(self, module: str, name: str) -> Any:
        path = f"{module}.{name}"
        found = _torchs(path)
        if found is None:
            found = _constructor(path)
        if found is None:
            raise pickle.UnpicklingError(f"GLOBAL {path} is not on the list")
        return found

    def load_build(self) -> None:
        if isinstance(self.stack[-2], _LOOKED_UP):  # type: ignore[attr-defined]
            raise pickle.UnpicklingError("a class or function is to be changed")
        super().load_build()  # type: ignore[misc]

    dispatch[pickle.BUILD[0]] = load_build


_LOOKED_UP = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType)
_known = types.SimpleNamespace(
    Unpickler=_KnownUnpickler,
    load=lambda stream, **options: _KnownUnpickler(stream, **options).load(),
    __name__="pickle",
)


def _torchs(path: str) -> Any:
    """What torch.load's weights_only builds, and what was added to that."""
    found = weights_only._get_user_allowed_globals().get(path)
    return found if found is not None else weights_only._get_allowed_globals().get(path)


def _wanted(stream: Any) -> list[str]:
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(stream))
    except Exception:  # not of torch.save's current form
        return []


_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # in pickles of protocol 2


def _constructor(path: str) -> Any:
    module, _, name = path.rpartition(".")
    module = _RENAMED.get(module, module)
    if name in _CONSTRUCTORS.get(module, ()):
        if module == "pathlib._local" and sys.version_info < (3, 13):
            module = "pathlib"
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            return None
    if module == "numpy.dtypes":
        return getattr(np.dtypes, name, None) if hasattr(np, "dtypes") else None
    if module == "builtins" and name == "getattr":
        return _enum_member
    return _enumeration(path)


def _enumeration(path: str) -> Any:
    """An enumeration of a module that the program has imported itself."""
    parts = path.split(".")
    for count in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:count]))
        if module is None:
            continue
        found: Any = module
        for part in parts[count:]:
            found = vars(found).get(part) if hasattr(found, "__dict__") else None
        if isinstance(found, type) and issubclass(found, enum.Enum):
            return found
        return None
    return None


def _enum_member(enumeration: Any, name: str) -> Any:
    if isinstance(enumeration, type) and issubclass(enumeration, enum.Enum):
        return enumeration[name]
    raise pickle.UnpicklingError("getattr of something that is no enumeration")


def _refused(name: str, unknown: list[str], error: BaseException) -> ObjectNotLoadedError:
    if not unknown:
        unknown = re.findall(r"GLOBAL ([\w.]+)", str(error))[:1]
    shown = ", ".join(unknown[:_SHOWN]) or "something that torch.load's weights_only does not build"
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    return ObjectNotLoadedError(
        f"'{name}' was not loaded: it needs {shown}{more}, and building that runs code which the "
        "checkpoint names. If you trust it, name the classes with "
        "torch.serialization.add_safe_globals([...]), or pass allow_objects=True to load, or set "
        f"{VARIABLE}=1. Tensors and other objects were loaded.",
        details={"entry": name, "global": unknown[0] if unknown else ""},
    )
