"""Futures that tell when, not what."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any


def wrap_future(original_result: Any) -> Future[None]:
    """A future of None: done now, or, if it is given a future, when that is, with the same
    exception."""
    masked: Future[None] = Future()

    def finish(original: Future[Any]) -> None:
        try:
            original.result()
        except BaseException as error:
            masked.set_exception(error)
        else:
            masked.set_result(None)

    if isinstance(original_result, Future):
        original_result.add_done_callback(finish)
    else:
        masked.set_result(None)
    return masked
