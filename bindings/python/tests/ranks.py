"""Ranks as threads of one process."""

from __future__ import annotations

import threading
from typing import Any, Callable


def on_ranks(communicators: list[Any], body: Callable[[Any], Any]) -> list[Any]:
    """What body(communicator) returns or raises on a thread for each rank. A failed assertion of a
    body is raised here."""
    outcomes: list[Any] = [None] * len(communicators)

    def run(rank: int) -> None:
        try:
            outcomes[rank] = body(communicators[rank])
        except BaseException as error:
            outcomes[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(communicators))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for outcome in outcomes:
        if isinstance(outcome, AssertionError):
            raise outcome
    return outcomes
