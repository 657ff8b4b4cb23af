"""Rank-local files between libdcp and the installed PyTorch's _experimental package, both ways."""

import collections
import os
import random
import socket
import subprocess
import sys
import threading
import warnings

import pytest

torch = pytest.importorskip("torch")
experimental = pytest.importorskip("torch.distributed.checkpoint._experimental")
from torch.distributed.checkpoint._experimental.checkpoint_reader import CheckpointReader  # noqa: E402
from torch.distributed.checkpoint._experimental.checkpoint_writer import (  # noqa: E402
    CheckpointWriter,
    CheckpointWriterConfig,
    WriterHook,
)
from torch.distributed.checkpoint._experimental.types import RankInfo  # noqa: E402

import libdcp  # noqa: E402
from compare import describe, same  # noqa: E402
from random_state import random_state  # noqa: E402

COUNT = int(os.environ.get("DCP_EXCHANGE_COUNT", "20"))
SEED = int(os.environ.get("DCP_EXCHANGE_SEED", random.SystemRandom().randrange(2**32)))

warnings.filterwarnings("ignore")


def training_state():
    torch.manual_seed(3)
    model = torch.nn.Linear(10, 5)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 10)).sum().backward()
    optimizer.step()
    base = torch.arange(48, dtype=torch.float32).reshape(6, 8)
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "views": {
            "t": base.t(),
            "column": base[:, 3],
            "rows": base[2:4],
            "half": base.to(torch.bfloat16),
            "empty": torch.zeros(0, 3),
        },
        "list": [torch.arange(3), {"x": torch.ones(2, 2)}, 7],
        "epoch": 5,
        "step": 1000,
    }


def expect_same(expected, found, what=""):
    assert same(expected, found), (what, str(describe(expected))[:400], str(describe(found))[:400])


def expect_equal_trees(expected, found, path=""):
    """Containers by Python's types, leaves by `same`."""
    if isinstance(expected, dict):
        assert list(expected) == list(found), path
        for key in expected:
            expect_equal_trees(expected[key], found[key], f"{path}.{key}")
    elif isinstance(expected, list):
        assert isinstance(found, list) and len(expected) == len(found), path
        for index, (a, b) in enumerate(zip(expected, found)):
            expect_equal_trees(a, b, f"{path}[{index}]")
    else:
        expect_same(expected, found, path)


def empty_target(value):
    """The same tree, with zeros for tensors and None for the rest."""
    if isinstance(value, dict):
        return type(value)((key, empty_target(entry)) for key, entry in value.items())
    if isinstance(value, list):
        return [empty_target(item) for item in value]
    return torch.zeros_like(value) if isinstance(value, torch.Tensor) else None


def without_views(state):
    """Stock reads tensors with strides as if they had none."""
    return {key: value for key, value in state.items() if key != "views"}


def test_torch_load_opens_it_with_its_defaults(tmp_path):
    state = training_state()
    libdcp.RankWriter(1, 2).write(tmp_path, state)
    read = torch.load(tmp_path / "checkpoint_1.pt")
    expect_equal_trees(state, read)
    assert read["views"]["t"].stride() == state["views"]["t"].stride()
    # Tensors on one storage are on one storage again.
    pointers = {read["views"][name].untyped_storage().data_ptr() for name in ("t", "column", "rows")}
    assert len(pointers) == 1


def test_the_steps_of_upstreams_own_test(tmp_path):
    """Names, order and arguments as upstream's CheckpointWriter has them, with its own classes."""
    calls = []

    class Hook(WriterHook):
        def pre_commit(self, path, **kwargs):
            calls.append(("pre", path, kwargs))

        def post_commit(self, path, **kwargs):
            calls.append(("post", path, kwargs))

    class MockBarrier:
        def execute_barrier(self):
            calls.append("barrier")

    where = str(tmp_path / "checkpoint")
    seen = []
    for kind in ("stock", "ours"):
        calls.clear()
        if kind == "stock":
            writer = CheckpointWriter(CheckpointWriterConfig(), RankInfo(0, 1), MockBarrier(), Hook())
        else:
            writer = libdcp.RankWriter(0, 1, barrier=MockBarrier(), commit_hook=Hook())
        assert writer.write(where, training_state(), extra="value") is None
        writer.close()
        seen.append(list(calls))
    assert seen[0] == seen[1]
    assert CheckpointWriterConfig() == CheckpointWriterConfig(
        libdcp.CheckpointWriterConfig().write_barrier_timeout_secs
    )


def test_stock_reads_ours(tmp_path):
    state = training_state()
    libdcp.RankWriter(1, 2).write(tmp_path, state)
    reader = CheckpointReader(RankInfo(1, 2))
    read, missing = reader.read(str(tmp_path))
    assert missing == []
    expect_equal_trees(state, read)

    target = empty_target(without_views(state))
    target["absent"] = torch.full((2,), 3.0)
    kept = target["model"]["weight"]
    read, missing = reader.read(str(tmp_path), target)
    assert missing == ["absent"]
    assert read["model"]["weight"] is kept
    expect_equal_trees(without_views(state), {key: read[key] for key in read if key != "absent"})


def test_we_read_stocks(tmp_path):
    state = training_state()
    CheckpointWriter(CheckpointWriterConfig(), RankInfo(1, 2)).write(str(tmp_path), state)
    reader = libdcp.RankReader(1, 2)
    read, missing = reader.read(tmp_path)
    assert missing == []
    expect_equal_trees(state, read)

    target = empty_target(state)
    target["absent"] = untouched = torch.full((2,), 3.0)
    kept = target["model"]["weight"], target["list"][1]["x"], target["views"]["t"]
    read, missing = reader.read(tmp_path, target)
    assert read is target and missing == ["absent"]
    assert read["model"]["weight"] is kept[0] and read["list"][1]["x"] is kept[1]
    assert read["views"]["t"] is kept[2] and read["absent"] is untouched
    assert untouched.tolist() == [3.0, 3.0]
    # Strides included, where stock's partial read takes the wrong elements.
    expect_equal_trees(state, {key: read[key] for key in state})


def outcome(read):
    try:
        return read()
    except BaseException as error:
        return error


@pytest.mark.parametrize(
    "target",
    [
        {"model": collections.OrderedDict(weight=torch.zeros(5, 11))},
        {"model": collections.OrderedDict(weight=torch.zeros(5, 10, dtype=torch.float64))},
        {"model": {"weight": torch.zeros(5, 10)}},
        {"model": collections.OrderedDict(weight=3)},
        {"views": collections.OrderedDict(rows=None)},
        {"epoch": "five"},
        {"list": {"a": 1}},
        {"list": [None, {"x": None}, 7, None]},
        {"list": [torch.zeros(3, dtype=torch.int64)]},
        {"epoch": True},
        {"model": None, "other": {"deep": 1}},
        {},
    ],
    ids=lambda target: str(target)[:40],
)
def test_verdicts_are_upstreams(tmp_path, target):
    """What fits, what does not, in which words, and what is missing."""
    libdcp.RankWriter().write(tmp_path, training_state())

    def copy(value):
        if isinstance(value, dict):
            return {key: copy(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [copy(item) for item in value]
        return value.clone() if isinstance(value, torch.Tensor) else value

    stock = outcome(lambda: CheckpointReader(RankInfo(0, 1)).read(str(tmp_path), copy(target)))
    ours = outcome(lambda: libdcp.RankReader().read(tmp_path, copy(target)))
    if isinstance(stock, BaseException):
        assert isinstance(stock, RuntimeError) and isinstance(ours, RuntimeError), (stock, ours)
        assert str(stock) in str(ours)
    else:
        assert not isinstance(ours, BaseException), ours
        assert stock[1] == ours[1]
        expect_equal_trees(stock[0], ours[0])


def test_missing_file(tmp_path):
    errors = [
        outcome(lambda: CheckpointReader(RankInfo(3, 4)).read(str(tmp_path))),
        outcome(lambda: libdcp.RankReader(3, 4).read(tmp_path)),
    ]
    assert all(isinstance(error, FileNotFoundError) for error in errors)
    assert str(errors[0]) in str(errors[1])


def test_random_states(tmp_path, capsys):
    """Whatever stock can save and load with its defaults comes through libdcp unchanged, both ways."""
    leaves = skipped = 0
    for seed in range(SEED, SEED + COUNT):
        state, here = random_state(seed), tmp_path / str(seed)
        stock = CheckpointWriter(CheckpointWriterConfig(), RankInfo(0, 1))
        kept = {}
        for key, value in state.items():
            try:
                stock.write(str(here / "leaf"), {key: value})
                back = torch.load(here / "leaf" / "checkpoint_0.pt")
                if same(value, back[key]):
                    kept[key] = value
            except Exception:
                pass
        skipped += len(state) - len(kept)
        libdcp.RankWriter().write(here / "ours", kept)
        stock.write(str(here / "stock"), kept)
        ours = torch.load(here / "ours" / "checkpoint_0.pt")
        theirs, missing = libdcp.RankReader().read(here / "stock")
        assert missing == [] and list(ours) == list(kept) == list(theirs)
        for key, value in kept.items():
            expect_same(value, ours[key], f"seed {seed}, {key!r}, ours")
            expect_same(value, theirs[key], f"seed {seed}, {key!r}, stock's")
            leaves += 1
    with capsys.disabled():
        print(f"\nrank-local files: {COUNT} states from seed {SEED}, {leaves} values each way; stock "
              f"cannot round-trip {skipped}")


def test_async_and_torch_tensors(tmp_path):
    """Tensors are copied before save returns; ranks meet before post_commit."""
    committed = []

    class Hook(libdcp.CommitHook):
        def __init__(self, rank):
            self.rank = rank

        def post_commit(self, path, **kwargs):
            committed.append((self.rank, sorted(os.listdir(path)), kwargs))

    comms = libdcp.local_communicators(2)

    def save(rank):
        checkpointer = libdcp.AsyncCheckpointer(
            rank, 2, barrier=libdcp.CommunicatorBarrier(comms[rank]), commit_hook=Hook(rank)
        )
        weight = torch.full((300, 300), float(rank))
        checkpointer.save(tmp_path, {"weight": weight}, step=rank)
        weight.fill_(-1)
        checkpointer.close()

    threads = [threading.Thread(target=save, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = ["checkpoint_0.pt", "checkpoint_1.pt"]
    assert sorted(committed) == [(0, names, {"step": 0}), (1, names, {"step": 1})]
    for rank in range(2):
        read = torch.load(tmp_path / names[rank])
        assert torch.equal(read["weight"], torch.full((300, 300), float(rank)))


def test_default_rank_info(tmp_path):
    """The builders take the rank of torch's process group, as upstream's do."""
    import torch.distributed as dist

    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    try:
        with libdcp.make_sync_checkpointer() as checkpointer:
            checkpointer.save(tmp_path / "c", {"a": 1})
        assert os.listdir(tmp_path / "c") == ["checkpoint_0.pt"]
    finally:
        dist.destroy_process_group()


RANK = """
import sys
import torch.distributed as dist
import libdcp

type_, rank, size, port, where, absent = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5], int(sys.argv[6])
if type_ == "dist_barrier":
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    arguments = {}
else:
    arguments = dict(
        global_rank=rank, global_world_size=size, barrier_prefix="checkpoint",
        timeout_barrier_init_secs=60, use_checkpoint_barrier_tcpstore_libuv=True,
        tcpstore_port=port, master_address="127.0.0.1", timeout_secs=60,
    )
config = libdcp.CheckpointerConfig(
    libdcp.CheckpointWriterConfig(60 if absent < 0 else 2), libdcp.BarrierConfig(type_, arguments)
)
checkpointer = libdcp.make_async_checkpointer(config, libdcp.RankInfo(rank, size))
if rank != absent:
    for step in range(1 if absent >= 0 else 3):
        try:
            checkpointer.save(where, {"rank": rank, "step": step}).result()
        except libdcp.TimeoutError as error:
            print("timed out", sorted(error.failures))
        else:
            print("met", step)
print("done", flush=True)
sys.stdin.read()  # until all are done: rank 0 hosts the store
"""


@pytest.mark.parametrize("barrier_type,absent", [("dist_barrier", -1), ("tcp_store", 2)])
def test_barriers_of_torch_by_name(tmp_path, barrier_type, absent):
    pytest.importorskip("libdcp.torch")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    where = tmp_path / "checkpoint"
    ranks = [
        subprocess.Popen(
            [sys.executable, script, barrier_type, str(rank), "3", str(port), where, str(absent)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for rank in range(3)
    ]
    said = [[] for _ in ranks]
    for rank, lines in zip(ranks, said):
        for line in rank.stdout:
            if line == "done\n":
                break
            lines.append(line.strip())
    for rank in ranks:
        rank.stdin.close()
    assert [rank.wait(60) for rank in ranks] == [0, 0, 0]
    met = ["met 0", "met 1", "met 2"] if absent < 0 else ["timed out [2]"]
    assert said == [[] if rank == absent else met for rank in range(3)]
    for rank in range(3):
        assert (where / f"checkpoint_{rank}.pt").exists() == (rank != absent)
