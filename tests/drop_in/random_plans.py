"""Random state dicts, boxes and plans for comparisons with PyTorch's planners."""

import dataclasses
import random

import torch
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import (
    SavePlan,
    TensorWriteData,
    WriteItem,
    WriteItemType,
)

DTYPES = [torch.float32, torch.bfloat16, torch.int64, torch.bool]


def shape(dice, dims=None):
    return [dice.randrange(0, 7) for _ in range(dice.randrange(0, 4) if dims is None else dims)]


def tensor(dice):
    return torch.zeros(shape(dice), dtype=dice.choice(DTYPES))


def leaf(dice):
    return dice.choice(
        [tensor, tensor, lambda d: d.random(), lambda d: None, lambda d: "text", lambda d: (1, tensor(d))]
    )(dice)


def nested(dice, depth=3):
    """A leaf, or a dict or list of such."""
    kind = dice.random()
    if depth == 0 or kind < 0.4:
        return leaf(dice)
    below = [nested(dice, depth - 1) for _ in range(dice.randrange(0, 4))]
    if kind < 0.6:
        return below
    return {dice.choice([f"k{i}", i, f"k{i}.x"]): value for i, value in enumerate(below)}


def state_dict(dice):
    return {f"key{i}": nested(dice) for i in range(dice.randrange(1, 6))}


def box(dice, size, wild=0.0):
    """A box, mostly inside a tensor of that size; wild: how often it is put anywhere."""
    offsets, sizes = [], []
    for limit in size:
        start = dice.randrange(0, limit + 1)
        length = dice.randrange(0, limit - start + 1)
        if dice.random() < wild:
            start, length = dice.randrange(-2, limit + 3), dice.randrange(-1, limit + 3)
        offsets.append(start)
        sizes.append(length)
    return ChunkStorageMetadata(offsets=torch.Size(offsets), sizes=torch.Size(sizes))


def split(dice, size):
    """Boxes that make up a tensor of that size, in a random order."""
    boxes = [([0] * len(size), list(size))]
    for _ in range(dice.randrange(0, 8)):
        offsets, sizes = boxes.pop(dice.randrange(len(boxes)))
        wide = [d for d, extent in enumerate(sizes) if extent > 1]
        if not wide:
            boxes.append((offsets, sizes))
            continue
        d = dice.choice(wide)
        cut = dice.randrange(1, sizes[d])
        boxes.append((offsets, [*sizes[:d], cut, *sizes[d + 1 :]]))
        boxes.append(([*offsets[:d], offsets[d] + cut, *offsets[d + 1 :]],
                      [*sizes[:d], sizes[d] - cut, *sizes[d + 1 :]]))
    dice.shuffle(boxes)
    return [ChunkStorageMetadata(offsets=torch.Size(o), sizes=torch.Size(s)) for o, s in boxes]


def tensor_entry(dice, chunks, size):
    return TensorStorageMetadata(TensorProperties(dtype=dice.choice(DTYPES)), torch.Size(size), chunks)


def metadata(dice, wild):
    """Metadata of tensors whose chunks may be out of bounds, overlap or leave holes."""
    entries = {}
    for i in range(dice.randrange(1, 5)):
        if dice.random() < 0.2:
            entries[f"object{i}"] = BytesStorageMetadata()
            continue
        size = shape(dice)
        chunks = split(dice, size)
        if dice.random() < wild:
            chunks += [box(dice, size, 0.3) for _ in range(dice.randrange(0, 4))]
        if dice.random() < wild and len(chunks) > 1:
            chunks.pop()
        entries[f"tensor{i}"] = tensor_entry(dice, chunks, size)
    return Metadata(entries)


def plans(dice, ranks):
    """Plans of ranks: replicas, shards that each or several of them hold, and objects."""
    made = [[] for _ in range(ranks)]
    for i in range(dice.randrange(1, 12)):
        kind = dice.random()
        holders = [r for r in range(ranks) if dice.random() < 0.6] or [dice.randrange(ranks)]
        if kind < 0.2:
            for rank in holders:
                made[rank].append(WriteItem(MetadataIndex(f"o{i}"), WriteItemType.BYTE_IO))
            continue
        size = shape(dice)
        properties = TensorProperties(dtype=dice.choice(DTYPES))
        chunks = split(dice, size) if kind > 0.5 else [whole(size)]
        for chunk in chunks:
            among = holders if kind < 0.7 else [r for r in range(ranks) if dice.random() < 0.4]
            for rank in among or [dice.randrange(ranks)]:
                made[rank].append(
                    WriteItem(
                        MetadataIndex(f"t{i}", chunk.offsets),
                        WriteItemType.SHARD if kind > 0.5 else WriteItemType.TENSOR,
                        tensor_data=TensorWriteData(chunk, properties, torch.Size(size)),
                    )
                )
    for items in made:
        dice.shuffle(items)
    return [
        SavePlan(items, planner_data={item.index.fqn: (item.index.fqn, rank) for item in items})
        for rank, items in enumerate(made)
    ]


def whole(size):
    return ChunkStorageMetadata(offsets=torch.Size([0] * len(size)), sizes=torch.Size(size))


def changed(dice, plan):
    """The plan, or one that differs from it in one respect."""
    respect = dice.randrange(7)
    items = list(plan.items)
    if not items or respect == 0:
        return dataclasses.replace(plan, items=items)
    at = dice.randrange(len(items))
    item = items[at]
    if respect == 1:
        items.pop(at)
    elif respect == 2:
        items[at] = dataclasses.replace(item, index=MetadataIndex("other", item.index.offset))
    elif respect == 3:
        items[at] = dataclasses.replace(item, index=dataclasses.replace(item.index, index=9))
    elif respect == 4:
        items[at] = dataclasses.replace(item, type=WriteItemType.SHARD)
    elif respect == 5 and item.tensor_data is not None:
        size = torch.Size([*item.tensor_data.size, 2])
        items[at] = dataclasses.replace(
            item, tensor_data=dataclasses.replace(item.tensor_data, size=size)
        )
    elif respect == 6:
        return dataclasses.replace(plan, usable=False)
    return dataclasses.replace(plan, items=items)


def dice(seed):
    return random.Random(seed)
