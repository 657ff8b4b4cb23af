"""State of every kind on the ranks of a Gloo job: saved by libdcp.torch and by stock, loaded by both."""

import importlib.util
import pathlib
import warnings
import zlib

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as stock
from torch import nn
from torch.distributed._shard import sharded_tensor
from torch.distributed._shard.sharding_spec import ChunkShardingSpec
from torch.distributed.checkpoint.state_dict import get_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FullyShardedDataParallel, ShardingStrategy, StateDictType, fully_shard
from torch.distributed.fsdp.api import ShardedOptimStateDictConfig, ShardedStateDictConfig
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

import libdcp.torch as ours

warnings.simplefilter("ignore")


def whole(name, *shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.randint(-100, 100, shape, generator=generator).to(dtype) / 8


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(33, 12)
        self.first = nn.Linear(12, 30)
        self.second = nn.Linear(30, 10, bias=False)
        self.register_buffer("steps", torch.tensor(7))

    def forward(self, tokens):
        return self.second(torch.relu(self.first(self.embedding(tokens))))


def seeded(filled):
    torch.manual_seed(11 if filled else 12)
    return Net()


def trained(model, filled):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    tokens = torch.arange(4) if filled else torch.arange(5, 9)
    for _ in range(2 if filled else 1):
        model(tokens).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return optimizer


class Distributed:
    """tensor(name, whole, placements): the whole tensor, or zeros."""

    def __init__(self, filled):
        self.filled = filled

    def __call__(self, tensor, mesh, placements):
        return distribute_tensor(tensor if self.filled else torch.zeros_like(tensor), mesh, placements, src_data_rank=None)


def flat_mesh(group_ranks=None):
    return DeviceMesh("cpu", torch.tensor(group_ranks if group_ranks is not None else range(dist.get_world_size())))


def uneven(mesh, filled, variant):
    place = Distributed(filled)
    return {
        "rows": place(whole("rows", 10, 3), mesh, [Shard(variant % 2)]),
        "short": place(whole("short", mesh.size() - 1, 5), mesh, [Shard(variant % 2)]),
        "copied": place(whole("copied", 4, 6, dtype=torch.bfloat16), mesh, [Replicate() if variant == 0 else Shard(1)]),
        "plain": whole("plain", 5) if filled else torch.zeros(5),
        "scalar": torch.tensor(3.5 if filled else 0.0),
        "empty": torch.empty(0, 3),
        "text": "same" if filled else "",
        "nested": {"list": [whole("in a list", 2) if filled else torch.zeros(2), {"n": 5 if filled else 0}]},
    }


def two_dimensions(mesh, filled, variant):
    square = DeviceMesh("cpu", mesh.mesh.view(2, -1), mesh_dim_names=("dp", "tp"))
    place = Distributed(filled)
    first, second = (Shard(0), Shard(1)) if variant == 0 else (Shard(1), Replicate())
    return {
        "both": place(whole("both", 8, 6), square, [first, second]),
        "other": place(whole("other", 7, 9), square, [second, first]),
        "hsdp": place(whole("hsdp", 6, 4), square, [Replicate(), Shard(variant)]),
        "one dimension twice": place(whole("twice", 11, 2), square, [Shard(0), Shard(0)]),
        "copied": place(whole("rep", 3), square, [Replicate(), Replicate()]),
    }


def fsdp2(mesh, filled, variant):
    model = seeded(filled)
    fully_shard(model.first, mesh=mesh)
    fully_shard(model, mesh=mesh)
    optimizer = trained(model, filled)
    states = get_state_dict(model, optimizer)
    return {"model": states[0], "optim": states[1], "epoch": 3 if filled else 0}


def untrained(mesh, filled, variant):
    """The same on any number of ranks."""
    model = seeded(filled)
    fully_shard(model.first, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return {"model": model.state_dict(), "epoch": 3 if filled else 0}


def fsdp2_over_tp(mesh, filled, variant):
    """Strided shards: rows cut by the outer dimension after the inner one."""
    square = DeviceMesh("cpu", mesh.mesh.view(2, -1), mesh_dim_names=("dp", "tp"))
    model = seeded(filled)
    parallelize_module(model, square["tp"], {"first": ColwiseParallel(), "second": RowwiseParallel()})
    fully_shard(model.first, mesh=square["dp"])
    fully_shard(model, mesh=square["dp"])
    optimizer = trained(model, filled)
    states = get_state_dict(model, optimizer)
    return {"model": states[0], "optim": states[1]}


def hsdp(mesh, filled, variant):
    square = DeviceMesh("cpu", mesh.mesh.view(2, -1), mesh_dim_names=("replicate", "shard"))
    model = seeded(filled)
    fully_shard(model, mesh=square)
    optimizer = trained(model, filled)
    states = get_state_dict(model, optimizer)
    return {"model": states[0], "optim": states[1]}


def fsdp1(mesh, filled, variant):
    """With ShardedTensors."""
    model = FullyShardedDataParallel(
        seeded(filled), device_id=torch.device("cpu"), use_orig_params=True,
        sharding_strategy=ShardingStrategy.FULL_SHARD, process_group=mesh.get_group())
    optimizer = trained(model, filled)
    with FullyShardedDataParallel.state_dict_type(
            model, StateDictType.SHARDED_STATE_DICT, ShardedStateDictConfig(), ShardedOptimStateDictConfig()):
        return {"model": model.state_dict(), "optim": FullyShardedDataParallel.optim_state_dict(model, optimizer)}


def shards(mesh, filled, variant):
    order = list(range(mesh.size()))
    if variant:
        order.reverse()
    spec = ChunkShardingSpec(dim=variant, placements=[f"rank:{rank}/cpu" for rank in order])
    sharded = sharded_tensor.zeros(spec, 10, 6, process_group=mesh.get_group())
    for shard in sharded.local_shards():
        a, b = shard.metadata.shard_offsets
        if filled:
            shard.tensor.copy_(whole("sharded", 10, 6)[a:a + shard.tensor.shape[0], b:b + shard.tensor.shape[1]])
    return {"sharded": sharded, "copied": whole("c", 4) if filled else torch.zeros(4), "bytes": [1, 2, 3] if filled else None}


def pieces(mesh, filled, variant):
    """Plain tensors that say of which larger ones they are parts."""
    size, rank = mesh.size(), mesh.get_local_rank()
    full = whole("pieces", 4 * size, 3)
    local = torch.zeros(5, 3)
    local.global_shape = (4 * size, 3)
    if variant == 0:  # two rows from the front, two from the back, and one that is nobody's
        local.global_offsets = ((2 * rank, 0), (4 * size - 2 * rank - 2, 0))
        local.local_offsets, local.local_sizes = ((0, 0), (3, 0)), ((2, 3), (2, 3))
    else:
        local.global_offsets, local.local_offsets, local.local_sizes = ((4 * rank, 0),), ((1, 0),), ((4, 3),)
    if filled:
        for at, inside, sizes in zip(local.global_offsets, local.local_offsets, local.local_sizes):
            local[inside[0]:inside[0] + sizes[0]] = full[at[0]:at[0] + sizes[0]]
    return {"pieces": local}


CASES = {case.__name__: case for case in (uneven, fsdp2, fsdp1, shards, pieces, two_dimensions, fsdp2_over_tp, hsdp)}
NEED_TWO_DIMENSIONS = {"two_dimensions", "fsdp2_over_tp", "hsdp"}
NEW_IN_2_15 = {"pieces"}


def locals_of(value):
    """The memory of this rank."""
    if isinstance(value, DTensor):
        return [value.to_local()]
    if isinstance(value, sharded_tensor.ShardedTensor):
        return [shard.tensor for shard in value.local_shards()]
    return [value]


def differences(found, right, path=""):
    if isinstance(right, dict):
        wrong = [f"{path}: {sorted(map(str, found))} for {sorted(map(str, right))}"] if found.keys() != right.keys() else []
        return wrong + [text for key in right if key in found for text in differences(found[key], right[key], f"{path}.{key}")]
    if isinstance(right, (list, tuple)):
        if len(found) != len(right):
            return [f"{path}: {len(found)} items"]
        return [text for i, pair in enumerate(zip(found, right)) for text in differences(*pair, f"{path}.{i}")]
    if isinstance(right, torch.Tensor):
        same = all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(locals_of(found), locals_of(right), strict=True))
        return [] if same else [path]
    return [] if found == right and type(found) is type(right) else [f"{path}: {found!r} for {right!r}"]


def cases(size):
    for name, case in CASES.items():
        if name in NEW_IN_2_15 and importlib.util.find_spec("torch.distributed.checkpoint.protocol") is None:
            continue  # stock knows no such tensors
        if name in NEED_TWO_DIMENSIONS and size % 2 != 0 or size == 2 and name == "fsdp2_over_tp":
            continue
        yield name, case


def exchange(folder):
    """Each case saved by either and loaded by the other, with the same and with other placements."""
    folder = pathlib.Path(folder)
    mesh, loads = flat_mesh(), 0
    for name, case in cases(mesh.size()):
        for by, module in (("ours", ours), ("stock", stock)):
            where = folder / f"{name}-{by}"
            metadata = module.save(case(mesh, True, 0), checkpoint_id=where)
            assert metadata.state_dict_metadata and metadata.storage_data, name
            dist.barrier()
            for variant in (0, 1):
                right = case(mesh, True, variant)
                for reader in (ours, stock):
                    found = case(mesh, False, variant)
                    reader.load(found, checkpoint_id=where)
                    wrong = differences(found, right)
                    assert not wrong, (name, by, reader.__name__, variant, wrong[:4])
                    loads += 1
            dist.barrier()
    print(f"loads {loads} of {sum(1 for _ in cases(mesh.size()))} cases")


def no_collectives(folder):
    """Without collectives, each rank's metadata by itself: both ways."""
    folder, mesh = pathlib.Path(folder), flat_mesh()
    for by, module in (("ours", ours), ("stock", stock)):
        module.save(uneven(mesh, True, 0), checkpoint_id=folder / by, use_collectives=False)
        dist.barrier()
        names = sorted(path.name for path in (folder / by).iterdir())
        assert ".metadata" not in names and f"__{mesh.size() - 1}.metadata" in names, names
        for reader in (ours, stock):
            found = uneven(mesh, False, 0)
            reader.load(found, checkpoint_id=folder / by)
            assert not differences(found, uneven(mesh, True, 0)), (by, reader.__name__)
        dist.barrier()


def overwritten(folder):
    """Over an older checkpoint of another layout, by either over the other's: nothing old is left."""
    folder, mesh = pathlib.Path(folder), flat_mesh()
    place = Distributed(True)
    for first, second in ((ours, stock), (stock, ours), (ours, ours)):
        where = folder / f"{first.__name__}-{second.__name__}"
        old = {"old": place(whole("old", 40, 3), mesh, [Shard(0)]), "gone": whole("gone", 3)}
        first.save(old, storage_writer=first.FileSystemWriter(where, thread_count=3))
        new = {"new": place(whole("new", 6, 5), mesh, [Shard(1)]), "step": 2}
        metadata = second.save(new, storage_writer=second.FileSystemWriter(where, overwrite=True))
        assert sorted(metadata.state_dict_metadata) == ["new", "step"]
        dist.barrier()
        if second is ours:
            kept = {info.relative_path for info in metadata.storage_data.values()} | {".metadata"}
            assert {path.name for path in where.iterdir()} == kept
        for reader in (ours, stock):
            found = {"new": Distributed(False)(whole("new", 6, 5), mesh, [Shard(0)]), "step": 0}
            reader.load(found, checkpoint_id=where)
            assert found["step"] == 2
            assert torch.equal(found["new"].full_tensor(), whole("new", 6, 5))
        dist.barrier()


def hugging_face(folder):
    """Safetensors of several ranks, by PyTorch's own storages: through either's save and load."""
    folder, mesh, loads = pathlib.Path(folder), flat_mesh(), 0

    def layers(filled, turn):
        place = Distributed(filled)
        return {f"layers.{i}.w": place(whole(f"w{i}", 10, 4), mesh, [Shard((i + turn) % 2)]) for i in range(4)}

    for by, module in (("ours", ours), ("stock", stock)):
        where = folder / f"hf-{by}"
        saved = layers(True, 0)
        where.mkdir(exist_ok=True)
        dist.barrier()
        writer = module.HuggingFaceStorageWriter(
            str(where), save_distributed=True, fqn_to_index_mapping={key: 1 + at % 2 for at, key in enumerate(saved)}
        )
        module.save(saved, storage_writer=writer)
        dist.barrier()
        for reader in (ours, stock):
            for turn in (0, 1):
                found = layers(False, turn)
                reader.load(found, storage_reader=reader.HuggingFaceStorageReader(str(where)))
                wrong = differences(found, layers(True, turn))
                assert not wrong, (by, reader.__name__, turn, wrong)
                loads += 1
        dist.barrier()
    print(f"loads {loads}")


def resharded(folder):
    """Saved on all ranks, loaded by each smaller number, by sub-groups; and the other way round."""
    folder, size = pathlib.Path(folder), dist.get_world_size()
    rank, loads = dist.get_rank(), 0
    groups = {count: (dist.new_group(list(range(count))), flat_mesh(list(range(count)))) for count in range(2, size + 1)}
    for count, (group, mesh) in groups.items():
        if rank < count:
            for name, case in (("uneven", uneven), ("model", untrained)):
                for by, module in (("ours", ours), ("stock", stock)):
                    module.save(case(mesh, True, 0), checkpoint_id=folder / f"{name}-{by}-{count}", process_group=group)
        dist.barrier()
    for count, (group, mesh) in groups.items():
        if rank >= count:
            continue
        for saved in sorted(folder.glob("*-*-*")):
            name, by, number = saved.name.split("-")
            if int(number) == count:
                continue
            for reader in (ours, stock):
                case = uneven if name == "uneven" else untrained
                right, found = (case(mesh, filled, 1) for filled in (True, False))
                if name == "uneven":  # one of its shapes is by the number of ranks
                    del right["short"], found["short"]
                reader.load(found, checkpoint_id=saved, process_group=group)
                assert not differences(found, right), (saved.name, count, reader.__name__)
                loads += 1
    dist.barrier()
    print(f"loads {loads}")


def outside(folder):
    """DTensors on a mesh that this rank may not be in, saved and loaded by all ranks."""
    folder = pathlib.Path(folder)
    inner = flat_mesh(list(range(1, dist.get_world_size())))

    def state(filled):
        full = whole("inner", 9, 4)
        if inner.get_coordinate() is None:
            local = torch.empty(0)
            value = DTensor.from_local(local, inner, [Shard(0)], run_check=False, shape=full.shape, stride=full.stride())
        else:
            value = Distributed(filled)(full, inner, [Shard(0)])
        return {"inner": value, "plain": whole("all", 3) if filled else torch.zeros(3)}

    for by, module in (("ours", ours), ("stock", stock)):
        module.save(state(True), checkpoint_id=folder / by)
        dist.barrier()
        for reader in (ours, stock):
            found = state(False)
            reader.load(found, checkpoint_id=folder / by)
            assert not differences(found, state(True)), (by, reader.__name__)
        dist.barrier()


def on_meta(folder):
    """Models on the meta device get memory when they are loaded into, DTensors too."""
    folder, mesh = pathlib.Path(folder), flat_mesh()
    ours.save(uneven(mesh, True, 0), checkpoint_id=folder / "meta")
    dist.barrier()
    place = Distributed(False)
    full = whole("rows", 10, 3)
    local = place(full, mesh, [Shard(1)]).to_local().to("meta")
    found = {
        "rows": DTensor.from_local(local, mesh, [Shard(1)], run_check=False, shape=full.shape, stride=full.stride()),
        "plain": torch.empty(5, device="meta"),
        "nested": {"list": [torch.empty(2, device="meta"), {"n": 0}]},
    }
    ours.load(found, checkpoint_id=folder / "meta")
    right = uneven(mesh, True, 1)
    assert not differences(found, {key: right[key] for key in found})
