"""torch.distributed.checkpoint.fsspec_filesystem: checkpoints on any file system that fsspec knows."""

from __future__ import annotations

import io
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._engine.fsspec_url import below, in_file_system
from ._extension import StreamTransformExtension
from .filesystem import (
    FileSystemBase,
    FileSystemReader,
    FileSystemWriter,
    SerializationFormat,
)

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from ._engine.fsspec_storage import FsspecStorage

__all__ = [
    "FsspecWriter",
    "FsspecReader",
]


class _FileSystem(FileSystemBase):
    """Single operations on a file system of fsspec's. The first `init_path` says which one."""

    def __init__(self) -> None:
        self.fs: AbstractFileSystem | None = None
        self._options: dict[str, Any] = {}

    def _there(self) -> AbstractFileSystem:
        if self.fs is None:
            raise AssertionError("fs should not be None")
        return self.fs

    def _name(self, path: str | os.PathLike) -> str:
        return in_file_system(self._there(), os.fspath(path), self._options)

    @contextmanager
    def create_stream(
        self, path: str | os.PathLike, mode: str
    ) -> Generator[io.IOBase, None, None]:
        """What was being written when the block raised is removed; what was read stays."""
        name = self._name(path)
        stream = self._there().open(name, mode)
        try:
            with stream:
                yield stream
        except BaseException:
            if not set(mode).isdisjoint("wxa+"):
                self._forget(name)
            raise

    def _forget(self, name: str) -> None:
        try:
            self._there().rm(name)
        except Exception:
            pass  # what made the block raise is what the caller has to know

    def concat_path(self, path: str | os.PathLike, suffix: str) -> str | os.PathLike:
        return below(os.fspath(path), suffix)

    def init_path(self, path: str | os.PathLike, **kwargs: Any) -> str | os.PathLike:
        from fsspec.core import url_to_fs

        self.fs, _ = url_to_fs(path, **kwargs)
        self._options = kwargs
        return path

    def rename(self, path: str | os.PathLike, new_path: str | os.PathLike) -> None:
        self._there().rename(self._name(path), self._name(new_path))

    def mkdir(self, path: str | os.PathLike) -> None:
        self._there().makedirs(self._name(path), exist_ok=True)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike) -> bool:
        if isinstance(checkpoint_id, Path):
            return False
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            return False
        try:
            url_to_fs(checkpoint_id)
        except ValueError:
            return False
        return True

    def exists(self, path: str | os.PathLike) -> bool:
        return bool(self._there().exists(self._name(path)))

    def rm_file(self, path: str | os.PathLike) -> None:
        self._there().rm(self._name(path))

    def ls(self, path: str | os.PathLike) -> list[str]:
        return list(self._there().ls(self._name(path), detail=False))


class _AnyUrl:
    """What FsspecWriter and FsspecReader have in common: `path` is a URL, with options."""

    fs: Any
    path: Any

    def _open_url(self, path: str | os.PathLike, options: dict[str, Any]) -> None:
        self._options = options
        self.fs = _FileSystem()
        self.path = self._path_of(path)

    def _path_of(self, checkpoint_id: str | os.PathLike) -> str | os.PathLike:
        self._storage = None
        return self.fs.init_path(checkpoint_id, **self._options)

    def _where(self) -> str | FsspecStorage:
        """Folders of this machine are reached by the engine itself."""
        if self._storage is None:
            from ._engine.fsspec_storage import FsspecStorage, local_folder

            storage = FsspecStorage.of(self.path, **self._options)
            self._storage = local_folder(storage) or storage
        return self._storage

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike) -> bool:
        """Whether fsspec knows such a place. An ImportError names what it lacks for it."""
        return _FileSystem.validate_checkpoint_id(checkpoint_id)


class FsspecWriter(_AnyUrl, FileSystemWriter):
    """Writes to any file system that fsspec knows, by URL.

    Arguments are FileSystemWriter's. ``kwargs`` go to the file system: credentials, for example.
    Readers find the old checkpoint or the new one at every instant, where the file system can move or
    copy a file at once.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        single_file_per_rank: bool = True,
        sync_files: bool = True,
        thread_count: int = 1,
        per_thread_copy_ahead: int = 10_000_000,
        cache_staged_state_dict: bool = False,
        overwrite: bool = True,
        _extensions: Sequence[StreamTransformExtension] | None = None,
        serialization_format: SerializationFormat = SerializationFormat.TORCH_SAVE,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            path=path,
            single_file_per_rank=single_file_per_rank,
            sync_files=sync_files,
            thread_count=thread_count,
            per_thread_copy_ahead=per_thread_copy_ahead,
            cache_staged_state_dict=cache_staged_state_dict,
            overwrite=overwrite,
            _extensions=_extensions,
            serialization_format=serialization_format,
        )
        self._open_url(path, kwargs)


class FsspecReader(_AnyUrl, FileSystemReader):
    """Reads from any file system that fsspec knows, by URL.

    ``kwargs`` go to the file system, but for ``_extension_registry``, as of FileSystemReader.
    """

    def __init__(self, path: str | os.PathLike, **kwargs: Any) -> None:
        super().__init__(path, kwargs.pop("_extension_registry", None))
        self._open_url(path, kwargs)
