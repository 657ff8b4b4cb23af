"""The plain data types of state dicts that neither Python nor numpy has."""

from __future__ import annotations

import importlib
import io
import math
import pickle
import zipfile
from typing import TYPE_CHECKING, Any, Callable, Iterable, Sequence

import numpy as np

from . import dcp_raw as raw
from ._errors import InvalidArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Size(tuple[int, ...]):
    """torch.Size."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"


class _Name:
    """Something of torch's that is only a name."""

    __slots__ = ("name",)
    name: str

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "name", str(name))

    def __setattr__(self, attribute: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.name == self.name

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.name))

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> Any:
        return type(self), (self.name,)


class DType(_Name):
    """An element type by torch's name for it, ``DType("bfloat16")``."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        name = str(name)
        short = name[6:] if name.startswith("torch.") else name
        if raw.dcp_dtype_from_name(short) == 0:
            raise InvalidArgumentError(f"'{name}' is no dtype")
        super().__init__(short)

    @property
    def itemsize(self) -> int:
        """Bytes an element."""
        return int(raw.dcp_dtype_size(raw.dcp_dtype_from_name(self.name)))

    def __repr__(self) -> str:
        return f"torch.{self.name}"


class Device(_Name):
    """torch.device: "cpu", "cuda:0"."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"libdcp.Device({self.name!r})"


class Layout(_Name):
    """torch.layout: "torch.strided"."""

    __slots__ = ()


class MemoryFormat(_Name):
    """torch.memory_format: "torch.contiguous_format"."""

    __slots__ = ()


class RawArray:
    """Elements of a dtype that numpy lacks (complex32, bits8, float4_e2m1fn_x2, ...; bfloat16 and
    float8 too where ml_dtypes is not installed), as bytes that know their dtype's name and shape.

    ``raw`` is a uint8 array with one dimension more than ``shape``: the bytes of each element.
    """

    __slots__ = ("raw", "dtype", "shape")

    def __init__(
        self, raw_bytes: NDArray[np.uint8], dtype: str | DType, shape: Sequence[int] | None = None
    ) -> None:
        dtype = dtype if isinstance(dtype, DType) else DType(dtype)
        array = np.asarray(raw_bytes)
        if array.dtype != np.uint8:
            raise InvalidArgumentError(f"a RawArray is made of uint8, not {array.dtype}")
        item = dtype.itemsize
        shape = array.shape[:-1] if shape is None else tuple(int(size) for size in shape)
        wanted = (*shape, item)
        if array.shape != wanted:
            if array.size != math.prod(wanted):
                raise InvalidArgumentError(
                    f"{array.size} bytes for a {dtype!r} array of shape {shape}, which takes "
                    f"{math.prod(wanted)}"
                )
            array = array.reshape(wanted)
        if array.ndim and item > 1 and array.strides[-1] != 1 and array.size:
            array = np.ascontiguousarray(array)
        self.raw = array
        self.dtype = dtype
        self.shape = shape

    @classmethod
    def empty(cls, shape: Sequence[int], dtype: str | DType) -> RawArray:
        """Uninitialised, to be read into."""
        dtype = dtype if isinstance(dtype, DType) else DType(dtype)
        return cls(np.empty((*shape, dtype.itemsize), np.uint8), dtype, tuple(shape))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    def tobytes(self) -> bytes:
        """The elements in row-major order."""
        return self.raw.tobytes()

    def view(self, dtype: Any) -> np.ndarray[Any, Any]:
        """The bytes of each element as numpy elements, in one dimension more than ``shape``:
        ``complex32.view(numpy.float16)`` has pairs of real and imaginary part."""
        return np.ascontiguousarray(self.raw).view(dtype)

    def __getitem__(self, key: Any) -> RawArray:
        key = key if isinstance(key, tuple) else (key,)
        if Ellipsis not in key:
            key = (*key, Ellipsis)
        part = self.raw[(*key, slice(None))]
        return RawArray(part, self.dtype, part.shape[:-1])

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an unsized RawArray")
        return self.shape[0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RawArray):
            return NotImplemented
        return (
            self.dtype == other.dtype
            and self.shape == other.shape
            and bool(np.array_equal(self.raw, other.raw))
        )

    __hash__ = None  # type: ignore[assignment]

    def __array__(self, *_: Any, **__: Any) -> np.ndarray[Any, Any]:
        raise TypeError(
            f"numpy has no dtype {self.dtype!r}: use .raw for the bytes or .view(dtype)"
        )

    def __repr__(self) -> str:
        return f"libdcp.RawArray(dtype={self.dtype!r}, shape={self.shape})"


class Sharded:
    """This process's chunks of a larger tensor: ``Sharded((8, 4), [((0, 0), array), ...])``, each
    chunk placed at its offsets. ``dtype`` is needed only when there are no chunks."""

    __slots__ = ("global_shape", "chunks", "dtype")

    def __init__(
        self,
        global_shape: Sequence[int],
        chunks: Iterable[tuple[Sequence[int], Any]],
        dtype: str | DType | None = None,
    ) -> None:
        self.global_shape = tuple(int(size) for size in global_shape)
        self.chunks = tuple(
            (tuple(int(offset) for offset in offsets), array) for offsets, array in chunks
        )
        self.dtype = DType(str(dtype)) if dtype is not None else None
        if not self.chunks and self.dtype is None:
            raise InvalidArgumentError("a Sharded without chunks needs a dtype")

    def __repr__(self) -> str:
        return f"libdcp.Sharded({self.global_shape}, {len(self.chunks)} chunks)"


class Opaque:
    """An object that is kept byte for byte and not understood: its class is not on the list of
    plain ones. ``global_name`` is the class or function it needs, ``pickled`` what torch.save wrote.
    """

    __slots__ = ("global_name", "pickled")

    def __init__(self, global_name: str, pickled: bytes) -> None:
        self.global_name = str(global_name)
        self.pickled = bytes(pickled)

    @classmethod
    def of(cls, value: Any) -> Opaque:
        """Pickles any object into the form torch.load reads. Tensors inside are not supported."""
        data = pickle.dumps(value, protocol=2)
        blob = io.BytesIO()
        with zipfile.ZipFile(blob, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("archive/data.pkl", data)
            archive.writestr("archive/byteorder", b"little")
            archive.writestr("archive/version", b"3\n")
        kind = type(value)
        return cls(f"{kind.__module__}.{kind.__qualname__}", blob.getvalue())

    def unpickle(
        self, *, allow: bool = False, load: Callable[[io.BytesIO], Any] | None = None
    ) -> Any:
        """The object. Unpickling runs code that the file names, so ``allow=True`` has to be said:
        do so for files you trust. ``load`` replaces what reads it; without it the plain pickle is
        read here, and torch (which has to be installed) is used when the object holds tensors."""
        if not allow:
            raise PermissionError(
                f"unpickling '{self.global_name}' runs code that the checkpoint names; "
                "pass allow=True if you trust it"
            )
        if load is not None:
            return load(io.BytesIO(self.pickled))
        data = self.pickled
        if zipfile.is_zipfile(io.BytesIO(data)):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                names = archive.namelist()
                if not any("/data/" in name for name in names):
                    inner = next(name for name in names if name.endswith("/data.pkl"))
                    return pickle.loads(archive.read(inner))
        torch = importlib.import_module("torch")
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and other.pickled == self.pickled

    def __hash__(self) -> int:
        return hash(self.pickled)

    def __repr__(self) -> str:
        return f"libdcp.Opaque({self.global_name!r}, {len(self.pickled)} bytes)"


class Constructed:
    """A call of a plain constructor, as data: what Python cannot build here, or should not.
    ``arguments`` None is the class or function itself; ``added`` are the items or (key, value) pairs
    that were put in after the call."""

    __slots__ = ("global_name", "arguments", "state", "added")

    def __init__(
        self,
        global_name: str,
        arguments: tuple[Any, ...] | None = (),
        state: Any = None,
        added: list[Any] | None = None,
    ) -> None:
        self.global_name = str(global_name)
        self.arguments = None if arguments is None else tuple(arguments)
        self.state = state
        self.added = added

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Constructed)
            and other.global_name == self.global_name
            and other.arguments == self.arguments
            and other.state == self.state
            and other.added == self.added
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if self.arguments is None:
            return f"libdcp.Constructed({self.global_name!r}, None)"
        rest = "" if self.state is None else f", state={self.state!r}"
        rest += "" if self.added is None else f", added={self.added!r}"
        return f"libdcp.Constructed({self.global_name!r}, {self.arguments!r}{rest})"
