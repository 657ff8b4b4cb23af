"""Upstream's barriers by their names. torch is imported when one is made, not before."""

from __future__ import annotations

import datetime

from ._barrier import CommunicatorBarrier, register_barrier


@register_barrier
class DistBarrier(CommunicatorBarrier):
    """The ranks of torch's default process group, by way of its store: it starts none of the group's
    collectives."""

    barrier_type = "dist_barrier"

    def __init__(self) -> None:
        from .torch import communicator

        super().__init__(communicator())


@register_barrier
class TCPStoreBarrier(CommunicatorBarrier):
    """Ranks that meet at a TCPStore of their own, which rank 0 hosts.

    barrier_prefix: of the keys; no two barriers over one store have the same.
    timeout_barrier_init_secs: for the store to be reached.
    timeout_secs: as in upstream not used; the writer's timeout holds.
    """

    barrier_type = "tcp_store"

    def __init__(
        self,
        global_rank: int,
        global_world_size: int,
        barrier_prefix: str,
        timeout_barrier_init_secs: float,
        use_checkpoint_barrier_tcpstore_libuv: bool,
        tcpstore_port: int,
        master_address: str,
        timeout_secs: float = 600,
    ) -> None:
        import torch.distributed as dist

        from .torch import communicator

        self._store = dist.TCPStore(  # the server lives as long as rank 0's
            master_address,
            int(tcpstore_port),
            world_size=global_world_size,
            is_master=global_rank == 0,
            timeout=datetime.timedelta(seconds=timeout_barrier_init_secs),
            use_libuv=use_checkpoint_barrier_tcpstore_libuv,
        )
        super().__init__(
            communicator(
                store=self._store,
                rank=global_rank,
                world_size=global_world_size,
                name=barrier_prefix,
            )
        )
