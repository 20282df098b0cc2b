from dataclasses import replace

import pytest

from ragqa.errors import InputError
from ragqa.models.embedder import Embedder
from ragqa.records import Pair
from ragqa.training.soft_labels import soften

pytest.importorskip("sklearn", reason="pip install '.[train]'")

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


@pytest.fixture(scope="module")
def teacher() -> Embedder:
    return Embedder.load()


def test_a_hidden_answer_gets_more_of_a_label_than_a_clear_negative(teacher: Embedder) -> None:
    soft = soften(PAIRS, [teacher], 0.5, progress=False)
    assert [(pair.question, pair.passage) for pair in soft] == [(pair.question, pair.passage) for pair in PAIRS]
    positive, clear, hidden = (pair.label for pair in soft[:3])
    assert 0 < clear < hidden < positive < 1
    assert hidden - clear > 0.02


def test_weight_is_the_share_of_the_teacher(teacher: Embedder) -> None:
    assert soften(PAIRS, [teacher], 0.0, progress=False) == PAIRS
    alone = soften(PAIRS, [teacher], 1.0, progress=False)
    half = soften(PAIRS, [teacher], 0.5, progress=False)
    assert [p.label for p in half] == pytest.approx(
        [(a.label + p.label) / 2 for a, p in zip(alone, PAIRS, strict=True)]
    )


def test_what_cannot_be_softened_is_refused(teacher: Embedder) -> None:
    with pytest.raises(InputError, match="weight is 1.5"):
        soften(PAIRS, [teacher], 1.5)
    with pytest.raises(InputError, match="all pairs have one label"):
        soften(PAIRS[:1], [teacher])
    with pytest.raises(InputError, match="needs a teacher"):
        soften(PAIRS, [])


def test_drawn_pairs_are_softened_more_and_several_teachers_are_heard(
    teacher: Embedder, word_embedder: Embedder
) -> None:
    drawn = [replace(pair, drawn=pair.label == 0) for pair in PAIRS]
    alone = soften(drawn, [teacher], 1.0, progress=False)
    soft = soften(drawn, [teacher], 0.25, progress=False)
    for pair, own, only in zip(drawn, soft, alone, strict=True):
        weight = 0.5 if pair.drawn else 0.25
        assert own.label == pytest.approx((1 - weight) * pair.label + weight * only.label)
    both = soften(drawn, [teacher, word_embedder], 1.0, progress=False)
    assert [p.label for p in both] != [p.label for p in alone]
