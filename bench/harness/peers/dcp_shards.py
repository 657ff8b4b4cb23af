"""A checkpoint whose `.metadata` tells of a million shards, made of PyTorch's own classes."""

from __future__ import annotations

import gc
import pickle
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

ROWS, COLUMNS = 2, 2048  # of one shard: 16 KiB of float32
ITEM_BYTES = 4 * ROWS * COLUMNS + 1024


def make_shards(job: Any) -> Any:
    """`tensors` tensors, sharded by rows over `ranks` ranks, of which only the metadata is there,
    and the tensor `name` of `elements` float32, whose data is there, too. Every rank names tensors
    with strings of its own, as it is when plans come from other processes."""
    ranks, count = job.option("ranks"), job.option("tensors")
    yield
    gc.disable()
    real = torch.empty(job.option("elements"))
    job.payload.fill(real.data_ptr(), real.nbytes, 0)
    dcp.save({job.option("name"): real}, storage_writer=dcp.FileSystemWriter(job.folder))
    metadata = dcp.FileSystemReader(job.folder).read_metadata()
    names = [f"model.layers.{i // 8}.block_{i % 8}.weight" for i in range(count)]
    for name in names:
        chunks = [
            ChunkStorageMetadata(torch.Size([ROWS * rank, 0]), torch.Size([ROWS, COLUMNS]))
            for rank in range(ranks)
        ]
        metadata.state_dict_metadata[name] = TensorStorageMetadata(
            TensorProperties(dtype=torch.float32), torch.Size([ROWS * ranks, COLUMNS]), chunks
        )
        metadata.planner_data[name] = (name,)
    for rank in range(ranks):
        path = f"__{rank}_0.distcp"
        first = 1 if rank == 0 else 0  # behind the tensor that is there
        for i, name in enumerate(names):
            index = MetadataIndex("".join(tuple(name)), torch.Size([ROWS * rank, 0]), rank)
            metadata.storage_data[index] = _StorageInfo(
                path, (first + i) * ITEM_BYTES * 2, ITEM_BYTES
            )
    with open(job.folder / ".metadata.new", "wb") as file:
        pickle.dump(metadata, file)
    (job.folder / ".metadata.new").rename(job.folder / ".metadata")
    yield
    return {"chunks": ranks * count + 1}
