"""bench/planning/simulated_plans.cc, for PyTorch."""

from __future__ import annotations

import dataclasses
from typing import Any

ROWS, COLUMNS = 16, 4096
KINDS = (
    "attention.wq.weight",
    "attention.wk.weight",
    "attention.wv.weight",
    "attention.wo.weight",
    "feed_forward.w1.weight",
    "feed_forward.w2.weight",
    "feed_forward.w3.weight",
    "attention_norm.weight",
    "ffn_norm.weight",
)


@dataclasses.dataclass(frozen=True)
class PlannedJob:
    ranks: int
    items: int  # a rank
    stages: int = 1
    replicas: int = 1

    @property
    def total(self) -> int:
        return self.ranks * self.items


def plan(job: PlannedJob, rank: int) -> Any:
    """The SavePlan of a rank."""
    import torch
    from torch.distributed.checkpoint.metadata import (
        ChunkStorageMetadata,
        MetadataIndex,
        TensorProperties,
    )
    from torch.distributed.checkpoint.planner import (
        SavePlan,
        TensorWriteData,
        WriteItem,
        WriteItemType,
    )

    per_stage = job.ranks // job.stages
    stage, within = divmod(rank, per_stage)
    parts = per_stage // job.replicas
    part = within % parts
    items, paths = [], {}
    for i in range(job.items - 1):
        kind, role = i % len(KINDS), i // len(KINDS) % 3
        rest = f"layers.{stage * 100 + i // (3 * len(KINDS))}.{KINDS[kind]}"
        name, path = f"model.{rest}", ("model", rest)
        if role > 0:
            state = "exp_avg" if role == 1 else "exp_avg_sq"
            name = f"optim.state.{rest}.{state}"
            path = ("optim", "state", rest, state)
        whole = role == 0 and kind == len(KINDS) - 1
        offsets = torch.Size((0 if whole else part * ROWS, 0))
        sizes = torch.Size((1 if whole else ROWS, COLUMNS))
        dtype = torch.bfloat16 if role == 0 else torch.float32
        items.append(
            WriteItem(
                index=MetadataIndex(name, offsets),
                type=WriteItemType.TENSOR if whole else WriteItemType.SHARD,
                tensor_data=TensorWriteData(
                    chunk=ChunkStorageMetadata(offsets=offsets, sizes=sizes),
                    properties=TensorProperties(dtype=dtype),
                    size=torch.Size((1 if whole else parts * ROWS, COLUMNS)),
                ),
            )
        )
        paths[name] = path
    items.append(WriteItem(index=MetadataIndex("epoch"), type=WriteItemType.BYTE_IO))
    paths["epoch"] = ("epoch",)
    return SavePlan(items=items, planner_data=paths)
