"""The ranks of a job as processes of this machine, which meet at a TCPStore of rank 0."""

import contextlib
import socket
import subprocess


def start(program, arguments, size, folder, **options):
    """Starts `size` processes: <program> <arguments> <rank> <size> <port> <listening socket> <folder>. The
    socket is rank 0's, so that nobody else can take the port; -1 elsewhere. Options are Popen's."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as started:
        port = listener.getsockname()[1]
        ranks = []
        for rank in range(size):
            fd = listener.fileno() if rank == 0 else -1
            command = [*program, *arguments, rank, size, port, fd, folder]
            process = subprocess.Popen(
                [str(part) for part in command], pass_fds=(fd,) if rank == 0 else (), **options)
            started.callback(process.kill)
            ranks.append(process)
        started.pop_all()
        return ranks
