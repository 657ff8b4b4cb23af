"""How the ranks of one group talk."""

from __future__ import annotations

from typing import Any, Sequence

from . import dcp_raw as raw
from ._context import milliseconds
from ._errors import Error


class Communicator:
    """The ranks of one group, over whatever your job already has. Subclass it and give it to
    :func:`libdcp.save` or :func:`libdcp.load_into` on every rank.

    Every rank makes the same calls in the same order, one at a time. ``timeout`` is in seconds, None
    without end: how long another rank may keep the call waiting. Raise :class:`libdcp.TimeoutError`
    then, naming the ranks where that is known::

        raise libdcp.TimeoutError("rank 3 did not come", failures=missing_ranks([3]))

    Methods run on libdcp's threads.
    """

    @property
    def rank(self) -> int:
        raise NotImplementedError

    @property
    def world_size(self) -> int:
        raise NotImplementedError

    def gather(self, data: bytes, root: int, timeout: float | None) -> Sequence[bytes] | None:
        """On ``root`` everyone's ``data`` in the order of ranks, elsewhere None. Where ranks are
        missing, the exception's ``arrived`` may hold what the others gave, None in their places."""
        raise NotImplementedError

    def scatter(self, parts: list[bytes] | None, root: int, timeout: float | None) -> bytes:
        """This rank's part of those that ``root`` gives; ``parts`` is None elsewhere."""
        raise NotImplementedError

    def broadcast(self, data: bytes, root: int, timeout: float | None) -> bytes:
        """What ``root`` gives; ``data`` means nothing elsewhere."""
        raise NotImplementedError

    def all_gather(self, data: bytes, timeout: float | None) -> Sequence[bytes]:
        """Everyone's ``data`` on every rank."""
        everyone = self.gather(data, 0, timeout)
        if self.rank == 0:
            assert everyone is not None
            sizes = b"".join(len(part).to_bytes(8, "little") for part in everyone)
            packed = self.broadcast(sizes + b"".join(everyone), 0, timeout)
        else:
            packed = self.broadcast(b"", 0, timeout)
        at, parts = 8 * self.world_size, []
        for rank in range(self.world_size):
            size = int.from_bytes(packed[8 * rank : 8 * rank + 8], "little")
            parts.append(packed[at : at + size])
            at += size
        return parts

    def barrier(self, timeout: float | None) -> None:
        """Returns when every rank has called it."""
        self.all_gather(b"", timeout)

    def still_here(self, root: int, timeout: float | None) -> None:
        """Between two calls, often: this rank is at work. Where ranks can be told so outside the
        calls, ``root`` tells all and the others tell ``root``, a few times per ``timeout``."""


class NativeCommunicator(Communicator):
    """A communicator of the library, or of an adapter such as libdcp_mpi."""

    def __init__(self, native: Any) -> None:
        self._native = native

    @property
    def rank(self) -> int:
        return int(raw.dcp_communicator_rank(self._native))

    @property
    def world_size(self) -> int:
        return int(raw.dcp_communicator_world_size(self._native))

    def gather(
        self, data: bytes, root: int = 0, timeout: float | None = 600.0
    ) -> list[bytes] | None:
        try:
            everyone = raw.pydcp_gather(self._native, data, root, milliseconds(timeout))
        except Error as error:
            if error.arrived is not None:
                error.arrived = [
                    None if rank in error.failures else part
                    for rank, part in enumerate(error.arrived)
                ]
            raise
        return everyone if self.rank == root else None

    def scatter(
        self, parts: Sequence[bytes] | None, root: int = 0, timeout: float | None = 600.0
    ) -> bytes:
        given = list(parts) if parts is not None else []
        return raw.pydcp_scatter(self._native, given, root, milliseconds(timeout))[0]

    def broadcast(self, data: bytes, root: int = 0, timeout: float | None = 600.0) -> bytes:
        return raw.pydcp_broadcast(self._native, data, root, milliseconds(timeout))[0]

    def all_gather(self, data: bytes, timeout: float | None = 600.0) -> list[bytes]:
        return raw.pydcp_all_gather(self._native, data, milliseconds(timeout))

    def barrier(self, timeout: float | None = 600.0) -> None:
        raw.dcp_communicator_barrier(self._native, milliseconds(timeout))

    def still_here(self, root: int = 0, timeout: float | None = 600.0) -> None:
        raw.dcp_communicator_still_here(self._native, root, milliseconds(timeout))


def local_communicators(world_size: int) -> list[NativeCommunicator]:
    """The ranks of one process, in order; each is used by a thread of its own."""
    return [NativeCommunicator(native) for native in raw.local_communicators(world_size)]


def native_communicator(communicator: Communicator | None) -> Any:
    """The handle, or None for a rank alone."""
    if communicator is None:
        return None
    if isinstance(communicator, NativeCommunicator):
        return communicator._native
    if isinstance(communicator, Communicator):
        return raw.pydcp_communicator(communicator, communicator.rank, communicator.world_size)
    raise TypeError(
        f"communicator is a libdcp.Communicator, not {type(communicator).__name__}"
    )
