"""Reports as rows of text, for the terminal and for Markdown."""

from __future__ import annotations

import statistics
from typing import Callable

from .claims import Claim
from .report import Report, Table
from .series import Series
from .text import human_bytes, human_seconds

HEADER = ("", "wall: median (min .. max)", "CPU", "extra memory", "speed", "runs")
MEMORY_HEADER = ("", "extra memory: median (min .. max)", "runs")


def _spread(values: list[float], show: Callable[[float], str]) -> str:
    if not values:
        return "not measured"
    middle = show(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({show(min(values))} .. {show(max(values))})"


def rows(table: Table) -> list[tuple[str, ...]]:
    """The header and a line for each series."""
    if table.only_memory:
        return [MEMORY_HEADER, *[_memory_row(series) for series in table.series]]
    return [HEADER, *[_row(series, table.nbytes) for series in table.series]]


def _memory_row(series: Series) -> tuple[str, ...]:
    if not series.samples:
        return (series.label, f"did not run: {series.failure}", "0")
    memory = _spread(series.values("extra_bytes"), human_bytes)
    return (series.label, memory, str(len(series.samples)))


def _row(series: Series, nbytes: int) -> tuple[str, ...]:
    if not series.samples:
        return (series.label, f"did not run: {series.failure}", "", "", "", "0")
    speed = f"{nbytes / series.median('wall_s') / 1e9:.2f} GB/s" if nbytes else ""
    memory = series.values("extra_bytes")
    return (
        series.label,
        _spread(series.values("wall_s"), human_seconds),
        _spread(series.values("cpu_s"), human_seconds),
        human_bytes(max(memory)) if memory else "not measured",
        speed,
        str(len(series.samples)),
    )


def heading(table: Table) -> str:
    return f"{table.title}, {human_bytes(table.nbytes)}" if table.nbytes else table.title


def claim_text(claim: Claim) -> str:
    return f"{claim.text}. Bar {claim.bar}: {claim.verdict}" if claim.bar else claim.text


def plain(report: Report, colours: bool) -> str:
    def paint(code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if colours else text

    lines = [paint("1", f"{report.name}  {report.title}")]
    codes = {"met": "32", "missed": "31", "not told": "33"}
    for table in report.tables:
        shown = rows(table)
        widths = [max(map(len, column)) for column in zip(*shown)]
        lines.append(paint("36", f"  {heading(table)}"))
        for i, line in enumerate(shown):
            cells = [f"{cell:<{width}}" for cell, width in zip(line, widths)]
            text = "    " + "  ".join(cells).rstrip()
            lines.append(paint("2", text) if i == 0 else text)
        for claim in table.claims:
            lines.append("    - " + paint(codes.get(claim.verdict, "0"), claim_text(claim)))
    if report.verified:
        lines.append("  loaded and compared by torch 2.15: " + "; ".join(report.verified))
    return "\n".join(lines) + "\n"


def markdown(report: Report) -> str:
    lines = [f"### {report.name}: {report.title}", ""]
    for table in report.tables:
        lines += [f"{heading(table)}:", ""]
        header, *rest = ["| " + " | ".join(line) + " |" for line in rows(table)]
        lines += [header, "|---" * (header.count("|") - 1) + "|", *rest]
        lines += ["", *[f"- {claim_text(claim)}" for claim in table.claims], ""]
    if report.verified:
        lines += ["Loaded and compared by torch 2.15: " + "; ".join(report.verified) + ".", ""]
    return "\n".join(lines)
