"""One rank's items of a checkpoint, written and read by the engine without the other ranks."""

from __future__ import annotations

import io
import os
import pathlib
import re
import shutil
import uuid
from typing import Any, Callable, Iterable, Mapping

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
    LoadItemType,
    LoadPlan,
    LoadPlanner,
    ReadItem,
    SavePlan,
    SavePlanner,
    WriteItem,
)
from torch.distributed.checkpoint.storage import WriteResult

from ..._checkpoint import Checkpoint
from ..._errors import CancelledError, Error, MismatchError, UnsupportedError
from ..._load import load_into
from ..._planner import SavePlanner as EngineSavePlanner
from ..._save import save
from ..._storage import Storage
from . import metadata as metadata_files
from .caller import Caller
from .failures import own_exception
from .files import LocalFiles, data_file, names_in, remove_file
from .objects import ObjectNotLoadedError
from .planner_bridge import (
    DiffersFromPlan,
    PlannedItems,
    PlannedReads,
    ResolvedItems,
    check_sizes,
)

_SCRATCH = re.compile(r"\.libdcp-[0-9a-f]{32}", re.ASCII)  # folders that data files are written in

Naming = Callable[[int], str]  # the name of data file n


# ---- writing ----


def write_items(
    plan: SavePlan,
    planner: SavePlanner,
    files: Storage,
    name: Naming,
    options: Mapping[str, Any],
    stopped: Callable[[], bool] = lambda: False,
) -> list[WriteResult]:
    """Writes what ``planner`` resolves the plan's items to, into data files of these names, and says
    where each item lies. After a failure no file is left. What the planner raises comes out as it
    is. ``options`` are those of :func:`libdcp.save`; once ``stopped`` says so, no more is resolved."""
    if not plan.items:
        return []
    caller = Caller()
    parallel = options.get("files", 1) > 1

    def resolve(item: WriteItem) -> Any:
        if stopped():
            raise CancelledError("the save was given up")
        return planner.resolve_data(item)

    try:
        try:
            lazily = PlannedItems(plan.items, resolve, caller, parallel)
            placed = _write(lazily, files, name, options)
        except Error as error:
            if not isinstance(own_exception(error), DiffersFromPlan):
                raise
            resolved = ResolvedItems(plan.items, resolve)
            placed = _write(resolved, files, name, options)
    except Error as error:
        own = own_exception(error)
        if own is error:
            raise
        raise own
    return [
        WriteResult(index=item.index, size_in_bytes=placed[number].length, storage_data=placed[number])
        for number, item in enumerate(plan.items)
    ]


def _write(
    planner: EngineSavePlanner, files: Storage, name: Naming, options: Mapping[str, Any]
) -> dict[int, Any]:
    """Where each item lies, by number."""
    options = {**options, "overwrite": True, "planner": planner}
    if isinstance(files, LocalFiles):
        return _write_beside(files, name, options)
    renamed = _Renamed(files, name)
    try:
        save({}, renamed, **options)
    except BaseException:
        renamed.remove_all()
        raise
    return _placed(renamed.memory[metadata_files.METADATA], name)


def _write_beside(files: LocalFiles, name: Naming, options: Mapping[str, Any]) -> dict[int, Any]:
    """In a folder of its own inside of the checkpoint's, from where the files are then moved."""
    scratch = pathlib.Path(files.folder) / f".libdcp-{uuid.uuid4().hex}"
    moved: list[str] = []
    try:
        save({}, scratch, **options)
        placed = _placed((scratch / metadata_files.METADATA).read_bytes(), name)
        for written in sorted(os.listdir(scratch)):
            found = data_file(written)
            if found is not None:
                moved.append(name(found.number))
                os.replace(scratch / written, pathlib.Path(files.folder) / moved[-1])
        if options.get("durable", True):
            files.sync_folder()
    except BaseException:
        for left in moved:
            (pathlib.Path(files.folder) / left).unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return placed


def _placed(encoded: bytes, name: Naming) -> dict[int, Any]:
    placed = {}
    for index, info in metadata_files.decode(encoded).storage_data.items():
        file = data_file(info.relative_path)
        assert file is not None
        info.relative_path = name(file.number)
        placed[int(index.fqn)] = info
    return placed


def remove_unfinished(files: Storage, metadata_name: str) -> None:
    """After a commit under this name: what saves that were cut off have left behind."""
    for name in names_in(files):
        if name.startswith(f"{metadata_name}.") and name.endswith(".tmp"):
            remove_file(files, name)
    if not isinstance(files, LocalFiles) or metadata_name != metadata_files.METADATA:
        return  # without collectives other ranks may still be at work
    for folder in pathlib.Path(files.folder).iterdir():
        if _SCRATCH.fullmatch(folder.name):
            shutil.rmtree(folder, ignore_errors=True)


class _Open:
    """A file of the storage below, or one that is kept in memory."""

    def __init__(self, below: Any = None, name: str = "", data: Any = None) -> None:
        self.below = below
        self.name = name
        self.data = data


class _Renamed(Storage):
    """Data files go to other files under other names; the metadata stays here."""

    def __init__(self, files: Storage, name: Naming) -> None:
        self._files = files
        self._name = name
        self._created: list[str] = []
        self.memory: dict[str, bytes] = {}

    def location(self) -> str:
        return self._files.location()

    def make_root(self) -> None:
        self._files.make_root()

    def create(self, path: str, expected_size: int) -> Any:
        found = data_file(path)
        if found is None:
            return _Open(name=path, data=bytearray())
        name = self._name(found.number)
        self._created.append(name)
        return _Open(self._files.create(name, expected_size))

    def write(self, file: Any, offset: int, data: memoryview) -> None:
        if file.data is None:
            self._files.write(file.below, offset, data)
        else:
            file.data[offset : offset + len(data)] = data

    def finish(self, file: Any, size: int, durable: bool) -> None:
        if file.data is None:
            self._files.finish(file.below, size, durable)
        else:
            self.memory[file.name] = bytes(file.data[:size])

    def abort(self, file: Any) -> None:
        if file.data is None:
            self._files.abort(file.below)

    def open(self, path: str) -> tuple[Any, int]:
        if path not in self.memory:
            raise FileNotFoundError(path)
        return _Open(data=self.memory[path]), len(self.memory[path])

    def read(self, file: Any, offset: int, buffer: memoryview) -> None:
        buffer[:] = file.data[offset : offset + len(buffer)]

    def rename(self, source: str, target: str) -> None:
        self.memory[target] = self.memory.pop(source)

    def remove(self, path: str) -> None:
        found = data_file(path)
        if found is not None:
            self._files.remove(self._name(found.number))
        elif self.memory.pop(path, None) is None:
            raise FileNotFoundError(path)

    def list(self) -> Iterable[str]:
        return list(self.memory)

    def sync_folder(self) -> None:
        self._files.sync_folder()

    def remove_all(self) -> None:
        there = set(names_in(self._files))
        for name in self._created:
            if name in there:
                self._files.remove(name)


# ---- reading ----


def read_items(
    plan: LoadPlan,
    planner: LoadPlanner,
    metadata: Metadata,
    storage_data: Mapping[MetadataIndex, Any],
    files: Storage,
    options: Mapping[str, Any],
) -> None:
    """Gives ``planner`` every item of the plan, from where ``storage_data`` says that it lies.
    ``options`` are those of :func:`libdcp.load_into`. What the planner raises comes out as it is."""
    if not plan.items:
        return
    caller = Caller()
    selected = _Selected(files, plan, metadata, storage_data)
    opening = {key: value for key, value in options.items() if key in ("verify", "transforms")}
    reads = PlannedReads(selected.tensors, selected.dtypes, planner, caller)
    try:
        if selected.tensors:
            try:
                load_into({}, selected, planner=reads, **options)
            except (MismatchError, UnsupportedError) as error:
                if own_exception(error) is not error:
                    raise
                with Checkpoint(selected, **opening) as checkpoint:
                    for number, item in reads.left().items():
                        _read_as_torch(checkpoint[str(number)].item_bytes(), item, planner)
        if selected.for_torch:
            with Checkpoint(selected, **opening) as checkpoint:
                for number, item in selected.for_torch.items():
                    _read_as_torch(checkpoint[str(number)].item_bytes(), item, planner)
        if selected.objects:
            with Checkpoint(selected, **opening) as checkpoint:
                _load_objects(selected.objects, checkpoint, planner)
    except Error as error:
        own = own_exception(error)
        if own is error:
            raise
        raise own


def _load_objects(
    items: Mapping[int, ReadItem], checkpoint: Checkpoint, planner: LoadPlanner
) -> None:
    """All that may be built, before the error for the first that may not."""
    refused: ObjectNotLoadedError | None = None
    for number, item in items.items():
        try:
            planner.load_bytes(item, io.BytesIO(checkpoint[str(number)].item_bytes()))
        except ObjectNotLoadedError as error:
            refused = refused or error
    if refused is not None:
        raise refused


def _read_as_torch(stored: bytes, item: ReadItem, planner: LoadPlanner) -> None:
    """A tensor that is stored as something else than the metadata tells: upstream's planners may
    write another dtype than they plan, and tensors of kinds that only torch can read."""
    tensor = torch.load(io.BytesIO(stored), map_location="cpu", weights_only=True)
    for dimension, (offset, length) in enumerate(zip(item.storage_offsets, item.lengths)):
        if length != tensor.shape[dimension]:
            tensor = tensor.narrow(dimension, offset, length)
    target = planner.resolve_tensor(item).detach()
    check_sizes(item, target)
    if target.layout is not torch.strided:
        raise ValueError(
            f"'{item.dest_index.fqn}' is to be loaded into a {target.layout} tensor, of which no part "
            "can be filled: give the planner a dense one"
        )
    target.copy_(tensor)
    planner.commit_tensor(item, target)


_QUANTIZED = frozenset(
    {torch.quint8, torch.qint8, torch.qint32, torch.quint4x2, torch.quint2x4}
)


class _Selected(Storage):
    """A checkpoint of the items of a load plan, each under its number, over the data files there are."""

    def __init__(
        self,
        files: Storage,
        plan: LoadPlan,
        metadata: Metadata,
        storage_data: Mapping[MetadataIndex, Any],
    ) -> None:
        self._files = files
        self.objects: dict[int, ReadItem] = {}
        self.tensors: dict[int, ReadItem] = {}
        self.dtypes: dict[int, torch.dtype] = {}
        self.for_torch: dict[int, ReadItem] = {}  # tensors that the engine does not read
        entries: dict[str, Any] = {}
        places: dict[MetadataIndex, Any] = {}
        for number, item in enumerate(plan.items):
            name = str(number)
            info = storage_data[item.storage_index]
            if item.type == LoadItemType.BYTE_IO:
                self.objects[number] = item
                entries[name] = BytesStorageMetadata()
                places[MetadataIndex(name)] = info
                continue
            entry = metadata.state_dict_metadata[item.storage_index.fqn]
            chunk = _chunk(entry, item.storage_index)
            if entry.properties.dtype in _QUANTIZED:
                self.for_torch[number] = item
            else:
                self.tensors[number] = item
                self.dtypes[number] = entry.properties.dtype
            zeros = torch.Size([0] * len(chunk.sizes))
            entries[name] = TensorStorageMetadata(
                TensorProperties(dtype=entry.properties.dtype),
                chunk.sizes,
                [ChunkStorageMetadata(zeros, chunk.sizes)],
            )
            places[MetadataIndex(name, zeros, 0)] = info
        self._metadata = metadata_files.encode(
            Metadata(entries, storage_data=places, version=metadata_files.VERSION)
        )

    def location(self) -> str:
        return self._files.location()

    def open(self, path: str) -> tuple[Any, int]:
        if path == metadata_files.METADATA:
            return _Open(data=self._metadata), len(self._metadata)
        file, size = self._files.open(path)
        return _Open(file), size

    def read(self, file: Any, offset: int, buffer: memoryview) -> int | None:
        if file.data is None:
            return self._files.read(file.below, offset, buffer)
        buffer[:] = file.data[offset : offset + len(buffer)]
        return None

    def close(self, file: Any) -> None:
        if file.data is None:
            self._files.close(file.below)

    def list(self) -> Iterable[str]:
        return [metadata_files.METADATA]


def _chunk(entry: Any, index: MetadataIndex) -> ChunkStorageMetadata:
    if not isinstance(entry, TensorStorageMetadata):
        raise ValueError(f"the checkpoint's '{index.fqn}' is no tensor")
    hint = index.index
    if hint is not None and hint < len(entry.chunks) and entry.chunks[hint].offsets == index.offset:
        return entry.chunks[hint]
    for chunk in entry.chunks:
        if chunk.offsets == index.offset:
            return chunk
    raise ValueError(f"the checkpoint has no chunk of '{index.fqn}' at {index.offset}")
