import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache

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
    retriever = Retriever.open(reranker=None)
    return cache(lambda question: retriever.ask(question, 5))  # many tests go on from the same question


@pytest.fixture(scope="module")
def answer() -> Ask:
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
    ("Does dropout slow training down?", "why?", "Why does dropout slow training down?"),
    ("Does dropout slow training down?", "and when?", "When does dropout slow training down?"),
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
    ("What are the drawbacks of k-means?", "what about DBSCAN?", "What are the drawbacks of DBSCAN?"),
    (
        "What are the drawbacks of k-means?",
        "what about large data?",
        "What are the drawbacks of k-means with large data?",
    ),
    ("What are the drawbacks of k-means?", "no, I meant DBSCAN", "What are the drawbacks of DBSCAN?"),
    ("What are the drawbacks of k-means?", "how can I avoid them?", "how can I avoid the drawbacks of k-means?"),
    ("Who invented the perceptron?", "sorry, I meant attention, not the perceptron", "Who invented attention?"),
    ("What is dropout?", "give me an example", "What is an example of dropout?"),
    ("Can dropout hurt?", "for example?", "For example: Can dropout hurt?"),
    ("What is dropout?", "tell me more", "Tell me more about dropout."),
    ("What is dropout?", "I don't get it", "Can you explain dropout in simple words?"),
    ("What is dropout?", "advantages?", "What are the advantages of dropout?"),
    ("What is dropout?", "Which drawbacks?", "What are the drawbacks of dropout?"),
    ("What is stochastic gradient descent?", "is Adam better?", "is Adam better than stochastic gradient descent?"),
    ("What is ridge regression?", "vs lasso?", "How does ridge regression compare with lasso?"),
    ("What is early stopping?", "how do I choose the patience?", "how do I choose the patience in early stopping?"),
    ("What does an AUC of 0.5 mean?", "and 1.0?", "What does an AUC of 1.0 mean?"),
    ("Can I start all weights at zero?", "why not?", "Why can't I start all weights at zero?"),
    ("Does L1 regularization give zeros?", "and does ridge?", "Does ridge give zeros?"),
]


@pytest.mark.parametrize(("earlier", "question", "expected"), FOLLOW_UPS)
def test_a_follow_up_is_given_the_topic(ask: Ask, earlier: str, question: str, expected: str) -> None:
    assert standalone(question, [ask(earlier)]) == expected


CHAINS = [
    (
        ["What is a transformer?", "Does it need positional encoding?", "why?"],
        "Why does a transformer need positional encoding?",
    ),
    (
        ["What is a random forest?", "how fast is it?", "who invented it?", "limits?"],
        "What are the limits of a random forest?",
    ),
    (
        ["What is a hidden Markov model?", "what is it used for?", "what about GANs?", "limits?"],
        "What are the limits of GANs?",
    ),
    (
        ["What is logistic regression?", "and naive Bayes?", "which is better?"],
        "Which is better, logistic regression or naive Bayes?",
    ),
    (["What is BM25?", "what do k1 and b do?", "who came up with it?"], "who came up with BM25?"),
    (["What is k-means?", "What is the complexity of DBSCAN?", "and PCA?"], "What is the complexity of PCA?"),
    (
        ["What is an SVM?", "What is the difference between bagging and boosting?", "why?"],
        "Why: What is the difference between bagging and boosting?",
    ),
]


@pytest.mark.parametrize(("turns", "expected"), CHAINS)
def test_a_chain_of_follow_ups_keeps_its_topic(ask: Ask, turns: list[str], expected: str) -> None:
    earlier: list[Answer] = []
    for question in turns[:-1]:
        earlier.append(ask(standalone(question, earlier)))
    assert standalone(turns[-1], earlier) == expected


ALONE = [
    "hello there!",
    "got it, thank you",
    "Is a deep network always better than a shallow one?",
    "What about labels: which losses cope with wrong ones?",
    "the no free lunch theorem",
    "no free lunch theorem",
    "dropout advantages",
    "gradient boosting",
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


def test_suggestions_come_from_the_same_page_first(answer: Ask) -> None:
    answered = answer("How do I choose the number of clusters in k-means?")
    number = next(n for n, hit in enumerate(answered.hits) if hit.passage.id == "K-means clustering#5")
    answered = replace(answered, quotes=(replace(answered.quotes[0], hit=number),))
    index = Retriever.open(dense=False, reranker=None).index
    first, second, third = suggest(answered, index)
    assert "k-means" in first
    assert "k-means" in second
    assert "k-means" not in third
    assert suggest(answered, index, 1) == [first]
    assert len(set(suggest(answered, index, 5))) == 5
    assert suggest(answered, index, 0) == []


def test_suggestions_call_a_page_as_the_question_did(answer: Ask) -> None:
    index = Retriever.open(dense=False, reranker=None).index
    assert suggest(answer("Why does dropout help?"), index)[0] == "How does dropout work?"
    assert suggest(answer("What is dilution in a neural network?"), index)[0] == "How does Dilution work?"


@pytest.mark.parametrize(
    ("question", "suggested"),
    [
        ("how is a confusion matrix read?", "What is a confusion matrix?"),
        ("what are the layers of a neural network?", "What is a neural network?"),
    ],
)
def test_a_page_gets_its_article_though_the_question_named_it(answer: Ask, question: str, suggested: str) -> None:
    index = Retriever.open(dense=False, reranker=None).index
    found = suggest(answer(question), index, 5)
    assert suggested in found
    assert not {"What is confusion matrix?", "What is neural network?"} & set(found)


def test_suggestions_read_as_people_write() -> None:
    index = Retriever.open(dense=False, reranker=None).index

    def after(title: str) -> list[str]:
        page = [passage for passage in index.passages if passage.title == title]
        return suggest(Answer("which", "", (Hit(page[-1], 1.0, None, 1.0, 1),), (), True), index, 6)

    assert "What are the main approaches in recommender systems?" in after("Recommender system")
    assert "What is the bias–variance tradeoff?" in after("Bias–variance tradeoff")
    assert "What is a confusion matrix?" in after("Confusion matrix")
    asked = [
        question for title in ("Deep learning", "Ridge regression", "Data augmentation") for question in after(title)
    ]
    assert not {"What is ridge?", "What are the images of data augmentation?"}.intersection(asked)


def test_without_hits_nothing_is_suggested() -> None:
    index = Bm25Index.build([Passage("a", "", text="Nothing to ask here.")])
    assert suggest(Answer("xyzzy?", "", (), (), True), index) == []
    hit = Retriever(index, None).search("nothing")[0]
    assert suggest(Answer("nothing", hit.passage.text, (hit,), (), False), index) == []
    with pytest.raises(InputError, match="no passage"):
        suggest(Answer("x", "", (Hit(Passage("z", "", text="x"), 1.0, None, 1.0, 1),), (), False), index)
