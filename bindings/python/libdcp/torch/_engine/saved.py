"""The metadata that a save returns: made when it is looked at."""

from __future__ import annotations

import os
from typing import Any, Callable

from torch.distributed.checkpoint.metadata import Metadata

from ..._storage import Where
from . import metadata as metadata_files
from .files import files_of, read_file

_SMALL = 1 << 20


class SavedMetadata(Metadata):
    """Becomes torch's own Metadata, class and all, with the first look at it. Training loops drop it
    unseen, and of a large model it takes as long as the save."""

    def __init__(self, make: Callable[[], Metadata]) -> None:
        object.__setattr__(self, "_make", make)

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return object.__getattribute__(self, name)
        _settle(self)
        return getattr(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _settle(self)
        setattr(self, name, value)

    def __eq__(self, other: object) -> bool:
        _settle(self)
        if type(other) is SavedMetadata:
            _settle(other)
        return self == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        _settle(self)
        return repr(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        _settle(self)
        return self.__reduce_ex__(protocol)


def _settle(metadata: Metadata) -> None:
    if type(metadata) is not SavedMetadata:
        return  # another thread was first
    own = object.__getattribute__(metadata, "__dict__")
    made = own["_make"]()
    own.clear()
    own.update(vars(made))
    object.__setattr__(metadata, "__class__", Metadata)


def saved_metadata(where: Where, name: str, save_id: str) -> Metadata:
    """Of the checkpoint that was just saved, whatever is saved over it later: of a folder on this
    machine the file is read or held open."""
    make = _of_path(where, name) if isinstance(where, (str, os.PathLike)) else None
    return SavedMetadata(make or (lambda: _read_later(where, name, save_id)))


def _of_path(where: Any, name: str) -> Callable[[], Metadata] | None:
    try:
        file = open(os.path.join(os.fspath(where), name), "rb")  # noqa: SIM115
    except (OSError, TypeError, ValueError):
        return None
    if os.fstat(file.fileno()).st_size <= _SMALL:
        with file:
            data = file.read()
        return lambda: metadata_files.decode(data, name)

    def read() -> Metadata:
        with file:
            return metadata_files.decode(file.read(), name)

    return read


def _read_later(where: Where, name: str, save_id: str) -> Metadata:
    found = metadata_files.decode(read_file(files_of(where), name), name)
    stored = getattr(found.storage_meta, "save_id", None)
    if stored is not None and stored != save_id:
        raise RuntimeError(
            f"the metadata of the save {save_id} was not looked at in time: the checkpoint was saved "
            "over since"
        )
    return found
