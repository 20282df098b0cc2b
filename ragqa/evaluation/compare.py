"""Retrievers and judged questions in, metrics with intervals and paired tests out, side by side.

The metrics are those of ir-measures, which uses pytrec-eval: AP, RR@10, nDCG@10 (linear gain) and recall. A passage counts as
relevant from grade 1 on. Intervals are bootstrap intervals (95 %, 9,999 resamples). The test is a two-sided paired permutation
test over questions (Fisher's randomization test, 9,999 resamples). Both come from SciPy, with a fixed seed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.errors import InputError, MissingExtraError, RecordError
from ragqa.evaluation.judged import Judged, by_document, keep
from ragqa.records import Answer, Hit
from ragqa.search.question import check_question
from ragqa.search.retriever import Retriever
from ragqa.storage.files import check_file, replace_file
from ragqa.storage.json_lines import read_lines

if TYPE_CHECKING:
    import numpy as np

METRICS = ("AP", "RR@10", "nDCG@10", "R@10", "R@100")
NAMES = {"AP": "MAP", "RR@10": "MRR@10", "R@10": "Recall@10", "R@100": "Recall@100"}
CHARTED = "nDCG@10"
CHARTS = (".png", ".svg")
DEPTH = 100
BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # bounds of probabilities, for `Reliability`
LEAST_PART = 20  # characters; a shorter part of an answer does not count as holding it
_SEED = 42
_MOST_NAMED = 5
_NO_RUN = "six columns are needed: question id, Q0, document id, rank, score, name of the run"

Search = Callable[[str], Sequence[Hit]]
Run = Mapping[str, Mapping[str, float]]  # for each question id, scores by passage id or by document id
Interval = tuple[float, float]


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
        return next(estimate for estimate in self.estimates if estimate.metric == CHARTED)


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


@dataclass(frozen=True, slots=True)
class Reliability:
    """The questions whose best hit has a probability from `low` to `high`.

    `mean` is their mean probability, `right` the fraction whose best hit is relevant.
    """

    low: float
    high: float
    questions: int
    mean: float
    right: float


@dataclass(frozen=True, slots=True)
class AnswerReport:
    """How `ask` answers the questions of a judged set. Covered questions have a relevant passage; uncovered ones have none.

    `uncovered`, `covered` and `with_answers` are numbers of questions; the latter are covered and have known answers. The rest
    are fractions. `right`: the best hit of a covered question is relevant. `holds_answer`: the best sentence, shown or not,
    contains a known answer, or is a part of one with at least 20 characters. `reliability` counts all questions with hits.
    """

    uncovered: int
    abstained_on_uncovered: float
    covered: int
    abstained_on_covered: float
    right: float
    with_answers: int
    holds_answer: float
    reliability: tuple[Reliability, ...]


def measure(search: Search, judged: Judged, progress: Callable[[str], Any] | None = None) -> tuple[Measurement, ...]:
    """Search for every question and compute every metric. Questions that cannot be asked count as 0 (`find_unaskable`)."""
    return measure_run(search_all(search, judged, progress), judged)


def search_all(search: Search, judged: Judged, progress: Callable[[str], Any] | None = None) -> Run:
    """Search for every question that can be asked. Leave out hits that the set excludes for the question."""
    run = {}
    unaskable = find_unaskable(judged)
    for key, question in judged.questions.items():
        excluded = judged.excluded.get(key, frozenset())
        found = () if key in unaskable else search(question)
        hits = [hit.passage.id for hit in found if hit.passage.id not in excluded]
        run[key] = {passage: float(len(hits) - rank) for rank, passage in enumerate(hits)}
        if progress:
            progress(key)
    return run


def find_unaskable(judged: Judged) -> dict[str, str]:
    """Return the questions that cannot be asked, such as one that is too long: the reason by question id."""
    reasons = {}
    for key, question in judged.questions.items():
        try:
            check_question(question)
        except InputError as error:
            reasons[key] = str(error)
    return reasons


def measure_run(run: Run, judged: Judged) -> tuple[Measurement, ...]:
    """Compute every metric of a run. Questions without results count as 0."""
    ir_measures = _ir_measures()
    measures = {_measure_named(name): name for name in METRICS}
    values: dict[str, dict[str, float]] = {name: dict.fromkeys(judged.questions, 0.0) for name in METRICS}
    qrels = {key: dict(grades) for key, grades in judged.relevance.items()}
    for result in ir_measures.iter_calc(list(measures), qrels, run):
        values[measures[result.measure]][result.query_id] = result.value
    return tuple(Measurement(name, tuple(values[name].values())) for name in METRICS)


def read_run(path: str | Path, judged: Judged) -> dict[str, dict[str, float]]:
    """Read the results of another system for a judged set: a TREC run file with six columns.

    The file may name passages or documents. Passages in `judged.excluded` and their documents are left out. Raises
    `RecordError` for an invalid line, `InputError` for a file that names no question or no document of the set.
    """
    ir_measures = _ir_measures()
    run: dict[str, dict[str, float]] = {}
    ids = {p.id for p in judged.passages} | set(judged.documents.values())
    excluded = {q: own | {judged.documents.get(p, p) for p in own} for q, own in judged.excluded.items()}
    known = False
    for number, line in read_lines(path):
        try:
            found = [*ir_measures.read_trec_run(line.decode() + "\n")]
        except ValueError as error:
            raise RecordError(path, number, _NO_RUN) from error
        for question, passage, score in found:
            if not math.isfinite(score):
                raise RecordError(path, number, f"the score is {score}, not a number")
            if question in judged.questions and passage not in excluded.get(question, ()):
                run.setdefault(question, {})[passage] = score
                known = known or passage in ids
    if not known:
        raise InputError(f"{path} names no question or no document of {judged.name}; give a run of the same set")
    return run


def fold_run(run: Run, documents: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Replace passages by the documents they were cut from. A document gets the score of its best passage."""
    folded: dict[str, dict[str, float]] = {}
    for question, scores in run.items():
        own = folded.setdefault(question, {})
        for passage, score in scores.items():
            document = documents.get(passage, passage)
            own[document] = max(score, own.get(document, score))
    return folded


def _measure_named(name: str) -> Any:
    """Return a measure of ir-measures by its name. Its own parser fails with Python 3.14."""
    measure, _, cutoff = name.partition("@")
    found = getattr(_ir_measures(), measure)
    return found @ int(cutoff) if cutoff else found


def _ir_measures() -> Any:
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtraError("evaluating", "evaluate") from error
    return ir_measures


def variants(retriever: Retriever, *, every: bool = False) -> dict[str, Search]:
    """Return BM25 alone and the retriever itself, by name; with `every`, also the other combinations of its parts.

    The retriever is the last. All return as many hits as the retriever reranks, at most 100. Raises `InputError` if the
    retriever is BM25 alone.
    """
    if retriever.reranker is None and retriever.dense is None:
        raise InputError("there is nothing to compare: the retriever has no reranker and no embedder")
    depth = min(DEPTH, retriever.candidates)
    index, dense, reranker, candidates = retriever.index, retriever.dense, retriever.reranker, retriever.candidates
    found = {"BM25": Retriever(index, None)}
    if every and dense:
        found["embedder"] = Retriever(index, None, dense=dense, bm25=False)
    if every and dense and reranker:
        found["BM25 + embedder"] = Retriever(index, None, dense=dense)
        found["BM25 → reranker"] = Retriever(index, reranker, candidates=candidates)
    found[describe(retriever)] = retriever
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


def inspect_answers(retriever: Retriever, judged: Judged, progress: Callable[[str], Any] | None = None) -> AnswerReport:
    """Ask every question, also uncovered ones. Questions that cannot be asked count as abstentions.

    Raises `InputError` without questions, or if the retriever has no reranker.
    """
    if retriever.reranker is None or not judged.questions:
        raise InputError("measuring answers needs a reranker and at least one question")
    covered, unaskable = {}, find_unaskable(judged)
    for key, question in judged.questions.items():
        covered[key] = Answer(question, "", (), (), True) if key in unaskable else retriever.ask(question)
        if progress:
            progress(key)
    uncovered = [retriever.ask(question) for question in judged.uncovered]
    right = {key: bool(a.hits) and a.hits[0].passage.id in judged.relevance[key] for key, a in covered.items()}
    outcomes = [(a.hits[0].probability or 0.0, right[key]) for key, a in covered.items() if a.hits]
    outcomes += [(a.hits[0].probability or 0.0, False) for a in uncovered if a.hits]
    held = [_holds(covered[key], answers) for key, answers in judged.answers.items()]
    return AnswerReport(
        len(uncovered),
        _share([a.abstained for a in uncovered]),
        len(covered),
        _share([a.abstained for a in covered.values()]),
        _share(list(right.values())),
        len(held),
        _share(held),
        tuple(_reliability(outcomes, low, high) for low, high in pairwise(BINS)),
    )


def table(report: Report) -> str:
    """Format a report as a Markdown table with a row for each system. Differences are the last system minus this one."""
    names = [NAMES.get(estimate.metric, estimate.metric) for estimate in report.systems[0].estimates]
    lines = [
        f"{report.judged}: {report.questions:,} questions, {report.passages:,} passages",
        *([_unasked(report)] if report.unasked else []),
        "",
        f"| system | {' | '.join(names)} | {CHARTED} of the last − this | p |",
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
    named = ", ".join(report.unasked[:_MOST_NAMED]) + (", …" if len(report.unasked) > _MOST_NAMED else "")
    return f"{len(report.unasked):,} of {report.questions:,} questions cannot be asked; each counts as 0: {named}"


def answers_table(report: AnswerReport) -> str:
    """Format the result of `inspect_answers` as sentences and a Markdown table."""
    lines = [f"the best hit is relevant for {report.right:.1%} of {report.covered:,} covered questions"]
    if report.with_answers:
        lines.append(f"the best sentence holds a known answer for {report.holds_answer:.1%} of {report.with_answers:,}")
    lines.append(f"abstains on {report.abstained_on_covered:.1%} of the covered questions")
    if report.uncovered:
        lines.append(f"abstains on {report.abstained_on_uncovered:.1%} of {report.uncovered:,} uncovered questions")
    lines += [
        "",
        "| probability of the best hit | questions | mean probability | best hit relevant |",
        "|---|---|---|---|",
    ]
    for row in report.reliability:
        figures = f"{row.mean:.2f} | {row.right:.2f}" if row.questions else "– | –"
        lines.append(f"| {row.low:.1f}–{row.high:.1f} | {row.questions} | {figures} |")
    return "\n".join(lines)


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
    """Write a bar chart of nDCG@10 with intervals, grouped by judged set; the file name's ending selects PNG or SVG."""
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
    axes.set_xlabel(f"{CHARTED}, with 95 % interval")
    axes.spines[["top", "right"]].set_visible(False)
    with replace_file(path) as file:
        figure.savefig(file, format=Path(path).suffix[1:], dpi=150)


def sample(judged: Judged, count: int) -> Judged:
    """Keep `count` questions, evenly spaced, or all if there are fewer. Raises `InputError` for a count below 1."""
    if count < 1:
        raise InputError(f"{count} questions; at least 1 is needed")
    keys = list(judged.questions)
    return keep(judged, keys if count >= len(keys) else [keys[i * len(keys) // count] for i in range(count)])


def estimate(own: Measurement, last: Measurement) -> Estimate:
    """Compare a system's values of a metric with the last system's values for the same questions."""
    import numpy as np

    values = np.array(own.values)
    gains = np.array(last.values) - values
    return Estimate(
        own.metric, own.mean, _interval(values), last.mean - own.mean, _interval(gains), _permutation_p(gains)
    )


def _holds(answer: Answer, known: Sequence[str]) -> bool:
    text = answer.sentences[0].text.casefold() if answer.sentences else ""
    return any(own.casefold() in text or (len(text) >= LEAST_PART and text in own.casefold()) for own in known)


def _share(outcomes: Sequence[bool]) -> float:
    return sum(outcomes) / len(outcomes) if outcomes else 0.0


def _reliability(outcomes: Sequence[tuple[float, bool]], low: float, high: float) -> Reliability:
    own = [(p, right) for p, right in outcomes if low <= p < high or p == high == BINS[-1]]
    mean = sum(p for p, _ in own) / max(1, len(own))
    return Reliability(low, high, len(own), mean, _share([right for _, right in own]))


def _interval(values: "np.ndarray") -> Interval:
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
