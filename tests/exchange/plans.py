"""Save plans as JSON, to and from PyTorch's, and a driver of the program that plans by libdcp.

A plan: {"items": [...], "paths": [[name, [element, ...]], ...] or null}. An item: {"name", "kind":
"tensor", "shard" or "bytes"}, and for the first two "dtype", "requires_grad", "size" (of the whole
tensor), "offsets" and "sizes" (of the chunk)."""

import json
import os
import pathlib
import subprocess

import torch
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata, ChunkStorageMetadata, MetadataIndex, TensorProperties)
from torch.distributed.checkpoint.planner import (
    SavePlan, TensorWriteData, WriteItem, WriteItemType)

ROOT = pathlib.Path(__file__).resolve().parents[2]
KINDS = {"tensor": WriteItemType.TENSOR, "shard": WriteItemType.SHARD, "bytes": WriteItemType.BYTE_IO}
KIND_NAMES = {kind: name for name, kind in KINDS.items()}


def item_to_json(item):
    out = {"name": item.index.fqn, "kind": KIND_NAMES[item.type]}
    if item.tensor_data is not None:
        data = item.tensor_data
        out |= {"dtype": str(data.properties.dtype).removeprefix("torch."),
                "requires_grad": data.properties.requires_grad, "size": list(data.size),
                "offsets": list(data.chunk.offsets), "sizes": list(data.chunk.sizes)}
    return out


def plan_to_json(plan):
    paths = plan.planner_data
    if paths is not None:
        paths = [[name, list(path)] for name, path in paths.items()]
    return {"items": [item_to_json(item) for item in plan.items], "paths": paths}


def item_from_json(item):
    kind = KINDS[item["kind"]]
    if kind == WriteItemType.BYTE_IO:
        return WriteItem(index=MetadataIndex(item["name"]), type=kind)
    offsets, sizes = torch.Size(item["offsets"]), torch.Size(item["sizes"])
    return WriteItem(
        index=MetadataIndex(item["name"], offsets), type=kind,
        tensor_data=TensorWriteData(
            chunk=ChunkStorageMetadata(offsets=offsets, sizes=sizes),
            properties=TensorProperties(dtype=getattr(torch, item["dtype"]),
                                        requires_grad=item["requires_grad"]),
            size=torch.Size(item["size"])))


def plan_from_json(plan):
    paths = plan["paths"]
    if paths is not None:
        paths = {name: tuple(path) for name, path in paths}
    return SavePlan(items=[item_from_json(item) for item in plan["items"]], planner_data=paths)


def entries_to_json(metadata):
    """state_dict_metadata as the program prints it: a list of [name, what], in order."""
    entries = []
    for name, value in metadata.state_dict_metadata.items():
        if isinstance(value, BytesStorageMetadata):
            entries.append([name, None])
            continue
        entries.append([name, {
            "dtype": str(value.properties.dtype).removeprefix("torch."),
            "requires_grad": value.properties.requires_grad, "size": list(value.size),
            "chunks": [[list(chunk.offsets), list(chunk.sizes)] for chunk in value.chunks]}])
    return entries


class Planner:
    """tests/exchange/global_plan.cc, a question and an answer a line."""

    def __init__(self):
        program = os.environ.get("DCP_GLOBAL_PLAN", str(ROOT / "build/release/bin/exchange_global_plan"))
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, **question):
        self.process.stdin.write(json.dumps(question).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the program ended with {self.process.wait()}"
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        assert self.process.wait() == 0
