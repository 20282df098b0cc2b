"""A system's ranking of judged questions in, metrics of each question out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ragqa.errors import InputError, MissingExtraError
from ragqa.evaluation.judged import Judged, keep
from ragqa.records import Hit
from ragqa.search.question import check_question

METRICS = ("AP", "RR@10", "nDCG@10", "R@10", "R@100")

NAMES = {"AP": "MAP", "RR@10": "MRR@10", "R@10": "Recall@10", "R@100": "Recall@100"}
MAIN_METRIC = "nDCG@10"  # the one that charts show and systems are compared by

DEPTH = 100

Search = Callable[[str], Sequence[Hit]]

Run = Mapping[str, Mapping[str, float]]  # for each question id, scores by passage id or by document id


@dataclass(frozen=True, slots=True)
class Measurement:
    """A metric's value for each question, in the order of the judged set's questions."""

    metric: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over all questions, 0 to 1."""
        return sum(self.values) / len(self.values)


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
    ir_measures = import_ir_measures()
    measures = {_measure_named(name): name for name in METRICS}
    values: dict[str, dict[str, float]] = {name: dict.fromkeys(judged.questions, 0.0) for name in METRICS}
    qrels = {key: dict(grades) for key, grades in judged.relevance.items()}
    for result in ir_measures.iter_calc(list(measures), qrels, run):
        values[measures[result.measure]][result.query_id] = result.value
    return tuple(Measurement(name, tuple(values[name].values())) for name in METRICS)


def _measure_named(name: str) -> Any:
    """Return a measure of ir-measures by its name. Its own parser fails with Python 3.14."""
    measure, _, cutoff = name.partition("@")
    found = getattr(import_ir_measures(), measure)
    return found @ int(cutoff) if cutoff else found


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
