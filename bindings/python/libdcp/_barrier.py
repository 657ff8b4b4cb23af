"""Where the ranks of a rank-local save meet, by object, or by name and configuration."""

from __future__ import annotations

import dataclasses
import inspect
import os
from typing import Any, Callable, ClassVar, TypeVar

from . import dcp_raw as raw
from ._communicator import Communicator, native_communicator
from ._context import milliseconds
from ._run import blocking


class Barrier:
    """Where ranks meet. Subclass it and give it to :class:`libdcp.RankWriter` on every rank.

    The timeout holds whatever a barrier does: one that goes on for half a second longer is left
    behind on its thread, and fails until that call has ended. ``execute_barrier`` runs on libdcp's
    threads, one call at a time.
    """

    barrier_type: ClassVar[str]

    def execute_barrier(self, timeout: float | None) -> None:
        """Returns when every rank has called it. ``timeout`` is in seconds, None without end. Raise
        :class:`libdcp.TimeoutError` then, naming the ranks where that is known::

            raise libdcp.TimeoutError("rank 3 did not come", failures=missing_ranks([3]))
        """
        raise NotImplementedError


class NativeBarrier(Barrier):
    """A barrier of the library."""

    def __init__(self, native: Any) -> None:
        self._native = native

    def execute_barrier(self, timeout: float | None = 600.0) -> None:
        cancel = raw.dcp_cancel_new()
        blocking(
            lambda: raw.dcp_barrier_execute(self._native, milliseconds(timeout), cancel),
            lambda: raw.dcp_cancel_request(cancel),
        )


class CommunicatorBarrier(NativeBarrier):
    """The ranks of a communicator; those that do not come are named. A rank waits ``timeout`` for the
    others, and as long again to hear from the rank that counts them."""

    def __init__(self, communicator: Communicator) -> None:
        if communicator is None:
            raise TypeError("communicator is a libdcp.Communicator, not None")
        super().__init__(raw.dcp_barrier_from_communicator(native_communicator(communicator)))


class _WithoutTimeout:
    """A barrier of the form that upstream's have: execute_barrier() knows no timeout."""

    def __init__(self, barrier: Any) -> None:
        self._barrier = barrier

    def execute_barrier(self, _timeout: float | None) -> None:
        self._barrier.execute_barrier()


def _takes_timeout(execute: Callable[..., Any]) -> bool:
    try:
        inspect.signature(execute).bind(None)
    except TypeError:
        return False
    except ValueError:  # no signature to be had
        return True
    return True


def native_barrier(barrier: Any) -> Any:
    """The handle, or None for ranks that do not wait for each other."""
    if barrier is None:
        return None
    if isinstance(barrier, NativeBarrier):
        return barrier._native
    execute = getattr(barrier, "execute_barrier", None)
    if not callable(execute):
        raise TypeError(
            f"barrier is a libdcp.Barrier, or has execute_barrier(); {type(barrier).__name__} has not"
        )
    if isinstance(barrier, Barrier) or _takes_timeout(execute):
        return raw.pydcp_barrier(barrier)
    return raw.pydcp_barrier(_WithoutTimeout(barrier))


# ---- by name ----

BARRIER_REGISTRY: dict[str, type[Any]] = {}

B = TypeVar("B", bound="type[Any]")


def register_barrier(barrier_class: B) -> B:
    """Makes a class known by its ``barrier_type``; a decorator, as upstream's."""
    BARRIER_REGISTRY[barrier_class.barrier_type] = barrier_class
    return barrier_class


@dataclasses.dataclass
class BarrierConfig:
    """A barrier by the name of its type and the arguments of its class; None is no barrier.

    Besides the registered ones, among them upstream's "dist_barrier" and "tcp_store" with their own
    arguments, there are "single", one rank without arguments, and "local", ranks that are threads of
    this process: ``group``, ``global_rank`` and ``global_world_size``.
    """

    barrier_type: str | None = None
    barrier_args: dict[str, Any] = dataclasses.field(default_factory=dict)


class _Groups:
    """The context that the "local" barriers of this process share."""

    def __init__(self) -> None:
        self.native = raw.dcp_context_new(None)


_groups = _Groups()
os.register_at_fork(after_in_child=_groups.__init__)  # type: ignore[misc]


def create_barrier_from_config(config: BarrierConfig) -> Any:
    """The barrier that a configuration names, or None; InvalidArgumentError (a ValueError) for a type
    that is not known."""
    if config.barrier_type is None:
        return None
    registered = BARRIER_REGISTRY.get(config.barrier_type)
    if registered is not None:
        return registered(**config.barrier_args)
    arguments = raw.pydcp_encode(dict(config.barrier_args))
    return NativeBarrier(
        raw.dcp_barrier_from_config(_groups.native, config.barrier_type, arguments)
    )
