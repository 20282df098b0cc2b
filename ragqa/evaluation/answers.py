"""Judged questions in, how good answers, abstentions and probabilities are out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ragqa.errors import InputError
from ragqa.evaluation.calibration import Reliability, reliability, reliability_table
from ragqa.evaluation.judged import Judged
from ragqa.evaluation.metrics import find_unaskable
from ragqa.records import Answer
from ragqa.search.retriever import Retriever

LEAST_PART = 20  # characters; a shorter part of an answer does not count as holding it


@dataclass(frozen=True, slots=True)
class AnswerReport:
    """How `ask` answers the questions of a judged set. Covered questions have a relevant passage; uncovered ones have none.

    `uncovered`, `covered` and `with_answers` are numbers of questions; the latter are covered and have known answers. The rest
    are fractions. `right`: the best hit of a covered question is relevant. `holds_answer`: the text of the answer
    contains a known one, or is a part of one with at least 20 characters; an abstention holds none. `reliability` counts all
    questions with hits. It is empty if the reranker is not calibrated.
    """

    uncovered: int
    abstained_on_uncovered: float
    covered: int
    abstained_on_covered: float
    right: float
    with_answers: int
    holds_answer: float
    reliability: tuple[Reliability, ...]


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
    best = [(a.hits[0].probability, right[key]) for key, a in covered.items() if a.hits]
    best += [(a.hits[0].probability, False) for a in uncovered if a.hits]
    told = [(probability, relevant) for probability, relevant in best if probability is not None]
    held = [_holds(covered[key], answers) for key, answers in judged.answers.items()]
    return AnswerReport(
        len(uncovered),
        _share([a.abstained for a in uncovered]),
        len(covered),
        _share([a.abstained for a in covered.values()]),
        _share(list(right.values())),
        len(held),
        _share(held),
        reliability([p for p, _ in told], [relevant for _, relevant in told], [1.0] * len(told)),
    )


def answers_table(report: AnswerReport) -> str:
    """Format the result of `inspect_answers` as sentences and a Markdown table."""
    lines = [f"the best hit is relevant for {report.right:.1%} of {report.covered:,} covered questions"]
    if report.with_answers:
        lines.append(f"the answer holds a known one for {report.holds_answer:.1%} of {report.with_answers:,}")
    lines.append(f"abstains on {report.abstained_on_covered:.1%} of the covered questions")
    if report.uncovered:
        lines.append(f"abstains on {report.abstained_on_uncovered:.1%} of {report.uncovered:,} uncovered questions")
    if not report.reliability:
        return "\n".join([*lines, "the reranker is not calibrated, so there are no probabilities"])
    return "\n".join([*lines, "", reliability_table(report.reliability)])


def _holds(answer: Answer, known: Sequence[str]) -> bool:
    text = answer.text.casefold()
    return any(own.casefold() in text or (len(text) >= LEAST_PART and text in own.casefold()) for own in known)


def _share(outcomes: Sequence[bool]) -> float:
    return sum(outcomes) / len(outcomes) if outcomes else 0.0
