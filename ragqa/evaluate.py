"""Retrievers measured on judged questions: before and after reranking, with intervals and a paired test.

Metrics are ir-measures' (pytrec-eval inside): AP, RR@10, nDCG@10 (linear gain) and recall; a passage counts as relevant
from grade 1 on. Intervals are bootstrap (95 %, 9,999 resamples), the test is a paired permutation test (Fisher's
randomization test, 9,999 resamples, two-sided) over questions; both are SciPy's, with a fixed seed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ragqa.errors import InputError, MissingExtraError
from ragqa.judged import Judged
from ragqa.records import Hit
from ragqa.retrieve import Retriever

if TYPE_CHECKING:
    import numpy as np

METRICS = ("AP", "RR@10", "nDCG@10", "R@10", "R@100")
NAMES = {"AP": "MAP", "RR@10": "MRR@10", "R@10": "Recall@10", "R@100": "Recall@100"}
DEPTH = 100
_SEED = 42


@dataclass(frozen=True, slots=True)
class Measurement:
    """A metric's value for each question, in the order of the judged set's questions."""

    metric: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over all questions, 0 to 1."""
        return sum(self.values) / len(self.values)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric before and after: means, 95 % interval of each and of the difference, p of no difference."""

    metric: str
    before: float
    after: float
    before_interval: tuple[float, float]
    after_interval: tuple[float, float]
    difference_interval: tuple[float, float]
    p: float


@dataclass(frozen=True, slots=True)
class Report:
    """What `compare` found: the judged set's name and sizes, the systems' names, a comparison for each metric."""

    judged: str
    questions: int
    passages: int
    before: str
    after: str
    comparisons: tuple[Comparison, ...]


def measure(
    search: Callable[[str], Sequence[Hit]], judged: Judged, progress: Callable[[str], Any] | None = None
) -> tuple[Measurement, ...]:
    """Search every question and compute every metric."""
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtraError("evaluating", "evaluate") from error
    run = {}
    for key, question in judged.questions.items():
        hits = search(question)
        run[key] = {hit.passage.id: float(len(hits) - rank) for rank, hit in enumerate(hits)}
        if progress:
            progress(key)
    measures = {ir_measures.parse_measure(name): name for name in METRICS}
    values: dict[str, dict[str, float]] = {name: dict.fromkeys(judged.questions, 0.0) for name in METRICS}
    qrels = {key: dict(grades) for key, grades in judged.relevance.items()}
    for result in ir_measures.iter_calc(list(measures), qrels, run):
        values[measures[result.measure]][result.query_id] = result.value
    return tuple(Measurement(name, tuple(values[name].values())) for name in METRICS)


def compare(retriever: Retriever, judged: Judged, progress: Callable[[str], Any] | None = None) -> Report:
    """Measure the retriever without and with its reranker; both look at as many hits as are reranked, 100 at most.

    Raises `InputError` if the retriever has no reranker or there are no questions.
    """
    if retriever.reranker is None:
        raise InputError("there is nothing to compare: the retriever has no reranker")
    if not judged.questions:
        raise InputError("no question is left to measure with")
    alone, depth = Retriever(retriever.index, None), min(DEPTH, retriever.candidates)
    before = measure(lambda question: alone.search(question, depth), judged)
    after = measure(lambda question: retriever.search(question, depth), judged, progress)
    return Report(
        judged.name,
        len(judged.questions),
        len(judged.passages),
        "BM25",
        f"BM25 + {retriever.reranker.name}",
        tuple(_comparison(b, a) for b, a in zip(before, after, strict=True)),
    )


def abstention(retriever: Retriever, judged: Judged) -> tuple[float, float]:
    """The share of uncovered questions, and of covered ones, that `ask` answers with an abstention."""

    def share(questions: Sequence[str]) -> float:
        return sum(retriever.ask(question, k=1).abstained for question in questions) / max(1, len(questions))

    return share(judged.uncovered), share(tuple(judged.questions.values()))


def table(report: Report) -> str:
    """A Markdown table of a report."""
    lines = [
        f"{report.judged}: {report.questions:,} questions, {report.passages:,} passages",
        "",
        f"| metric | {report.before} | {report.after} | difference | p |",
        "|---|---|---|---|---|",
    ]
    for c in report.comparisons:
        low, high = c.difference_interval
        before, after = _with_interval(c.before, c.before_interval), _with_interval(c.after, c.after_interval)
        difference = f"{c.after - c.before:+.3f} ({low:+.3f} to {high:+.3f})"
        lines.append(f"| {NAMES.get(c.metric, c.metric)} | {before} | {after} | {difference} | {_p(c.p)} |")
    return "\n".join(lines)


def sample(judged: Judged, count: int) -> Judged:
    """The judged set with `count` of its questions, 1 or more, evenly spaced; all of them if it has fewer."""
    if count < 1:
        raise InputError(f"{count} questions; at least 1 is needed")
    keys = list(judged.questions)
    kept = keys if count >= len(keys) else [keys[i * len(keys) // count] for i in range(count)]
    questions: Mapping[str, str] = {key: judged.questions[key] for key in kept}
    return replace(judged, questions=questions, relevance={key: judged.relevance[key] for key in kept})


def _comparison(before: Measurement, after: Measurement) -> Comparison:
    import numpy as np

    one, other = np.array(before.values), np.array(after.values)
    return Comparison(
        before.metric,
        before.mean,
        after.mean,
        _interval(one),
        _interval(other),
        _interval(other - one),
        _permutation_p(other - one),
    )


def _interval(values: "np.ndarray") -> tuple[float, float]:
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


def _with_interval(mean: float, interval: tuple[float, float]) -> str:
    return f"{mean:.3f} ({interval[0]:.3f}–{interval[1]:.3f})"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
