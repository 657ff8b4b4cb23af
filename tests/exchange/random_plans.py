"""Random plans of all ranks: what shardings give, and what no sharding should."""

import random

DTYPES = ["float32", "bfloat16", "float64", "int8", "complex128", "bool"]


def cut(rng, size, parts):
    places = sorted({0, size} | {rng.randint(0, size) for _ in range(parts - 1)})
    return [(a, b - a) for a, b in zip(places, places[1:])] or [(0, 0)]


def even(size, parts):
    """As DTensor's Shard: of equal size but for the last, then empty ones."""
    step = -(-size // parts)
    return [(min(size, i * step), max(0, min(size, (i + 1) * step) - min(size, i * step))) for i in range(parts)]


def grid(rng, size):
    cells = [([], [])]
    for length in size:
        cells = [(o + [at], s + [n]) for o, s in cells for at, n in cut(rng, length, rng.randint(1, 4))]
    return cells


def spread(rng, size, world):
    """Cells of a grid on random ranks, some on several: {rank: [(offsets, sizes), ...]}."""
    held = {}
    for cell in grid(rng, size):
        for rank in rng.sample(range(world), min(world, rng.choice([1, 1, 1, 2, 3]))):
            held.setdefault(rank, []).append(cell)
    return held


def mesh(rng, size, world):
    """Ranks in rows and columns: one dimension is cut by rows, one by columns or held by all."""
    rows = rng.choice([n for n in range(1, world + 1) if world % n == 0])
    columns = world // rows
    by_row, by_column = rng.randrange(len(size)), rng.randrange(len(size) + 1)
    held = {}
    for rank in range(world):
        offsets, sizes = [0] * len(size), list(size)
        for dim, part, parts in ((by_row, rank // columns, rows), (by_column, rank % columns, columns)):
            if dim < len(size) and (dim != by_row or parts == rows):
                at, n = even(sizes[dim], parts)[part]
                offsets[dim] += at
                sizes[dim] = n
        held[rank] = [(offsets, sizes)]
    return held


def spoil(rng, held, size):
    """What a sharding must not be: holes, overlaps, boxes that stick out, empty boxes inside others."""
    rank = rng.choice(list(held))
    offsets, sizes = held[rank][0]
    dim = rng.randrange(len(size))
    kind = rng.choice(["hole", "moved", "grown", "outside", "negative", "more", "inside", "twice"])
    if kind == "hole":
        held[rank] = held[rank][1:]
    elif kind in ("moved", "grown", "outside", "negative"):
        offsets, sizes = list(offsets), list(sizes)
        if kind == "moved":
            offsets[dim] = max(0, offsets[dim] - 1)
        elif kind == "grown":
            sizes[dim] += 1
        elif kind == "outside":
            offsets[dim] = size[dim] + rng.randint(0, 2)
        else:
            (offsets if rng.random() < 0.5 else sizes)[dim] = -rng.randint(1, 3)
        held[rank][0] = (offsets, sizes)
    elif kind == "more":
        for _ in range(rng.randint(1, 4)):
            o = [rng.randint(0, n) for n in size]
            held[rank].append((o, [rng.randint(0, n - at) for n, at in zip(size, o)]))
    elif kind == "inside":
        o = [rng.randint(0, n) for n in size]
        s = [rng.choice([0, n - at]) for n, at in zip(size, o)]
        s[dim] = 0
        held[rank].append((o, s))
    else:
        held[rank].append(held[rank][0])


def random_plans(seed):
    rng = random.Random(seed)
    world = rng.choice([1, 2, 3, 4, 5, 8, 13, 16, 16, 24, 40, 77])
    plans = [{"items": [], "paths": []} for _ in range(world)]
    for number in range(rng.randint(1, 8)):
        name = rng.choice(["w", "model.layers.weight", "名.x y", "opt.state", ""]) + str(number)
        dtype, grad = rng.choice(DTYPES), rng.random() < 0.5
        size = [rng.choice([0, 1, rng.randint(1, 12), rng.randint(1, 12), rng.randint(1, 1000)])
                for _ in range(rng.randint(0, 4))]
        kind = rng.choice(["bytes", "tensor", "shard", "shard", "shard", "shard"])
        if kind == "shard" and not size:
            kind = "tensor"
        if kind == "shard":
            held = rng.choice([spread, mesh])(rng, size, world)
            if rng.random() < 0.12:
                spoil(rng, held, size)
        else:
            some = range(world) if rng.random() < 0.5 else sorted(rng.sample(range(world), rng.randint(1, world)))
            held = {rank: [([0] * len(size), size)] for rank in some}
        odd = rng.random() < 0.03  # ranks disagree on what it is
        for rank, boxes in held.items():
            for offsets, sizes in boxes:
                item = {"name": name, "kind": kind}
                if odd and rng.random() < 0.5:
                    item["kind"] = rng.choice(["bytes", "tensor", "shard"])
                if item["kind"] != "bytes":
                    item |= {"dtype": dtype, "requires_grad": grad, "size": size, "offsets": offsets, "sizes": sizes}
                    if rng.random() < 0.02:
                        item["dtype"] = rng.choice(DTYPES)
                    if odd and rng.random() < 0.2:
                        item["size"] = [n + 1 for n in size]
                plans[rank]["items"].append(item)
            path = name.split(".") if rng.random() < 0.9 else [name, rng.randint(-3, 3)]
            plans[rank]["paths"].append([name, path])
    flattened = rng.random() < 0.9
    for plan in plans:
        if rng.random() < 0.1:
            rng.shuffle(plan["items"])
        if not flattened:
            plan["paths"] = None
    return plans, rng.random() < 0.3
