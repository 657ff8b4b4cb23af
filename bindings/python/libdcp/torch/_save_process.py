"""The background processes of a job: one a rank, which save together as their trainers would."""

from __future__ import annotations

import collections
import gc
import logging
import os
import pickle
import socket
import time
from typing import Any, Callable

import torch.distributed as dist

from .._errors import Error
from ._child_process import ChildDied, ChildProcess, ChildSilent
from ._communicator import communicator
from ._engine.metadata import pack, unpack

logger = logging.getLogger("libdcp.torch")

START_S = 600.0  # for a process to be started and joined with the others
TALK_S = 1800.0  # for another rank's trainer to come to the same save
LAST_WORD_S = 10.0  # for an answer after a process of another rank has died

_made: collections.Counter[str] = collections.Counter()  # by group


class SaveProcess:
    """This rank's share of the processes of a group, or the process of a rank that is alone.

    They have a process group of their own, over a store that rank 0's process hosts: so they need no
    trainer to finish what they were given. They are started together; when one has died, the next
    save is an error on every rank, and the one after it starts new ones.

    Made on every rank in the same order; ``save`` is called on one thread at a time, and on every
    rank in the same order.
    """

    def __init__(self, group: Any) -> None:
        self._child: ChildProcess | None = None
        self._saves = 0
        self._generation = 0
        self._group: Any = None  # until there is a communicator, which the first save makes
        self._communicator: Any = None
        self._rank, self._size, self._name = 0, 1, "alone"
        self._first_of_job = True
        if group is not None:
            label = str(getattr(group, "group_name", "group"))
            self._name = f"{label}/background-process/{_made[label]}"
            _made[label] += 1
            self._rank, self._size = dist.get_rank(group), dist.get_world_size(group)
            self._first_of_job = dist.get_process_group_ranks(group)[0] == 0
            self._group = group
        # At once: after the end of the main module, spawn does not find it any more.
        self._spawned: ChildProcess | Exception | None = self._spawn()

    def _spawn(self) -> ChildProcess | Exception:
        try:
            child = ChildProcess(_set_up, (self._environment(),), name="libdcp-save")
            child.yield_to_others(self._size > 1 and self._saves == 0)
            return child
        except Exception as error:
            return error

    @property
    def pid(self) -> int | None:
        """Of this rank's process, while there is one."""
        return None if self._child is None else self._child.pid

    def save(self, request: Callable[[], dict[str, Any]]) -> Any:
        """The Metadata of a save with the keyword arguments that ``request`` returns."""
        self._saves += 1
        if self._group is not None:
            self._communicator = communicator(self._group, name=self._name)
            self._group = None
        if self._saves == 1:
            self._let_others_stage()
        arguments, failure = None, None
        try:
            arguments = request()
        except Exception as error:
            failure = error
        child = self._joined(failure)
        silent_since: list[float] = []

        def meanwhile() -> None:
            trouble = self._trouble_of_others()
            if trouble is None:
                return
            silent_since.append(time.monotonic())
            if silent_since[-1] - silent_since[0] > LAST_WORD_S:
                raise _Left(trouble)

        try:
            return unpack(child.call(("save", arguments), meanwhile=meanwhile))
        except _Left as left:
            self._end_child()
            raise ChildDied(f"the save cannot be finished: {left}") from None
        except ChildDied as error:
            self._child = None
            self._tell_trouble(str(error))
            raise
        except ChildSilent as error:
            self._end_child()
            self._tell_trouble(str(error))
            raise
        except (pickle.PicklingError, TypeError, AttributeError, ValueError, OSError) as error:
            if not hasattr(error, "remote_traceback"):  # it was not even sent
                self._tell_trouble(f"its save could not be handed over: {error}")
            raise

    def stop(self, timeout: float) -> bool:
        """Whether the process, if there is one, has ended in time."""
        child, self._child = self._child, None
        if child is None and isinstance(self._spawned, ChildProcess):
            child, self._spawned = self._spawned, None
        return child is None or child.stop(timeout)

    # All ranks together

    def _let_others_stage(self) -> None:
        """What comes now takes seconds of CPU time, and nobody waits for it; other ranks of the host may
        still be kept by their copies."""
        try:
            self._exchange("staged")
        finally:
            if isinstance(self._spawned, ChildProcess):
                self._spawned.yield_to_others(False)

    def _joined(self, failure: Exception | None) -> ChildProcess:
        """The process, when those of all ranks are there. ``failure``: this rank cannot save."""
        lost = None
        if self._child is not None and not self._child.alive:
            lost = self._child.died()
            self._child = None
        mine = ("ready", "") if self._child is not None else ("none", "")
        if lost is not None:
            mine = "lost", str(lost)
        if failure is not None:
            mine = "failed", f"{type(failure).__name__}: {failure}"
        everyone = self._exchange(mine)
        if failure is not None:
            raise failure
        failed = {rank: text for rank, (state, text) in enumerate(everyone) if state == "failed"}
        if failed:
            raise RuntimeError(f"the save is not begun: {_listed(failed)}")
        dead = {rank: text for rank, (state, text) in enumerate(everyone) if state == "lost"}
        if dead:
            self._end_child()
            told = str(lost) if self._size == 1 else _listed(dead)
            raise ChildDied(f"{told}; nothing was saved. The next save starts it anew.")
        if any(state != "ready" for state, _ in everyone):
            self._end_child()
            self._start()
        assert self._child is not None
        return self._child

    def _start(self) -> None:
        self._generation += 1
        address, trouble, child = None, "", None
        try:
            spawned, self._spawned = self._spawned or self._spawn(), None
            if isinstance(spawned, Exception):
                raise spawned
            child = spawned
            child.wait_started(START_S)
            if self._rank == 0 and self._communicator is not None and not _prefix_store():
                port = child.call(("host", self._size), timeout=START_S)
                address = self._host(), port
        except Exception as error:
            trouble = f"its background process did not start: {error}"
        self._agree(child, trouble)
        if self._communicator is not None:
            assert child is not None
            address = self._exchange(address)[0]
            trouble = ""
            try:
                name = f"libdcp/{self._name}/{self._generation}"
                join = ("join", address, name, self._rank, self._size)
                child.call(join, timeout=START_S)
            except Exception as error:
                trouble = f"its background process did not join the others: {error}"
            self._agree(child, trouble)
        self._child = child
        logger.info(
            "background process %d saves for rank %d of %s",
            child.pid if child is not None else 0,
            self._rank,
            self._name,
        )

    def _agree(self, child: ChildProcess | None, trouble: str) -> None:
        """Goes on when no rank has trouble; else there is no process on any."""
        try:
            troubles = {r: text for r, text in enumerate(self._exchange(trouble)) if text}
        except BaseException:
            troubles = {self._rank: trouble} if trouble else {}
            if child is not None:
                child.kill()
            raise
        if troubles:
            if child is not None:
                child.kill()
            raise RuntimeError(f"no background processes: {_listed(troubles)}")

    def _exchange(self, mine: Any) -> list[Any]:
        if self._communicator is None:
            return [mine]
        parts = self._communicator.all_gather(pickle.dumps(mine), TALK_S)
        return [pickle.loads(part) for part in parts]

    # During a save

    def _key(self) -> str:
        return f"libdcp/{self._name}/trouble/{self._saves}"

    def _tell_trouble(self, text: str) -> None:
        if self._communicator is not None:
            try:
                self._communicator._store.set(self._key(), f"rank {self._rank}: {text}".encode(), 5.0)
            except Error as error:
                logger.warning("the other ranks could not be told: %s", error)

    def _trouble_of_others(self) -> str | None:
        if self._communicator is None:
            return None
        try:
            found = self._communicator._store.get(self._key(), 0.0)
        except Error:  # the trainers' store is gone, which the processes do not need
            return None
        return None if found is None else found.decode()

    # This rank's

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None and not child.stop(1.0):
            child.kill()

    def _environment(self) -> dict[str, str]:
        local = os.environ.get("LOCAL_RANK")
        if local is None and (self._group is not None or self._communicator is not None):
            local = str(dist.get_node_local_rank(fallback_rank=0))
        return {
            "RANK": str(self._rank),
            "WORLD_SIZE": str(self._size),
            "LOCAL_RANK": local or "0",
            "TORCHELASTIC_USE_AGENT_STORE": "False",
        }

    def _host(self) -> str:
        """Of this machine, for rank 0."""
        master = os.environ.get("MASTER_ADDR")
        if master and self._first_of_job:
            return master
        return socket.getfqdn(socket.gethostname())


class _Left(Exception):
    pass


def _listed(by_rank: dict[int, str]) -> str:
    return "; ".join(f"rank {rank}: {text}" for rank, text in by_rank.items())


def _prefix_store() -> bool:
    """Whether to meet at the job's store instead of one that rank 0's process hosts."""
    return os.environ.get("DCP_USE_PREFIX_STORE", "0") == "1"


# ---- in the process ----


def _set_up(environment: dict[str, str]) -> Callable[[Any], Any]:
    os.environ.update(environment)
    return _Server().serve


class _Server:
    def __init__(self) -> None:
        self._store: Any = None
        self._saves = 0
        self._by_hand = os.environ.get("DCP_DISABLE_AUTOMATIC_GC", "0") == "1"
        if self._by_hand:
            gc.disable()

    def serve(self, request: Any) -> Any:
        kind, *arguments = request
        del request
        return getattr(self, f"_{kind}")(*arguments)

    def _host(self, world_size: int) -> int:
        self._store = dist.TCPStore(
            "localhost", 0, world_size=world_size, is_master=True, wait_for_workers=False
        )
        return int(self._store.port)

    def _join(self, address: Any, name: str, rank: int, world_size: int) -> None:
        if address is None:
            address = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
            if None in address:
                raise RuntimeError("DCP_USE_PREFIX_STORE=1 needs MASTER_ADDR and MASTER_PORT")
        host, port = address
        store = self._store
        if store is None:
            store = dist.TCPStore(
                host, int(port), world_size=world_size, is_master=False, wait_for_workers=False
            )
        dist.init_process_group(
            "gloo", store=dist.PrefixStore(name, store), rank=rank, world_size=world_size
        )

    def _save(self, arguments: dict[str, Any]) -> bytes:
        from .state_dict_saver import save

        try:
            return pack(save(arguments.pop("state_dict"), **arguments))
        finally:
            self._saves += 1
            if self._by_hand and os.environ.get("DCP_DISABLE_MANUAL_GC", "0") != "1":
                gc.collect()
                if self._saves == 1:
                    gc.freeze()
