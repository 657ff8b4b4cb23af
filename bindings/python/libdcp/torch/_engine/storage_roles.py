"""torch's storage roles over the engine: what FileSystemWriter, FileSystemReader and their kin are
made of. They plug into torch.distributed.checkpoint's own save and load as well as into ours.

A class that derives from them says where the checkpoint is (``_where``) and with which options it is
written or read (``_save_options``, ``_load_options``); its ``path`` is the checkpoint id.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import uuid
import warnings
from typing import Any, Callable, Mapping

from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import LoadPlan, LoadPlanner, SavePlan, SavePlanner
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter, WriteResult
from torch.futures import Future

from ..._errors import CancelledError
from ..._storage import Storage, Where
from . import metadata as metadata_files
from .files import (
    commit_file,
    data_file,
    files_of,
    names_in,
    rank_metadata,
    read_file,
    remove_file,
)
from .rank_items import read_items, remove_unfinished, write_items


@dataclasses.dataclass(frozen=True)
class _StoragePrefix:
    """How a rank's data files are named: ``{prefix}{n}.distcp``, of a save over an older checkpoint
    ``{prefix}{n}.g{generation}.distcp``."""

    prefix: str
    generation: int = 0

    def file(self, number: int) -> str:
        mark = f".g{self.generation}" if self.generation else ""
        return f"{self.prefix}{number}{mark}.distcp"


def _next_generation(names: list[str]) -> int:
    """0 for a folder without checkpoints, else more than any name has."""
    found = [file for file in map(data_file, names) if file is not None]
    if found:
        return max(file.generation for file in found) + 1
    there = any(name == metadata_files.METADATA or rank_metadata(name) is not None for name in names)
    return 1 if there else 0


def never() -> bool:
    return False


class EngineStorageWriter(StorageWriter):
    """Data files, and `.metadata` last and at once: until ``finish`` has put it in place, readers
    find the checkpoint that was there before, whole."""

    path: str | os.PathLike[str]
    overwrite: bool = True
    sync_files: bool = True

    def __init__(self) -> None:
        super().__init__()
        self.save_id = str(uuid.uuid4())
        self.rank: int | None = None
        self.use_collectives = True
        self._is_coordinator = False
        self._written: set[str] = set()
        self._stopped: Callable[[], bool] = never  # whether nobody waits for it any more
        self._concludes = True  # False: whoever calls the roles calls _conclude when all are done

    def __getstate__(self) -> dict[str, Any]:
        """For a background process, which has nothing to do with a save under way here."""
        return {**self.__dict__, "_stopped": never, "_concludes": True}

    # What derived classes say

    def _where(self) -> Where:
        """A path, or a libdcp.Storage."""
        return self.path

    def _path_of(self, checkpoint_id: str | os.PathLike[str]) -> str | os.PathLike[str]:
        """What ``path`` is for a checkpoint id."""
        return pathlib.Path(checkpoint_id)

    def _save_options(self) -> Mapping[str, Any]:
        """Arguments of libdcp.save: files, file_per_item, durable, overwrite, transforms, ..."""
        return {"durable": self.sync_files}

    # Roles, in the order of calls

    @property
    def checkpoint_id(self) -> str | os.PathLike[str]:
        """Where the checkpoint will be."""
        return self.path

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Whether it is a path that can be written below."""
        return is_local_path(checkpoint_id)

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        if checkpoint_id:
            self.path = self._path_of(checkpoint_id)
        self.save_id = str(uuid.uuid4())

    def storage_meta(self) -> StorageMeta | None:
        return StorageMeta(checkpoint_id=self.checkpoint_id, save_id=self.save_id)

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        self._is_coordinator = is_coordinator
        self._written = set()
        self.rank = kwargs.get("rank")
        self.use_collectives = kwargs.get("use_collectives", True)

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        files = files_of(self._where())
        files.make_root()
        names = names_in(files)
        committed = metadata_files.METADATA if self.use_collectives else "__0.metadata"
        if committed in names:
            if not self.overwrite:
                raise RuntimeError(f"Checkpoint already exists and self.overwrite={self.overwrite}.")
            self._tell_of_existing(3)
        if self.rank is not None and not self.use_collectives:
            prefix = _StoragePrefix(f"__{self.rank}_", _next_generation(names))
            plan = dataclasses.replace(plan, storage_data=prefix)
        return plan

    def _warn_if_overwriting(self, use_collectives: bool) -> None:
        """For saves that do not come by prepare_local_plan."""
        if not self.overwrite:
            return  # it is refused, or there is none
        committed = metadata_files.METADATA if use_collectives else "__0.metadata"
        where = self._where()
        if isinstance(where, (str, os.PathLike)):
            there = os.path.exists(os.path.join(where, committed))
        else:
            there = committed in names_in(files_of(where))
        if there:
            self._tell_of_existing(9)

    def _tell_of_existing(self, stacklevel: int) -> None:
        warnings.warn(
            f"Detected an existing checkpoint in {self.path}, overwriting since self.overwrite="
            f"{self.overwrite}. It stays until the new one is whole.",
            stacklevel=stacklevel,
        )

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        generation = _next_generation(names_in(files_of(self._where())))
        return [
            dataclasses.replace(plan, storage_data=_StoragePrefix(f"__{rank}_", generation))
            if plan.storage_data is None
            else plan
            for rank, plan in enumerate(plans)
        ]

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        given = plan.storage_data
        prefix = given if isinstance(given, _StoragePrefix) else _StoragePrefix(given.prefix)
        options = dict(self._save_options())
        stopped = self._stopped
        written = write_items(
            plan, planner, files_of(self._where()), prefix.file, options, stopped
        )
        self._written = {result.storage_data.relative_path for result in written}
        if stopped():
            self._abandon()
            raise CancelledError("the save was given up while this rank wrote")
        future: Future[list[WriteResult]] = Future()
        future.set_result(written)
        return future

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        metadata_files.located(metadata, results)
        metadata.storage_meta = self.storage_meta()
        files = files_of(self._where())
        name = metadata_files.METADATA
        if not self.use_collectives and self.rank is not None:
            name = f"__{self.rank}{name}"
        commit_file(files, name, metadata_files.encode(metadata), self.save_id, self.sync_files)
        self._finished = name, metadata.storage_data
        if self.use_collectives:
            self._remove_stale(files)
        elif self._concludes:
            self._conclude()

    def _abandon(self) -> None:
        """After another rank's failure: what write_data has left goes."""
        files = files_of(self._where())
        for name in self._written:
            remove_file(files, name)
        self._written = set()

    def _conclude(self, world_size: int | None = None) -> None:
        """Without collectives, when all ranks have finished: the coordinator's comes first. What was
        committed with collectives stood until now, and readers prefer it."""
        files = files_of(self._where())
        if self._is_coordinator:
            remove_file(files, metadata_files.METADATA)
        self._remove_stale(files, world_size)

    def _remove_stale(self, files: Storage, world_size: int | None = None) -> None:
        """Data files that the new metadata does not name, and other metadata: of all ranks; without
        collectives of this one, and on the coordinator of those that are no ranks any more."""
        name, storage_data = self._finished
        remove_unfinished(files, name)
        keep = {name}
        for info in storage_data.values():
            if not isinstance(getattr(info, "relative_path", None), str):
                return  # of a derived class, which knows what it has written
            keep.add(info.relative_path)
        for stale in names_in(files):
            found = data_file(stale)
            rank = found.rank if found is not None else rank_metadata(stale)
            if rank is None or stale in keep:
                continue
            gone = self._is_coordinator and world_size is not None and rank >= world_size
            if not (self.use_collectives or rank == self.rank or gone):
                continue
            try:
                remove_file(files, stale)
            except OSError as error:
                warnings.warn(f"'{stale}' of an older checkpoint stays: {error}", stacklevel=2)


class EngineStorageReader(StorageReader):
    """Reads what either library has written. Only what a load plan names is read."""

    path: str | os.PathLike[str]

    def __init__(self) -> None:
        super().__init__()
        self.load_id = str(uuid.uuid4())
        self.storage_data: dict[Any, Any] = {}
        self.rank: int | None = None
        self.use_collectives = True
        self._metadata: Metadata | None = None

    # What derived classes say

    def _where(self) -> Where:
        """A path, or a libdcp.Storage."""
        return self.path

    def _path_of(self, checkpoint_id: str | os.PathLike[str]) -> str | os.PathLike[str]:
        """What ``path`` is for a checkpoint id."""
        return pathlib.Path(checkpoint_id)

    def _load_options(self) -> Mapping[str, Any]:
        """Arguments of libdcp.load_into: transforms, verify."""
        return {}

    # Roles, in the order of calls

    @property
    def checkpoint_id(self) -> str | os.PathLike[str]:
        """Where the checkpoint is."""
        return self.path

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Whether it is a path of this machine."""
        return is_local_path(checkpoint_id)

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        if checkpoint_id:
            self.path = self._path_of(checkpoint_id)
        self.storage_data = {}
        self._metadata = None
        self.load_id = str(uuid.uuid4())

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """``rank``: of that rank alone, from a save without collectives."""
        rank = kwargs.get("rank")
        name = metadata_files.METADATA if rank is None else f"__{rank}{metadata_files.METADATA}"
        metadata = metadata_files.decode(read_file(files_of(self._where()), name), name)
        if metadata.storage_meta is None:
            metadata.storage_meta = StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata

    def set_up_storage_reader(
        self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any
    ) -> None:
        if metadata.storage_data is None:
            raise AssertionError("the metadata says nothing of where the items lie")
        self.storage_data = metadata.storage_data
        self._metadata = metadata
        self.rank = kwargs.get("rank")
        self.use_collectives = kwargs.get("use_collectives", True)

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        assert self._metadata is not None, "set_up_storage_reader comes before read_data"
        files = files_of(self._where())
        read_items(plan, planner, self._metadata, self.storage_data, files, self._load_options())
        future: Future[None] = Future()
        future.set_result(None)
        return future


def is_local_path(checkpoint_id: str | os.PathLike[str]) -> bool:
    """Whether it names a place of this machine, below a folder that can be written to; a pathlib path
    always does."""
    if isinstance(checkpoint_id, pathlib.Path):
        return True
    text = str(checkpoint_id)
    if "://" in text:
        return False
    return any(os.access(folder, os.W_OK) for folder in pathlib.Path(text).parents)
