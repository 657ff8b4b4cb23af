"""Stream transforms written in Python: upstream's stream extensions."""

from __future__ import annotations

from typing import Any, Protocol, Union


class Stream(Protocol):
    """One item on its way through a transform."""

    def push(self, data: memoryview) -> Any:
        """Takes input in any split; returns output as bytes-like, or None for none yet. ``data`` is
        valid during the call only."""

    def finish(self) -> Any:
        """Returns what is left, or None. Raises libdcp.CorruptError when decoding an incomplete
        stream."""


class Transform:
    """Changes the bytes of items on their way to and from the files. Subclass it, set ``name`` and
    ``version``; files carry "<name>/<version>", and readers need a transform of that name."""

    name: str = ""
    version: str = "1"

    def encoder(self) -> Stream:
        """Begins one item that is written."""
        raise NotImplementedError

    def decoder(self, version: str) -> Stream:
        """Begins one item that is read; ``version`` is what the file says."""
        raise NotImplementedError


TransformLike = Union[str, Transform]
