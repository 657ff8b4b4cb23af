"""Rank-local saves whose ranks meet."""

import pathlib
import socket

import torch
import torch.distributed as dist

from libdcp.torch import _experimental as experimental


def meet(folder):
    """By both barriers: no rank's hook is called before all files are there; a rank that does not come
    is named by the error of the other."""
    folder = pathlib.Path(folder)
    rank, size = dist.get_rank(), dist.get_world_size()

    class Hook(experimental.WriterHook):
        def pre_commit(self, path, **kwargs):
            pass

        def post_commit(self, path, **kwargs):
            found = {file.name for file in pathlib.Path(path).iterdir()}
            assert found == {f"checkpoint_{r}.pt" for r in range(size)}, found
            self.called = True

    port = [None]
    if rank == 0:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = [probe.getsockname()[1]]
    dist.broadcast_object_list(port, 0)
    arguments = {
        "tcp_store": dict(
            global_rank=rank, global_world_size=size, barrier_prefix="save", timeout_barrier_init_secs=60,
            use_checkpoint_barrier_tcpstore_libuv=True, tcpstore_port=port[0], master_address="127.0.0.1",
            timeout_secs=60),
        "dist_barrier": {},
    }
    for kind, given in arguments.items():
        hook = Hook()
        config = experimental.CheckpointerConfig(barrier_config=experimental.BarrierConfig(kind, given))
        checkpointer = experimental.make_sync_checkpointer(config, commit_hook=hook)
        for number in range(3):
            hook.called = False
            checkpointer.save(str(folder / kind / str(number)), {"rank": rank, "w": torch.full((3,), float(rank))})
            assert hook.called
            loaded = checkpointer.load(str(folder / kind / str(number)))
            assert loaded["rank"] == rank and (loaded["w"] == rank).all()
        dist.barrier()
        if rank == 0:
            config.writer_config = experimental.CheckpointWriterConfig(write_barrier_timeout_secs=1)
            impatient = experimental.CheckpointWriter(
                config.writer_config, experimental.RankInfo(rank, size), barrier=checkpointer._writer._barrier)
            try:
                impatient.write(str(folder / kind / "alone"), {"w": torch.ones(1)})
            except TimeoutError as error:
                assert set(error.failures) == {1}, error.failures
            else:
                raise AssertionError("nobody else was there")
        dist.barrier()
