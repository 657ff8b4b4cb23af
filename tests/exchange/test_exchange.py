"""Random state dicts between libdcp and the installed PyTorch, both ways, bit for bit.

DCP_EXCHANGE_COUNT state dicts each way (20 unless told otherwise) from DCP_EXCHANGE_SEED (fresh unless
told). What stock itself cannot save and load again is found by trying, left out and counted."""

import collections
import os
import random
import warnings

import pytest

torch = pytest.importorskip("torch")
import torch.distributed.checkpoint as dcp  # noqa: E402
from torch.distributed.checkpoint._nested_dict import flatten_state_dict  # noqa: E402

import libdcp  # noqa: E402
from compare import describe, same  # noqa: E402
from random_state import random_state  # noqa: E402

COUNT = int(os.environ.get("DCP_EXCHANGE_COUNT", "20"))
SEED = int(os.environ.get("DCP_EXCHANGE_SEED", random.SystemRandom().randrange(2**32)))

warnings.filterwarnings("ignore")


def zeros_like(tensor):
    raw = torch.zeros(tensor.numel() * tensor.element_size(), dtype=torch.uint8)
    return (raw if tensor.dtype == torch.uint8 else raw.view(tensor.dtype)).reshape(tensor.shape)


def template_of(flat):
    return {k: zeros_like(v) if isinstance(v, torch.Tensor) else "placeholder" for k, v in flat.items()}


def stock_load(flat, where):
    target = template_of(flat)
    dcp.load(target, checkpoint_id=str(where), no_dist=True)
    return target


def stock_round_trip(flat, where):
    dcp.save(dict(flat), checkpoint_id=str(where), no_dist=True)
    return stock_load(flat, where)


def kind_of(value):
    if isinstance(value, torch.Tensor):
        return f"tensor {value.dtype}" + (" conj" if value.is_conj() else "")
    return type(value).__name__


def keep_what_stock_can(state, tmp_path, refused):
    """The flat state dict without the leaves that stock cannot save and load again unchanged."""
    flat, _ = flatten_state_dict(state)
    try:
        read = stock_round_trip(flat, tmp_path / "whole")
        bad = [k for k in flat if not same(flat[k], read[k])]
    except BaseException:  # CheckpointException is none of Exception's
        bad = []
        for number, (key, value) in enumerate(flat.items()):
            try:
                read = stock_round_trip({key: value}, tmp_path / f"leaf{number}")
                if not same(value, read[key]):
                    bad.append(key)
            except BaseException as problem:
                if isinstance(problem, KeyboardInterrupt):
                    raise
                bad.append(key)
    for key in bad:
        refused[kind_of(flat[key])] += 1
        del flat[key]
    return flat


def states():
    """(seed, nested state dict) of those whose flat names are all different."""
    seed, made = SEED, 0
    while made < COUNT:
        state = random_state(seed)
        try:
            flatten_state_dict(state)
        except ValueError:  # duplicated flatten key
            state = None
        if state is not None:
            yield seed, state
            made += 1
        seed += 1


def show(what, refused, leaves):
    print(f"\n{what}: {COUNT} state dicts from seed {SEED}, {leaves} leaves compared; stock itself "
          f"cannot round-trip {sum(refused.values())}: {dict(refused.most_common())}")


def difference(seed, key, expected, found):
    return f"seed {seed}, {key!r}: expected {str(describe(expected))[:300]}, found {str(describe(found))[:300]}"


def test_stock_loads_what_libdcp_saves(tmp_path, capsys):
    refused, leaves = collections.Counter(), 0
    for number, (seed, state) in enumerate(states()):
        here = tmp_path / str(number)
        flat = keep_what_stock_can(state, here, refused)
        libdcp.save(flat, here / "ours", files=1 + seed % 3, file_per_item=seed % 7 == 0,
                    transforms=["stream.zstd"] if seed % 5 == 0 else [])
        by_stock = stock_load(flat, here / "ours")
        with libdcp.open(here / "ours") as ours:
            for key, value in flat.items():
                assert same(value, by_stock[key]), difference(seed, key, value, by_stock[key])
                back = ours[key].read()
                assert same(value, back), difference(seed, key, value, back)
        target = template_of(flat)
        report = libdcp.load_into(target, here / "ours")
        assert not report.missing and not report.cast and not report.uncovered, (seed, report)
        for key, value in flat.items():
            assert same(value, target[key]), difference(seed, key, value, target[key])
            leaves += 1
    with capsys.disabled():
        show("libdcp -> stock and back", refused, leaves)


def test_libdcp_loads_what_stock_saves(tmp_path, capsys):
    refused, leaves = collections.Counter(), 0
    for number, (seed, state) in enumerate(states()):
        here = tmp_path / str(number)
        flat = keep_what_stock_can(state, here, refused)
        writer = dcp.FileSystemWriter(str(here / "stock"), thread_count=1 + seed % 3,
                                      single_file_per_rank=seed % 7 != 0)
        dcp.save(dict(flat), storage_writer=writer, no_dist=True)
        assert libdcp.verify(here / "stock").ok
        target = template_of(flat)
        report = libdcp.load_into(target, here / "stock")
        assert not report.missing and not report.cast and not report.uncovered, (seed, report)
        with libdcp.open(here / "stock") as opened:
            assert sorted(opened) == sorted(flat)
            for key, value in flat.items():
                back = opened[key].read()
                assert same(value, back), difference(seed, key, value, back)
                assert same(value, target[key]), difference(seed, key, value, target[key])
                leaves += 1
    with capsys.disabled():
        show("stock -> libdcp", refused, leaves)


def test_nested_state_dicts_keep_their_shape(tmp_path):
    """What libdcp.load gives back nested is what stock's own whole-checkpoint load gives."""
    from torch.distributed.checkpoint.default_planner import _EmptyStateDictLoadPlanner
    from torch.distributed.checkpoint.state_dict_loader import _load_state_dict

    state = {"model": {"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3)},
             "list": [torch.zeros(2), {"x": 1}, "s"], "n": 3, "deep": {"a": {"b": {"c": (1, 2)}}}}
    libdcp.save(state, tmp_path / "ours")
    by_stock = {}
    _load_state_dict(by_stock, storage_reader=dcp.FileSystemReader(str(tmp_path / "ours")),
                     planner=_EmptyStateDictLoadPlanner(), no_dist=True)
    assert describe(by_stock) == describe(libdcp.load(tmp_path / "ours"))


def test_saves_into_each_others_folders(tmp_path):
    """Stock overwrites in place and leaves what it does not know; libdcp never touches a file that a
    committed checkpoint names. Readers get one or the other, or are told."""
    where = tmp_path / "ckpt"
    old = {"a": torch.arange(20000.0), "gone": torch.ones(3), "step": 1}
    new = {"a": torch.arange(20000.0) + 5, "step": 2}
    dcp.save(dict(old), checkpoint_id=str(where), no_dist=True)
    reader = libdcp.open(where)
    libdcp.save(new, where)  # ours over stock's
    with pytest.raises(libdcp.ReplacedError):
        reader["a"].read()
    assert sorted(p.name for p in where.iterdir()) == [".metadata", "__0_0.g1.distcp"]
    assert same(stock_load(new, where)["a"], new["a"])
    reader = libdcp.open(where)
    held = reader["a"]
    held.read()
    dcp.save(dict(old), checkpoint_id=str(where), no_dist=True)  # stock's over ours
    assert same(held.read(), new["a"])  # stock writes other names: our files are still there
    assert sorted(p.name for p in where.iterdir()) == [".metadata", "__0_0.distcp", "__0_0.g1.distcp"]
    with libdcp.open(where) as now:
        assert same(now["a"].read(), old["a"]) and now["step"].read() == 1
    libdcp.save(new, where)
    assert sorted(p.name for p in where.iterdir()) == [".metadata", "__0_0.g2.distcp"]
    assert libdcp.verify(where).ok


def test_opaque_objects_keep_their_bytes(tmp_path):

    import argparse
    state = {"args": argparse.Namespace(lr=3), "t": torch.ones(2)}
    dcp.save(dict(state), checkpoint_id=str(tmp_path / "stock"), no_dist=True)
    with libdcp.open(tmp_path / "stock") as opened:
        args = opened["args"].read()
        assert isinstance(args, libdcp.Opaque) and args.global_name == "argparse.Namespace"
        assert args.unpickle(allow=True) == argparse.Namespace(lr=3)
        with pytest.raises(PermissionError):
            args.unpickle()
    libdcp.copy(tmp_path / "stock", tmp_path / "copy")
    assert stock_load(state, tmp_path / "copy")["args"] == argparse.Namespace(lr=3)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (
            lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8),
            TypeError,
            r"^a quantized tensor .*dequantize",
        ),
        (lambda: torch.eye(3).to_sparse(), TypeError, r"^a torch\.sparse_coo tensor .*to_dense"),
        (lambda: torch.ones(3, device="meta"), ValueError, r"device 'meta'.*\.cpu\(\)"),
    ],
)
def test_tensors_without_plain_elements_are_refused(make, error, says):
    tensor = make()
    with pytest.raises(error, match=says) as caught:
        libdcp.save({"a": {"b": tensor}}, libdcp.MemoryStorage())
    assert "a.b" in "".join(caught.value.__notes__)
