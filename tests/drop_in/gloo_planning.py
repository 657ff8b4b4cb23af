"""Planning pieces that talk, on several ranks of a Gloo job, beside PyTorch's."""

import traceback
import warnings

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.distributed.checkpoint.utils as stock_utils
from torch.distributed._shard.sharded_tensor import Shard as LocalShard
from torch.distributed._shard.sharded_tensor import ShardedTensor, ShardedTensorMetadata, ShardMetadata
from torch.distributed._shard.sharded_tensor.metadata import TensorProperties

from libdcp.torch import utils

warnings.simplefilter("ignore")


# ---- steps across ranks ----


def ended(function, *arguments):
    """What it returned, or by rank what failed."""
    try:
        return "returned", function(*arguments)
    except dcp.CheckpointException as error:
        for _, trace in error.failures.values():
            assert "".join(traceback.format_list(trace)).count("fails") >= 1
        return error.args[0], {rank: repr(e) for rank, (e, _) in error.failures.items()}


def fails():
    raise KeyError(f"rank {dist.get_rank()}")


def steps(wrapper):
    rank, size, chief = wrapper.get_rank(), wrapper.get_world_size(), wrapper.coordinator_rank
    on_last = fails if rank == size - 1 else lambda: rank
    fails_of = lambda values: fails()  # noqa: E731
    yield rank, size, wrapper.is_coordinator, wrapper.global_coordinator_rank
    yield wrapper.broadcast_object({"from": rank})
    yield wrapper.gather_object(rank * 2)
    yield wrapper.all_gather_object([rank])
    yield wrapper.scatter_object([f"for {r}" for r in range(size)] if rank == chief else None)
    for function in (lambda: rank, on_last, fails):
        yield ended(wrapper.reduce_scatter, "scatter", function, lambda values: values[::-1])
        yield ended(wrapper.all_reduce, "reduce", function, sum)
        yield ended(wrapper.all_gather, "gather", function)
    yield ended(wrapper.reduce_scatter, "scatter", lambda: rank, fails_of)
    yield ended(wrapper.all_reduce, "reduce", lambda: rank, fails_of)
    yield ended(wrapper.broadcast, "broadcast", lambda: rank)
    yield ended(wrapper.broadcast, "broadcast", fails)
    yield wrapper.barrier()


def wrappers():
    size = dist.get_world_size()
    part = dist.new_group(list(range(1, size)))
    groups = [(None, 0), (None, size - 1), (dist.group.WORLD, 1)]
    if dist.get_rank() > 0:
        groups += [(part, 0), (part, size - 2)]
    compared = 0
    for group, coordinator in groups:
        expected = list(steps(stock_utils._DistWrapper(group, True, coordinator)))
        assert list(steps(utils._DistWrapper(group, True, coordinator))) == expected
        compared += len(expected)
    print("compared", compared)


def same_keys():
    rank = dist.get_rank()
    assert utils._all_gather_keys({"a": 1, f"b{rank}": 2}) == {"a", *(f"b{r}" for r in range(dist.get_world_size()))}
    utils._assert_same_keys({"a": rank})
    try:
        utils._assert_same_keys({"a": 1} if rank else {"a": 1, "only on 0": 2})
    except AssertionError as error:
        assert rank > 0 and "only on 0" in str(error)
    else:
        assert rank == 0
    print("told")


# ---- ShardedTensors of ShardedTensors: two parts of tensor parallelism, each over two ranks ----


def group_of_part():
    """Of this rank's part: the ranks that share it."""
    groups = [dist.new_group([0, 1]), dist.new_group([2, 3])]
    return groups[dist.get_rank() // 2]


def sharded(shape, shards, local, group):
    """shards: offsets, sizes and placement of each; local: the number of this rank's, and its tensor."""
    metadata = ShardedTensorMetadata(
        shards_metadata=[ShardMetadata(list(o), list(s), p) for o, s, p in shards],
        size=torch.Size(shape),
        tensor_properties=TensorProperties(dtype=torch.float32),
    )
    number, tensor = local
    return ShardedTensor._init_from_local_shards_and_global_metadata(
        [LocalShard(tensor, metadata.shards_metadata[number])], metadata, process_group=group
    )


def nested(whole, group):
    """This rank's view of ``whole``: halves of its columns are parts, halves of their rows shards."""
    rank = dist.get_rank()
    part, row = rank // 2, rank % 2
    rows, columns = whole.shape[0] // 2, whole.shape[1] // 2
    local = whole[row * rows : (row + 1) * rows, part * columns : (part + 1) * columns].clone()
    inner = sharded(
        (2 * rows, columns),
        [((r * rows, 0), (rows, columns), f"rank:{part * 2 + r}/cpu") for r in range(2)],
        (row, local),
        group,
    )
    outer = ShardedTensorMetadata(
        shards_metadata=[
            ShardMetadata([0, p * columns], [2 * rows, columns], f"rank:{rank if p == part else (rank + 2) % 4}/cpu")
            for p in range(2)
        ],
        size=whole.size(),
        tensor_properties=TensorProperties(dtype=torch.float32),
    )
    return ShardedTensor._init_from_local_shards_and_global_metadata(
        [LocalShard(inner, outer.shards_metadata[part])], outer
    )


def told(state):
    """What plans see of a state dict."""
    return {
        key: (
            (value.metadata(), [(s.metadata, s.tensor.tolist()) for s in value.local_shards()])
            if isinstance(value, ShardedTensor)
            else value
        )
        for key, value in state.items()
    }


def flattened():
    from torch.distributed.checkpoint import _sharded_tensor_utils as stock

    from libdcp.torch import _sharded_tensor_utils as ours

    group = group_of_part()
    state = {
        "nested": nested(torch.arange(24.0).reshape(4, 6), group),
        "deep": {"below": [nested(torch.ones(2, 2), group), 1]},
        "plain": 3,
    }
    expected, got = stock._flatten_sharded_tensors(state), ours._flatten_sharded_tensors(state)
    assert told(got) | {"deep": 0} == told(expected) | {"deep": 0}
    (one, _), (other, _) = got["deep"]["below"], expected["deep"]["below"]
    assert told({"x": one}) == told({"x": other})
    print("equal")


# ---- optimizer state of FSDP ----


def told_deep(state):
    if isinstance(state, dict):
        return {key: told_deep(value) for key, value in state.items()}
    return told({"value": state})["value"] if not isinstance(state, torch.Tensor) or isinstance(
        state, ShardedTensor
    ) else (state.dtype, state.tolist())


def optimizer_of_fsdp(folder):
    """Saved by both, loaded by both."""
    import libdcp.torch as ours
    from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
    from torch.distributed.fsdp import StateDictType

    torch.manual_seed(7)
    model = FSDP(torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Linear(7, 3)), device_id=torch.device("cpu"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(3):
        model(torch.randn(4, 5)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    with FSDP.state_dict_type(model, StateDictType.SHARDED_STATE_DICT):
        state = {"model": model.state_dict(), "optim": FSDP.optim_state_dict(model, optimizer)}
    for name, saver in (("stock", dcp), ("ours", ours)):
        saver.save(state, storage_writer=saver.FileSystemWriter(f"{folder}/{name}"))
    loaded = [
        loader.load_sharded_optimizer_state_dict(
            state["model"], "optim", loader.FileSystemReader(f"{folder}/{name}")
        )
        for name in ("stock", "ours")
        for loader in (dcp, ours)
    ]
    for other in loaded[1:]:
        assert told_deep(other) == told_deep(loaded[0])
    back = FSDP.optim_state_dict_to_load(model, optimizer, loaded[3]["optim"])
    fresh = torch.optim.AdamW(model.parameters(), lr=0.5)
    fresh.load_state_dict(back)
    for kept, expected in zip(fresh.state.values(), optimizer.state.values()):
        for key in expected:
            assert torch.equal(kept[key], expected[key]), key
    assert fresh.param_groups[0]["lr"] == 0.1
    print("equal", len(fresh.state))


def optimizer_of_parts(folder):
    """PyTorch's load_sharded_optimizer_state_dict takes ranks of a group for global ones, and fails in
    any group but that of the first ranks."""
    import libdcp.torch as ours

    group = group_of_part()
    whole = torch.arange(24.0).reshape(4, 6)
    state = {"optim": {"state": {"w": {"exp_avg": nested(whole, group), "step": torch.tensor(3.0)}}, "lr": 0.5}}
    for name, saver in (("stock", dcp), ("ours", ours)):
        saver.save(state, storage_writer=saver.FileSystemWriter(f"{folder}/{name}"))
        model = {"w": nested(torch.zeros(4, 6), group)}
        got = ours.load_sharded_optimizer_state_dict(model, "optim", ours.FileSystemReader(f"{folder}/{name}"))
        part, row = dist.get_rank() // 2, dist.get_rank() % 2
        (shard,) = got["optim"]["state"]["w"]["exp_avg"].local_shards()
        assert torch.equal(shard.tensor, whole[2 * row : 2 * row + 2, 3 * part : 3 * part + 3]), shard.tensor
        assert got["optim"]["state"]["w"]["step"] == 3 and got["optim"]["lr"] == 0.5
    print("right")


# ---- single files ----


def broadcast_file(folder):
    import libdcp.torch as ours
    from libdcp.torch import format_utils
    from torch.distributed.checkpoint import format_utils as stock_format
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    size, rank = dist.get_world_size(), dist.get_rank()
    mesh = init_device_mesh("cpu", (size,))
    half = torch.ones(3, dtype=torch.bfloat16)
    whole = {"m": {"rows": torch.arange(14.0).reshape(7, 2), "few": torch.arange(2), "b": half}}
    if rank == 0:
        torch.save(whole, f"{folder}/file.pt")
        torch.save({"m": {"rows": 1}}, f"{folder}/object.pt")
    dist.barrier()

    def target():
        return {
            "m": {
                "rows": distribute_tensor(torch.zeros(7, 2), mesh, [Shard(0)], src_data_rank=None),
                "few": distribute_tensor(torch.zeros(2, dtype=torch.int64), mesh, [Shard(0)], src_data_rank=None),
                "b": torch.zeros(3),  # of another dtype than the file's
            }
        }

    for load in (ours.load, dcp.load):
        state = target()
        load(
            state,
            storage_reader=format_utils.BroadcastingTorchSaveReader(f"{folder}/file.pt"),
            planner=format_utils.DynamicMetaLoadPlanner(),
        )
        for key, value in state["m"].items():
            full = value.full_tensor() if hasattr(value, "full_tensor") else value
            assert torch.equal(full, whole["m"][key].to(full.dtype)), key
    # Ours with stock's reader and planner, and with files that the coordinator cannot read.
    plain = {"m": {"b": torch.zeros(3, dtype=torch.bfloat16)}}
    ours.load(
        plain,
        storage_reader=stock_format.BroadcastingTorchSaveReader(f"{folder}/file.pt"),
        planner=stock_format.DynamicMetaLoadPlanner(),
    )
    assert torch.equal(plain["m"]["b"], whole["m"]["b"])
    for name in ("absent.pt", "object.pt"):
        for load in (ours.load, dcp.load):
            try:
                load(
                    {"m": {"rows": torch.zeros(7, 2)}},
                    storage_reader=format_utils.BroadcastingTorchSaveReader(f"{folder}/{name}"),
                    planner=format_utils.DynamicMetaLoadPlanner(),
                )
            except dcp.CheckpointException as error:
                assert set(error.failures) == set(range(size)), error
                wanted = {"absent.pt": "absent.pt", "object.pt": "Non-tensor value identified at m.rows"}[name]
                assert all(wanted in str(failure) for failure, _ in error.failures.values()), error
            else:
                raise AssertionError("it loaded")
    print("right")
