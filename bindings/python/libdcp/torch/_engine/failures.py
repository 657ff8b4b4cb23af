"""The engine's errors as torch's CheckpointException, with the exceptions of all ranks."""

from __future__ import annotations

import base64
import pickle
import traceback
from contextlib import contextmanager
from typing import Any, Iterator

from torch.distributed.checkpoint.api import CheckpointException, _wrap_exception

from ..._errors import AlreadyExistsError, CancelledError, Error, NotFoundError

_MARK = "\nfor the other ranks, pickled: "
_MOST = 1 << 16  # bytes of an exception that is sent


class RoleFailure(Exception):
    """What a planner or a storage of the host's raised, on its way through the engine. Its text
    carries the exception itself, for the other ranks of the job."""

    def __init__(self, original: BaseException) -> None:
        super().__init__(original)
        self.original = original

    def __str__(self) -> str:
        return f"{type(self.original).__name__}: {self.original}{_MARK}{_sent(self.original)}"


def _sent(exception: BaseException) -> str:
    try:
        data = pickle.dumps(_wrap_exception(exception))
        pickle.loads(data)
    except Exception:  # which only its own rank can have, then
        return ""
    return base64.b64encode(data).decode("ascii") if len(data) <= _MOST else ""


@contextmanager
def role_failures() -> Iterator[None]:
    """Around calls of the host's objects."""
    try:
        yield
    except RoleFailure:
        raise
    except BaseException as error:
        raise RoleFailure(error) from error


def own_exception(error: BaseException) -> BaseException:
    """What the host's object raised on this rank; ``error`` itself where it was the engine."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, RoleFailure):
            return at.original
        if not isinstance(at, Error):
            return at
        at = at.__cause__
    return error


def _plain_text(text: str) -> str:
    """Without what is for other ranks."""
    while (begin := text.find(_MARK)) >= 0:
        rest = text[begin + len(_MARK) :]
        at = 0
        while at < len(rest) and (rest[at].isalnum() or rest[at] in "+/="):
            at += 1
        text = text[:begin] + rest[at:]
    return text


def _of_rank(error: Error) -> tuple[BaseException, Any]:
    own = own_exception(error)
    if own is not error:
        return _wrap_exception(own)
    begin = error.message.find(_MARK)
    if begin >= 0:
        try:
            exception, summary = pickle.loads(
                base64.b64decode(error.message[begin + len(_MARK) :], validate=True)
            )
            return exception, summary
        except Exception:  # of a class that is not known here
            pass
        error = type(error)(_plain_text(error.message), details=error.details)
    return _as_upstream(error), traceback.StackSummary.from_list([])


class CheckpointExistsError(AlreadyExistsError, RuntimeError):
    pass


class MissingKeyError(NotFoundError, RuntimeError):
    pass


class NoMetadataError(NotFoundError, AssertionError):
    pass


def _as_upstream(error: Error) -> BaseException:
    """Of the classes, too, that torch raises for the same."""
    if isinstance(error, AlreadyExistsError):
        kind: type[Error] = CheckpointExistsError
    elif type(error) is NotFoundError and error.message.startswith("Missing key in checkpoint"):
        kind = MissingKeyError
    elif type(error) is NotFoundError and error.message.startswith("no checkpoint at"):
        kind = NoMetadataError
    else:
        return error
    made = kind(error.message, details=error.details)
    made.__cause__ = error.__cause__
    return made


def checkpoint_exception(error: Error, rank: int, step: str) -> CheckpointException:
    """torch's exception for an error of a save or load, by the ranks that failed. What Python code of
    this rank raised is in it as the very object; of other ranks a copy where their planners and
    storages raised it, else the engine's error. ``rank`` and ``step`` are for errors that name none."""
    failures = {
        failed: _of_rank(failure.error)
        for failed, failure in sorted(error.failures.items())
    }
    steps = [failure.step for failure in error.failures.values() if failure.step]
    if not failures:
        failures = {rank: _of_rank(error)}
    return CheckpointException(steps[0] if steps else step, failures)


@contextmanager
def as_checkpoint_exception(rank: int, step: str, raw: bool = False) -> Iterator[None]:
    """Around a save or load of the engine. Requests to stop stay what they are; so does, when ``raw``,
    what the host's objects raised on this rank."""
    try:
        yield
    except CancelledError:
        raise
    except Error as error:
        own = own_exception(error)
        if raw and own is not error:
            raise own
        raise checkpoint_exception(error, rank, step) from None
