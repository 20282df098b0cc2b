import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from ragqa import Bm25Index, Passage, Reranker
from ragqa.errors import CorpusError
from ragqa.evaluation.calibration import (
    LEAST,
    Outcome,
    calibrate_best_hits,
    fit,
    fit_logistic,
    halve,
    reliability,
    reliability_table,
)
from ragqa.evaluation.judged import Judged
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import Calibration, sigmoid
from ragqa.search.retriever import BM25_WEIGHT, COSINE_WEIGHT

pytest.importorskip("sklearn", reason="pip install '.[train]'")


def drawn(count: int, scale: float, bias: float, seed: int = 0) -> list[Outcome]:
    """Outcomes whose probabilities of being right are known; every second one is uncovered."""
    rng = random.Random(seed)
    scores = [rng.gauss(0, 2) for _ in range(count)]
    return [
        Outcome(str(n), score, rng.random() < sigmoid(scale * score + bias), n % 2 == 0)
        for n, score in enumerate(scores)
    ]


@pytest.mark.parametrize(("scale", "bias"), [(0.5, -1.0), (1.5, 0.0), (2.0, 3.0)])
def test_the_fit_finds_the_scale_and_bias_that_outcomes_were_drawn_with(scale: float, bias: float) -> None:
    found = fit(drawn(5_000, scale, bias))
    assert found.calibration.scale == pytest.approx(scale, rel=0.08)
    assert found.calibration.bias == pytest.approx(bias, abs=0.15)
    assert found.brier < found.constant_brier
    assert all(row.mean == pytest.approx(row.right, abs=0.05) for row in found.reliability)
    assert sum(row.questions for row in found.reliability) == found.covered + found.uncovered == 5_000


def test_scores_that_separate_right_from_wrong_give_no_certainty() -> None:
    outcomes = [Outcome(str(n), n % 2 * 2.0 - 1, n % 2 == 1, n % 2 == 1) for n in range(2 * LEAST)]
    found = fit(outcomes)
    assert 0.9 < found.calibration.probability(1.0) < 0.99
    assert found.abstained_on_covered == 0.0
    assert found.abstained_on_uncovered == 1.0


def test_covered_and_uncovered_outcomes_weigh_alike() -> None:
    few = drawn(2_000, 1.0, 0.0)
    uncovered = [outcome for outcome in few if not outcome.covered]
    many = [*few, *(replace(o, question=f"{o.question} {n}") for n in range(2) for o in uncovered)]
    one, other = fit(few), fit(many)
    assert other.uncovered == 3 * one.uncovered
    assert other.calibration.scale == pytest.approx(one.calibration.scale, abs=0.01)
    assert other.brier == pytest.approx(one.brier, abs=0.002)


def test_the_figures_are_of_questions_that_were_left_out_of_the_fit() -> None:
    outcomes = drawn(100, 0.3, 0.0)
    calibration = Calibration(*fit_logistic([[o.score] for o in outcomes], [o.right for o in outcomes], [1.0] * 100))
    seen = sum((calibration.probability(o.score) - o.right) ** 2 for o in outcomes) / 100
    assert fit(outcomes).brier > seen


@pytest.mark.parametrize(
    ("outcomes", "message"),
    [
        (drawn(100, 0.0, -9.0), "needs at least 20 right and 20 wrong best hits, and there are 0 and 100"),
        (drawn(500, -2.0, 0.0), "right best hits do not score higher than wrong ones"),
    ],
)
def test_a_fit_that_would_mean_nothing_is_refused(outcomes: Sequence[Outcome], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        fit(outcomes)


def test_reliability_counts_each_probability_once() -> None:
    rows = reliability([0.0, 0.2, 0.9, 1.0], [False, True, True, False], [1.0, 1.0, 3.0, 1.0])
    assert [row.questions for row in rows] == [1, 1, 0, 0, 2]
    assert rows[-1].mean == pytest.approx(0.925)
    assert rows[-1].right == 0.75
    assert reliability_table(rows).splitlines()[-2:] == ["| 0.6–0.8 | 0 | – | – |", "| 0.8–1.0 | 2 | 0.93 | 0.75 |"]
    assert reliability([], [], []) == ()


NAMES = [f"{kind} {thing}" for kind in ("red", "wide", "old", "tall", "slow", "thin") for thing in
         ("bridge", "river", "tower", "garden", "harbour")]  # fmt: skip
JUDGED = Judged(
    "places",
    tuple(
        Passage(f"{name}#{n}", name, text=f"The {name} is {text}.")
        for name in NAMES
        for n, text in enumerate(("in the north of the town", "two hundred years old"))
    ),
    {name: f"where is the {name}" for name in NAMES} | {"bad": "?!"},
    {name: {f"{name}#0": 1} for name in NAMES} | {"bad": {f"{NAMES[0]}#0": 1}},
    {},
)


def test_halves_hold_whole_pages_and_ask_every_question_once_covered_and_once_not() -> None:
    halves = halve(JUDGED)
    titles = [{p.title for p in half.passages} for half in halves]
    assert titles[0] | titles[1] == set(NAMES)
    assert not titles[0] & titles[1]
    assert len(titles[0]) == len(titles[1]) == 15
    for half, own in zip(halves, titles, strict=True):
        assert half.questions.keys() - {"bad"} == half.relevance.keys() - {"bad"} == own
        assert set(half.uncovered) == {f"where is the {name}" for name in set(NAMES) - own}


def test_a_question_with_relevant_passages_in_both_halves_is_covered_in_both() -> None:
    both = replace(JUDGED, questions={"q": "where?"}, relevance={"q": {f"{name}#0": 1 for name in NAMES[:2]}})
    assert [(dict(half.relevance), half.uncovered) for half in halve(both)] == [
        ({"q": {f"{name}#0": 1}}, ()) for name in NAMES[:2]
    ]


class NorthEngine:
    """Prefers the passages that tell where something is."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []

    def logits(self, question: str, texts: Sequence[str]) -> np.ndarray:
        self.pairs += [(question, text) for text in texts]
        return np.array(["north" in text for text in texts], dtype=np.float32)


def test_best_hits_are_those_of_search_and_each_pair_is_scored_once(word_embedder: Embedder) -> None:
    engine = NorthEngine()
    asked: list[int] = []
    fits = calibrate_best_hits(Reranker(engine, "north"), [JUDGED], word_embedder, asked.append)
    assert {name: (found.covered, found.uncovered) for name, found in fits.items()} == {
        "alone": (30, 30),
        "fused": (30, 30),
    }
    assert len(asked) == 60
    assert len(engine.pairs) == len(set(engine.pairs))
    for found in fits.values():
        assert found.brier < 0.15
        assert found.constant_brier > 0.2
    half = halve(JUDGED)[0]
    best = Bm25Index.build(half.passages).search(half.questions[NAMES[0]], 1)[0][1]
    alone, fused = (fits[name].calibration for name in ("alone", "fused"))
    assert alone.probability(1 + BM25_WEIGHT * best) > 0.5
    assert fused.probability(1 + BM25_WEIGHT * best) < 0.5 < fused.probability(1 + BM25_WEIGHT * best + COSINE_WEIGHT)


def test_a_set_with_uncovered_questions_is_asked_as_it_is(word_embedder: Embedder) -> None:
    uncovered = tuple(f"why was the {name.split()[1]} closed in {1900 + n}" for n, name in enumerate(NAMES[:25]))
    judged = replace(JUDGED, uncovered=uncovered)
    fits = calibrate_best_hits(Reranker(NorthEngine(), "north"), [judged], word_embedder)
    assert (fits["fused"].covered, fits["fused"].uncovered) == (30, 25)
