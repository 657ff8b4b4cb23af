"""Random state dicts: every dtype, layout, nesting, object and odd name that stock can be asked to save."""

import collections
import datetime
import decimal
import math
import pathlib
import random

import numpy as np
import torch

DTYPES = [
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
    "complex64", "complex128", "complex32", "uint16", "uint32", "uint64", "float8_e4m3fn",
    "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2",
    "bits8", "bits16", "bits1x8", "bits2x4", "bits4x2", "int4", "uint7",
]
ODD_NAMES = ["", " ", "a b", "ä", "名前", "\x00", "nul\x00inside", "\ud800", "x" * 300, "a/b", "..", "é.ü",
             "new\nline", "tab\t", "quote'\"", "\U0001f525", "__0_0.distcp", "%s", "$HOME", "-"]

MAX_ELEMENTS = 200_000


def random_bytes_tensor(rng, dtype, shape):
    item = torch.empty(0, dtype=dtype).element_size()
    count = item
    for size in shape:
        count *= size
    raw = torch.frombuffer(bytearray(rng.randbytes(count)), dtype=torch.uint8) if count else torch.empty(
        0, dtype=torch.uint8)
    if dtype == torch.bool:
        raw = raw % 2
    return raw.view(dtype).reshape(shape) if dtype != torch.uint8 else raw.reshape(shape)


def random_shape(rng):
    """At most MAX_ELEMENTS elements, so that no seed asks for gigabytes."""
    while True:
        shape = [rng.choice([0, 1, 2, 3, 5, 7, 8, 17]) if rng.random() < 0.95 else rng.randrange(2000)
                 for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 2, 3, 4]))]
        if math.prod(shape) <= MAX_ELEMENTS:
            return shape


def random_tensor(rng):
    dtype = getattr(torch, rng.choice(DTYPES))
    shape = random_shape(rng)
    if rng.random() < 0.05:  # more than one checksum block
        shape = [rng.randrange(100, 300), rng.randrange(100, 300)]
    tensor = random_bytes_tensor(rng, dtype, shape)
    kind = rng.randrange(12)
    if kind == 0 and tensor.dim() >= 2:
        tensor = tensor.transpose(0, tensor.dim() - 1)
    elif kind == 1 and tensor.dim() >= 1 and tensor.shape[0] >= 2:
        tensor = tensor[1:]
    elif kind == 2 and tensor.dim() >= 1 and tensor.shape[-1] >= 2:
        tensor = tensor[..., ::2]
    elif kind == 3 and tensor.dim() >= 1:
        tensor = tensor[:1].expand(3, *tensor.shape[1:]) if tensor.shape[0] else tensor
    elif kind == 4 and tensor.dim() == 4:
        try:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        except (RuntimeError, NotImplementedError):
            pass
    elif kind == 5 and tensor.dtype.is_floating_point and tensor.dtype.itemsize >= 2:
        tensor = torch.nn.Parameter(tensor) if rng.random() < 0.5 else tensor.detach().requires_grad_()
    elif kind == 6 and tensor.is_complex() and tensor.dtype != torch.complex32:
        tensor = tensor.conj()
    elif kind == 7 and tensor.dim() == 3:
        tensor = tensor.permute(2, 0, 1)
    return tensor


def random_scalar(rng):
    return rng.choice([
        lambda: None, lambda: True, lambda: False, lambda: rng.randrange(-300, 300),
        lambda: rng.getrandbits(rng.choice([8, 31, 32, 33, 63, 64, 65, 200])) * rng.choice([-1, 1]),
        lambda: rng.random(), lambda: rng.choice([float("inf"), float("-inf"), float("nan"), -0.0, 1e308, 5e-324]),
        lambda: "".join(rng.choice("abc äöü名\n\x00\U0001f525") for _ in range(rng.randrange(20))),
        lambda: rng.randbytes(rng.choice([0, 1, 3, 300])), lambda: complex(rng.random(), -rng.random()),
        lambda: bytearray(rng.randbytes(rng.randrange(9))), lambda: torch.Size([rng.randrange(5) for _ in range(3)]),
        lambda: getattr(torch, rng.choice(DTYPES[:10])), lambda: torch.device("cpu"),
    ])()


def random_numpy(rng):
    """Arrays and scalars that are objects to stock and to libdcp: of types that torch lacks, or in a tuple."""
    count = rng.randrange(5)
    return rng.choice([
        lambda: np.array(["".join(rng.choice("abc名\U0001f525") for _ in range(rng.randrange(6))) for _ in range(count)],
                         dtype="U6"),
        lambda: np.array([rng.randbytes(3) for _ in range(count)], dtype="S3").reshape(1, count, 1),
        lambda: np.array([rng.randrange(-10**9, 10**9) for _ in range(count)], dtype=rng.choice(
            ["M8[s]", "m8[25ms]", ">M8[D]"])),
        lambda: np.array([(rng.randrange(99), rng.random(), "é")] * count, dtype=[("a", ">i2"), ("b", "f8"), ("c", "U2")]),
        lambda: np.array([None, 1, "two", (3, 4)][:count], dtype=object),
        lambda: rng.choice([np.str_("text"), np.bytes_(b"\x00b"), np.datetime64(rng.randrange(10**9), "s")]),
        lambda: (np.array([rng.random()] * count, dtype=rng.choice(["f8", "f4", "c8", "i2", "u8", "?"])),),
        lambda: (np.float32(rng.random()), np.int64(rng.randrange(10**9)), np.dtype(rng.choice(["f4", ">i8", "U7"]))),
        lambda: np.random.RandomState(rng.randrange(99)).get_state(),
    ])()


def random_object(rng, depth=0):
    if rng.random() < 0.1:
        return random_numpy(rng)
    if depth > 3 or rng.random() < 0.5:
        return random_scalar(rng)
    return rng.choice([
        lambda: [random_object(rng, depth + 1) for _ in range(rng.randrange(4))],
        lambda: tuple(random_object(rng, depth + 1) for _ in range(rng.randrange(4))),
        lambda: {rng.randrange(99) for _ in range(rng.randrange(4))},
        lambda: frozenset("abc"[: rng.randrange(4)]),
        lambda: (random_tensor(rng), rng.randrange(9)),
        lambda: collections.deque([1, 2, rng.randrange(9)]),
        lambda: datetime.datetime(2024, 1 + rng.randrange(12), 3, 4, 5, 6, rng.randrange(10**6)),
        lambda: datetime.timedelta(seconds=rng.randrange(10**6)),
        lambda: decimal.Decimal(rng.randrange(10**9)) / 7,
        lambda: pathlib.PurePosixPath("/a/b") / str(rng.randrange(9)),
        lambda: range(rng.randrange(9)), lambda: slice(1, None, 2),
        lambda: random.Random(rng.randrange(99)).getstate(),
        lambda: torch.get_rng_state(),
    ])()


def random_name(rng):
    if rng.random() < 0.15:
        return rng.choice(ODD_NAMES)
    return rng.choice(["model", "layers", "weight", "bias", "optim", "state", "exp_avg", "step", "lr", "w"]) + (
        str(rng.randrange(30)) if rng.random() < 0.6 else "")


def random_mapping(rng, depth=0):
    kind = rng.choice([dict, dict, dict, collections.OrderedDict])
    mapping = kind()
    for _ in range(rng.randrange(1 if depth else 3, 7)):
        key = rng.randrange(20) if rng.random() < 0.08 else random_name(rng)
        roll = rng.random()
        if roll < 0.55:
            value = random_tensor(rng)
        elif roll < 0.75 and depth < 4:
            value = random_mapping(rng, depth + 1)
        elif roll < 0.82 and depth < 4:
            value = [rng.choice([random_tensor, random_scalar, lambda r: random_mapping(r, depth + 2)])(rng)
                     for _ in range(rng.randrange(4))]
        else:
            value = random_object(rng)
        mapping[key] = value
    return mapping


def random_state(seed):
    """A nested state dict that depends on nothing but the seed."""
    return random_mapping(random.Random(seed))
