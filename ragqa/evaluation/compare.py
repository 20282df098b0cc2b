"""Retrievers and judged questions in, metrics with intervals and paired tests out, side by side.

The metrics are those of ir-measures, which uses pytrec-eval: AP, RR, nDCG and recall (`metrics.metric_names`). Intervals are
bootstrap intervals (95 %, 9,999 resamples). The test is a two-sided paired permutation test over questions (Fisher's
randomization test, 9,999 resamples). Both come from SciPy, with a fixed seed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ragqa.errors import InputError
from ragqa.evaluation.caveats import Caveats, find_caveats
from ragqa.evaluation.judged import Judged, by_document
from ragqa.evaluation.metrics import (
    CUTOFF,
    DEPTH,
    Definition,
    Measurement,
    Run,
    Search,
    find_unaskable,
    highest_grade,
    least_grade,
    measure_run,
    metric_names,
    search_all,
    title,
)
from ragqa.evaluation.runs import MOST_NAMED, fold_run, sort_run
from ragqa.records import Hit
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
    """One system's estimates, one for each metric, and what to keep in mind about them."""

    name: str
    estimates: tuple[Estimate, ...]
    caveats: Caveats | None = None

    @property
    def charted(self) -> Estimate:
        """The estimate that tables compare by and charts draw: nDCG."""
        return next(estimate for estimate in self.estimates if _is_main(estimate.metric))


@dataclass(frozen=True, slots=True)
class Report:
    """Result of `compare`: name and sizes of the judged set, and the systems. All are compared with the last one.

    `passages` is 0 if only runs are measured, without the passages. `unasked` are the ids of questions that cannot be asked,
    such as empty ones; they count as 0 for ragqa's own systems. `definition` says what the metrics count. `depth` is the number
    of hits that are measured. `highest_grade` is the highest grade in the judgments. `unreachable` is the number of questions
    without a passage that MRR counts.
    """

    judged: str
    questions: int
    passages: int
    systems: tuple[System, ...]
    unasked: tuple[str, ...] = ()
    definition: Definition = field(default_factory=Definition)
    depth: int = DEPTH
    highest_grade: int = 1
    unreachable: int = 0


@dataclass(frozen=True, slots=True)
class Ranker:
    """A search that asks a retriever for `depth` hits."""

    retriever: Retriever
    depth: int

    def __call__(self, question: str) -> list[Hit]:
        """Return the hits, best first."""
        return self.retriever.search(question, self.depth)


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
    return {name: Ranker(own, depth) for name, own in found.items()}


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
    definition: Definition | None = None,
) -> Report:
    """Measure systems on the same questions, and compare each with the last one. Raises `InputError` without questions.

    `runs` of other systems come first, by name. If there are any, documents are measured instead of the passages they were cut
    into; a document counts as its best passage. A system that is not from `variants` must ask for 100 hits.
    """
    found = {name: search_all(search, judged, progress) for name, search in systems.items()}
    return compare_runs(found, judged, runs=runs, definition=definition, depth=searched_depth(systems))


def searched_depth(systems: Mapping[str, Search]) -> int:
    """Return the smallest number of hits that a system asks for, at most 100."""
    return min([DEPTH, *(search.depth for search in systems.values() if isinstance(search, Ranker))])


def compare_runs(
    found: Mapping[str, Run],
    judged: Judged,
    *,
    runs: Mapping[str, Run] | None = None,
    definition: Definition | None = None,
    depth: int = DEPTH,
) -> Report:
    """Measure what systems found, as `compare` does. `depth` is the number of hits they were asked for.

    The hits of `found` are in order; those of `runs` are sorted by their scores, ties as in trec_eval. The second recall
    is no deeper than the longest list of any run, and never less than 10 unless `depth` is.
    """
    if not judged.questions:
        raise InputError("no question is left to measure with")
    definition = definition or Definition()
    documents = judged.documents if runs else {}
    unit = by_document(judged) if runs else judged
    others = {name: fold_run(sort_run(run), documents) for name, run in (runs or {}).items()}
    ours = {name: fold_run(run, documents) for name, run in found.items()}
    depth = _common_depth(depth, [*others.values(), *(ours.values() if documents else ())])
    metrics = metric_names(unit, definition, depth)
    rank = next(least_grade(name) for name in metrics if name.startswith("RR"))
    return Report(
        judged.name,
        len(judged.questions),
        len(judged.passages),
        _measure(others | ours, unit, metrics),
        tuple(find_unaskable(judged)) if found else (),
        definition,
        depth,
        highest_grade(unit),
        sum(max(grades.values()) < rank for grades in unit.relevance.values()),
    )


def _common_depth(asked: int, runs: Sequence[Run]) -> int:
    """Return the depth that the systems were asked for and that the longest lists of all these runs reach."""
    reached = min((max(map(len, run.values()), default=0) for run in runs), default=asked)
    return min(asked, max(CUTOFF, reached))


def _measure(rankings: Mapping[str, Run], judged: Judged, metrics: Sequence[str]) -> tuple[System, ...]:
    main = next(filter(_is_main, metrics))
    measured = {name: measure_run(run, judged, metrics) for name, run in rankings.items()}
    last = list(measured.values())[-1]
    return tuple(
        System(
            name,
            tuple(estimate(own, other) for own, other in zip(found, last, strict=True)),
            find_caveats(rankings[name], judged, main),
        )
        for name, found in measured.items()
    )


def _is_main(metric: str) -> bool:
    return metric.startswith("nDCG")


def table(report: Report) -> str:
    """Format a report as a Markdown table with a row for each system. Differences are the last system minus this one."""
    names = [title(e.metric, graded=report.highest_grade > 1) for e in report.systems[0].estimates]
    main = title(report.systems[0].charted.metric)
    lines = [
        f"{report.judged}: {report.questions:,} questions"
        + (f", {report.passages:,} passages" if report.passages else ""),
        *([_unasked(report)] if report.unasked else []),
        "",
        f"| system | {' | '.join(names)} | {main} of the last − this | p |",
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
