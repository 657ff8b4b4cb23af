"""Process groups as libdcp's communicators."""

from __future__ import annotations

import collections
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist

from ..._communicator import Communicator, local_communicators
from ..._errors import TimeoutError
from .._communicator import communicator

LANES = 4  # saves in the background of one group that may go on at the same time

_DEFAULT_TIMEOUT = 1800.0


def timeout() -> float | None:
    """Seconds of silence of another rank before it counts as missing. LIBDCP_TIMEOUT says otherwise;
    0 or less waits for ever."""
    given = os.environ.get("LIBDCP_TIMEOUT")
    if not given:
        return _DEFAULT_TIMEOUT
    seconds = float(given)
    return seconds if seconds > 0 else None


def is_distributed(no_dist: bool) -> bool:
    return not no_dist and dist.is_available() and dist.is_initialized()


class Group:
    """The ranks of a call, by numbers in the group."""

    def __init__(self, group: Any) -> None:
        self.rank = dist.get_rank(group)
        self.size = dist.get_world_size(group) if self.rank >= 0 else 0
        if self.rank < 0:
            raise ValueError(
                "this rank is not in the process group: only its members save and load with it"
            )
        label = str(getattr(group, "group_name", "group"))
        self._group = weakref.ref(group)
        self._name = f"{label}/{_seen[label]}"
        _seen[label] += 1
        self._lock = threading.Lock()
        self._made: collections.Counter[str] = collections.Counter()
        self._idle: dict[str, Communicator] = {}
        self._lanes = [threading.Lock() for _ in range(LANES)]
        self._next_lane = 0

    def _communicator(self, purpose: str) -> Communicator:
        found = self._idle.get(purpose)
        if found is None:
            number = self._made[purpose]
            self._made[purpose] += 1
            found = communicator(self._group(), name=f"{self._name}/{purpose}/{number}")
            self._idle[purpose] = found
        return found

    def communicator(self) -> Communicator:
        """For calls one after another: of those that wait for them, and, by ``in_background``, of
        those that follow each other on a thread."""
        with self._lock:
            return self._communicator("background" if _calls.in_background else "calls")

    def lane(self) -> "Lane":
        """For the next save in the background. All ranks begin theirs in the same order; where
        LANES of them go on, this waits for the oldest, and ends with TimeoutError."""
        with self._lock:
            number = self._next_lane
            self._next_lane = (number + 1) % LANES
        patience = timeout()
        if not self._lanes[number].acquire(timeout=-1 if patience is None else patience):
            raise TimeoutError(
                f"{LANES} saves in the background of process group '{self._name}' are going on, and "
                f"the oldest has not ended in {patience:g} s; see LIBDCP_TIMEOUT"
            )
        with self._lock:
            return Lane(self._communicator(f"lane{number}"), self._lanes[number])

    def forget(self, used: Communicator) -> None:
        """After ranks went missing: what they may still send meets nobody."""
        with self._lock:
            for purpose, kept in list(self._idle.items()):
                if kept is used:
                    del self._idle[purpose]


class Lane:
    """A communicator that one save in the background has for itself, until ``end``."""

    def __init__(self, used: Communicator, lock: threading.Lock) -> None:
        self.communicator = used
        self._lock: threading.Lock | None = lock

    def end(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()


class _Calls(threading.local):
    in_background = False


_calls = _Calls()


@contextmanager
def in_background() -> Iterator[None]:
    """On this thread, saves of a group use a communicator of their own: what the program saves and
    loads meanwhile does not meet it. The saves of one group follow each other."""
    before, _calls.in_background = _calls.in_background, True
    try:
        yield
    finally:
        _calls.in_background = before


_seen: collections.Counter[str] = collections.Counter()  # groups by name
_groups: "weakref.WeakKeyDictionary[Any, Group]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def group_of(process_group: Any, no_dist: bool = False) -> Group | None:
    """None for a rank that is alone."""
    if not is_distributed(no_dist):
        return None
    group = process_group if process_group is not None else dist.group.WORLD
    if group == dist.GroupMember.NON_GROUP_MEMBER:
        raise ValueError(
            "this rank is not in the process group: only its members save and load with it"
        )
    with _lock:
        found = _groups.get(group)
        if found is None:
            found = _groups[group] = Group(group)
        return found


def communicator_of(process_group: Any, no_dist: bool = False) -> Communicator | None:
    """The group's communicator for calls that are waited for; None for a rank that is alone."""
    group = group_of(process_group, no_dist)
    return None if group is None else group.communicator()


def alone() -> Communicator:
    """Of a rank that is alone: failures then tell rank and step as those of many do."""
    return local_communicators(1)[0]


def _forget_all() -> None:
    """In a forked child: the stores belong to the parent."""
    global _lock, _groups
    _lock = threading.Lock()
    _groups = weakref.WeakKeyDictionary()


os.register_at_fork(after_in_child=_forget_all)
