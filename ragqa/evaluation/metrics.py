"""A system's ranking of judged questions in, metrics of each question out.

Metrics have the names of ir-measures: `RR(rel=2)@10` is the reciprocal rank of the first passage of grade 2 or above among the
first 10, `nDCG(dcg='exp-log2')@10` is nDCG with exponential gain.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ragqa.errors import InputError, MissingExtraError
from ragqa.evaluation.judged import Judged, keep
from ragqa.records import Hit
from ragqa.search.question import check_question

METRICS = ("AP", "RR@10", "nDCG@10", "R@10", "R@100")  # of a set whose only grade is 1, searched 100 deep

MAIN_METRIC = "nDCG@10"  # the one that charts show and systems are compared by

CUTOFF = 10
DEPTH = 100

Gain = Literal["linear", "exponential"]
GAINS: tuple[Gain, ...] = get_args(Gain)

Search = Callable[[str], Sequence[Hit]]

Run = Mapping[str, Mapping[str, float]]  # for each question id, scores by passage id or document id, best first

_EXPONENTIAL = "dcg='exp-log2'"
_MOST_EXPONENTIAL = 20  # pytrec-eval reserves memory for as many grades as the highest gain
_METRIC = re.compile(
    r"(?P<measure>\w+)(\(rel=(?P<grade>\d+)\)|(?P<exponential>\(dcg='exp-log2'\)))?(@(?P<cutoff>\d+))?"
)
_TITLES = {"AP": "MAP", "RR": "MRR", "R": "Recall"}


@dataclass(frozen=True, slots=True)
class Definition:
    """What the metrics count.

    MAP, MRR and recall count passages of `least_grade` and above. None means 1, but 2 for MRR if the set has such grades: a
    passage of grade 1 helps, one of grade 2 answers. With linear gain, a passage of grade g adds g to nDCG, as in trec_eval;
    with exponential gain it adds 2^g - 1 (Burges et al., 2005).
    """

    least_grade: int | None = None
    gain: Gain = "linear"


@dataclass(frozen=True, slots=True)
class Measurement:
    """A metric's value for each question, in the order of the judged set's questions."""

    metric: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over all questions, 0 to 1."""
        return sum(self.values) / len(self.values)


def metric_names(judged: Judged, definition: Definition, depth: int = DEPTH) -> tuple[str, ...]:
    """Return the names of the metrics of a judged set that is searched `depth` deep.

    The cutoffs are 10, or `depth` if that is less, and `depth` for a second recall. Raises `InputError` if no passage has the
    least grade, or if a grade is too high for exponential gain.
    """
    highest, cutoff = highest_grade(judged), min(CUTOFF, depth)
    least = definition.least_grade or 1
    if least > highest:
        raise InputError(f"{judged.name}: no passage has grade {least} or above; the highest grade is {highest}")
    if definition.gain == "exponential" and highest > _MOST_EXPONENTIAL:
        raise InputError(
            f"{judged.name} has the grade {highest}; exponential gain needs grades of at most {_MOST_EXPONENTIAL}, so use "
            "linear gain"
        )
    answers = definition.least_grade or min(2, highest)
    gain = f"({_EXPONENTIAL})" if definition.gain == "exponential" else ""
    names = f"AP{_grade(least)}", f"RR{_grade(answers)}@{cutoff}", f"nDCG{gain}@{cutoff}"
    return tuple(dict.fromkeys([*names, f"R{_grade(least)}@{cutoff}", f"R{_grade(least)}@{depth}"]))


def _grade(least: int) -> str:
    return "" if least == 1 else f"(rel={least})"


def highest_grade(judged: Judged) -> int:
    """Return the highest grade of a passage; sets above 1 are graded."""
    return max(max(grades.values()) for grades in judged.relevance.values())


def title(metric: str, *, graded: bool = False) -> str:
    """Return the usual name of a metric, such as "Recall@10"; for a graded set with the least grade that counts."""
    found = _METRIC.fullmatch(metric)
    if not found:
        return metric
    measure, cutoff = found["measure"], f"@{found['cutoff']}" if found["cutoff"] else ""
    least = f" (grade ≥ {found['grade'] or 1})" if measure in _TITLES and graded else ""
    return _TITLES.get(measure, measure) + cutoff + least + (" (exponential gain)" if found["exponential"] else "")


def least_grade(metric: str) -> int:
    """Return the lowest grade that a metric counts."""
    found = _METRIC.fullmatch(metric)
    return int(found["grade"] or 1) if found else 1


def measure(
    search: Search,
    judged: Judged,
    progress: Callable[[str], Any] | None = None,
    *,
    definition: Definition | None = None,
    depth: int = DEPTH,
) -> tuple[Measurement, ...]:
    """Search for every question and compute every metric. Questions that cannot be asked count as 0 (`find_unaskable`).

    `depth` is the number of hits that `search` asks for.
    """
    names = metric_names(judged, definition or Definition(), depth)
    return measure_run(search_all(search, judged, progress), judged, names)


def search_all(search: Search, judged: Judged, progress: Callable[[str], Any] | None = None) -> Run:
    """Search for every question that can be asked. Leave out hits that the set excludes for the question."""
    run = {}
    unaskable = find_unaskable(judged)
    for key, question in judged.questions.items():
        excluded = judged.excluded.get(key, frozenset())
        found = () if key in unaskable else search(question)
        run[key] = {hit.passage.id: hit.score for hit in found if hit.passage.id not in excluded}
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


def measure_run(run: Run, judged: Judged, metrics: Sequence[str] = METRICS) -> tuple[Measurement, ...]:
    """Compute metrics of a run. Questions without results count as 0. The order of the run decides, not its scores."""
    ir_measures = import_ir_measures()
    measures = {_measure_named(name, judged): name for name in metrics}
    values: dict[str, dict[str, float]] = {name: dict.fromkeys(judged.questions, 0.0) for name in metrics}
    qrels = {key: dict(grades) for key, grades in judged.relevance.items()}
    ranked = {key: {name: float(len(own) - rank) for rank, name in enumerate(own)} for key, own in run.items()}
    for result in ir_measures.iter_calc(list(measures), qrels, ranked):
        values[measures[result.measure]][result.query_id] = result.value
    return tuple(Measurement(name, tuple(values[name].values())) for name in metrics)


def _measure_named(name: str, judged: Judged) -> Any:
    """Return a measure of ir-measures by its name. The parser of ir-measures fails with Python 3.14."""
    found = _METRIC.fullmatch(name)
    if not found:
        raise InputError(f"{name} is not a metric")
    measure = getattr(import_ir_measures(), found["measure"])
    if found["grade"]:
        measure = measure(rel=int(found["grade"]))
    if found["exponential"]:  # pytrec-eval has no exponential gain, but takes a gain for each grade
        grades = {grade for own in judged.relevance.values() for grade in own.values()}
        measure = measure(gains={grade: 2**grade - 1 for grade in sorted(grades)})
    return measure @ int(found["cutoff"]) if found["cutoff"] else measure


def import_ir_measures() -> Any:
    """Import ir-measures. Raises `MissingExtraError` if it is not installed."""
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtraError("evaluating", "evaluate") from error
    return ir_measures


def sample(judged: Judged, count: int) -> Judged:
    """Keep `count` questions, evenly spaced, or all if there are fewer. Raises `InputError` for a count below 1."""
    if count < 1:
        raise InputError(f"{count} questions; at least 1 is needed")
    keys = list(judged.questions)
    return keep(judged, keys if count >= len(keys) else [keys[i * len(keys) // count] for i in range(count)])
