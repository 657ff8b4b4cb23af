"""One picture of a run: the wall time of every subject, a panel for each table."""

from __future__ import annotations

import pathlib

from .report import Report, Table
from .table import heading

COLOURS = {"ours": "#1f6f8b", "peer": "#b8b8b8", "limit": "#e0a458"}
SKIPPED = ("B12",)  # about memory; its times are those of the others


def write(reports: list[Report], path: pathlib.Path) -> None:
    """As SVG. Does nothing when there is nothing to show."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "libdcp"
    from matplotlib import pyplot

    panels = [
        (report, table)
        for report in reports
        if report.name not in SKIPPED
        for table in report.tables
        if any(series.samples for series in table.series)
    ]
    if not panels:
        return
    heights = [1.2 + 0.32 * len(table.series) for _, table in panels]
    figure, axes = pyplot.subplots(
        len(panels),
        1,
        figsize=(9, sum(heights)),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for (report, table), axis in zip(panels, axes[:, 0]):
        _panel(report, table, axis)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _panel(report: Report, table: Table, axis: object) -> None:
    ran = [series for series in table.series if series.samples]
    middles = [series.median("wall_s") for series in ran]
    lows = [m - min(s.values("wall_s")) for m, s in zip(middles, ran)]
    highs = [max(s.values("wall_s")) - m for m, s in zip(middles, ran)]
    axis.barh(  # type: ignore[attr-defined]
        [series.label for series in ran],
        middles,
        xerr=[lows, highs],
        color=[COLOURS[series.kind] for series in ran],
        error_kw={"elinewidth": 1, "capsize": 2},
    )
    axis.invert_yaxis()  # type: ignore[attr-defined]
    axis.spines[["top", "right"]].set_visible(False)  # type: ignore[attr-defined]
    wide = max(middles) > 50 * min(middles)
    if wide:
        axis.set_xscale("log")  # type: ignore[attr-defined]
    axis.set_xlabel("seconds, logarithmic" if wide else "seconds")  # type: ignore[attr-defined]
    title = f"{report.name}: {report.title}\n{heading(table)}"
    axis.set_title(title, loc="left", fontsize=9)  # type: ignore[attr-defined]
