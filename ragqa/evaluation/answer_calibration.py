"""Questions with marked answers in, a calibration of the selector's answers and how well it fits out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ragqa.errors import CorpusError
from ragqa.evaluation.calibration import Reliability, fit_scores
from ragqa.evaluation.marks import Marks, answers
from ragqa.models.selector import AnswerCalibration
from ragqa.search.retriever import Retriever


@dataclass(frozen=True, slots=True)
class Quoted:
    """An answer of one quote: the selector's logit of it, the probability of its hit, and whether it answers.

    `covered` questions have a marked answer in the corpus.
    """

    question: str
    logit: float
    hit: float
    right: bool
    covered: bool


@dataclass(frozen=True, slots=True)
class AnswerFit:
    """A calibration of answers, and how well it fits in a cross-validation. The fields are those of `calibration.Fit`."""

    calibration: AnswerCalibration
    covered: int
    uncovered: int
    brier: float
    constant_brier: float
    reliability: tuple[Reliability, ...]


def quote_answers(
    retriever: Retriever, marks: Marks, uncovered: Sequence[str], progress: Callable[[int], Any] | None = None
) -> Iterator[Quoted]:
    """Ask the marked questions, and those that the corpus does not cover, without abstaining.

    An answer with several quotes, or from a passage that was not read when the answers were marked, is left out. `progress` is
    called with 1 after each question. Raises `CorpusError` if the retriever gives no probabilities.
    """
    for question, read in (*marks.items(), *((question, None) for question in uncovered)):
        answer = retriever.ask(question, threshold=0.0)
        quote = answer.quotes[0] if len(answer.quotes) == 1 else None
        hit = answer.hits[quote.hit] if quote else None
        if hit and hit.probability is None:
            raise CorpusError("answers can be calibrated only with a calibrated reranker")
        if quote and hit and (read is None or hit.passage.id in read):
            right = read is not None and answers(quote.start, quote.end, read[hit.passage.id])
            yield Quoted(question, quote.score, hit.probability or 0.0, right, read is not None)
        if progress:
            progress(1)


def fit_answers(quoted: Sequence[Quoted]) -> AnswerFit:
    """Fit a calibration to answers, and cross-validate it. Covered and uncovered questions weigh alike.

    Raises `CorpusError` if there are too few right or wrong answers, or if right ones do not score higher.
    """
    found = fit_scores([AnswerCalibration.features(own.logit, own.hit) for own in quoted], quoted, "answers")
    covered = sum(own.covered for own in quoted)
    return AnswerFit(
        AnswerCalibration(*found.numbers),
        covered,
        len(quoted) - covered,
        found.brier,
        found.constant_brier,
        found.reliability,
    )
