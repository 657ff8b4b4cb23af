"""torch.distributed.checkpoint short of whole checkpoints, and what is done to its files."""

from __future__ import annotations

import gc
import io
import pickle
import zipfile
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata
from torch.distributed.checkpoint.planner import LoadPlan
from torch.distributed.checkpoint.planner_helpers import create_read_items_for_chunk_list

from . import sync_folder


class RowsPlanner(DefaultLoadPlanner):
    """Loads rows [first, first + len(rows)) of one tensor into `rows`."""

    def __init__(self, name: str, first: int, rows: torch.Tensor) -> None:
        super().__init__()
        self._name = name
        self._first = first
        self._rows = rows

    def create_local_plan(self) -> LoadPlan:
        box = ChunkStorageMetadata(torch.Size([self._first, 0]), self._rows.size())
        entry = self.metadata.state_dict_metadata[self._name]
        return LoadPlan(create_read_items_for_chunk_list(self._name, entry, [box]))

    def lookup_tensor(self, index: Any) -> torch.Tensor:
        return self._rows


def rows(job: Any) -> Any:
    """Options: name, seed, first, rows."""
    reader = dcp.FileSystemReader(job.folder)
    whole = reader.read_metadata().state_dict_metadata[job.option("name")]
    tensor = torch.zeros(job.option("rows"), whole.size[1], dtype=whole.properties.dtype)
    row_bytes = tensor[0].nbytes
    yield
    planner = RowsPlanner(job.option("name"), job.option("first"), tensor)
    dcp.load({}, storage_reader=dcp.FileSystemReader(job.folder), planner=planner)
    yield
    job.payload.check(
        "the slice",
        tensor.data_ptr(),
        tensor.nbytes,
        job.option("seed"),
        job.option("first") * row_bytes,
    )
    return {"bytes": tensor.nbytes}


def tensor(job: Any) -> Any:
    """One tensor of a checkpoint. Options: name, seed, elements (of float32)."""
    into = torch.zeros(job.option("elements"))
    yield
    dcp.load({job.option("name"): into}, storage_reader=dcp.FileSystemReader(job.folder))
    yield
    job.payload.check(job.option("name"), into.data_ptr(), into.nbytes, job.option("seed"))
    return {"bytes": into.nbytes}


def decode(job: Any) -> Any:
    """pickle.load of `.metadata`. Option: collect_garbage, as Python does unless told otherwise."""
    path = job.folder / ".metadata"
    if not job.option("collect_garbage", True):
        gc.disable()
    yield
    with open(path, "rb") as file:
        metadata = pickle.load(file)
    yield
    chunks = sum(len(entry.chunks) for entry in metadata.state_dict_metadata.values())
    return {
        "bytes": path.stat().st_size,
        "entries": len(metadata.state_dict_metadata),
        "chunks": chunks,
    }


class Part(io.RawIOBase):
    """Bytes [offset, offset + length) of an open file."""

    def __init__(self, file: io.FileIO, offset: int, length: int) -> None:
        self._file = file
        self._offset = offset
        self._length = length
        self._at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, into: Any) -> int:
        into = memoryview(into)[: max(self._length - self._at, 0)]
        self._file.seek(self._offset + self._at)
        count = self._file.readinto(into)
        self._at += count
        return count


def testzip(job: Any) -> Any:
    """zipfile's check of every item, in the order of the files."""
    metadata = dcp.FileSystemReader(job.folder).read_metadata()
    items = sorted((i.relative_path, i.offset, i.length) for i in metadata.storage_data.values())
    paths = {path for path, _, _ in items}
    files = {path: open(job.folder / path, "rb", buffering=0) for path in paths}
    yield
    for path, offset, length in items:
        with zipfile.ZipFile(Part(files[path], offset, length)) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise AssertionError(f"{damaged} in {path} at {offset} is damaged")
    yield
    return {"bytes": sum(length for _, _, length in items), "items": len(items)}


def to_torch_save(job: Any) -> Any:
    """Converted to a file of torch.save, made durable. Option: into (a folder)."""
    into = job.folder.parent / job.option("into")
    into.mkdir(parents=True)
    yield
    dcp_to_torch_save(job.folder, into / "state.pt")
    sync_folder(into)
    yield


PARTS = {
    "rows": rows,
    "tensor": tensor,
    "decode": decode,
    "testzip": testzip,
    "to_torch_save": to_torch_save,
}
