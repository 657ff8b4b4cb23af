"""Checkpoints in folders."""

from __future__ import annotations

import os
import pathlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from torch.distributed.checkpoint.filesystem import SerializationFormat, _StorageInfo

from ._engine.storage_roles import (
    EngineStorageReader,
    EngineStorageWriter,
    _StoragePrefix,
    is_local_path,
)
from ._engine.stream_transform import to_transforms, transforms_for
from ._extension import ExtensionRegistry
from .staging import BlockingAsyncStager

__all__ = [
    "FileSystemWriter",
    "FileSystemReader",
    "FileSystem",
    "FileSystemBase",
    "SerializationFormat",
]

DEFAULT_SUFFIX = ".distcp"
CURRENT_DCP_VERSION = "1.0.0"
_metadata_fn = ".metadata"

Path = str | os.PathLike[str]


class FileSystemBase(ABC):
    """What a storage asks of a file system. Paths are the file system's own, as ``init_path`` and
    ``concat_path`` make them."""

    @contextmanager
    @abstractmethod
    def create_stream(self, path: Path, mode: str) -> Generator[IO[bytes], None, None]:
        """An open file, for a ``with`` block."""

    @abstractmethod
    def concat_path(self, path: Path, suffix: str) -> Path:
        """``suffix`` in the folder ``path``."""

    @abstractmethod
    def rename(self, path: Path, new_path: Path) -> None: ...

    @abstractmethod
    def init_path(self, path: Path) -> Path:
        """The form of a path that the other methods take."""

    @abstractmethod
    def mkdir(self, path: Path) -> None:
        """With its parents; one that is there is as good."""

    @classmethod
    @abstractmethod
    def validate_checkpoint_id(cls, checkpoint_id: Path) -> bool:
        """Whether it names a place in such a file system."""

    @abstractmethod
    def exists(self, path: Path) -> bool: ...

    @abstractmethod
    def rm_file(self, path: Path) -> None: ...


class FileSystem(FileSystemBase):
    """Folders and files of this machine."""

    @contextmanager
    def create_stream(self, path: Path, mode: str) -> Generator[IO[bytes], None, None]:
        with open(path, mode) as stream:
            yield stream

    def concat_path(self, path: Path, suffix: str) -> Path:
        return pathlib.Path(path) / suffix

    def init_path(self, path: Path) -> Path:
        return path if isinstance(path, pathlib.Path) else pathlib.Path(path)

    def rename(self, path: Path, new_path: Path) -> None:
        pathlib.Path(path).rename(new_path)

    def mkdir(self, path: Path) -> None:
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Path) -> bool:
        return is_local_path(checkpoint_id)

    def exists(self, path: Path) -> bool:
        return pathlib.Path(path).exists()

    def rm_file(self, path: Path) -> None:
        pathlib.Path(path).unlink()

    def ls(self, path: Path) -> list[str]:
        """Paths of what is in a folder."""
        return [str(entry) for entry in pathlib.Path(path).iterdir()]


class _FileSystemWriter(EngineStorageWriter):
    """Data files and a ``.metadata`` file in a folder; what :class:`FileSystemWriter` is without its
    staging."""

    def __init__(
        self,
        path: Path,
        single_file_per_rank: bool = True,
        sync_files: bool = True,
        thread_count: int = 1,
        per_thread_copy_ahead: int = 10_000_000,
        overwrite: bool = True,
        _extensions: Sequence[Any] | None = None,
        serialization_format: SerializationFormat = SerializationFormat.TORCH_SAVE,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if serialization_format != SerializationFormat.TORCH_SAVE:
            raise ValueError(
                "checkpoints of this format hold items of torch.save; safetensors files are written "
                "by HuggingFaceStorageWriter"
            )
        self.fs: FileSystemBase = FileSystem()
        self.path = self.fs.init_path(path)
        self.single_file_per_rank = single_file_per_rank
        self.sync_files = sync_files
        self.thread_count = thread_count
        self.per_thread_copy_ahead = per_thread_copy_ahead
        self.overwrite = overwrite
        self.extensions = list(_extensions or ())
        self.serialization_format = serialization_format

    def _path_of(self, checkpoint_id: Path) -> Path:
        return self.fs.init_path(checkpoint_id)

    def _save_options(self) -> Mapping[str, Any]:
        return {
            "files": self.thread_count,
            "file_per_item": not self.single_file_per_rank,
            "durable": self.sync_files,
            "overwrite": self.overwrite,
            "transforms": to_transforms(self.extensions),
        }


class FileSystemWriter(_FileSystemWriter, BlockingAsyncStager):
    """Writes checkpoints into a folder. Readers find the old checkpoint or the new one, whole, at every
    instant: ``.metadata`` is put in place last.

    path: the folder, made if it is missing.
    single_file_per_rank: one or ``thread_count`` files a rank; False: a file for each item.
    sync_files: when a save returns, the checkpoint survives a power cut.
    thread_count: how many files a rank writes. How many threads write them is the engine's choice.
    per_thread_copy_ahead: has no effect: the engine bounds what it copies ahead by itself.
    cache_staged_state_dict: ``stage`` keeps its copies and fills them again the next time.
    overwrite: False makes an existing checkpoint an error.
    _extensions: stream transforms that items go through on their way into the files.
    serialization_format: TORCH_SAVE; for safetensors there is HuggingFaceStorageWriter.
    """

    def __init__(
        self,
        path: Path,
        single_file_per_rank: bool = True,
        sync_files: bool = True,
        thread_count: int = 1,
        per_thread_copy_ahead: int = 10_000_000,
        cache_staged_state_dict: bool = False,
        overwrite: bool = True,
        _extensions: Sequence[Any] | None = None,
        serialization_format: SerializationFormat = SerializationFormat.TORCH_SAVE,
    ) -> None:
        _FileSystemWriter.__init__(
            self,
            path=path,
            single_file_per_rank=single_file_per_rank,
            sync_files=sync_files,
            thread_count=thread_count,
            per_thread_copy_ahead=per_thread_copy_ahead,
            overwrite=overwrite,
            _extensions=_extensions,
            serialization_format=serialization_format,
        )
        BlockingAsyncStager.__init__(self, cache_staged_state_dict=cache_staged_state_dict)


class FileSystemReader(EngineStorageReader):
    """Reads checkpoints from a folder, of this library and of PyTorch, and only what is asked for.

    path: the folder.
    _extension_registry: the stream transforms that files may have gone through; zstd is known.
    """

    def __init__(self, path: Path, _extension_registry: Any = None) -> None:
        super().__init__()
        self.fs: FileSystemBase = FileSystem()
        self.path = self.fs.init_path(path)
        self.extension_registry = _extension_registry

    def _path_of(self, checkpoint_id: Path) -> Path:
        return self.fs.init_path(checkpoint_id)

    def _load_options(self) -> Mapping[str, Any]:
        registry = ExtensionRegistry() if self.extension_registry is None else self.extension_registry
        return {"transforms": transforms_for(registry)}
