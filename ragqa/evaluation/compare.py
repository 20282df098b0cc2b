"""Retrievers and judged questions in, metrics with intervals and paired tests out, side by side.

The metrics are those of ir-measures, which uses pytrec-eval: AP, RR@10, nDCG@10 (linear gain) and recall. A passage counts as
relevant from grade 1 on. Intervals are bootstrap intervals (95 %, 9,999 resamples). The test is a two-sided paired permutation
test over questions (Fisher's randomization test, 9,999 resamples). Both come from SciPy, with a fixed seed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragqa.errors import InputError
from ragqa.evaluation.judged import Judged, by_document
from ragqa.evaluation.metrics import (
    DEPTH,
    MAIN_METRIC,
    NAMES,
    Measurement,
    Run,
    Search,
    find_unaskable,
    measure_run,
    search_all,
)
from ragqa.evaluation.runs import MOST_NAMED, fold_run
from ragqa.search.retriever import Retriever

if TYPE_CHECKING:
    import numpy as np

_SEED = 42

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A system's mean of a metric with its 95 % interval, the difference to the last system, and its p-value."""

    metric: str
    mean: float
    interval: Interval
    difference: float
    difference_interval: Interval
    p: float


@dataclass(frozen=True, slots=True)
class System:
    """One system's estimates, one for each metric."""

    name: str
    estimates: tuple[Estimate, ...]

    @property
    def charted(self) -> Estimate:
        """The estimate that tables compare by and charts draw."""
        return next(estimate for estimate in self.estimates if estimate.metric == MAIN_METRIC)


@dataclass(frozen=True, slots=True)
class Report:
    """Result of `compare`: name and sizes of the judged set, and the systems. All are compared with the last one.

    `unasked` are the ids of questions that cannot be asked, such as empty ones; they count as 0 for ragqa's own systems.
    """

    judged: str
    questions: int
    passages: int
    systems: tuple[System, ...]
    unasked: tuple[str, ...] = ()


def variants(retriever: Retriever, *, every: bool = False) -> dict[str, Search]:
    """Return BM25 alone and the retriever itself, by name; with `every`, also the other combinations of its parts.

    The retriever is the last. All return as many hits as the retriever reranks, at most 100. They search for the questions as
    they are written, without correction. Raises `InputError` if the retriever is BM25 alone.
    """
    if retriever.reranker is None and retriever.dense is None:
        raise InputError("there is nothing to compare: the retriever has no reranker and no embedder")
    depth = min(DEPTH, retriever.candidates)
    index, dense, reranker, candidates = retriever.index, retriever.dense, retriever.reranker, retriever.candidates
    parts: dict[str, Any] = {"candidates": candidates, "correct": False}
    found = {"BM25": Retriever(index, None, **parts)}
    if every and dense:
        found["embedder"] = Retriever(index, None, dense=dense, bm25=False, **parts)
    if every and dense and reranker:
        found["BM25 + embedder"] = Retriever(index, None, dense=dense, **parts)
        found["BM25 → reranker"] = Retriever(index, reranker, **parts)
    found[describe(retriever)] = Retriever(index, reranker, dense=dense, bm25=retriever.bm25, **parts)
    return {name: lambda question, own=own: own.search(question, depth) for name, own in found.items()}  # type: ignore[misc]


def describe(retriever: Retriever) -> str:
    """Name the parts of a retriever."""
    names = {"BM25": retriever.bm25, "embedder": retriever.dense is not None}
    sources = " + ".join(name for name, used in names.items() if used)
    return f"{sources} → reranker" if retriever.reranker else sources


def compare(
    systems: Mapping[str, Search],
    judged: Judged,
    progress: Callable[[str], Any] | None = None,
    *,
    runs: Mapping[str, Run] | None = None,
) -> Report:
    """Measure systems on the same questions, and compare each with the last one. Raises `InputError` without questions.

    `runs` of other systems come first, by name. If there are any, documents are measured instead of the passages they were cut
    into; a document counts as its best passage.
    """
    if not judged.questions:
        raise InputError("no question is left to measure with")
    documents = judged.documents if runs else {}
    unit = by_document(judged) if runs else judged
    measured = {name: measure_run(fold_run(run, documents), unit) for name, run in (runs or {}).items()}
    for name, search in systems.items():
        measured[name] = measure_run(fold_run(search_all(search, judged, progress), documents), unit)
    last = list(measured.values())[-1]
    return Report(
        judged.name,
        len(judged.questions),
        len(judged.passages),
        tuple(
            System(name, tuple(estimate(own, other) for own, other in zip(found, last, strict=True)))
            for name, found in measured.items()
        ),
        tuple(find_unaskable(judged)),
    )


def table(report: Report) -> str:
    """Format a report as a Markdown table with a row for each system. Differences are the last system minus this one."""
    names = [NAMES.get(estimate.metric, estimate.metric) for estimate in report.systems[0].estimates]
    lines = [
        f"{report.judged}: {report.questions:,} questions, {report.passages:,} passages",
        *([_unasked(report)] if report.unasked else []),
        "",
        f"| system | {' | '.join(names)} | {MAIN_METRIC} of the last − this | p |",
        "|" + "---|" * (len(names) + 3),
    ]
    for system in report.systems:
        cells = [f"{e.mean:.3f} ({e.interval[0]:.3f}–{e.interval[1]:.3f})" for e in system.estimates]
        low, high = system.charted.difference_interval
        gain, p = f"{system.charted.difference:+.3f} ({low:+.3f} to {high:+.3f})", _p(system.charted.p)
        if system is report.systems[-1]:
            gain = p = ""
        lines.append(f"| {system.name} | {' | '.join(cells)} | {gain} | {p} |")
    return "\n".join(lines)


def _unasked(report: Report) -> str:
    named = ", ".join(report.unasked[:MOST_NAMED]) + (", …" if len(report.unasked) > MOST_NAMED else "")
    return f"{len(report.unasked):,} of {report.questions:,} questions cannot be asked; each counts as 0: {named}"


def estimate(own: Measurement, last: Measurement) -> Estimate:
    """Compare a system's values of a metric with the last system's values for the same questions."""
    import numpy as np

    values = np.array(own.values)
    gains = np.array(last.values) - values
    return Estimate(
        own.metric,
        own.mean,
        bootstrap_interval(values),
        last.mean - own.mean,
        bootstrap_interval(gains),
        _permutation_p(gains),
    )


def bootstrap_interval(values: "np.ndarray") -> Interval:
    """Return the 95 % bootstrap interval of the mean of some values, shape (values,). At least one value is needed."""
    import numpy as np
    from scipy.stats import bootstrap

    if len(values) < 2 or np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    result = bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(_SEED), batch=1000)
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _permutation_p(differences: "np.ndarray") -> float:
    import numpy as np
    from scipy.stats import permutation_test

    if len(differences) < 2 or not differences.any():
        return 1.0
    result = permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        batch=500,
        rng=np.random.default_rng(_SEED),
    )
    return float(result.pvalue)


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
