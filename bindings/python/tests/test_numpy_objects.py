"""numpy arrays and scalars of dtypes that torch lacks: objects of the checkpoint, as stock has them."""

import numpy as np
import pytest

import libdcp

ARRAYS = [
    np.array(["a", "bcd", "名前"]),
    np.array([b"x", b"yz"]),
    np.array([], dtype="U4"),
    np.array("alone"),
    np.array([[1, "a"], [None, (1, 2.5)]], dtype=object),
    np.array([[1, 2], [3]], dtype=object),
    np.array([[[1, 2]]], dtype=object),
    np.array(["2020-01-01", "NaT"], dtype="M8[D]"),
    np.array([1, 2, 3], dtype="m8[25s]"),
    np.array([5], dtype=">M8[ns]"),
    np.array([(1, 2.5, "x")], dtype=[("a", "<i4"), ("b", ">f8"), ("c", "U3")]),
    np.zeros(3, dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    np.zeros(2, dtype=[("grid", "f4", (2, 3)), ("in", [("x", "u2"), ("y", "u2")])]),
    np.array([1.25, np.pi], dtype=np.longdouble),
    np.asfortranarray(np.array([["a", "b"], ["c", "d"]])),
    np.array(["a", "b", "c", "d"])[::-2],
]
SCALARS = [np.str_("hi"), np.bytes_(b"hi"), np.datetime64("2020-01-01T10", "h"), np.timedelta64(3, "D"),
           np.longdouble(1.5)]


def equal(found, expected):
    assert type(found) is type(expected) and found.dtype == expected.dtype
    assert found.dtype.isalignedstruct == expected.dtype.isalignedstruct
    assert np.shape(found) == np.shape(expected)
    if expected.dtype.hasobject:
        assert found.tolist() == expected.tolist()
    elif np.shape(expected):
        assert found.tobytes() == expected.tobytes()
    else:  # a long double's padding is any bytes
        assert found == expected


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}-{array.shape}")
def test_array(array, tmp_path):
    libdcp.save({"x": array, "in a tuple": (array, 1)}, tmp_path)
    loaded = libdcp.load(tmp_path)
    equal(loaded["x"], array)
    equal(loaded["in a tuple"][0], array)
    with libdcp.open(tmp_path) as checkpoint:
        assert checkpoint["x"].kind == "object"
    libdcp.save(loaded, tmp_path / "again")
    equal(libdcp.load(tmp_path / "again")["x"], array)
    target = {"x": np.array(["to be replaced"]), "in a tuple": None}
    assert libdcp.load_into(target, tmp_path).missing == []
    equal(target["x"], array)


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda scalar: str(scalar.dtype))
def test_scalar(scalar, tmp_path):
    libdcp.save({"x": scalar, "dtype": scalar.dtype}, tmp_path)
    loaded = libdcp.load(tmp_path)
    equal(loaded["x"], scalar)
    assert loaded["dtype"] == scalar.dtype


def test_dtypes(tmp_path):
    dtypes = [array.dtype for array in ARRAYS] + [np.dtype("f4"), np.dtype(">i2")]
    libdcp.save({"x": tuple(dtypes)}, tmp_path)
    found = libdcp.load(tmp_path)["x"]
    assert list(found) == dtypes and repr(found) == repr(tuple(dtypes))


RECONSTRUCT = "numpy._core.multiarray._reconstruct"
NDARRAY = libdcp.Constructed("numpy.ndarray", None)
TEXT = np.dtype("<U2")


@pytest.mark.parametrize(
    "state",
    [
        (1, (2,), TEXT, False, b"too short"),
        (1, (-1,), TEXT, False, b""),
        (1, (2**62, 2**62), TEXT, False, b""),
        (1, (1,), np.dtype(object), False, b"12345678"),
        (1, (1,), np.dtype([("a", object)]), False, b"12345678"),
        (1, (2,), np.dtype(object), False, [1]),
        (1, (1,), "U2", False, b"12345678"),
        "no tuple",
    ],
    ids=str,
)
def test_what_does_not_fit_stays_data(state, tmp_path):
    libdcp.save({"x": (libdcp.Constructed(RECONSTRUCT, (NDARRAY, (0,), b"b"), state),)}, tmp_path)
    (found,) = libdcp.load(tmp_path)["x"]
    assert isinstance(found, libdcp.Constructed) and found.global_name == RECONSTRUCT


@pytest.mark.parametrize(
    "arguments, state",
    [
        (("U" * 40,), None),
        (("i4,f8",), None),
        (("V8", False, True), (3, "|", None, ("a",), {}, 8, 1, 16)),
        (("V8", False, True), (3, "|", None, ("a",), {"a": ("f4", 0)}, 8, 1, 16)),
        (("V8", False, True), (3, "|", (np.dtype("f4"), (-2,)), None, None, 8, 1, 16)),
        (("M8", False, True), (4, "<", None, None, None, -1, -1, 0, (None, (b"eons", 1, 1, 1)))),
        (("f4", False, True), "no tuple"),
    ],
    ids=str,
)
def test_dtypes_that_do_not_fit_stay_data(arguments, state, tmp_path):
    libdcp.save({"x": (libdcp.Constructed("numpy.dtype", arguments, state), 1)}, tmp_path)
    found, _ = libdcp.load(tmp_path)["x"]
    assert isinstance(found, libdcp.Constructed)
