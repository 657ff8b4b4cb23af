"""One file for each benchmark of docs/benchmarks.md: run(session) makes its Report."""

from __future__ import annotations

from typing import Callable

from ..report import Report
from ..session import Session
from . import b1, b2, b3, b4, b4m, b5, b5r, b6, b7, b8, b9, b10, b11, b12, b13, b15

# In the order they are run: those that share measurements beside each other.
BENCHMARKS: dict[str, Callable[[Session], Report]] = {
    "B1": b1.run,
    "B2": b2.run,
    "B3": b3.run,
    "B4": b4.run,
    "B4m": b4m.run,
    "B5": b5.run,
    "B5r": b5r.run,
    "B6": b6.run,
    "B7": b7.run,
    "B8": b8.run,
    "B9": b9.run,
    "B10": b10.run,
    "B11": b11.run,
    "B12": b12.run,
    "B13": b13.run,
    "B15": b15.run,
}
