"""What is said of series, and against which bar. A ratio that may not be told is no figure."""

from __future__ import annotations

import dataclasses
import statistics

from .series import NO_RATIO, Series, ratio, told_apart
from .text import digits, human_bytes, human_seconds, percent


@dataclasses.dataclass
class Claim:
    """`verdict` is "met", "missed", "not told" (the spread does not allow it), or "" without a
    bar. `figure` is None when there is none."""

    text: str
    figure: float | None = None
    bar: str = ""
    verdict: str = ""


def _verdict(met: bool) -> str:
    return "met" if met else "missed"


def _lacking(*series: Series) -> Claim | None:
    for one in series:
        if not one.samples:
            return Claim(f"{one.label} did not run: {one.failure}", verdict="")
    return None


def faster(
    ours: Series, peer: Series, at_least: float | None = None, quantity: str = "wall_s"
) -> Claim:
    """How many times less wall or CPU time ours takes."""
    if lacking := _lacking(ours, peer):
        return lacking
    what = "as fast as" if quantity == "wall_s" else "less CPU time than"
    bar = f">= {at_least:g}x" if at_least else ""
    figure = ratio(peer.values(quantity), ours.values(quantity))
    if figure is None:
        return Claim(
            f"{ours.label} against {peer.label}: {NO_RATIO}", None, bar, "not told" if bar else ""
        )
    verdict = _verdict(figure >= at_least) if at_least else ""
    return Claim(f"{ours.label}: {digits(figure)}x {what} {peer.label}", figure, bar, verdict)


def share_of_limit(ours: Series, limit: Series, at_least: float | None = None) -> Claim:
    """Ours as a share of the limit's speed, each run against the limit measured around it."""
    if lacking := _lacking(ours, limit):
        return lacking
    shares = ours.shares()
    middle = statistics.median(shares)
    spread = f"{percent(min(shares))} to {percent(max(shares))}"
    bar = f">= {percent(at_least)}" if at_least else ""
    if not told_apart(shares, [1.0]):
        met = at_least is not None and middle >= at_least
        verdict = ("met" if met else "not told") if bar else ""
        text = f"{ours.label} against {limit.label}: {NO_RATIO} (pairs of runs: {spread})"
        return Claim(text, None, bar, verdict)
    verdict = _verdict(middle >= at_least) if at_least else ""
    text = f"{ours.label}: {percent(middle)} of the speed of {limit.label} ({spread})"
    return Claim(text, middle, bar, verdict)


def cost_against(
    ours: Series, limit: Series, quantity: str, what: str, at_most: float | None = None
) -> Claim:
    """Ours as a multiple of another's cost, which it should not exceed."""
    if lacking := _lacking(ours, limit):
        return lacking
    bar = f"<= {digits(at_most)}x" if at_most else ""
    mine, other = ours.values(quantity), limit.values(quantity)
    if not mine or not other:
        return Claim(f"{ours.label}: {what} was not measured here", None, bar, "")
    figure = statistics.median(mine) / max(statistics.median(other), 1e-9)
    if not told_apart(mine, other):
        text = f"{ours.label}, {what} against {limit.label}: {NO_RATIO}"
        met = at_most is not None and figure <= at_most and at_most >= 1
        return Claim(text, None, bar, ("met" if met else "not told") if bar else "")
    verdict = _verdict(figure <= at_most) if at_most else ""
    return Claim(f"{ours.label}: {digits(figure)}x {what} of {limit.label}", figure, bar, verdict)


def memory_within(ours: Series, at_most: int) -> Claim:
    """The most extra memory of any run."""
    if lacking := _lacking(ours):
        return lacking
    bar = f"<= {human_bytes(at_most)}"
    values = ours.values("extra_bytes")
    if not values:
        return Claim(f"{ours.label}: extra memory was not measured here", None, bar, "not told")
    text = f"{ours.label}: at most {human_bytes(max(values))} of extra memory"
    return Claim(text, max(values), bar, _verdict(max(values) <= at_most))


def within_seconds(ours: Series, at_most: float) -> Claim:
    if lacking := _lacking(ours):
        return lacking
    slowest = max(ours.values("wall_s"))
    text = f"{ours.label}: {human_seconds(slowest)} in the slowest run"
    return Claim(text, slowest, f"< {human_seconds(at_most)}", _verdict(slowest < at_most))


def cost_each(ours: Series, count: int, noun: str) -> Claim:
    """Wall and CPU time divided by how many there are."""
    if lacking := _lacking(ours):
        return lacking
    wall, cpu = ours.median("wall_s") / count, ours.median("cpu_s") / count
    text = f"{ours.label}: {human_seconds(wall)} a {noun}, {human_seconds(cpu)} of CPU time"
    return Claim(text, wall)
