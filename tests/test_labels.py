"""A label below `PARTLY` says that a passage does not answer, wherever labels are made and wherever they are read."""

from collections.abc import Sequence

import numpy as np
import pytest

from ragqa.evaluation.judged import Judged
from ragqa.models.embedder import Embedder
from ragqa.records import PARTLY, Pair, Passage
from ragqa.training.calibrate import judged_pairs
from ragqa.training.dataset import from_judged
from ragqa.training.lint import lint
from ragqa.training.pairs import reranking_samples
from ragqa.training.soft_labels import soften

PAIRS = [Pair("Why?", f"because {label}", label) for label in (1.0, 0.75, PARTLY, 0.49, 0.0)]


@pytest.mark.parametrize(("highest", "expected"), [(1, [1.0]), (2, [0.5, 1.0]), (3, [0.5, 0.75, 1.0])])
def test_every_grade_of_an_answer_becomes_a_label_of_one(highest: int, expected: list[float]) -> None:
    passages = tuple(Passage(str(n), text=f"because {n}", title="t") for n in range(highest))
    judged = Judged("j", passages, {"q": "Why?"}, {"q": {str(n): n + 1 for n in range(highest)}}, {})
    (example,) = from_judged(judged).examples
    assert list(example.labels) == expected[::-1]


class Doubting:
    """Vectors by which the passage that answers in part is as far from the question as the negatives."""

    def vectors(self, texts: Sequence[str], progress: object) -> "np.ndarray":
        far = {pair.passage for pair in PAIRS if pair.label <= PARTLY}
        return np.array([[0.0, 1.0] if text in far else [1.0, 0.0] for text in texts], np.float32)


def test_teachers_do_not_turn_an_answer_into_none() -> None:
    pytest.importorskip("sklearn", reason="pip install '.[train]'")
    soft = soften(PAIRS, [Embedder(Doubting(), "", "doubting")], 0.9, progress=False)
    assert soft[2].label == PARTLY  # it would be lower
    assert [pair.label >= PARTLY for pair in soft] == [True, True, True, False, False]


def test_lint_training_and_calibration_read_labels_alike() -> None:
    positives = [pair.passage for pair in PAIRS if pair.label >= PARTLY]
    assert len(positives) == 3
    assert lint({"train": PAIRS, "eval": [], "test": []})["positives"]["train"] == 3
    (sample,) = reranking_samples(PAIRS)
    assert sample["positive"] == positives
    (relevant,) = judged_pairs(PAIRS).relevance.values()
    assert len(relevant) == 3
