"""Python objects to values and back, without any file."""

import collections
import datetime
import decimal
import fractions
import gc
import pathlib
import sys
import uuid
import weakref

import ml_dtypes
import numpy as np
import pytest
from compare import same

import libdcp
from libdcp import dcp_raw as raw


def there_and_back(value):
    return raw.pydcp_decode(raw.pydcp_encode(value))


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -1, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**70,
        -(2**200), 0.0, -0.0, 1e300, float("inf"), float("-inf"), float("nan"), 1 + 2j, "", "abc",
        "a\0b", "\u03b1\U0001f600", "\ud800lone", b"", b"\x00\xff", bytearray(b"xyz"), [], (), {},
        [1, [2, [3]]], (1, "two", 3.0), {"a": 1, 2: "b", (1, 2): None, None: True, 1.5: 0},
        collections.OrderedDict(b=1, a=2), {1, 2, 3}, frozenset({"x"}), set(),
        libdcp.Size((2, 3)), libdcp.Size(()), libdcp.DType("bfloat16"), libdcp.Device("cuda:0"),
        libdcp.Layout("torch.strided"), libdcp.MemoryFormat("torch.contiguous_format"),
        pathlib.PurePosixPath("/a/b"), pathlib.Path("x/y"), pathlib.PureWindowsPath("c:\\d"),
        libdcp.Opaque("mod.Class", b"blob"),
        datetime.datetime(2024, 2, 29, 1, 2, 3, 4),
        datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc),
        datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=2), "X")),
        datetime.date(1999, 12, 31), datetime.time(23, 59, 1), datetime.timedelta(-3, 5, 7),
        decimal.Decimal("1.10"), fractions.Fraction(-3, 7),
        uuid.UUID("12345678123456781234567812345678"), range(1, 10, 3), slice(1, None, 2),
        collections.deque([1, 2], 5), collections.deque("ab"), (collections.Counter("hello"),),
        (collections.defaultdict(int, a=1), collections.defaultdict(None)), (int, str, dict), ...,
        (np.dtype("float32"), np.dtype(">i2")), libdcp.Constructed("torch.Tensor", None),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_plain_values(value):
    same(there_and_back(value), value)


@pytest.mark.parametrize(
    "dtype",
    ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16",
     "uint32", "uint64", "bool", "complex64", "complex128", "longlong", "ulonglong",
     ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2,
     ml_dtypes.float8_e5m2fnuz, ml_dtypes.float8_e8m0fnu],
    ids=str,
)  # fmt: skip
def test_arrays_of_every_dtype(dtype, rng):
    dtype = np.dtype(dtype)
    data = rng.integers(0, 2, (3, 4 * dtype.itemsize), dtype=np.uint8).view(dtype)
    for array in (data, data[0, 0].reshape(()), data[:0], data.T, data[::2, 1::2], data[None]):
        back = there_and_back(array)
        assert back.dtype == array.dtype and back.shape == array.shape
        assert back.tobytes() == array.tobytes()
    scalar = data[1, 1]
    back = there_and_back(scalar)
    assert back.dtype == scalar.dtype and back.tobytes() == scalar.tobytes()


def test_odd_arrays_are_copied(rng):
    base = rng.standard_normal((4, 6))
    same(there_and_back(base[::-1]), base[::-1])
    same(there_and_back(np.broadcast_to(base[0], (3, 6))), np.array([base[0]] * 3))
    big = base.astype(">f8")
    same(there_and_back(big), base)
    fields = np.zeros(5, [("a", "i4"), ("b", "f4"), ("c", "i1")])
    fields["b"] = range(5)
    same(there_and_back(fields["b"]), np.arange(5, dtype=np.float32))
    readonly = base.copy()
    readonly.flags.writeable = False
    same(there_and_back(readonly), base)
    memmap_like = base.view(type("Sub", (np.ndarray,), {}))
    same(there_and_back(memmap_like), base)


def test_memory_is_shared_and_kept():
    array = np.arange(10.0)
    value = raw.pydcp_encode([array])
    alive = weakref.ref(array)
    array[3] = -1
    view = raw.pydcp_decode(value)[0]
    assert view[3] == -1
    del array
    gc.collect()
    assert alive() is not None
    del value
    assert alive() is not None
    assert view.sum() == 45 - 4
    del view
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize(
    "name", ["complex32", "bits8", "bits16", "bits1x8", "float4_e2m1fn_x2", "qint32", "quint4x2"]
)
def test_dtypes_numpy_lacks(name, rng):
    dtype = libdcp.DType(name)
    data = rng.integers(0, 256, (3, 5, dtype.itemsize), dtype=np.uint8)
    array = libdcp.RawArray(data, name)
    assert array.shape == (3, 5) and array.nbytes == 15 * dtype.itemsize
    same(there_and_back(array), array)
    same(there_and_back(array[:, 1:3]), array[:, 1:3])
    same(there_and_back(array[1, 1]), array[1, 1])
    with pytest.raises(TypeError, match="no dtype"):
        np.asarray(array)
    assert array != libdcp.RawArray(data + 1, name)
    with pytest.raises(libdcp.InvalidArgumentError):
        libdcp.RawArray(data[:, :, :0], name, (3, 5))


class Exporter:
    """DLPack without numpy's type."""

    def __init__(self, array, versioned=True, device=(1, 0)):
        self.array, self.versioned, self.device = array, versioned, device

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **kwargs):
        if kwargs and not self.versioned:
            raise TypeError("unexpected keyword")
        return self.array.__dlpack__(**kwargs)


def test_dlpack():
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    same(there_and_back(Exporter(array)), array)
    same(there_and_back(Exporter(array, versioned=False)), array)
    same(there_and_back(Exporter(array.T)), array.T)
    with pytest.raises(ValueError, match="copy it to the CPU"):
        there_and_back(Exporter(array, device=(2, 0)))
    exported = weakref.ref(array)
    value = raw.pydcp_encode(Exporter(array))
    del array
    gc.collect()
    assert exported() is not None
    del value
    gc.collect()
    assert exported() is None


def test_shared_and_cyclic_parts():
    part = [1, {"x": (2, 3)}]
    tree = {"a": part, "b": part, "c": [part, part]}
    same(there_and_back(tree), tree)
    bomb = []
    for _ in range(60):
        bomb = [bomb, bomb]
    value = raw.pydcp_encode(bomb)
    assert raw.dcp_cancel_new() is not None and value is not None
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="contains itself"):
        there_and_back(loop)
    table = {}
    table["self"] = [table]
    with pytest.raises(ValueError, match="contains itself"):
        there_and_back(table)


def test_depth_is_bounded():
    deep = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises((ValueError, RecursionError)):
        there_and_back(deep)
    nested = collections.UserDict()
    for _ in range(5000):
        nested = collections.UserDict(a=nested)
    with pytest.raises((ValueError, RecursionError)):
        raw.pydcp_state_dict({"deep": nested}, 0)


class Unknown:
    pass


class Renamed(int):
    pass


@pytest.mark.parametrize(
    "value",
    [Unknown(), Renamed(3), print, np.array([object()]),
     np.ma.masked_array([1], [True]), collections.namedtuple("P", "x")(1), object()],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_has_no_plain_form_is_refused_by_name(value):
    with pytest.raises(TypeError, match="model.part.0"):
        raw.pydcp_state_dict({"model": {"part": [value]}}, 0)


def test_mappings_are_entered_where_upstream_enters_them():
    for mapping in (collections.Counter(a=1), collections.defaultdict(list, a=1),
                    collections.UserDict(a=1)):  # fmt: skip
        assert raw.pydcp_state_dict({"top": mapping, "list": [mapping]}, 0) is not None
    with pytest.raises(TypeError, match="UserDict"):
        raw.pydcp_state_dict({"top": (collections.UserDict(),)}, 0)


def test_unhashable_members_stay_data():
    value = libdcp.Constructed("builtins.set", ([[1, 2]],))
    back = there_and_back(value)
    assert back == value
    pairs = libdcp.Constructed("builtins.dict", ([([1], 2)],))
    assert there_and_back(pairs) == pairs


def test_unknown_constructors_are_refused():
    with pytest.raises(libdcp.UnsupportedError, match="os.system"):
        there_and_back(libdcp.Constructed("os.system", ("true",)))


def test_opaque_unpickles_only_when_told():
    opaque = libdcp.Opaque.of({"a": decimal.Decimal(1)})
    with pytest.raises(PermissionError):
        opaque.unpickle()
    assert opaque.unpickle(allow=True) == {"a": decimal.Decimal(1)}
    assert opaque.unpickle(allow=True, load=lambda file: len(file.read())) == len(opaque.pickled)
    same(there_and_back(opaque), opaque)


def test_no_reference_is_lost():
    array = np.arange(4)
    leaf = ("tuple", 5)
    tree = {"k": [array, leaf, {"x": leaf}], "o": collections.OrderedDict(a=array)}
    raw.pydcp_decode(raw.pydcp_encode(tree))
    gc.collect()
    before = [sys.getrefcount(o) for o in (array, leaf, tree["k"], tree["o"], None)]
    for _ in range(50):
        raw.pydcp_decode(raw.pydcp_encode(tree))
        with pytest.raises(TypeError):
            raw.pydcp_encode([tree, Unknown()])
    gc.collect()
    after = [sys.getrefcount(o) for o in (array, leaf, tree["k"], tree["o"], None)]
    assert all(abs(b - a) < 20 for a, b in zip(before, after)), (before, after)


def test_names_of_dtypes():
    assert repr(libdcp.DType("torch.float32")) == "torch.float32"
    assert libdcp.DType("float32").itemsize == 4
    assert libdcp.DType("float32") == libdcp.DType("torch.float32")
    with pytest.raises(libdcp.InvalidArgumentError):
        libdcp.DType("float31")
