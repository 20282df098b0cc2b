"""Judged questions in, a calibration of the best hit's score and how well it fits out.

A calibration is fitted by Platt's method ("Probabilistic Outputs for Support Vector Machines", 1999): logistic regression from
the score to whether it is right.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from ragqa.answers.answer import THRESHOLD
from ragqa.errors import CorpusError, MissingExtraError
from ragqa.evaluation.judged import Judged
from ragqa.evaluation.metrics import find_unaskable
from ragqa.index.bm25 import Bm25Index
from ragqa.index.dense import DenseIndex
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import CALIBRATED, Calibration, Reranker, sigmoid
from ragqa.records import Passage
from ragqa.search.retriever import Retriever

if TYPE_CHECKING:
    import numpy as np

BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # bounds of probabilities, for `Reliability`
LEAST = 20  # right outcomes, and wrong ones, that a fit needs
FOLDS = 5  # of the cross-validation


@dataclass(frozen=True, slots=True)
class Outcome:
    """A score that was given for a question, and whether it was right; `covered` questions have an answer in the corpus."""

    question: str
    score: float
    right: bool
    covered: bool


@dataclass(frozen=True, slots=True)
class Reliability:
    """The outcomes with a probability from `low` to `high`.

    `questions` is their number, `mean` their mean probability, `right` the fraction that is right.
    """

    low: float
    high: float
    questions: int
    mean: float
    right: float


@dataclass(frozen=True, slots=True)
class Fit:
    """A calibration, and how well it fits in a cross-validation: each question's probability comes from a fit without it.

    `covered` and `uncovered` are numbers of outcomes; both kinds weigh alike in all figures. `brier` is the mean squared
    difference between probability and outcome (0 is best), `constant_brier` that of one probability for all outcomes. The
    other fractions are of outcomes with a probability below the default threshold, for which `ask` abstains.
    """

    calibration: Calibration
    covered: int
    uncovered: int
    brier: float
    constant_brier: float
    abstained_on_covered: float
    abstained_on_uncovered: float
    reliability: tuple[Reliability, ...]


def calibrate_best_hits(
    reranker: Reranker, sets: Sequence[Judged], embedder: Embedder, progress: Callable[[int], Any] | None = None
) -> dict[str, Fit]:
    """Fit the probability that the best hit of a question is relevant, `alone` and `fused` with the embedder's cosine.

    Every question is asked as `Retriever.search` would. Passages without a grade count as not relevant. A set without uncovered
    questions is halved (`halve`). `progress` is called with 1 after each question. Raises `CorpusError` if there are too few
    outcomes, or if the scores do not tell right from wrong.
    """
    remembering = Reranker(_Remembering(reranker), reranker.name)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in CALIBRATED}
    for part in (part for judged in sets for part in ((judged,) if judged.uncovered else halve(judged))):
        index = Bm25Index.build(part.passages)
        dense = DenseIndex.build(index.passages, embedder)
        alone, fused = Retriever(index, remembering), Retriever(index, remembering, dense=dense)
        for question, relevant in _asked(part):
            for name, retriever in zip(CALIBRATED, (alone, fused), strict=True):
                hits = retriever.search(question, 1)
                right = bool(hits) and hits[0].passage.id in relevant
                outcomes[name] += [Outcome(question, hit.score, right, bool(relevant)) for hit in hits]
            if progress:
                progress(1)
    return {name: fit(own) for name, own in outcomes.items()}


class _Remembering:
    """An engine that scores each pair once: both calibrations rank mostly the same passages."""

    def __init__(self, reranker: Reranker) -> None:
        self._reranker = reranker
        self._known: dict[tuple[str, str], float] = {}

    def logits(self, question: str, texts: Sequence[str]) -> "np.ndarray":
        import numpy as np

        new = [text for text in dict.fromkeys(texts) if (question, text) not in self._known]
        scores = self._reranker.score(question, new).tolist()
        self._known.update({(question, text): score for text, score in zip(new, scores, strict=True)})
        return np.array([self._known[question, text] for text in texts], dtype=np.float32)


def _asked(judged: Judged) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each question that can be asked, with the ids of its relevant passages: none for an uncovered question."""
    unaskable = find_unaskable(judged)
    for key, question in judged.questions.items():
        if key not in unaskable:
            yield question, frozenset(judged.relevance[key])
    for question in judged.uncovered:
        yield question, frozenset()


def halve(judged: Judged) -> tuple[Judged, Judged]:
    """Split the passages in two, by page, and ask all questions of both halves.

    A question is covered in a half that holds a passage relevant to it, and uncovered in the other. Uncovered questions are
    thus about other pages of the same corpus. They are harder to tell than questions about something else entirely.
    """
    pages = {page: n % 2 for n, page in enumerate(dict.fromkeys(_page(p, judged) for p in judged.passages))}
    first, second = (_part(judged, [p for p in judged.passages if pages[_page(p, judged)] == n]) for n in (0, 1))
    return first, second


def _page(passage: Passage, judged: Judged) -> str:
    """Return what identifies the page: its title, or the id of the document if there is none."""
    return passage.title or judged.documents.get(passage.id, passage.id)


def _part(judged: Judged, passages: Sequence[Passage]) -> Judged:
    """Keep some of the passages. Questions without a relevant passage among them become uncovered."""
    own = {passage.id for passage in passages}
    relevance = {q: {p: g for p, g in grades.items() if p in own} for q, grades in judged.relevance.items()}
    unaskable = find_unaskable(judged)
    return replace(
        judged,
        passages=tuple(passages),
        questions={q: question for q, question in judged.questions.items() if relevance[q]},
        relevance={q: grades for q, grades in relevance.items() if grades},
        uncovered=tuple(text for q, text in judged.questions.items() if not relevance[q] and q not in unaskable),
    )


def fit(outcomes: Sequence[Outcome]) -> Fit:
    """Fit a calibration to outcomes, and cross-validate it.

    Raises `CorpusError` if there are fewer than `LEAST` right or wrong outcomes, or if right ones do not score higher.
    """
    found = fit_scores([[outcome.score] for outcome in outcomes], outcomes, "best hits")
    covered = sum(outcome.covered for outcome in outcomes)
    return Fit(
        Calibration(*found.numbers),
        covered,
        len(outcomes) - covered,
        found.brier,
        found.constant_brier,
        _abstained(found.probabilities, outcomes, covered=True),
        _abstained(found.probabilities, outcomes, covered=False),
        found.reliability,
    )


class Judgment(Protocol):
    """What a fit needs to know of an outcome beside its scores."""

    @property
    def question(self) -> str:
        """The question that was asked."""

    @property
    def right(self) -> bool:
        """Whether the outcome was right."""

    @property
    def covered(self) -> bool:
        """Whether the corpus answers the question."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A logistic regression: a factor for each score, then the bias, and the figures of its cross-validation."""

    numbers: tuple[float, ...]
    probabilities: tuple[float, ...]
    brier: float
    constant_brier: float
    reliability: tuple[Reliability, ...]


def fit_scores(scores: Sequence[Sequence[float]], judged: Sequence[Judgment], things: str) -> Fitted:
    """Fit to the scores of judged outcomes, and cross-validate. Covered and uncovered outcomes weigh alike.

    `things` is what the outcomes are, for messages. Raises `CorpusError` if there are fewer than `LEAST` right or wrong
    outcomes, or if right ones do not have a higher first score.
    """
    right, weights = [one.right for one in judged], _weigh([one.covered for one in judged])
    if min(sum(right), len(right) - sum(right)) < LEAST:
        raise CorpusError(
            f"calibrating needs at least {LEAST} right and {LEAST} wrong {things}, and there are {sum(right)} and "
            f"{len(right) - sum(right)}"
        )

    def fit_to(own: Sequence[int]) -> tuple[float, ...]:
        return fit_logistic([scores[n] for n in own], [right[n] for n in own], [weights[n] for n in own])

    numbers = fit_to(range(len(scores)))
    if numbers[0] <= 0:
        raise CorpusError(f"right {things} do not score higher than wrong ones")
    probabilities = _cross_validate(scores, [one.question for one in judged], fit_to)
    share = sum(weight for weight, is_right in zip(weights, right, strict=True) if is_right) / sum(weights)
    return Fitted(
        numbers,
        tuple(probabilities),
        brier(probabilities, right, weights),
        brier([share] * len(right), right, weights),
        reliability(probabilities, right, weights),
    )


def brier(probabilities: Sequence[float], right: Sequence[bool], weights: Sequence[float]) -> float:
    """Return the weighted mean of the squared differences between probabilities and outcomes (Brier, 1950)."""
    rows = zip(probabilities, right, weights, strict=True)
    return sum(weight * (probability - is_right) ** 2 for probability, is_right, weight in rows) / sum(weights)


def _abstained(probabilities: Sequence[float], outcomes: Sequence[Outcome], *, covered: bool) -> float:
    """Return the fraction of the covered, or uncovered, outcomes for which `ask` abstains."""
    own = [p < THRESHOLD for p, outcome in zip(probabilities, outcomes, strict=True) if outcome.covered == covered]
    return sum(own) / max(1, len(own))


def fit_logistic(
    scores: Sequence[Sequence[float]], right: Sequence[bool], weights: Sequence[float]
) -> tuple[float, ...]:
    """Fit a factor for each score of an outcome, and the bias, which comes last; all rounded to four digits.

    As Platt proposes, the outcomes to fit are a little less than 1 and more than 0. So scores that separate right from wrong
    do not give probabilities of 1 and 0. Raises `MissingExtraError` without scikit-learn.
    """
    import numpy as np

    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise MissingExtraError("calibrating a model", "train") from error
    rows, is_right, weight = np.array(scores), np.array(right), np.array(weights)
    positive, negative = weight[is_right].sum(), weight[~is_right].sum()
    target = np.where(is_right, (positive + 1) / (positive + 2), 1 / (negative + 2))
    found = LogisticRegression(C=1e6, max_iter=1000).fit(  # an outcome between 0 and 1 counts in part for both classes
        np.vstack([rows, rows]),
        np.repeat([1, 0], len(rows)),
        np.concatenate([weight * target, weight * (1 - target)]),
    )
    return tuple(round(float(number), 4) for number in (*found.coef_[0], found.intercept_[0]))


def _weigh(covered: Sequence[bool]) -> list[float]:
    """Return a weight for each outcome, so that covered and uncovered ones weigh alike; the mean weight is 1."""
    counts = {kind: covered.count(kind) for kind in set(covered)}
    return [len(covered) / (len(counts) * counts[kind]) for kind in covered]


def _cross_validate(
    scores: Sequence[Sequence[float]], questions: Sequence[str], fit_to: Callable[[Sequence[int]], tuple[float, ...]]
) -> list[float]:
    """Return the probability of each outcome by a fit to the outcomes of other questions, whose positions `fit_to` gets."""
    folds = {question: n % FOLDS for n, question in enumerate(dict.fromkeys(questions))}
    fits = [fit_to([n for n, question in enumerate(questions) if folds[question] != fold]) for fold in range(FOLDS)]
    return [_probability(fits[folds[question]], own) for question, own in zip(questions, scores, strict=True)]


def _probability(numbers: Sequence[float], scores: Sequence[float]) -> float:
    *factors, bias = numbers
    return sigmoid(sum(factor * score for factor, score in zip(factors, scores, strict=True)) + bias)


def reliability(
    probabilities: Sequence[float], right: Sequence[bool], weights: Sequence[float]
) -> tuple[Reliability, ...]:
    """Group outcomes by their probabilities, in the bins of `BINS`; no groups without outcomes."""
    outcomes = list(zip(probabilities, right, weights, strict=True))
    return tuple(_bin(outcomes, low, high) for low, high in pairwise(BINS)) if outcomes else ()


def _bin(outcomes: Sequence[tuple[float, bool, float]], low: float, high: float) -> Reliability:
    own = [(p, right, weight) for p, right, weight in outcomes if low <= p < high or p == high == BINS[-1]]
    total = sum(weight for _, _, weight in own) or 1.0
    mean = sum(p * weight for p, _, weight in own) / total
    return Reliability(low, high, len(own), mean, sum(right * weight for _, right, weight in own) / total)


def reliability_table(rows: Sequence[Reliability], thing: str = "best hit", is_right: str = "relevant") -> str:
    """Format groups of best hits, or of other things that are right or wrong, as a Markdown table."""
    lines = [
        f"| probability of the {thing} | questions | mean probability | {thing} {is_right} |",
        "|---|---|---|---|",
    ]
    for row in rows:
        figures = f"{row.mean:.2f} | {row.right:.2f}" if row.questions else "– | –"
        lines.append(f"| {row.low:.1f}–{row.high:.1f} | {row.questions} | {figures} |")
    return "\n".join(lines)
