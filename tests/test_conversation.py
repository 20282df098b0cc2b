import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa import Answer, Bm25Index, Hit, Passage, Retriever
from ragqa.errors import InputError
from ragqa.evaluation.judged import read_starter
from ragqa.search.conversation import standalone, suggest
from ragqa.text.questions import is_well_formed

Ask = Callable[[str], Answer]


@pytest.fixture(scope="module")
def ask() -> Ask:
    retriever = Retriever.open()
    return lambda question: retriever.ask(question, 5)


FOLLOW_UPS = [
    ("Why does dropout help against overfitting?", "and when should I not use it?", "when should I not use dropout?"),
    ("Why does dropout help against overfitting?", "How does that work?", "How does dropout work?"),
    ("How is a random forest trained?", "What are its limits?", "What are a random forest's limits?"),
    ("How is a random forest trained?", "it's slow, why?", "a random forest is slow, why?"),
    ("What is the kernel trick?", "what are the disadvantages?", "what are the disadvantages of the kernel trick?"),
    ("What is early stopping?", "Why does this technique help?", "Why does early stopping help?"),
    ("What is a confusion matrix?", "How do I read one?", "How do I read a confusion matrix?"),
    ("What is feature selection?", "Why bother?", "Why bother with feature selection?"),
    ("What is precision?", "and recall?", "What is recall?"),
    (
        "How does k-nearest neighbors classify?",
        "and for regression?",
        "How does k-nearest neighbors classify for regression?",
    ),
    ("Does dropout slow training down?", "why?", "why: Does dropout slow training down?"),
    ("Does dropout slow training down?", "and when?", "when: Does dropout slow training down?"),
    ("How was boosting invented?", "Who?", "Who: How was boosting invented?"),
    ("What is cross-validation?", "what about time series?", "what about time series with cross-validation?"),
    (
        "What is the difference between bagging and boosting?",
        "which one reduces variance?",
        "which of bagging and boosting reduces variance?",
    ),
    ("What is the difference between bagging and boosting?", "When is the latter better?", "When is boosting better?"),
    ("bagging vs boosting", "can I combine both?", "can I combine bagging and boosting?"),
    ("bagging vs boosting", "and stacking?", "bagging vs boosting, and stacking?"),
    ("What is XGBoost?", "Is it better than a random forest?", "Is XGBoost better than a random forest?"),
    ("What is XGBoost?", "Is it possible to parallelize it?", "Is it possible to parallelize XGBoost?"),
]


@pytest.mark.parametrize(("earlier", "question", "expected"), FOLLOW_UPS)
def test_a_follow_up_is_given_the_topic(ask: Ask, earlier: str, question: str, expected: str) -> None:
    assert standalone(question, [ask(earlier)]) == expected


ALONE = [
    "thanks!",
    "Ok, thanks.",
    "and?",
    "ok",
    "So … then?",
    "What is dropout and why does it help?",
    "RAG: what is it?",
    "Is it possible to train a network without labels?",
    "Does it matter which optimizer I choose?",
    "What does it mean that a layer is convolutional?",
    "Why is it surprising that wide networks generalise?",
    "which layers need a mask and how do they use it?",
    "What are hyperparameters?",
    "What is the difference between parameters and hyperparameters?",
    "my model has 99% accuracy, is that good?",
    "why use several heads rather than one?",
    "What about labels that are wrong: which losses cope with them?",
    "and what is the kernel trick?",
    "does bagging reduce variance?",
    "how many trees do I need",
    "",
    "???",
]


@pytest.mark.parametrize("question", ALONE)
def test_what_stands_on_its_own_stays(ask: Ask, question: str) -> None:
    assert standalone(question, [ask("How is a random forest trained?")]) == question


def test_starter_questions_in_a_row_stay(ask: Ask) -> None:
    questions = list(read_starter().questions.values())
    earlier = [ask("What is the difference between bagging and boosting?"), ask("What is the kernel trick?")]
    changed = [q for q in questions if standalone(q, earlier) != q or standalone(q, earlier[:1]) != q]
    assert len(changed) / len(questions) < 0.02, changed


def test_the_topic_is_that_of_the_last_question_with_hits(ask: Ask) -> None:
    earlier = [ask("What is DBSCAN?"), ask("What is XGBoost?"), Answer("xyzzy?", "", (), (), True)]
    assert standalone("who invented it?", earlier) == "who invented XGBoost?"
    assert standalone("who invented it?", []) == "who invented it?"
    assert standalone("who invented it?", earlier[2:]) == "who invented it?"


def test_a_rewritten_question_can_be_followed_up(ask: Ask) -> None:
    second = ask(standalone("and when does it fail?", [ask("What is principal component analysis?")]))
    assert standalone("is it fast?", [second]) == "is principal component analysis fast?"


def test_the_page_names_the_topic_where_the_question_does_not() -> None:
    hit = Hit(Passage("a#0", "Perceptron (history)", text="Rosenblatt built it."), 1.0, 0.9, 1.0, 1)
    assert standalone("how does it work?", [Answer("who?", "x", (hit,), (), False)]) == "how does Perceptron work?"
    assert standalone("how does it work?", [Answer("who?", "", (hit,), (), True)]) == "how does it work?"


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_any_text_can_be_asked(question: str, earlier: str, title: str) -> None:
    answers = [Answer(earlier, "", (Hit(Passage("a", title, text=earlier), 1.0, None, 1.0, 1),), (), True)]
    assert standalone(question, answers).strip() or not question.strip()


def test_suggestions_are_answered_by_the_corpus_and_not_what_was_asked() -> None:
    retriever = Retriever(Retriever.open(dense=False, reranker=None).index, None)
    index, full = retriever.index, 0
    suggest(retriever.ask("dropout"), index)
    times = []
    for question in list(read_starter().questions.values())[::3]:
        answered = retriever.ask(question, 5)
        started = time.process_time()  # other work on the machine does not count
        found = suggest(answered, index)
        times.append(time.process_time() - started)
        assert len({q.casefold() for q in found} - {question.casefold()}) == len(found) <= 3
        assert all(is_well_formed(q) and index.search(q, 1) for q in found)
        full += len(found) == 3
    assert full > 0.8 * len(times)
    assert sorted(times)[len(times) // 2] < 0.02


def test_suggestions_come_from_the_same_page_first(ask: Ask) -> None:
    answered = ask("How do I choose the number of clusters in k-means?")
    index = Retriever.open(dense=False, reranker=None).index
    first, second, third = suggest(answered, index)
    assert "K-means clustering" in first
    assert "K-means clustering" in second
    assert "K-means" not in third
    assert suggest(answered, index, 1) == [first]
    assert len(set(suggest(answered, index, 6))) == 6
    assert suggest(answered, index, 0) == []


def test_suggestions_call_a_page_as_the_question_did(ask: Ask) -> None:
    index = Retriever.open(dense=False, reranker=None).index
    assert suggest(ask("Why does dropout help?"), index)[0] == "How does dropout work?"
    assert suggest(ask("What is dilution in a neural network?"), index)[0] == "How does Dilution work?"


def test_without_hits_nothing_is_suggested() -> None:
    index = Bm25Index.build([Passage("a", "", text="Nothing to ask here.")])
    assert suggest(Answer("xyzzy?", "", (), (), True), index) == []
    hit = Retriever(index, None).search("nothing")[0]
    assert suggest(Answer("nothing", hit.passage.text, (hit,), (), False), index) == []
    with pytest.raises(InputError, match="no passage"):
        suggest(Answer("x", "", (Hit(Passage("z", "", text="x"), 1.0, None, 1.0, 1),), (), False), index)
