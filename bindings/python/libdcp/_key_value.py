"""Ranks that meet at a key-value store."""

from __future__ import annotations

from . import dcp_raw as raw
from ._communicator import NativeCommunicator


class KeyValueStore:
    """What all ranks can reach: subclass it and make a communicator of it with
    :func:`libdcp.store_communicator`. Methods are called one at a time, on libdcp's threads."""

    def set(self, key: str, value: bytes, timeout: float | None) -> None:
        """Values are of up to 4 MiB and a few bytes. ``timeout`` is in seconds, None without end."""
        raise NotImplementedError

    def get(self, key: str, timeout: float | None) -> bytes | None:
        """The value; None when the key does not come in time. 0: what is there already."""
        raise NotImplementedError

    def remove(self, key: str) -> None:
        """A key that is not there is no failure."""
        raise NotImplementedError


def store_communicator(
    store: KeyValueStore, prefix: str, rank: int, world_size: int
) -> NativeCommunicator:
    """The ranks that meet at ``store``. ``prefix`` is that of all keys: this group's own, the same
    on every rank and never used in the store before. Keys are removed when they are received. A
    store that is lost raises, with the rank that hosts it among the exception's ``failures``."""
    if not isinstance(store, KeyValueStore):
        raise TypeError(f"store is a libdcp.KeyValueStore, not {type(store).__name__}")
    return NativeCommunicator(raw.pydcp_store_communicator(store, prefix, rank, world_size))
