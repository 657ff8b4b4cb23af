"""Random layouts of tensors over ranks: even and uneven, empty, replicated, by grids and by meshes.

A layout is a list with, for each rank, its pieces (offsets, sizes); or None: each rank holds the whole,
as a tensor and not as shards."""

import itertools
import math


def cut(rng, size, parts):
    """The spans between random places; empty ones are left out."""
    places = sorted({0, size, *(rng.randint(0, size) for _ in range(parts - 1))})
    return [(a, b - a) for a, b in itertools.pairwise(places)] or [(0, 0)]


def even(size, parts):
    """As DTensor's Shard: of equal size but for the last, and then empty ones."""
    step = -(-size // parts)
    begins = [min(size, number * step) for number in range(parts + 1)]
    return [(a, b - a) for a, b in itertools.pairwise(begins)]


def grid(rng, shape, ranks):
    """Cells between random cuts of every dimension; some are held by two ranks, some ranks hold none."""
    held = [{} for _ in range(ranks)]
    for cell in itertools.product(*(cut(rng, size, rng.randint(1, 4)) for size in shape)):
        offsets, sizes = tuple(a for a, _ in cell), tuple(n for _, n in cell)
        for _ in range(2 if rng.random() < 0.2 else 1):
            held[rng.randrange(ranks)][offsets] = sizes
    return [list(pieces.items()) for pieces in held]


def mesh(rng, shape, ranks):
    """Ranks in rows and columns: a dimension is cut by rows, one by columns, which may be the same one, or
    none: then columns are replicas."""
    rows = rng.choice([n for n in range(1, ranks + 1) if ranks % n == 0])
    columns = ranks // rows
    by_row, by_column = rng.randrange(len(shape)), rng.choice([*range(len(shape)), None])
    layout = []
    for rank in range(ranks):
        offsets, sizes = [0] * len(shape), list(shape)
        for dim, part, parts in ((by_row, rank // columns, rows), (by_column, rank % columns, columns)):
            if dim is not None:
                begin, length = even(sizes[dim], parts)[part]
                # An empty piece lies at the end, as DTensor's do: elsewhere it could pass for another's.
                offsets[dim] = offsets[dim] + begin if length else shape[dim]
                sizes[dim] = length
        layout.append([(tuple(offsets), tuple(sizes))])
    return layout


def one_holder(rng, shape, ranks):
    holder = rng.randrange(ranks)
    return [[((0,) * len(shape), shape)] if rank == holder else [] for rank in range(ranks)]


def random_layout(rng, shape, ranks):
    if not shape or rng.random() < 0.12:
        return None
    return rng.choice([grid, grid, grid, mesh, mesh, mesh, one_holder])(rng, shape, ranks)


def random_shape(rng):
    return tuple(0 if rng.random() < 0.1 else rng.randint(1, 12) for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 3, 4, 4])))


def elements(shape):
    return math.prod(shape)
