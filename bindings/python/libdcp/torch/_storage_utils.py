"""Which storage a call uses."""

from __future__ import annotations

import os

from torch.distributed.checkpoint.storage import StorageReader, StorageWriter

from .filesystem import FileSystemReader, FileSystemWriter
from .fsspec_filesystem import FsspecReader, FsspecWriter


def _storage_setup(
    storage: StorageReader | StorageWriter | None,
    checkpoint_id: str | os.PathLike | None,
    reader: bool = False,
) -> StorageReader | StorageWriter | None:
    """The storage given, set to ``checkpoint_id`` if there is one; else the first kind that takes the
    id. RuntimeError without either."""
    if storage:
        if checkpoint_id is not None:
            storage.reset(checkpoint_id)
        return storage
    if not checkpoint_id:
        raise RuntimeError(
            "`checkpoint_id` must be specified if storage_reader/storage_writer is None."
        )
    kinds = (FileSystemReader, FsspecReader) if reader else (FileSystemWriter, FsspecWriter)
    for kind in kinds:
        if kind.validate_checkpoint_id(checkpoint_id):
            storage = kind(checkpoint_id)
            storage.reset(checkpoint_id)
            return storage
    raise RuntimeError(
        f"Cannot detect which StorageReader or StorageWriter to use for '{checkpoint_id}'. "
        "Please specify the storage_reader/storage_writer."
    )
