"""Reports in, a bar chart out."""

from collections.abc import Sequence
from pathlib import Path

from ragqa.errors import InputError, MissingExtraError
from ragqa.evaluation.compare import Report
from ragqa.evaluation.metrics import title
from ragqa.storage.files import check_file, replace_file

CHARTS = (".png", ".svg")


def check_chart(path: str | Path) -> None:
    """Check that `draw` can write this path.

    Raises `InputError` for a wrong ending, `InputError` or `OSError` if it cannot be written, `MissingExtraError` without
    matplotlib.
    """
    if Path(path).suffix not in CHARTS:
        raise InputError(f"{path} does not end in {' or '.join(CHARTS)}")
    check_file(path)
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("drawing a chart", "evaluate") from error


def draw(reports: Sequence[Report], path: str | Path) -> None:
    """Write a bar chart of nDCG with intervals, grouped by judged set; the file name's ending selects PNG or SVG."""
    check_chart(path)
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(system.name for report in reports for system in report.systems))
    figure = Figure(figsize=(8, 1 + 0.32 * (len(names) + 1) * len(reports)), layout="constrained")
    axes = figure.subplots()
    for group, report in enumerate(reports):
        for row, system in enumerate(report.systems):
            low, high = system.charted.interval
            height = group * (len(names) + 1) + row
            axes.barh(height, system.charted.mean, color=f"C{names.index(system.name)}", label=system.name)
            axes.plot([low, high], [height, height], color="black", linewidth=1)
            axes.text(high + 0.01, height, f"{system.charted.mean:.2f}", va="center", fontsize=9)
    axes.set_yticks(
        [group * (len(names) + 1) + (len(report.systems) - 1) / 2 for group, report in enumerate(reports)],
        [f"{report.judged}\n{report.questions:,} questions" for report in reports],
    )
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=3, frameon=False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.05)
    axes.set_xlabel(f"{title(reports[0].systems[0].charted.metric)}, with 95 % interval")
    axes.spines[["top", "right"]].set_visible(False)
    with replace_file(path) as file:
        figure.savefig(file, format=Path(path).suffix[1:], dpi=150)
