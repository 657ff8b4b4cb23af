"""A c10d store as the library's key-value store."""

from __future__ import annotations

import datetime
import time
from typing import Any, Callable

import torch.distributed as dist

from .._errors import IoError, RankFailure
from .._key_value import KeyValueStore
from ._patient_thread import PatientThread, Unanswered

MARGIN_S = 0.3  # beyond its timeout, for a call to come back
ANSWER_S = 0.5  # for a store to show that it is there
STUCK_S = 0.1  # the same, when it has kept a call waiting for too long already
POLLED_S = 0.25  # of a wait: the key is looked for again and again; later the store is asked to wait
LONGEST_PAUSE_S = 0.005

_KeyIsLate: type[Exception] = getattr(dist, "DistStoreError", RuntimeError)


class LostStore(IoError):
    """The store cannot be reached, or does not answer."""


class C10dStore(KeyValueStore):
    """Calls are made on a thread of their own: a store whose host was stopped keeps a client waiting
    beyond every timeout. Such a store looks like one that lacks the key; ``answers`` tells.

    host: the rank that hosts the store, named when it is lost; None when none of them does.
    """

    def __init__(self, store: Any, host: int | None) -> None:
        self._store = store
        self._host = host
        self._thread = PatientThread("libdcp store")
        self._given_up = False  # told lost, and what hung then hangs still
        self.patience: float | None = None  # for calls that have no timeout of their own

    def set(self, key: str, value: bytes, timeout: float | None) -> None:
        try:
            self._call(lambda: self._store.set(key, value), timeout)
        except Unanswered:
            raise self.lost("it does not answer") from None

    def get(self, key: str, timeout: float | None) -> bytes | None:
        try:
            found: bytes | None = self._call(lambda: self._find(key, timeout), timeout)
            return found
        except Unanswered:
            return None

    def remove(self, key: str) -> None:
        """What was received stays received: a store that is lost by now took the key with it."""
        try:
            self._call(lambda: self._store.delete_key(key), self.patience)
        except (Unanswered, LostStore):
            pass

    def answers(self) -> bool:
        patience = STUCK_S if self._thread.stuck else ANSWER_S
        try:
            self._thread.call(lambda: self._store.check(["answers"]), patience)
        except Exception:
            self._given_up = True
            return False
        return True

    def lost(self, why: str) -> LostStore:
        if self._host is None:
            return LostStore(f"the store is lost: {why}")
        text = f"the store that rank {self._host} hosts is lost: {why}"
        return LostStore(text, failures=(RankFailure(self._host, "", IoError(text)),))

    def _call(self, work: Callable[[], Any], timeout: float | None) -> Any:
        stuck = self._thread.stuck
        self._given_up = self._given_up and stuck
        if self._given_up:
            timeout = 0.0
        elif timeout is not None and not stuck:
            timeout += MARGIN_S
        try:
            return self._thread.call(work, timeout)
        except Unanswered:
            raise
        except Exception as error:
            raise self.lost(str(error).partition("\n")[0]) from error

    def _find(self, key: str, timeout: float | None) -> bytes | None:
        begin, pause = time.monotonic(), 0.0002
        while not self._store.check([key]):
            waited = time.monotonic() - begin
            left = None if timeout is None else timeout - waited
            if left is not None and left <= 0:
                return None
            if waited >= POLLED_S:
                return self._wait(key, left)
            time.sleep(pause if left is None else min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE_S)
        return bytes(self._store.get(key))

    def _wait(self, key: str, timeout: float | None) -> bytes | None:
        while True:
            slice_s = 3600.0 if timeout is None else timeout
            until = time.monotonic() + slice_s
            try:
                self._store.wait([key], datetime.timedelta(seconds=max(slice_s, 0.001)))
            except _KeyIsLate:
                if time.monotonic() < until - 0.01:
                    raise
                if timeout is not None:
                    return None
                continue
            return bytes(self._store.get(key))
