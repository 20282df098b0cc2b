import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ragqa.errors import CorpusError
from ragqa.evaluation.answer_calibration import Quoted, fit_answers, quote_answers
from ragqa.evaluation.calibration import LEAST
from ragqa.evaluation.marks import ANSWERS, BEST, PARTLY, Mark, answers, is_like
from ragqa.index.bm25 import Bm25Index
from ragqa.models.reranker import Reranker
from ragqa.models.selector import AnswerCalibration, read_calibration
from ragqa.search.retriever import Retriever
from ragqa.training.calibrate_answers import calibrate_answers

TRUE = AnswerCalibration(quote=0.8, hit=0.5, bias=-0.7)


def drawn(count: int, true: AnswerCalibration = TRUE) -> list[Quoted]:
    """Answers whose probabilities of being right are known; every second question is uncovered."""
    rng = random.Random(3)
    pairs = [(rng.gauss(0, 2), rng.uniform(0.05, 0.95)) for _ in range(count)]
    return [
        Quoted(str(n), logit, hit, rng.random() < true.probability(logit, hit), n % 2 == 0)
        for n, (logit, hit) in enumerate(pairs)
    ]


def test_the_fit_finds_the_calibration_that_answers_were_drawn_with() -> None:
    pytest.importorskip("sklearn", reason="pip install '.[train]'")
    found = fit_answers(drawn(5_000))
    assert found.calibration.quote == pytest.approx(TRUE.quote, rel=0.08)
    assert found.calibration.hit == pytest.approx(TRUE.hit, rel=0.15)
    assert found.calibration.bias == pytest.approx(TRUE.bias, abs=0.15)
    assert (found.covered, found.uncovered) == (2_500, 2_500)
    assert found.brier < found.constant_brier
    assert all(row.mean == pytest.approx(row.right, abs=0.05) for row in found.reliability)


def test_a_calibration_is_written_with_its_figures_and_read_again(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="pip install '.[train]'")
    (tmp_path / "README.md").write_text("# A selector\n\n## Calibration\n\nold\n", encoding="utf8")
    found = calibrate_answers(tmp_path, drawn(300))
    assert read_calibration(tmp_path) == found.calibration
    card = (tmp_path / "README.md").read_text(encoding="utf8")
    assert "old" not in card
    assert f"In a cross-validation the Brier score is {found.brier:.3f}" in card
    assert "| probability of the answer | questions | mean probability | answer right |" in card


@pytest.mark.parametrize(
    ("quoted", "message"),
    [
        (drawn(2 * LEAST - 2), "needs at least 20 right and 20 wrong answers"),
        (drawn(500, AnswerCalibration(-2.0, 0.0, 0.0)), "right answers do not score higher than wrong ones"),
    ],
)
def test_a_fit_that_would_mean_nothing_is_refused(tmp_path: Path, quoted: list[Quoted], message: str) -> None:
    pytest.importorskip("sklearn", reason="pip install '.[train]'")
    with pytest.raises(CorpusError, match=message):
        calibrate_answers(tmp_path, quoted)
    assert list(tmp_path.iterdir()) == []


def test_marked_questions_are_asked_and_their_answers_judged(starter: Retriever) -> None:
    starter = Retriever(starter.index, starter.reranker, dense=starter.dense, selector=starter.selector, candidates=5)
    question = "Why does dropout reduce overfitting?"
    asked = starter.ask(question)
    [quote] = asked.quotes
    best = asked.hits[quote.hit].passage.id
    marks = {
        question: {best: (Mark(quote.start, quote.end, BEST),)},
        "What does dropout do?": {"Not read#0": (Mark(0, 9, BEST),)},  # quotes another passage
    }
    seen: list[int] = []
    right, wrong = quote_answers(starter, marks, ["How long should I boil an egg?"], seen.append)
    assert (right.right, right.covered, right.logit) == (True, True, quote.score)
    assert (wrong.right, wrong.covered) == (False, False)
    assert right.hit > wrong.hit
    assert seen == [1, 1, 1]


def test_without_a_calibrated_reranker_there_is_nothing_to_calibrate(starter: Retriever) -> None:
    class Flat:
        def logits(self, question: str, texts: Sequence[str]) -> np.ndarray:
            return np.zeros(len(texts), dtype=np.float32)

    uncalibrated = Retriever(Bm25Index.build(starter.index.passages[:50]), Reranker(Flat(), "flat"))
    with pytest.warns(match="not calibrated"), pytest.raises(CorpusError, match="only with a calibrated reranker"):
        list(quote_answers(uncalibrated, {}, [starter.index.passages[0].title]))


def test_a_quote_is_like_a_mark_that_it_holds_or_shares_half_with() -> None:
    assert is_like(0, 100, (20, 40))
    assert is_like(0, 29, (10, 30))  # 19 of 20 characters
    assert not is_like(0, 21, (10, 30))
    assert is_like(10, 21, (10, 30))
    assert not is_like(40, 50, (10, 30))
    assert answers(0, 10, [Mark(0, 10, ANSWERS)])
    assert not answers(0, 10, [Mark(0, 10, PARTLY), Mark(20, 30, BEST)])


def test_the_bundled_selector_is_calibrated() -> None:
    from ragqa.models.selector import BUNDLED

    assert json.loads((BUNDLED / "calibration.json").read_text(encoding="utf8")).keys() == {"quote", "hit", "bias"}
