"""Planners, storage writers and storage readers written in Python, beside the installed PyTorch."""

import json
import threading

import pytest

torch = pytest.importorskip("torch")
import torch.distributed as dist  # noqa: E402
import torch.distributed.checkpoint as dcp  # noqa: E402
import torch.multiprocessing as mp  # noqa: E402

import libdcp  # noqa: E402
from compare import same  # noqa: E402

STATE = {
    "model": {
        "w": torch.arange(24.0).reshape(4, 6),
        "half": torch.arange(10, dtype=torch.bfloat16),
        "flags": torch.tensor([True, False]),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
    },
    "betas": (0.9, 0.999),
    "step": 7,
}


def flat_of(state):
    return dcp._nested_dict.flatten_state_dict(state)[0]


def template_of(flat):
    return {
        key: torch.zeros_like(value) if isinstance(value, torch.Tensor) else None
        for key, value in flat.items()
    }


class FolderWriter(libdcp.StorageWriter):
    """One file of its own name a rank, items one after the other; metadata.encode() commits."""

    def __init__(self, folder):
        self.folder = folder

    def set_up_storage_writer(self, is_coordinator, rank, world_size, use_collectives):
        self.name = f"rank {rank}.items"
        self.folder.mkdir(exist_ok=True)

    def write_data(self, request):
        places = []
        with open(self.folder / self.name, "wb") as file:
            file.write(bytes(19))
            for item in range(len(request)):
                begin = file.tell()
                request.encode(item, file.write)
                places.append((begin, file.tell() - begin))
        return json.dumps([self.name, places]).encode()

    def finish(self, metadata, results):
        for rank, result in enumerate(results):
            name, places = json.loads(result)
            for item, place in enumerate(places):
                metadata.place(rank, item, name, *place)
        (self.folder / ".metadata").write_bytes(metadata.encode())


class FolderReader(libdcp.StorageReader):
    def __init__(self, folder):
        self.folder = folder

    def read_metadata(self):
        return (self.folder / ".metadata").read_bytes()

    def set_up_storage_reader(self, metadata, is_coordinator, rank, world_size):
        self.chunks = metadata.chunks

    def read_data(self, request):
        for number, item in enumerate(request.items):
            chunk = self.chunks[item.name][item.chunk]
            data = (self.folder / chunk.file).read_bytes()
            request.decode(number, data[chunk.offset : chunk.offset + chunk.length])


def on_ranks(size, body):
    outcomes = [None] * size

    def run(comm):
        try:
            outcomes[comm.rank] = body(comm)
        except BaseException as error:
            outcomes[comm.rank] = error

    threads = [
        threading.Thread(target=run, args=(comm,)) for comm in libdcp.local_communicators(size)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert not failed, failed
    return outcomes


@pytest.mark.parametrize("ranks", [1, 3])
def test_stock_loads_what_a_python_writer_wrote(tmp_path, ranks):
    where = tmp_path / "c"
    rows = torch.arange(ranks * 8.0).reshape(ranks * 2, 4)

    def save(comm):
        mine = libdcp.Sharded(
            (ranks * 2, 4), [((2 * comm.rank, 0), rows[2 * comm.rank : 2 * comm.rank + 2])]
        )
        libdcp.save(
            {**STATE, "rows": mine, f"own{comm.rank}": comm.rank},
            storage_writer=FolderWriter(where),
            communicator=comm,
        )

    on_ranks(ranks, save)
    flat = {**flat_of(STATE), "rows": rows, **{f"own{rank}": rank for rank in range(ranks)}}
    target = template_of(flat)
    dcp.load(target, checkpoint_id=str(where), no_dist=True)
    for key, value in flat.items():
        assert same(value, target[key]), (key, value, target[key])
    ours = template_of(flat)
    libdcp.load_into(ours, storage_reader=FolderReader(where))
    for key, value in flat.items():
        assert same(value, ours[key]), (key, value, ours[key])
    assert libdcp.verify(where).ok


def test_a_python_reader_reads_what_stock_wrote(tmp_path):
    dcp.save(STATE, checkpoint_id=str(tmp_path / "c"), no_dist=True)
    flat = flat_of(STATE)
    target = template_of(flat)
    libdcp.load_into(target, storage_reader=FolderReader(tmp_path / "c"))
    for key, value in flat.items():
        assert same(value, target[key]), (key, value, target[key])


class Prefixed(libdcp.SavePlanner):
    """Each name with "ema." before it, by way of every method; bfloat16 and all."""

    def create_local_plan(self):
        import dataclasses

        return [
            dataclasses.replace(item, name="ema." + item.name)
            for item in super().create_local_plan()
        ]

    def resolve_data(self, item):
        return super().resolve_data(item)


def test_stock_loads_what_a_python_planner_planned(tmp_path):
    libdcp.save(STATE, tmp_path / "c", planner=Prefixed())
    flat = {"ema." + key: value for key, value in flat_of(STATE).items()}
    target = template_of(flat)
    dcp.load(target, checkpoint_id=str(tmp_path / "c"), no_dist=True)
    for key, value in flat.items():
        assert same(value, target[key]), (key, value, target[key])


def state_of(rank):
    return {"same": torch.arange(9.0), f"own{rank}": torch.full((3,), float(rank)), "step": 7}


def load_by_stock(rank, size, where, rendezvous):
    dist.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=size
    )
    target = template_of(state_of(rank))
    dcp.load(target, checkpoint_id=where)
    for key, value in state_of(rank).items():
        assert same(value, target[key]), (rank, key, target[key])
    dist.destroy_process_group()


def test_stock_loads_saves_without_collectives(tmp_path):
    """Stock's ranks each read their own `__{rank}.metadata`, and what that names."""
    where = tmp_path / "c"
    on_ranks(
        3,
        lambda comm: libdcp.save(
            state_of(comm.rank), where, communicator=comm, use_collectives=False
        ),
    )
    names = sorted(path.name for path in where.iterdir() if path.name.endswith(".metadata"))
    assert names == ["__0.metadata", "__1.metadata", "__2.metadata"]
    target = template_of(state_of(0))
    dcp.load(target, checkpoint_id=str(where), no_dist=True)  # a lone process is rank 0
    for key, value in state_of(0).items():
        assert same(value, target[key]), (key, target[key])
    mp.spawn(load_by_stock, (3, str(where), str(tmp_path / "rendezvous")), nprocs=3)
