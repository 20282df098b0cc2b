"""Tables in Markdown and charts in PNG."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from side_by_side import Timing


@dataclass(frozen=True)
class Chart:
    """A drawn figure."""

    figure: Figure

    def save(self, path: Path) -> None:
        """Write it as PNG."""
        self.figure.savefig(path, dpi=120)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(seconds: Sequence[float]) -> str:
    """How far the slowest and the fastest round are from the median."""
    median = statistics.median(seconds)
    return f"−{1 - min(seconds) / median:.0%} to +{max(seconds) / median - 1:.0%}"


def times(own: Timing, other: Timing) -> str:
    """How many times faster than another, round by round."""
    if own is other:
        return ""
    middle, low, high = own.times_faster(other)
    return f"**{middle:.1f}×** ({low:.1f}–{high:.1f})"


def bars(unit: str, values: Mapping[str, float]) -> Chart:
    """A bar for each value."""
    figure = Figure(figsize=(8, 0.6 + 0.4 * len(values)), layout="constrained")
    axes = figure.subplots()
    drawn = axes.barh(list(values), list(values.values()), color=["C0", *["0.7"] * (len(values) - 1)])
    axes.bar_label(drawn, fmt="{:,.0f}", padding=4)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.margins(x=0.1)
    axes.spines[["top", "right"]].set_visible(False)
    return Chart(figure)


def curves(across: str, up: str, values: Mapping[str, Sequence[tuple[float, float]]]) -> Chart:
    """A curve for each series of points, on logarithmic axes."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, points in values.items():
        axes.loglog(*zip(*points, strict=True), marker="o", label=name, linewidth=2.5 if name == "ragqa" else 1.2)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(which="major", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return Chart(figure)
