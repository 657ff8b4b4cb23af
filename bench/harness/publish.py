"""The files that a run leaves: results as JSON, and what docs/benchmarks.md shows."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

from . import table
from .report import Report
from .sizes import Sizes
from .text import human_bytes

BEGIN = "<!-- measured: written by scripts/bench.sh --publish -->"
END = "<!-- measured: end -->"


@dataclasses.dataclass
class Results:
    date: str
    sizes: Sizes
    machine: dict[str, str]
    reports: list[Report]

    def as_json(self) -> dict[str, Any]:
        return {
            "date": self.date,
            "sizes": dataclasses.asdict(self.sizes),
            "machine": self.machine,
            "reports": [dataclasses.asdict(report) for report in self.reports],
        }


def write_json(results: Results, path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results.as_json(), indent=1) + "\n")


def measured_part(results: Results, chart: str) -> str:
    sizes = results.sizes
    lines = [
        f"Measured on {results.date}, sizes of `{sizes.mode}` ({human_bytes(sizes.nbytes)} of "
        f"tensors, {sizes.rounds} rounds):",
        "",
        *[f"- {key}: {value}" for key, value in results.machine.items()],
        "",
        f"![Wall time of every subject]({chart})",
        "",
    ]
    return "\n".join(lines) + "\n" + "\n".join(table.markdown(r) for r in results.reports)


def write_docs(results: Results, document: pathlib.Path, chart: pathlib.Path) -> None:
    """Replaces what is between the markers. ValueError when they are not there, once each."""
    text = document.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{document.name} has not one pair of markers")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    part = measured_part(results, chart.name)
    document.write_text(f"{before}{BEGIN}\n{part}\n{END}{after}")
