"""Draws the plots of `docs/benchmarks.md`: bars in groups that share a scale, and curves.

matplotlib comes with the extra `bench`; without it, the figures are measured and not drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common import Bars, Column, Curves, Row
from benchmarks.report import drawn, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS, OTHERS, INK = "#2563eb", "#a3acb9", "#1f2937"
BAR_INCHES, GROUP_INCHES, FRAME_INCHES, WIDTH_INCHES = 0.27, 0.38, 0.95, 8.0


def draw(plot: Bars | Curves, rows: Sequence[Row], path: Path) -> None:
    """Write *plot* of *rows* as PNG; one without a row is not written."""
    wanted = drawn(rows, plot)
    if not wanted:
        return
    figure = _bars(plot, wanted) if isinstance(plot, Bars) else _curves(plot, wanted)
    figure.suptitle(plot.title, fontsize=12, fontweight="bold", color=INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _curves(curves: Curves, rows: Sequence[Row]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, WIDTH_INCHES * 0.6), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(str(row[curves.curve]) for row in rows):
        line = [row for row in rows if row[curves.curve] == name]
        places = [[row[each.key] * each.scale for row in line] for each in _axes_of(curves)]
        [drawn_line] = axes.plot(*places, marker="o", markersize=3, label=name)
        for row in line:
            if row.get("is_ours"):
                at = [row[each.key] * each.scale for each in _axes_of(curves)]
                axes.plot(*at, marker="o", markersize=9, color=drawn_line.get_color())
    across, up = _axes_of(curves)
    axes.set_xlabel(across.heading, color=INK)
    axes.set_ylabel(up.heading, color=INK)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e5e7eb")
    axes.set_axisbelow(True)
    return figure


def _axes_of(curves: Curves) -> tuple[Column, Column]:
    return curves.across, curves.value


def _bars(bars: Bars, wanted: Sequence[Row]) -> Figure:
    from matplotlib.figure import Figure

    groups: dict[str, list[Row]] = {}
    for row in wanted:
        groups.setdefault(str(row[bars.group]) if bars.group else "", []).append(row)
    heights = [GROUP_INCHES + BAR_INCHES * len(group) for group in groups.values()]
    figure = Figure(figsize=(WIDTH_INCHES, FRAME_INCHES + sum(heights)), layout="constrained")
    axes = figure.subplots(len(groups), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    largest = max(_length(row, bars) for row in wanted)
    smallest = min(_length(row, bars) for row in wanted)
    for axis, (name, group) in zip(axes, groups.items(), strict=True):
        _draw_group(axis, bars, name, group)
    if bars.is_logarithmic:
        axes[0].set_xscale("log")
        axes[0].xaxis.set_major_formatter(lambda place, _: f"{place:,.10g}")
        axes[0].set_xlim(smallest / 3, largest * 6)
    else:
        axes[0].set_xlim(0, largest * 1.15)
    unit = bars.value.heading + (", logarithmic" if bars.is_logarithmic else "")
    axes[-1].set_xlabel(unit, color=INK)
    return figure


def _length(row: Row, bars: Bars) -> float:
    return float(row[bars.value.key]) * bars.value.scale


def _draw_group(axes: Axes, bars: Bars, name: str, group: Sequence[Row]) -> None:
    labels = [str(row[bars.label]) for row in group]
    places = range(len(group))
    colours = [OURS if label.startswith("ours") else OTHERS for label in labels]
    lengths = [_length(row, bars) for row in group]
    axes.barh(places, lengths, color=colours, height=0.72)
    for place, row, length in zip(places, group, lengths, strict=True):
        axes.annotate(
            text(row, bars.value),
            (length, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=INK,
        )
    axes.set_yticks(list(places), labels, fontsize=9, color=INK)
    axes.invert_yaxis()
    axes.set_title(name, loc="left", fontsize=10, color=INK)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(axis="both", which="both", length=0)
    axes.xaxis.grid(True, color="#e5e7eb")
    axes.set_axisbelow(True)
