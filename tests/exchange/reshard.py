#!/usr/bin/env python3
"""Random layouts saved by N ranks and loaded by M others, between libdcp and stock, bit for bit.

  reshard.py FOLDER COUNT SEED

Each layout is saved by libdcp and loaded by stock and by libdcp, and saved by stock and loaded by libdcp; 1 to 16
ranks on either side. One that fails is told with the seed that repeats it.
"""

import pathlib
import random
import shutil
import sys
import threading
import warnings

import torch

import layouts
import libdcp
import stock_ranks

DTYPES = ["float32", "bfloat16", "int64", "uint8", "complex128", "float8_e4m3fn", "bool", "float16"]


class Case:
    def __init__(self, rng, savers, loaders):
        self.shape = layouts.random_shape(rng)
        self.dtype = getattr(torch, rng.choice(DTYPES))
        count = layouts.elements(self.shape) * self.dtype.itemsize
        raw = torch.frombuffer(bytearray(rng.randbytes(count)), dtype=torch.uint8) if count else torch.empty(0, dtype=torch.uint8)
        if self.dtype == torch.bool:
            raw %= 2
        self.whole = raw.view(self.dtype).reshape(self.shape)
        self.layouts = {"from": layouts.random_layout(rng, self.shape, savers),
                        "to": layouts.random_layout(rng, self.shape, loaders)}

    def pieces(self, side, rank, filled):
        """[(offsets, tensor)]; filled with what belongs there, or with something else."""
        layout = self.layouts[side]
        held = layout[rank] if layout else [((0,) * len(self.shape), self.shape)]
        made = []
        for offsets, sizes in held:
            right = self.whole[tuple(slice(a, a + n) for a, n in zip(offsets, sizes))].clone()
            made.append((offsets, right if filled else other_bytes(right)))
        return made

    def difference(self, side, rank, pieces):
        for (offsets, right), (_, found) in zip(self.pieces(side, rank, True), pieces):
            if bytes_of(right) != bytes_of(found):
                return f"{self.dtype} {self.shape} at {offsets} + {tuple(right.shape)} differs"
        return None


def bytes_of(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def other_bytes(tensor):
    raw = torch.full((tensor.numel() * tensor.element_size(),), 0x01 if tensor.dtype == torch.bool else 0x5A,
                     dtype=torch.uint8)
    return raw.view(tensor.dtype).reshape(tensor.shape)


def as_stock(case, pieces, layout):
    return stock_ranks.Shards(case.shape, pieces, case.dtype) if layout else pieces[0][1]


def as_ours(case, pieces, layout):
    return libdcp.Sharded(case.shape, pieces, str(case.dtype).removeprefix("torch.")) if layout else pieces[0][1]


def states(cases, side, ranks, filled, wrap):
    """(state dicts, pieces), each one a rank."""
    pieces = [[case.pieces(side, rank, filled) for case in cases] for rank in range(ranks)]
    trees = [{f"t{number}": wrap(case, pieces[rank][number], case.layouts[side]) for number, case in enumerate(cases)}
             for rank in range(ranks)]
    return trees, pieces


def on_ranks(size, body):
    """body(rank, communicator) on a thread for each; the first exception comes out."""
    errors = []

    def run(rank, comm):
        try:
            body(rank, comm)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(libdcp.local_communicators(size))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def check(cases, side, ranks, pieces, trees, what):
    for rank in range(ranks):
        for case, held in zip(cases, pieces[rank]):
            wrong = case.difference(side, rank, held)
            if wrong:
                raise AssertionError(f"{what}, rank {rank}: {wrong}")
        if trees[rank]["step"] != 7 or trees[rank]["text"] != "same":
            raise AssertionError(f"{what}, rank {rank}: {trees[rank]['step']}, {trees[rank]['text']!r}")


def load_by_ours(cases, loaders, where, coordinator):
    trees, pieces = states(cases, "to", loaders, False, as_ours)
    reports = [None] * loaders

    def body(rank, comm):
        trees[rank].update(step=0, text="")
        reports[rank] = libdcp.load_into(trees[rank], where, communicator=comm, coordinator=coordinator)

    on_ranks(loaders, body)
    check(cases, "to", loaders, pieces, trees, f"libdcp loads {where.name}")
    assert not any(report.missing or report.cast or report.uncovered for report in reports), reports


def load_by_stock(cases, loaders, where):
    trees, pieces = states(cases, "to", loaders, False, as_stock)
    for tree in trees:
        tree.update(step=0, text="")
    stock_ranks.load(trees, where)
    check(cases, "to", loaders, pieces, trees, f"stock loads {where.name}")


def attempt(seed, folder):
    rng = random.Random(seed)
    savers, loaders = rng.randint(1, 16), rng.randint(1, 16)
    cases = [Case(rng, savers, loaders) for _ in range(rng.randint(1, 4))]
    files, coordinator, lowest = rng.randint(1, 3), rng.randrange(savers), rng.random() < 0.5
    per_item, load_coordinator = rng.random() < 0.2, rng.randrange(loaders)

    trees, _ = states(cases, "from", savers, True, as_ours)
    on_ranks(savers, lambda rank, comm: libdcp.save(
        {**trees[rank], "step": 7, "text": "same"}, folder / "ours", communicator=comm, coordinator=coordinator,
        files=files, file_per_item=per_item, dedup_to_lowest_rank=lowest))
    load_by_stock(cases, loaders, folder / "ours")
    load_by_ours(cases, loaders, folder / "ours", load_coordinator)

    trees, _ = states(cases, "from", savers, True, as_stock)
    stock_ranks.save([{**tree, "step": 7, "text": "same"} for tree in trees], folder / "stock",
                     coordinator=coordinator, thread_count=files, single_file_per_rank=not per_item)
    load_by_ours(cases, loaders, folder / "stock", load_coordinator)
    return len(cases), savers != loaders


def main(folder, count, seed):
    warnings.filterwarnings("ignore")
    tensors = other = 0
    for number in range(count):
        where = folder / str(number)
        try:
            made, different = attempt(seed + number, where)
        except BaseException as error:  # stock's CheckpointException is none of Exception's
            print(f"layout of seed {seed + number}: {type(error).__name__}: {error}", file=sys.stderr)
            raise
        tensors, other = tensors + made, other + different
        shutil.rmtree(where)
    print(f"{count} random layouts of {tensors} tensors from seed {seed}, {other} loaded by another number of ranks: libdcp "
          f"to stock, stock to libdcp and libdcp to libdcp, all equal")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
