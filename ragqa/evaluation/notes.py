"""A report in, remarks on what its metrics count out: grades, gain, depth, missing judgments and near-ties."""

from collections.abc import Iterator, Mapping

from ragqa.evaluation.caveats import NEAR, Caveats
from ragqa.evaluation.compare import Report
from ragqa.evaluation.metrics import CUTOFF, least_grade, title

_GAINS = {"linear": "a passage of grade g adds g", "exponential": "a passage of grade g adds 2^g − 1"}


def notes(report: Report) -> str:
    """Return the remarks as a Markdown list."""
    return "\n".join(f"- {note}" for note in _notes(report))


def _notes(report: Report) -> Iterator[str]:
    main = title(report.systems[0].charted.metric)
    yield f"nDCG has {report.definition.gain} gain: {_GAINS[report.definition.gain]}."
    if report.unreachable:
        rank = next(e.metric for e in report.systems[0].estimates if e.metric.startswith("RR"))
        yield (
            f"{report.unreachable:,} of {report.questions:,} questions have no passage of grade {least_grade(rank)} or above; "
            f"{title(rank)} counts them as 0."
        )
    found = {system.name: system.caveats for system in report.systems if system.caveats}
    shares = ", ".join(f"{name} {own.judged:.2f}" for name, own in found.items())
    yield f"judged@{CUTOFF}, the fraction of the first {CUTOFF} hits with a judgment: {shares}. Other hits count as wrong."
    lengths = ", ".join(f"{name} {own.longest:,}" for name, own in found.items())
    yield f"Longest list of hits: {lengths}. MAP is over whole lists."
    yield _near_ties(found, main)


def _near_ties(caveats: Mapping[str, Caveats], main: str) -> str:
    found = [f"{name} {c.near_ties} ({c.lowest:.3f}–{c.highest:.3f})" for name, c in caveats.items() if c.near_ties]
    what = f"Near-ties (neighbouring scores that differ by at most {100 * NEAR:g} % of the range of their list)"
    if found:
        return (
            f"{what} may change places on another CPU. Questions they matter for, with the lowest and highest {main}: "
            f"{', '.join(found)}."
        )
    return f"{what}: none that {main} depends on."
