"""DTensors saved by some ranks of a Gloo job and loaded by others, by libdcp and by stock."""

import pathlib

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

import libdcp
import libdcp.torch

SHAPES = {"rows": (13, 6), "wide": (3, 40), "deep": (5, 7, 4), "line": (3,), "tall": (64, 3), "copied": (4, 4)}
DTYPES = {"rows": torch.float32, "wide": torch.bfloat16, "deep": torch.int64, "line": torch.float16,
          "tall": torch.uint8, "copied": torch.float64}


def whole(name):
    generator = torch.Generator().manual_seed(len(name) * 1000 + ord(name[0]))
    return torch.randint(0, 200, SHAPES[name], generator=generator).to(DTYPES[name])


def placements(mesh, name, variant):
    """By the number of the mesh's dimensions; `variant` makes a load's differ from a save's."""
    if name == "copied":
        return [Replicate()] * mesh.ndim
    dims = len(SHAPES[name])
    first, second = Shard(variant % dims), Shard((variant + 1) % dims)
    if mesh.ndim == 1:
        return [first]
    return [first, second] if variant % 3 else [Replicate(), first]


def dtensor(mesh, name, variant, filled):
    shape, where = torch.Size(SHAPES[name]), placements(mesh, name, variant)
    sizes, offsets = compute_local_shape_and_global_offset(shape, mesh, where)
    right = whole(name)
    local = right[tuple(slice(a, a + n) for a, n in zip(offsets, sizes))].clone()
    if not filled:
        local = torch.full_like(local, 77)
    return DTensor.from_local(local, mesh, where, run_check=False, shape=shape, stride=right.stride())


def ours(tree):
    """The same state for libdcp: no copies."""
    def convert(value):
        if not isinstance(value, DTensor):
            return value
        _, offsets = compute_local_shape_and_global_offset(value.shape, value.device_mesh, value.placements)
        return libdcp.Sharded(value.shape, [(offsets, value.to_local())])

    return {name: convert(value) for name, value in tree.items()}


def state(mesh, variant, filled):
    tree = {name: dtensor(mesh, name, variant, filled) for name in SHAPES}
    tree["plain"] = torch.arange(9) if filled else torch.zeros(9, dtype=torch.int64)
    tree["step"] = 11 if filled else 0
    return tree


def differences(tree):
    wrong = []
    for name in SHAPES:
        value = tree[name]
        sizes, offsets = compute_local_shape_and_global_offset(value.shape, value.device_mesh, value.placements)
        right = whole(name)[tuple(slice(a, a + n) for a, n in zip(offsets, sizes))]
        if not torch.equal(value.to_local(), right):
            wrong.append(name)
    if not torch.equal(tree["plain"], torch.arange(9)):
        wrong.append("plain")
    return wrong + (["step"] if tree["step"] != 11 else [])


def meshes(sizes):
    """{ranks: (group, 1-D mesh, 2-D mesh or None)}: made by every rank of the job, members or not."""
    made = {}
    for size in sizes:
        group = dist.new_group(list(range(size)))
        flat = DeviceMesh("cpu", torch.arange(size))
        square = DeviceMesh("cpu", torch.arange(size).view(2, size // 2)) if size >= 4 else None
        made[size] = (group, flat, square)
    return made


def exchange(folder):
    """Every number of ranks saves by libdcp and by stock, and each other loads both by both."""
    folder, rank = pathlib.Path(folder), dist.get_rank()
    sizes = [1, 2, 3, 4, 8]
    of = meshes(sizes)
    comms = {size: libdcp.torch.communicator(of[size][0]) for size in sizes if rank < size}
    for size in sizes:
        group, flat, square = of[size]
        for mesh, kind in ((flat, "flat"), (square, "square")):
            if mesh is None or rank >= size:
                continue
            tree = state(mesh, 0 if kind == "flat" else 1, True)
            libdcp.save(ours(tree), folder / f"ours-{kind}-{size}", communicator=comms[size])
            dcp.save(tree, checkpoint_id=str(folder / f"stock-{kind}-{size}"), process_group=group)
    dist.barrier()
    loads = 0
    for saved in sorted(folder.glob("*-*-*")):
        for size in sizes:
            if size == int(saved.name.rpartition("-")[2]) or rank >= size:
                continue
            group, flat, square = of[size]
            for mesh, variant in ((flat, 1), (square, 2), (square, 3)):
                if mesh is None:
                    continue
                tree = state(mesh, variant, False)
                into = ours(tree)
                libdcp.load_into(into, saved, communicator=comms[size])
                tree["step"] = into["step"]
                assert not differences(tree), (saved.name, size, variant, differences(tree))
                loads += 1
                if saved.name.startswith("ours"):
                    tree = state(mesh, variant, False)
                    dcp.load(tree, checkpoint_id=str(saved), process_group=group)
                    assert not differences(tree), (saved.name, size, variant, differences(tree))
                    loads += 1
    print(f"loads {loads}")
