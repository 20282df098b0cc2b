"""Retrievers measured on judged questions, side by side, with intervals and paired tests.

Metrics are ir-measures' (pytrec-eval inside): AP, RR@10, nDCG@10 (linear gain) and recall; a passage counts as relevant
from grade 1 on. Intervals are bootstrap (95 %, 9,999 resamples), the test is a paired permutation test (Fisher's
randomization test, 9,999 resamples, two-sided) over questions; both are SciPy's, with a fixed seed.
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
BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # of probabilities, for `Reliability`
LEAST_PART = 20  # characters of an answer
_SEED = 42
_MOST_NAMED = 5
_NO_RUN = "six columns are needed: question id, Q0, document id, rank, score, name of the run"

Search = Callable[[str], Sequence[Hit]]
Run = Mapping[str, Mapping[str, float]]  # scores by passage id, or by document id, by question id
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
    """A system's mean of a metric with its 95 % interval, what it lacks to the last system's, and p of no difference."""

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
    """What `compare` found: the judged set's name and sizes, and the systems, the one they are compared with last.

    `unasked` are the ids of questions that ragqa cannot be asked; they count as 0 for its own systems.
    """

    judged: str
    questions: int
    passages: int
    systems: tuple[System, ...]
    unasked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reliability:
    """Of the questions whose best hit has a probability from `low` to `high`: how many, their mean, and how many are right."""

    low: float
    high: float
    questions: int
    mean: float
    right: float


@dataclass(frozen=True, slots=True)
class AnswerReport:
    """What `ask` does with a judged set's questions, as shares of them; `reliability` over all that have hits.

    `holds_answer`: of the covered questions with known answers, the best sentence, shown or not, holds one or is a part of
    one that says something (20 characters); `right`: of the covered questions, the best hit is relevant.
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
    """Search every question and compute every metric; a question that cannot be asked counts as 0 (`find_unaskable`)."""
    return measure_run(search_all(search, judged, progress), judged)


def search_all(search: Search, judged: Judged, progress: Callable[[str], Any] | None = None) -> Run:
    """Search every question that can be asked; hits that the set excludes for it are left out."""
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
    """The questions that ragqa cannot be asked, such as one that is too long: the reasons by id."""
    reasons = {}
    for key, question in judged.questions.items():
        try:
            check_question(question)
        except InputError as error:
            reasons[key] = str(error)
    return reasons


def measure_run(run: Run, judged: Judged) -> tuple[Measurement, ...]:
    """Compute every metric of a run; a question that it does not answer counts as 0."""
    ir_measures = _ir_measures()
    measures = {ir_measures.parse_measure(name): name for name in METRICS}
    values: dict[str, dict[str, float]] = {name: dict.fromkeys(judged.questions, 0.0) for name in METRICS}
    qrels = {key: dict(grades) for key, grades in judged.relevance.items()}
    for result in ir_measures.iter_calc(list(measures), qrels, run):
        values[measures[result.measure]][result.query_id] = result.value
    return tuple(Measurement(name, tuple(values[name].values())) for name in METRICS)


def read_run(path: str | Path, judged: Judged) -> dict[str, dict[str, float]]:
    """Read what another system found for the questions of a judged set: a TREC run file with six columns.

    It may name passages or documents. Leaves out the passages in `judged.excluded` and their documents. Raises `RecordError`
    for a line that cannot be used, `InputError` for a file that names no question or no document of the set.
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
    """The run with documents for the pieces they were cut into; a document has the score of its best piece."""
    folded: dict[str, dict[str, float]] = {}
    for question, scores in run.items():
        own = folded.setdefault(question, {})
        for passage, score in scores.items():
            document = documents.get(passage, passage)
            own[document] = max(score, own.get(document, score))
    return folded


def _ir_measures() -> Any:
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtraError("evaluating", "evaluate") from error
    return ir_measures


def variants(retriever: Retriever, *, every: bool = False) -> dict[str, Search]:
    """BM25 alone and the retriever itself, by name; with `every`, all that its parts make up, the retriever last.

    All look as deep as the retriever reranks, 100 hits at most. Raises `InputError` if it is nothing but BM25.
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
    """What a retriever is made of, in a few words."""
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
    """Measure systems on the same questions, and each against the last one. Raises `InputError` without questions.

    `runs` of other systems come first, by name. With any of them documents are measured, not the passages they were cut
    into: a document is as good as its best passage.
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
    """Ask every question, uncovered ones too. Raises `InputError` without questions, or if the retriever has no reranker.

    A question that cannot be asked counts as an abstention.
    """
    if retriever.reranker is None or not judged.questions:
        raise InputError("a reranker and questions are needed to look at answers")
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
    """A Markdown table of a report: a row for each system; the differences are the last one's gains."""
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
    """What `inspect_answers` found, as sentences and a Markdown table."""
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
    """Raise now what `draw` would raise for this path.

    `InputError` for its ending, that or `OSError` if it cannot be written, `MissingExtraError` without matplotlib.
    """
    if Path(path).suffix not in CHARTS:
        raise InputError(f"{path} does not end in {' or '.join(CHARTS)}")
    check_file(path)
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("drawing a chart", "evaluate") from error


def draw(reports: Sequence[Report], path: str | Path) -> None:
    """Write a bar chart of nDCG@10 with its intervals, systems by judged set, as PNG or SVG by the name's ending."""
    check_chart(path)
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(system.name for report in reports for system in report.systems))
    figure = Figure(figsize=(8, 1 + 0.32 * (len(names) + 1) * len(reports)), layout="constrained")
    axes = figure.subplots()
    for place, report in enumerate(reports):
        for row, system in enumerate(report.systems):
            low, high = system.charted.interval
            height = place * (len(names) + 1) + row
            axes.barh(height, system.charted.mean, color=f"C{names.index(system.name)}", label=system.name)
            axes.plot([low, high], [height, height], color="black", linewidth=1)
            axes.text(high + 0.01, height, f"{system.charted.mean:.2f}", va="center", fontsize=9)
    axes.set_yticks(
        [place * (len(names) + 1) + (len(report.systems) - 1) / 2 for place, report in enumerate(reports)],
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
    """The judged set with `count` of its questions, 1 or more, evenly spaced; all of them if it has fewer."""
    if count < 1:
        raise InputError(f"{count} questions; at least 1 is needed")
    keys = list(judged.questions)
    return keep(judged, keys if count >= len(keys) else [keys[i * len(keys) // count] for i in range(count)])


def estimate(own: Measurement, last: Measurement) -> Estimate:
    """A system's mean of a metric, set against the last system's values for the same questions."""
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
