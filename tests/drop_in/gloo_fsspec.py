"""File systems of fsspec's on several ranks of a Gloo job, by a folder that all of them see but that is
not reached as a folder of this machine."""

import pathlib
import warnings

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as stock
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

import libdcp.torch as ours
from libdcp.torch._extension import ZStandard

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader as StockReader
    from torch.distributed.checkpoint._fsspec_filesystem import FsspecWriter as StockWriter

from libdcp.torch._fsspec_filesystem import FsspecReader, FsspecWriter

warnings.simplefilter("ignore")

WHOLE = torch.arange(23 * 300.0).reshape(23, 300) / 7
LARGE = torch.arange(3 << 18, dtype=torch.int64).reshape(-1, 4)


def url(folder):
    return f"dir://step::file://{folder}"


def state(filled):
    """Sharded by rows and by columns, replicated, whole, and an object of this rank's own."""
    mesh = DeviceMesh("cpu", torch.arange(dist.get_world_size()))
    rank = dist.get_rank()

    def parts(tensor, placement):
        value = tensor if filled else torch.zeros_like(tensor)
        return distribute_tensor(value.clone(), mesh, [placement], src_data_rank=None)

    return {
        "rows": parts(WHOLE, Shard(0)),
        "columns": parts(WHOLE, Shard(1)),
        "large": parts(LARGE, Shard(0)),
        "copied": parts(WHOLE.half(), Replicate()),
        "plain": torch.full((5,), 3.5) if filled else torch.zeros(5),
        "own": {f"of{rank}": ("rank", rank) if filled else None},
    }


def check(got, own=True):
    expected = state(True)
    for name in ("rows", "columns", "large", "copied"):
        assert torch.equal(got[name].to_local(), expected[name].to_local()), name
    assert torch.equal(got["plain"], expected["plain"])
    assert not own or got["own"] == expected["own"]


def load(api, reader, own=True):
    got = state(False)
    if not own:
        del got["own"]
    api.load(got, storage_reader=reader)
    check(got, own)


def exchange(folder):
    """Each side's writer in each side's save, read by each side's reader in each side's load."""
    cases = [
        (ours, FsspecWriter),
        (ours, StockWriter),
        (stock, FsspecWriter),
        (stock, StockWriter),
    ]
    for case, (api, writer) in enumerate(cases):
        place = pathlib.Path(folder) / str(case)
        if dist.get_rank() == 0:
            place.mkdir(parents=True)
        dist.barrier()
        chain = url(place)
        if writer is StockWriter:  # which takes no chains
            chain = str(place / "step")
        api.save(state(True), storage_writer=writer(chain, thread_count=2))
        load(ours, FsspecReader(url(place)))
        load(stock, FsspecReader(url(place)))
        load(ours, StockReader(str(place / "step")))
        load(stock, StockReader(str(place / "step")))


def save(folder):
    """Over an older one, compressed; without collectives beside it."""
    for _ in range(2):
        ours.save(state(True), storage_writer=FsspecWriter(url(folder), _extensions=[ZStandard()]))
    alone = pathlib.Path(folder) / "alone"
    ours.save(
        state(True), storage_writer=FsspecWriter(url(alone)), use_collectives=False
    )


def load_on_others(folder):
    load(ours, FsspecReader(url(folder)), own=False)
    load(stock, StockReader(f"{folder}/step"), own=False)


def overwrite(folder):
    writer = FsspecWriter(url(folder), overwrite=False)
    try:
        ours.save(state(True), storage_writer=writer)
    except stock.CheckpointException as error:
        assert "already exists" in str(error), error
    else:
        raise AssertionError("an existing checkpoint was overwritten")
    load(ours, FsspecReader(url(folder)), own=False)
