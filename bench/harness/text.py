"""Figures as people read them."""

from __future__ import annotations


def digits(number: float) -> str:
    """Three digits, or all of a larger number."""
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"


def human_bytes(count: float) -> str:
    unit = 0
    while abs(count) >= 1024 and unit < 4:
        count /= 1024
        unit += 1
    if unit == 0:
        return f"{count:.0f} B"
    return f"{count:.1f} {['B', 'KiB', 'MiB', 'GiB', 'TiB'][unit]}"


def human_seconds(seconds: float) -> str:
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1 or unit == "µs":
            return f"{digits(seconds * factor)} {unit}"
    raise AssertionError


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"
