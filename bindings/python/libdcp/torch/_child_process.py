"""A background process of a trainer: it answers one request after another, and outlives the trainer
until the last one is done."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import select
import signal
import socket
import threading
import time
import traceback
import weakref
from contextlib import suppress
from typing import Any, Callable

from . import _messages as messages

logger = logging.getLogger("libdcp.torch")

SILENCE_S = 600.0  # of a process that neither answers nor shows that it is alive
_PULSE_S = 1.0  # between two signs of life
_POLL_S = 0.5


class ChildDied(RuntimeError):
    """The background process has ended without being asked to."""


class ChildSilent(RuntimeError, TimeoutError):
    """The background process is there, and does not answer."""


class ChildProcess:
    """Started with ``spawn``; its requests are made from one thread at a time.

    set_up: called first in the process, with ``arguments``; what it returns is called with each
        request, and its results and exceptions are the answers. All must pickle.
    start_timeout: seconds for the process to have been set up, see :meth:`wait_started`.
    """

    def __init__(
        self,
        set_up: Callable[..., Callable[[Any], Any]],
        arguments: tuple[Any, ...] = (),
        *,
        name: str = "libdcp-background",
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._owner = os.getpid()
        self._closed = False
        self._started = False
        try:
            self.process = context.Process(
                target=_main, args=(theirs, os.getpid(), set_up, arguments), name=name, daemon=True
            )
            self.process.start()
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()  # so that its end is seen here
        # multiprocessing would wait without end for it when the interpreter exits: we do so here.
        multiprocessing.process._children.discard(self.process)  # type: ignore[attr-defined]
        _children.add(self)

    @property
    def pid(self) -> int:
        return self.process.pid or 0

    def yield_to_others(self, yields: bool) -> None:
        """Whether it works only where nobody else wants the processor, as far as the system lets us
        say so. Its threads begin as the one that starts them."""
        if not hasattr(os, "sched_setscheduler"):
            return
        policy = os.SCHED_IDLE if yields else os.SCHED_OTHER
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{self.pid}/task"):
                os.sched_setscheduler(int(thread), policy, os.sched_param(0))

    @property
    def alive(self) -> bool:
        return not self._closed and self.process.is_alive()

    def how_it_ended(self) -> str:
        """In words, once it is not alive."""
        self.process.join(1.0)
        code = self.process.exitcode
        if code is None:
            return "its connection is closed"
        if code < 0:
            try:
                return f"it was killed by {signal.Signals(-code).name}"
            except ValueError:
                return f"it was killed by signal {-code}"
        return f"it ended with exit code {code}"

    def died(self) -> ChildDied:
        return ChildDied(
            f"Checkpoint background process is dead (pid {self.pid}): {self.how_it_ended()}. "
            f"Exit code: {self.process.exitcode}"
        )

    def wait_started(self, timeout: float) -> None:
        """Raises what setting up raised; ChildSilent after ``timeout`` seconds."""
        if not self._started:
            self._answer(time.monotonic() + timeout, None, timeout)
            self._started = True

    def call(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> Any:
        """What the process answers, or raises. ``meanwhile`` is called about twice a second; what it
        raises ends the wait. ChildDied, or ChildSilent after ``timeout`` seconds or SILENCE_S without
        a sign of life."""
        if not self.alive:
            raise self.died()
        self._socket.settimeout(SILENCE_S if timeout is None else timeout)
        try:
            kept = messages.send(self._socket, request)
        except messages.Closed:
            raise self.died() from None
        except TimeoutError as error:
            raise ChildSilent(f"process {self.pid} takes no requests") from error
        until = None if timeout is None else time.monotonic() + timeout
        try:
            return self._answer(until, meanwhile, timeout)
        finally:
            del kept

    def _answer(
        self, until: float | None, meanwhile: Callable[[], None] | None, timeout: float | None
    ) -> Any:
        heard = time.monotonic()
        while True:
            now = time.monotonic()
            if until is not None and now >= until:
                raise ChildSilent(
                    f"Timed out after {timeout}s while waiting for background process {self.pid}"
                )
            if now - heard > SILENCE_S:
                raise ChildSilent(f"background process {self.pid} is silent since {SILENCE_S} s")
            self._socket.settimeout(max(0.01, _POLL_S if until is None else min(_POLL_S, until - now)))
            try:
                kind, value = messages.receive(self._socket)
            except TimeoutError:
                if meanwhile is not None:
                    meanwhile()
                continue
            except messages.Closed:
                raise self.died() from None
            heard = time.monotonic()
            if kind == "failed":
                raise _as_raised_there(*value)
            if kind == "done":
                return value
            if meanwhile is not None:
                meanwhile()

    def stop(self, timeout: float) -> bool:
        """Asks it to end, when what it does is done; whether it did so in time. It is not killed."""
        if not self._closed:
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        self.process.join(timeout)
        ended = self.process.exitcode is not None
        self.abandon()
        return ended

    def kill(self) -> None:
        self.process.kill()
        self.process.join(10.0)
        self.abandon()

    def abandon(self) -> None:
        """It goes on with what it does, and then ends."""
        self._closed = True
        self._socket.close()
        _children.discard(self)

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and os.getpid() == self._owner:
            self._socket.close()


_children: weakref.WeakSet[ChildProcess] = weakref.WeakSet()


def _after_fork() -> None:
    """The processes are the parent's. Their sockets must not stay open here: they are how the
    processes see that the trainer is gone."""
    for child in list(_children):
        child._closed = True
        child._socket.close()
    _children.clear()


os.register_at_fork(after_in_child=_after_fork)


# ---- in the process ----


class _Pulse:
    """Tells the trainer that the process is at work."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()
        self._working = threading.Event()
        threading.Thread(target=self._run, name="libdcp-pulse", daemon=True).start()

    def answer(self, kind: str, value: Any) -> None:
        with self._lock:
            self._working.clear()
            try:
                messages.send(self._socket, (kind, value))
            except (messages.Closed, OSError):
                pass  # the trainer is gone; the work is done

    def work(self) -> None:
        self._working.set()

    def _run(self) -> None:
        while True:
            self._working.wait()
            time.sleep(_PULSE_S)
            with self._lock:
                if self._working.is_set():
                    try:
                        messages.send(self._socket, ("alive", None))
                    except (messages.Closed, OSError):
                        self._working.clear()


def _main(
    sock: socket.socket,
    trainer: int,
    set_up: Callable[..., Callable[[Any], Any]],
    arguments: tuple[Any, ...],
) -> None:
    os.setsid()  # what is sent to the trainer's process group is not for this process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    sock.settimeout(None)
    pulse = _Pulse(sock)
    pulse.work()
    try:
        serve = set_up(*arguments)
    except BaseException as error:
        pulse.answer("failed", _sendable(error))
        return
    pulse.answer("done", None)
    while not ending.is_set():
        request = _next_request(sock, trainer)
        if request is _POLLED:
            continue
        if request is _NO_MORE:
            return
        pulse.work()
        try:
            if isinstance(request, BaseException):
                raise request
            value = serve(request)
            del request  # its memory may serve the next one
            pulse.answer("done", value)
        except BaseException as error:
            pulse.answer("failed", _sendable(error))


_POLLED, _NO_MORE = object(), object()


def _next_request(sock: socket.socket, trainer: int) -> Any:
    ready, _, _ = select.select([sock], [], [], 1.0)
    if not ready:
        return _POLLED if os.getppid() == trainer else _NO_MORE
    try:
        return messages.receive(sock)
    except messages.Closed:
        return _NO_MORE
    except BaseException as error:  # it does not unpickle here
        return error


def _sendable(error: BaseException) -> tuple[BaseException, str]:
    """The exception, or what tells of it where it does not pickle, and its traceback."""
    text = "".join(traceback.format_exception(error))
    try:
        again = pickle.loads(pickle.dumps(error))
        same = type(again) is type(error) and isinstance(again, BaseException)
    except BaseException:
        same = False
    if not same:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return error, text


def _as_raised_there(error: BaseException, text: str) -> BaseException:
    error.remote_traceback = text  # type: ignore[attr-defined]
    error.__notes__ = [  # type: ignore[attr-defined]
        *getattr(error, "__notes__", ()), f"in the background process:\n{text}"
    ]
    return error
