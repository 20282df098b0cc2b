"""Judged questions in, how good answers, abstentions and probabilities are out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ragqa.errors import InputError
from ragqa.evaluation.judged import Judged
from ragqa.evaluation.metrics import find_unaskable
from ragqa.records import Answer
from ragqa.search.retriever import Retriever

BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # bounds of probabilities, for `Reliability`

LEAST_PART = 20  # characters; a shorter part of an answer does not count as holding it


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


def _holds(answer: Answer, known: Sequence[str]) -> bool:
    text = answer.text.casefold()
    return any(own.casefold() in text or (len(text) >= LEAST_PART and text in own.casefold()) for own in known)


def _share(outcomes: Sequence[bool]) -> float:
    return sum(outcomes) / len(outcomes) if outcomes else 0.0


def _reliability(outcomes: Sequence[tuple[float, bool]], low: float, high: float) -> Reliability:
    own = [(p, right) for p, right in outcomes if low <= p < high or p == high == BINS[-1]]
    mean = sum(p for p, _ in own) / max(1, len(own))
    return Reliability(low, high, len(own), mean, _share([right for _, right in own]))
