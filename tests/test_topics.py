import pytest

from ragqa import Answer, Hit, Passage
from ragqa.search.topics import topic_of
from ragqa.search.vocabulary import is_empty


def answered(question: str, *passages: tuple[str, str], abstained: bool = False) -> Answer:
    hits = tuple(Hit(Passage(f"{n}", title, text=text), 1.0, 0.9, 1.0, n) for n, (title, text) in enumerate(passages))
    return Answer(question, "", hits, (), abstained)


CASES = [
    ("How is a random forest trained?", [("Random forest", "Trees vote.")], "a random forest"),
    (
        "Why does dropout help against overfitting?",
        [("Dilution", "Dropout drops units."), ("Overfitting", "It is bad.")],
        "dropout",
    ),
    ("What is logistic regression?", [("Linear regression", "x"), ("Logistic regression", "y")], "logistic regression"),
    ("What is the kernel trick?", [("Kernel method", "The kernel trick replaces dot products.")], "the kernel trick"),
    ("Why do gradients vanish?", [("Vanishing gradient problem", "Products shrink.")], "vanishing gradient problem"),
    ("What is the difference between bagging and boosting?", [("Ensemble", "x")], "bagging and boosting"),
    ("How can I tell whether my model overfits?", [("Overfitting", "It shows in a gap.")], "overfitting"),
    ("who did that?", [("Perceptron (history)", "Rosenblatt did.")], "Perceptron"),
]


@pytest.mark.parametrize(("question", "passages", "expected"), CASES)
def test_the_topic_is_what_the_hits_hold_of_the_question(
    question: str, passages: list[tuple[str, str]], expected: str
) -> None:
    topic = topic_of(answered(question, *passages))
    assert topic is not None
    assert topic.text == expected
    assert (topic.parts is not None) == (" and " in expected)


def test_aliases_are_names_too() -> None:
    hit = Hit(Passage("0", "Dilution", text="Units are dropped.", aliases=("Dropout",)), 1.0, 0.9, 1.0, 1)
    topic = topic_of(Answer("Does dropout slow bananas down?", "", (hit,), (), False))
    assert topic is not None
    assert topic.text == "dropout"


def test_what_nothing_answers_has_no_topic_of_its_page() -> None:
    assert topic_of(answered("who did that?", ("Perceptron", "Rosenblatt did."), abstained=True)) is None
    assert topic_of(answered("who did that?", ("", "Rosenblatt did."))) is None


def test_words_that_go_with_any_topic_name_none() -> None:
    assert is_empty("what are the main advantages, and how many?")
    assert not is_empty("what are the main advantages of dropout")
