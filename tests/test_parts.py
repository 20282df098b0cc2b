import pytest

from ragqa.answers.parts import compared, questions_in


@pytest.mark.parametrize(
    ("question", "pair"),
    [
        ("What is the difference between bagging and boosting?", ("bagging", "boosting")),
        ("difference between L1 and L2 regularization in linear models", ("L1", "L2 regularization")),
        ("BERT vs GPT", ("BERT", "GPT")),
        ("Adam versus SGD for transformers?", ("Adam", "SGD for transformers")),
        ("should I use precision or recall?", ("precision", "recall")),
        ("How does a random forest differ from plain bagged trees?", ("a random forest", "plain bagged trees")),
        ("How do GRUs and LSTMs differ?", ("GRUs", "LSTMs")),
        ("Is Adam usually better than SGD for vision?", ("Adam", "SGD")),
        ("Which one needs more data, a tree or a net?", ("a tree", "a net")),
        ("What is the difference between a validation set and a test set?", ("a validation set", "a test set")),
        ("Why does dropout help?", None),
        ("How do I choose k in k-means?", None),
        ("What is bias and variance?", None),
    ],
)
def test_the_two_things_that_a_question_compares(question: str, pair: tuple[str, str] | None) -> None:
    assert compared(question) == pair


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("What is dropout? Why does it help?", ("What is dropout?", "Why does it help?")),
        (
            "what is boosting and how does it differ from bagging",
            ("what is boosting?", "how does it differ from bagging?"),
        ),
        ("What is dropout?", ("What is dropout?",)),
        ("What is bias and variance?", ("What is bias and variance?",)),
        ("Gradient boosting? why?", ("Gradient boosting? why?",)),
    ],
)
def test_the_questions_in_a_text(text: str, asked: tuple[str, ...]) -> None:
    assert questions_in(text) == asked
