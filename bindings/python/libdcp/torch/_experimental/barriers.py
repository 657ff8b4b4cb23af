"""Where the ranks of a rank-local save meet."""

from __future__ import annotations

from typing import Any, Optional

import torch.distributed as dist
from torch.distributed.checkpoint._experimental import barriers as _torchs
from torch.distributed.checkpoint._experimental.barriers import Barrier, BarrierConfig

from ..._torch_barriers import DistBarrier as _DistBarrier
from ..._torch_barriers import TCPStoreBarrier as _TCPStoreBarrier

__all__ = [
    "BARRIER_REGISTRY",
    "Barrier",
    "BarrierConfig",
    "DistBarrier",
    "TCPStoreBarrier",
    "create_barrier_from_config",
    "register_barrier",
]

# By ``barrier_type``.
BARRIER_REGISTRY: dict[str, type] = {}


def register_barrier(barrier_class: type) -> type:
    """Makes a class known by its ``barrier_type``; a decorator."""
    if hasattr(barrier_class, "barrier_type"):
        BARRIER_REGISTRY[barrier_class.barrier_type] = barrier_class
    return barrier_class


def create_barrier_from_config(
    barrier_config: BarrierConfig,
) -> Optional["Barrier"]:
    """The barrier that a configuration names, or None; ValueError for a type that is registered
    neither here nor with torch."""
    name = barrier_config.barrier_type
    if name is None:
        return None
    barrier_class = BARRIER_REGISTRY.get(name) or _torchs.BARRIER_REGISTRY.get(name)
    if barrier_class is None:
        raise ValueError(
            f"Unknown barrier type: {name}. Available types: {list(BARRIER_REGISTRY)}"
        )
    return barrier_class(**barrier_config.barrier_args)  # type: ignore[no-any-return]


class _EngineBarrier(Barrier):
    """A barrier of the engine. Ranks that do not come are named by the libdcp.TimeoutError."""

    def __init__(self, native: Any, timeout_secs: float) -> None:
        self._native = native
        self._timeout_secs = timeout_secs

    def within(self, timeout_secs: float) -> Any:
        """What an engine's writer of such patience executes."""
        return self._native, min(timeout_secs, self._timeout_secs)

    def execute_barrier(self) -> None:
        """Returns when every rank has called it."""
        self._native.execute_barrier(self._timeout_secs)


@register_barrier
class DistBarrier(_EngineBarrier):
    """The ranks of the default process group, by way of its store: none of the group's collectives is
    begun. AssertionError without a process group."""

    barrier_type = "dist_barrier"

    def __init__(
        self,
    ) -> None:
        if not dist.is_initialized():
            raise AssertionError("DistBarrier requires an initialized process group.")
        super().__init__(_DistBarrier(), 600.0)


@register_barrier
class TCPStoreBarrier(_EngineBarrier):
    """Ranks that meet at a TCPStore of their own, which rank 0 hosts.

    barrier_prefix: of its keys; no two barriers over one store have the same.
    timeout_barrier_init_secs: for the store to be reached.
    timeout_secs: for all ranks to come.
    """

    barrier_type = "tcp_store"

    def __init__(
        self,
        global_rank: int,
        global_world_size: int,
        barrier_prefix: str,
        timeout_barrier_init_secs: int,
        use_checkpoint_barrier_tcpstore_libuv: bool,
        tcpstore_port: int,
        master_address: str,
        timeout_secs: int,
    ):
        native = _TCPStoreBarrier(
            global_rank,
            global_world_size,
            barrier_prefix,
            timeout_barrier_init_secs,
            use_checkpoint_barrier_tcpstore_libuv,
            tcpstore_port,
            master_address,
            timeout_secs,
        )
        super().__init__(native, timeout_secs)
