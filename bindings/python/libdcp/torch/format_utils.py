"""Checkpoints as single files of ``torch.save``, and back.

    python -m libdcp.torch.format_utils dcp_to_torch CHECKPOINT FILE
    python -m libdcp.torch.format_utils torch_to_dcp FILE CHECKPOINT
"""

from __future__ import annotations

import argparse
import itertools
import os
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed._shard._utils import narrow_tensor_by_index
from torch.futures import Future

from ._engine.objects import load_object
from ._nested_dict import flatten_state_dict
from .default_planner import DefaultLoadPlanner, _EmptyStateDictLoadPlanner, _size_of
from .filesystem import FileSystemReader, FileSystemWriter
from .metadata import (
    STATE_DICT_TYPE,
    STORAGE_TYPES,
    ChunkStorageMetadata,
    Metadata,
    TensorProperties,
    TensorStorageMetadata,
)
from .planner import LoadItemType, LoadPlan, LoadPlanner, ReadItem
from .state_dict_loader import _load_state_dict
from .state_dict_saver import _save_state_dict
from .storage import StorageReader
from .utils import _element_wise_add

__all__ = [
    "dcp_to_torch_save",
    "torch_save_to_dcp",
    "BroadcastingTorchSaveReader",
    "DynamicMetaLoadPlanner",
]


def _only_tensors(name: str, kind: type) -> RuntimeError:
    return RuntimeError(
        f"Non-tensor value identified at {name}. "
        f"At this time {kind.__name__} only supports loading Tensors."
    )


class BroadcastingTorchSaveReader(StorageReader):
    """Loads a file of ``torch.save``: the coordinator reads it, every tensor is broadcast, and each
    rank takes its parts. Tensors only; goes with DynamicMetaLoadPlanner.

    checkpoint_id: the file.
    coordinator_rank: the rank of the default group that reads it.
    """

    def __init__(
        self,
        checkpoint_id: str | os.PathLike[str] | None = None,
        coordinator_rank: int = 0,
    ) -> None:
        self.checkpoint_id = checkpoint_id
        self.coordinator_rank = coordinator_rank

    def read_metadata(self) -> Metadata:
        """Empty: the planner makes it of the state dict."""
        return Metadata(state_dict_metadata={})

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Collective over the default group. What the coordinator cannot read fails all ranks."""
        wanted: dict[str, list[ReadItem]] = {}
        for item in plan.items:
            if item.type == LoadItemType.BYTE_IO:
                raise _only_tensors(item.storage_index.fqn, type(self))
            wanted.setdefault(item.storage_index.fqn, []).append(item)
        of_ranks: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(of_ranks, list(wanted))
        names = list(dict.fromkeys(itertools.chain.from_iterable(of_ranks)))

        saved: dict[str, Any] = {}
        kinds: Any = None  # by name the shape and dtype, or what went wrong
        if self.is_coordinator:
            try:
                saved = self._read_file(planner)
                kinds = {name: _kind_of(name, saved, type(self)) for name in names}
            except Exception as error:
                kinds = error
        box = [kinds]
        dist.broadcast_object_list(box, src=self.coordinator_rank)
        if isinstance(box[0], Exception):
            raise box[0]

        device = dist.distributed_c10d._get_pg_default_device()
        for name in names:
            shape, dtype = box[0][name]
            if self.is_coordinator:
                tensor = saved.pop(name).detach().to(device).contiguous()
            else:
                tensor = torch.empty(shape, dtype=dtype, device=device)
            dist.broadcast(tensor, src=self.coordinator_rank)
            for item in wanted.get(name, ()):
                _take_part(tensor, item, planner)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def _read_file(self, planner: LoadPlanner) -> dict[str, Any]:
        if self.checkpoint_id is None:
            raise AssertionError("checkpoint_id must be set before reading data")
        saved: dict[str, Any] = _load_file(self.checkpoint_id, map_location="cpu")
        if getattr(planner, "flatten_state_dict", False):
            saved, _ = flatten_state_dict(saved)
        return saved

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool) -> None:
        """AssertionError where the coordinator is not ``coordinator_rank``, or no file is named."""
        self.is_coordinator = is_coordinator
        if is_coordinator and dist.get_rank() != self.coordinator_rank:
            raise AssertionError(
                f"Coordinator rank mismatch: expected {self.coordinator_rank}, "
                f"got {dist.get_rank()}"
            )
        if self.checkpoint_id is None:
            raise AssertionError("checkpoint_id must be set before setting up storage reader")

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """As it is."""
        return plan

    def prepare_global_plan(self, global_plan: list[LoadPlan]) -> list[LoadPlan]:
        """As they are."""
        return global_plan

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Takes another file."""
        self.checkpoint_id = checkpoint_id

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Whether it is a file."""
        return os.path.isfile(checkpoint_id)


def _kind_of(name: str, saved: dict[str, Any], reader: type) -> tuple[torch.Size, torch.dtype]:
    if name not in saved:
        raise KeyError(f"the file has no '{name}'")
    if not torch.is_tensor(saved[name]):
        raise _only_tensors(name, reader)
    return saved[name].size(), saved[name].dtype


def _take_part(tensor: torch.Tensor, item: ReadItem, planner: LoadPlanner) -> None:
    # The item counts from the chunk that the planner takes to be saved.
    chunk = item.storage_index.offset or [0] * len(item.storage_offsets)
    start = _element_wise_add(chunk, item.storage_offsets)
    part = narrow_tensor_by_index(tensor, start, item.lengths)
    target = planner.resolve_tensor(item).detach()
    if target.size() != part.size():
        raise AssertionError(
            f"req {item.storage_index} mismatch sizes, {target.size()} vs {part.size()}"
        )
    target.copy_(part)
    planner.commit_tensor(item, target)


class DynamicMetaLoadPlanner(DefaultLoadPlanner):
    """For storage that has no metadata: takes what the state dict asks for to be what is there.
    Tensors only; goes with BroadcastingTorchSaveReader."""

    def set_up_planner(
        self,
        state_dict: STATE_DICT_TYPE,
        metadata: Metadata | None = None,
        is_coordinator: bool = False,
    ) -> None:
        super().set_up_planner(state_dict, metadata, is_coordinator)
        entries: dict[str, STORAGE_TYPES] = {}
        for key, tensor in self.state_dict.items():
            if not torch.is_tensor(tensor):
                raise _only_tensors(key, type(self))
            size = _size_of(tensor)
            # A file holds whole tensors, whatever part of them this rank asks for.
            whole = ChunkStorageMetadata(offsets=torch.Size([0] * len(size)), sizes=size)
            entries[key] = TensorStorageMetadata(
                TensorProperties(dtype=tensor.dtype), size, [whole]
            )
        self.metadata = Metadata(state_dict_metadata=entries)


def _load_file(path: str | os.PathLike[str], **options: Any) -> Any:
    """A file of ``torch.save``, objects by the rule of loads."""
    with open(path, "rb") as file:
        return load_object(file, os.fspath(path), **options)


def dcp_to_torch_save(
    dcp_checkpoint_dir: str | os.PathLike[str],
    torch_save_path: str | os.PathLike[str],
) -> None:
    """The whole checkpoint as one file that ``torch.load`` reads. It passes through this process's
    memory, so let one rank do it."""
    state_dict: STATE_DICT_TYPE = {}
    _load_state_dict(
        state_dict,
        storage_reader=FileSystemReader(dcp_checkpoint_dir),
        planner=_EmptyStateDictLoadPlanner(),
        no_dist=True,
    )
    torch.save(state_dict, torch_save_path)


def torch_save_to_dcp(
    torch_save_path: str | os.PathLike[str],
    dcp_checkpoint_dir: str | os.PathLike[str],
) -> None:
    """A file of ``torch.save`` as a checkpoint. It passes through this process's memory, so let one
    rank do it."""
    _save_state_dict(
        _load_file(torch_save_path),
        storage_writer=FileSystemWriter(dcp_checkpoint_dir),
        no_dist=True,
    )


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m libdcp.torch.format_utils")
    parser.add_argument("mode", choices=["torch_to_dcp", "dcp_to_torch"], help="Conversion mode")
    parser.add_argument("src", help="Path to the source model")
    parser.add_argument("dst", help="Path to the destination model")
    chosen = parser.parse_args(arguments)
    convert, there = {
        "torch_to_dcp": (torch_save_to_dcp, os.path.isfile),
        "dcp_to_torch": (dcp_to_torch_save, os.path.isdir),
    }[chosen.mode]
    print(
        f"Converting checkpoint from {chosen.src} to {chosen.dst} using method: '{chosen.mode}'"
    )
    if not there(chosen.src):
        print(f"No checkpoint found at {chosen.src}. Skipping conversion.")
        return 1
    convert(chosen.src, chosen.dst)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
