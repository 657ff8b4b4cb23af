"""Copies of state dicts: equal, apart, and in memory that serves again."""

import collections
import copy
import gc
import multiprocessing
import os
import weakref

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch.distributed.checkpoint.staging import AsyncStager  # noqa: E402
from torch.distributed.checkpoint.staging import DefaultStager as StockStager  # noqa: E402

from libdcp.torch import _bulk_copy  # noqa: E402
from libdcp.torch import _messages as messages  # noqa: E402
from libdcp.torch._async_executor import Unshared  # noqa: E402
from libdcp.torch._default_stagers import DefaultProcessStager  # noqa: E402
from libdcp.torch._staging_memory import StagingMemory, region_of  # noqa: E402
from libdcp.torch._state_dict_stager import StateDictStager  # noqa: E402
from libdcp.torch.staging import BlockingAsyncStager, DefaultStager, StagingOptions  # noqa: E402

memories = pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])


class Thing:
    def __init__(self, tensor):
        self.tensor = tensor
        self.again = self


class Slotted:
    __slots__ = ("tensor",)

    def __init__(self, tensor):
        self.tensor = tensor


Pair = collections.namedtuple("Pair", "a b")


def sample():
    base = torch.arange(60.0).reshape(6, 10)
    parameter = torch.nn.Parameter(torch.randn(3, 3))
    parameter.tag = {"kept": torch.ones(2)}
    return {
        "base": base,
        "rows": base[2:4],
        "transposed": base.t(),
        "steps": base[::2, ::3],
        "tied": base.detach(),
        "parameter": parameter,
        "far": torch.arange(10000)[-3:],
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 4),
        "bool": torch.tensor([True, False]),
        "complex": torch.tensor([1 + 2j]),
        "conjugate": torch.tensor([1 + 2j]).conj(),
        "expanded": torch.ones(1, 3).expand(4, 3),
        "channels": torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
        "bf16": torch.ones(7, dtype=torch.bfloat16),
        "sparse": torch.eye(3).to_sparse(),
        "ordered": collections.OrderedDict(z=1, a=torch.ones(1)),
        "tuple": (1, torch.ones(2), "x"),
        "pair": Pair(torch.zeros(1), 2),
        "array": np.arange(4),
        "deque": collections.deque([torch.ones(1)], maxlen=3),
        "thing": Thing(torch.full((2,), 9.0)),
        "slotted": Slotted(torch.full((2,), 8.0)),
        "set": {1, 2},
        "plain": [None, True, 1, 2.0, "s", b"b", torch.float16, torch.Size([1, 2])],
        5: "number",
    }


def dense(x):
    return x.to_dense() if x.layout is not torch.strided else x


def check(copied, original):
    if isinstance(original, torch.Tensor):
        assert copied.device.type == "cpu" and copied.dtype == original.dtype
        assert torch.equal(dense(copied), dense(original).cpu())
        if original.numel() and original.layout is torch.strided:
            begin = original.untyped_storage().data_ptr()
            assert not begin <= copied.data_ptr() < begin + original.untyped_storage().nbytes()
    elif isinstance(original, dict):
        assert type(copied) is type(original) and list(copied) == list(original)
        for key in original:
            check(copied[key], original[key])
    elif isinstance(original, (list, tuple, collections.deque)):
        assert type(copied) is type(original) and len(copied) == len(original)
        for one, other in zip(copied, original):
            check(one, other)
    elif isinstance(original, np.ndarray):
        assert copied is not original and (copied == original).all()
    elif isinstance(original, (Thing, Slotted)):
        assert type(copied) is type(original) and copied is not original
        check(copied.tensor, original.tensor)
        assert not hasattr(original, "again") or copied.again is copied
    else:
        assert copied == original


@memories
def test_copies_are_equal_and_apart(shared):
    saved = sample()
    stager = StateDictStager(share_memory=shared)
    copied = stager.stage(saved)
    check(copied, saved)
    assert copied["parameter"].tag["kept"].data_ptr() != saved["parameter"].tag["kept"].data_ptr()
    assert copied["transposed"].stride() == saved["transposed"].stride()
    assert copied["channels"].is_contiguous(memory_format=torch.channels_last)
    before = copy.deepcopy(copied["thing"].tensor)
    for value in saved.values():
        if isinstance(value, torch.Tensor) and value.layout is torch.strided and value.numel():
            with torch.no_grad():
                value.untyped_storage().fill_(255)
    assert torch.equal(copied["base"], torch.arange(60.0).reshape(6, 10))
    assert torch.equal(copied["far"], torch.arange(10000)[-3:])
    assert torch.equal(copied["thing"].tensor, before)


@memories
def test_what_shared_memory_shares_it_again(shared):
    saved = sample()
    copied = StateDictStager(share_memory=shared).stage(saved)
    copied["base"][2, 0] = -5
    assert copied["rows"][0, 0] == copied["transposed"][0, 2] == copied["tied"][2, 0] == -5
    assert copied["steps"][1, 0] == -5
    assert saved["base"][2, 0] == 20


def test_of_a_large_tensor_only_the_part_is_copied():
    stager = StateDictStager()
    stager.stage({"part": torch.empty(100 << 20, dtype=torch.uint8)[7:107]})
    assert stager.staged_bytes == 100


@memories
def test_memory_serves_again_when_its_copy_is_gone(shared):
    stager = StateDictStager(share_memory=shared)
    saved = {f"w{i}": torch.full((1000,), float(i)) for i in range(50)}
    copied = stager.stage(saved)
    first = copied["w0"].data_ptr()
    second = stager.stage(saved)
    assert second["w0"].data_ptr() != first  # the first copy is in use
    check(copied, saved)
    kept = copied["w7"]
    del copied
    third = stager.stage({name: tensor + 1 for name, tensor in saved.items()})
    assert third["w0"].data_ptr() != first and torch.equal(kept, saved["w7"])
    del kept, third
    assert stager.stage(saved)["w0"].data_ptr() == first or stager.stage(saved)["w0"].data_ptr() == first


@memories
def test_nothing_waits_for_the_garbage_collector(shared):
    gc.disable()
    try:
        stager = StateDictStager(share_memory=shared)
        copied = stager.stage(sample())
        blocks = [weakref.ref(block) for block in stager._memory._blocks]
        thing = copied["thing"]
        thing.again = None  # the test's own cycle
        del copied, thing
        stager.close()
        assert [block() for block in blocks] == [None] * len(blocks)
    finally:
        gc.enable()


def test_private_copies_have_storages_of_their_own():
    copied = StateDictStager().stage({"a": torch.ones(10), "b": torch.ones(20)})
    assert copied["a"].untyped_storage().nbytes() == 40
    assert copied["b"].untyped_storage().nbytes() == 80


def test_shared_copies_are_shared():
    copied = StateDictStager(share_memory=True).stage({f"t{i}": torch.ones(10) for i in range(5000)})
    assert all(tensor.is_shared() for tensor in copied.values())
    assert len({id(region_of(t.untyped_storage())) for t in copied.values()}) < 10
    context = multiprocessing.get_context("fork")
    child = context.Process(target=lambda: copied["t3"].fill_(7))
    child.start()
    child.join(60)
    assert (copied["t3"] == 7).all()


def test_blocks_are_few():
    memory = StagingMemory()
    memory.begin()
    for _ in range(1000):
        memory.take(1 << 20)
    assert len(memory._blocks) <= 10
    memory.end()


# ---- distributed tensors ----


@pytest.fixture
def group(tmp_path):
    import torch.distributed as dist

    dist.init_process_group("gloo", store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@memories
def test_distributed_tensors(group, shared):
    from torch.distributed._shard.sharded_tensor import init_from_local_shards, Shard as LocalShard
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import DTensor, Shard, distribute_tensor

    mesh = DeviceMesh("cpu", [0])
    whole = torch.arange(12.0).reshape(3, 4)
    saved = {
        "dtensor": distribute_tensor(whole.clone(), mesh, [Shard(0)]),
        "parameter": torch.nn.Parameter(distribute_tensor(whole.clone(), mesh, [Shard(1)])),
        "sharded": init_from_local_shards(
            [LocalShard.from_tensor_and_offsets(whole.clone(), [0, 0], 0)], 3, 4),
    }
    copied = StateDictStager(share_memory=shared).stage(saved)
    saved["dtensor"].to_local().fill_(-1)
    saved["parameter"].to_local().data.fill_(-1)
    saved["sharded"].local_shards()[0].tensor.fill_(-1)
    assert isinstance(copied["dtensor"], DTensor) and copied["dtensor"].placements == (Shard(0),)
    assert torch.equal(copied["dtensor"].to_local(), whole)
    assert torch.equal(copied["parameter"].to_local(), whole)
    assert torch.equal(copied["sharded"].local_shards()[0].tensor, whole)
    assert copied["sharded"].metadata().size == torch.Size([3, 4])


# ---- stagers ----


def test_options_and_their_errors():
    assert isinstance(DefaultStager(StagingOptions(False, False, False, False)), AsyncStager)
    assert isinstance(BlockingAsyncStager(), AsyncStager)
    if torch.accelerator.is_available():
        return
    for make in (DefaultStager, StockStager):
        with pytest.raises(AssertionError, match="accelerator is available"):
            make()
    with pytest.warns(UserWarning, match="not pinned"):
        DefaultStager(StagingOptions(True, False, False, False))


def test_staging_on_a_thread():
    with_thread = DefaultStager(StagingOptions(False, True, True, False))
    saved = sample()
    future = with_thread.stage(saved)
    with_thread.synchronize_staging()
    assert future.done()
    check(future.result(), saved)
    with_thread.close()


def test_blocking_stagers():
    saved = {"a": torch.ones(4), "b": [1, {"c": torch.zeros(2)}]}
    stager = BlockingAsyncStager(cache_staged_state_dict=True)
    assert stager.should_synchronize_after_execute is False
    first = stager.stage(saved)
    check(first, saved)
    assert stager.state_dict_cache is first
    place = first["a"].data_ptr()
    del first
    saved["a"].fill_(2)
    second = stager.stage(saved)
    check(second, saved)
    assert second["a"].data_ptr() == place
    with pytest.raises(ValueError, match="Unexpected value type.*'b.bad'"):
        BlockingAsyncStager(type_check=True).stage({"b": {"bad": object()}})
    BlockingAsyncStager(type_check=True).stage({"a": torch.ones(2), "b": [1, None, "x"]})


# ---- on their way to another process ----


def sent(message):
    import socket

    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here.settimeout(10)
    there.settimeout(10)
    with here, there:
        kept = messages.send(here, message)
        received = messages.receive(there)
        here.close()
        with pytest.raises(messages.Closed):
            messages.receive(there)
    return kept, received


@memories
def test_messages(shared):
    saved = sample()
    staged = StateDictStager(share_memory=shared).stage(saved)
    _, received = sent({"state_dict": staged, "other": saved})
    check(received["state_dict"], saved)
    check(received["other"], saved)
    assert received["state_dict"]["far"].untyped_storage().nbytes() < 100
    received["other"]["base"][2, 0] = -5
    assert received["other"]["rows"][0, 0] == -5


def test_what_is_staged_in_shared_memory_is_not_copied_again():
    staged = StateDictStager(share_memory=True).stage({"a": torch.zeros(1000)})
    _, received = sent(staged)
    staged["a"].fill_(4)
    assert (received["a"] == 4).all()


def test_files_are_closed():
    def files():
        return len(os.listdir("/proc/self/fd"))

    StateDictStager(share_memory=True).stage({"a": torch.ones(10)})
    before = files()
    for _ in range(20):
        stager = StateDictStager(share_memory=True)
        copies = [stager.stage({"a": torch.ones(10)}) for _ in range(3)]
        sent(copies)
        del stager, copies
    gc.collect()
    assert files() <= before


def large():
    return {"a": torch.arange(9 << 20), "nested": [{"b": torch.ones(3)}]}


def test_a_first_large_state_dict_is_shared_later():
    stager = DefaultProcessStager()
    state = large()
    staged = stager.stage(state)
    assert isinstance(staged, Unshared)
    assert stager.staged_bytes == (9 << 23) + 12
    state["a"].fill_(-1)
    shared = staged.share()
    assert region_of(shared["a"].untyped_storage()) is not None
    assert torch.equal(shared["a"], large()["a"]) and torch.equal(shared["nested"][0]["b"], torch.ones(3))
    assert isinstance(stager.stage(large()), Unshared), "the memory is in use"
    address = shared["a"].data_ptr()
    del shared
    again = stager.stage(large())
    assert again["a"].data_ptr() == address
    assert isinstance(DefaultProcessStager().stage({"a": torch.ones(5)}), dict)


def test_large_copies_by_threads(monkeypatch):
    monkeypatch.setattr(_bulk_copy, "_cores", lambda: 3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        sources = [
            torch.arange(6 << 20),
            torch.arange(4 << 20).view(2048, 2048).t(),
            torch.ones(5),
            torch.arange(3 << 20, dtype=torch.float64)[::2],
        ]
        copies = [torch.zeros_like(source) for source in sources]
        _bulk_copy.copy_all(copies, sources, False)
        for copied, source in zip(copies, sources):
            assert torch.equal(copied, source)
        with pytest.raises(RuntimeError):
            _bulk_copy.copy_all([torch.zeros(8 << 20), torch.zeros(2)], [torch.ones(8 << 20), torch.ones(3)], False)
    finally:
        torch.set_num_threads(threads)
