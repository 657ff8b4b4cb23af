"""Exceptions: one class a status of dcp.h, all of them :class:`Error`.

Where Python has a class for the same thing, ours is a subclass of it too: ``NotFoundError`` of
``FileNotFoundError``, ``TimeoutError`` of the builtin, and so on.
"""

from __future__ import annotations

import builtins
import concurrent.futures
from typing import Any, Iterable, Mapping, NamedTuple, Union

from . import dcp_raw as raw


class RankFailure(NamedTuple):
    """What went wrong on one rank, and in which step: "plan", "write" or "read"."""

    rank: int
    step: str
    error: "Error"

    @property
    def code(self) -> str:
        """The status of dcp.h: "NOT_FOUND", "TIMEOUT" and so on."""
        return str(raw.dcp_status_name(self.error.status))

    @property
    def message(self) -> str:
        return self.error.message

    @property
    def exception(self) -> BaseException | None:
        """The very object that was raised, on the rank where Python raised it; None elsewhere."""
        return self.error.__cause__


Failures = Union[Mapping[int, RankFailure], Iterable[RankFailure]]


class Error(Exception):
    """Base of everything libdcp raises on its own.

    ``status`` is the number in dcp.h, ``details`` says more by key ("file", "tensor", "offset",
    "errno", ...), ``failures`` has the ranks that failed, by number. The exception of a callback written in
    Python is ``__cause__``, the very object that was raised.

    A storage or transform written in Python may raise a subclass of its own accord, to say which
    status it means: ``raise libdcp.CorruptError("short object")``.
    """

    status: int = 10
    arrived: list[bytes | None] | None = None  # see Communicator.gather

    def __init__(
        self,
        message: str = "",
        *,
        details: dict[str, str] | None = None,
        failures: Failures = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        named = failures.values() if isinstance(failures, Mapping) else failures
        self.failures: dict[int, RankFailure] = {failure.rank: failure for failure in named}
        # OSError's own attributes are set by its C constructor from other arguments.
        if isinstance(self, OSError):
            number = self.details.get("errno", "")
            setattr(self, "errno", int(number) if number.lstrip("-").isdigit() else None)
            setattr(self, "filename", self.details.get("file"))

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.message, self.details, self.failures)


def _rebuild(
    cls: type[Error], message: str, details: dict[str, str], failures: Failures
) -> Error:
    return cls(message, details=details, failures=failures)


class InvalidArgumentError(Error, ValueError):
    """The call itself is wrong."""

    status = 1


class NotFoundError(Error, FileNotFoundError):
    """No such file, checkpoint or entry."""

    status = 2


class NoSuchEntryError(NotFoundError, KeyError):
    """The checkpoint has no entry of this name."""


class AlreadyExistsError(Error, FileExistsError):
    """A checkpoint is there, and ``overwrite`` is off."""

    status = 3


class IoError(Error, OSError):
    """The system said no: ``errno`` tells why."""

    status = 4


class CorruptError(Error):
    """Stored bytes do not parse, fail a checksum, or contradict each other."""

    status = 5


class TimeoutError(Error, builtins.TimeoutError):
    """A deadline passed."""

    status = 6


class CancelledError(Error, concurrent.futures.CancelledError):
    """The call was cancelled."""

    status = 7


class CallbackError(Error):
    """A storage, transform or progress callback raised; its exception is ``__cause__``."""

    status = 8


class CheckpointException(Error):
    """One or more ranks failed: ``failures`` says which, in which step and with what, the same on
    every rank. Where this rank raised a Python exception, that is the ``__cause__``."""

    status = 9


RankFailedError = CheckpointException


class InternalError(Error):
    """A defect of libdcp: please report it."""

    status = 10


class UnsupportedError(Error):
    """Well-formed, but not something this build or version handles."""

    status = 11


class OutOfMemoryError(Error, MemoryError):
    """No memory."""

    status = 12


class ForkedError(Error):
    """The object belongs to the parent of this forked process."""

    status = 13


class ReplacedError(Error):
    """The open checkpoint was saved over: open it again."""

    status = 14


class OutcomeUnknownError(Error):
    """The commit may or may not have happened: read the checkpoint."""

    status = 15


class MismatchError(Error, ValueError):
    """Shape, dtype or kind differs from what the checkpoint holds."""

    status = 16


class StateMismatchError(MismatchError, RuntimeError):
    """A rank-local file does not fit what it is loaded into."""


class LimitError(Error):
    """A cap against hostile or absurd input."""

    status = 17


def missing_ranks(ranks: Iterable[int]) -> dict[int, RankFailure]:
    """For the ``failures`` of a communicator's exception: ranks that did not come in time."""
    return {
        rank: RankFailure(rank, "", TimeoutError("nothing was heard of it in time"))
        for rank in ranks
    }


_BY_STATUS: dict[int, type[Error]] = {
    cls.status: cls
    for cls in (
        InvalidArgumentError,
        NotFoundError,
        AlreadyExistsError,
        IoError,
        CorruptError,
        TimeoutError,
        CancelledError,
        CallbackError,
        CheckpointException,
        InternalError,
        UnsupportedError,
        OutOfMemoryError,
        ForkedError,
        ReplacedError,
        OutcomeUnknownError,
        MismatchError,
        LimitError,
    )
}


def make_error(
    status: int,
    message: str,
    details: dict[str, str],
    failures: list[tuple[int, str, Error]],
    cause: BaseException | None,
) -> Error:
    """The exception for an error of the library. A status that is not known is a defect."""
    cls = _BY_STATUS.get(status, InternalError)
    named = [RankFailure(*failure) for failure in failures]
    error = cls(message, details=details, failures=named)
    if cause is None:
        cause = next((f.exception for f in named if f.exception is not None), None)
    if cause is not None:
        error.__cause__ = cause
    return error
