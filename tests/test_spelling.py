import json
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa import Bm25Index, Passage, Retriever
from ragqa.answers.answer import as_dict
from ragqa.cli import main
from ragqa.demo.corpora import Corpus
from ragqa.demo.messages import messages
from ragqa.demo.respond import Settings, respond
from ragqa.index.bm25 import ENGINES
from ragqa.index.starter import open_starter
from ragqa.search.explanation import explain
from ragqa.search.near_words import NearWords
from ragqa.search.spelling import Speller
from ragqa.text.analyzer import words

TYPED = {
    "what is gradent descent?": "what is gradient descent?",
    "nueral network": "neural network",
    "What is Gradeint Descent?": "What is Gradient Descent?",
    "clasification": "classification",
    "convultional nural netwroks": "convolutional neural networks",
    "how does regularizaton work": "how does regularization work",
    "dimentionality reduction": "dimensionality reduction",
    "gradents": "gradients",
    "logisitc regresion": "logistic regression",
    "what's a perceptrn's bias?": "what's a perceptron's bias?",
    "hwo does backpropogation work": "how does backpropagation work",
    "waht is the diffrence between bagging and bosting": "what is the difference between bagging and boosting",
    "gradientdescent": "gradient descent",
    "whatis dropout": "what is dropout",
    "what is an auto encoder": "what is an autoencoder",
    "k-meens clustering": "k-means clustering",
    "cross-validaton": "cross-validation",
    "self-atention": "self-attention",
    "regularisation": "regularization",
    "colour normalisation": "color normalization",
    "how many neighbours in knn": "how many neighbors in knn",
    "random forrest": "random forest",
    "gradient decent": "gradient descent",
    "the cuse of dimensionality": "the curse of dimensionality",
}
UNCHANGED = (
    "what is gradient descent?",
    "how long should I boil an egg?",
    "what is Gini?",
    "naïve Bayes",
    'what is "gradent" descent?',
    "what is “gradent” descent?",
    "overfitting vs over-fitting",
    "what is LSTN?",
    "PyTorhc or TenorFlow",
    "gpt4 and word2vce",
    "see example.com/gradent or ./gradent",
    "who was Kohonen",
    "aperiodic",
    "什么是机器学习？",
    "Was ist Gradent Descent?",
    "λ",
    "A𠀀",
)


@pytest.fixture(scope="module")
def index() -> Bm25Index:
    return open_starter()


@pytest.fixture(scope="module")
def speller(index: Bm25Index) -> Speller:
    return Speller(index)


@pytest.fixture(scope="module")
def bm25(index: Bm25Index) -> Retriever:
    return Retriever(index, None)


@pytest.mark.parametrize(("typed", "meant"), TYPED.items())
def test_typing_errors_are_corrected(speller: Speller, typed: str, meant: str) -> None:
    assert speller.correct(typed) == meant
    assert speller.correct(meant) == meant


@pytest.mark.parametrize("question", UNCHANGED)
def test_names_quotes_codes_and_other_languages_stay(speller: Speller, question: str) -> None:
    assert speller.correct(question) == question


@st.deferred  # reads the passages when a test runs, not when tests are collected
def starter_words() -> st.SearchStrategy[str]:
    return st.sampled_from(_starter_words())


@cache
def _starter_words() -> list[str]:
    return sorted({word for passage in open_starter().passages for word in words(passage.text)})


@given(st.lists(starter_words, min_size=1, max_size=8))
def test_questions_of_known_words_never_change(known: Sequence[str]) -> None:
    question = f"{' '.join(known)}?"
    assert Speller(open_starter()).correct(question) == question


@given(starter_words, st.integers(0, 20), st.sampled_from("aeinrstx"))
def test_corrections_are_words_of_the_passages_and_stay(word: str, place: int, letter: str) -> None:
    speller = Speller(open_starter())
    typed = word[:place] + letter + word[place + 1 :]
    corrected = speller.correct(typed)
    assert speller.correct(corrected) == corrected
    assert corrected == typed or all(map(speller.knows, words(corrected)))


def test_small_indexes_correct_too() -> None:
    passages = [Passage("a", "Ferret", text="A ferret eats meat."), Passage("b", "Badger", text="Badgers dig burrows.")]
    assert Speller(Bm25Index.build(passages)).correct("where do bagders live") == "where do badgers live"


def test_words_that_the_passages_hold_only_with_a_hyphen_get_it() -> None:
    texts = ("Reinforcement-learning agents act.", "Reinforcement-learning tasks are hard.", "Hyperparameters are set.")
    index = Bm25Index.build(Passage(str(number), "Agents", text=text) for number, text in enumerate(texts))
    assert Speller(index).correct("reinforcementlearning") == "reinforcement-learning"
    assert Speller(index).correct("hyperparameters") == "hyperparameters"


def test_american_spelling_becomes_british_if_the_passages_are() -> None:
    index = Bm25Index.build([Passage("a", "Paint", text="The colour of paint is normalised.")])
    assert Speller(index).correct("how is the color normalized?") == "how is the colour normalised?"


def test_both_engines_know_the_same_terms_and_passages(index: Bm25Index) -> None:
    passages = index.passages[:20]
    sparse, reference = (Bm25Index.build(passages, engine=engine) for engine in ENGINES)
    assert sparse.vocabulary.keys() == reference.vocabulary.keys()
    for term in (*list(sparse.vocabulary)[:50], "nothing-like-it"):
        assert sparse.positions_of(term).tolist() == reference.positions_of(term).tolist()


def test_the_forms_of_a_term_are_those_of_the_passages(index: Bm25Index) -> None:
    assert {"classification", "classifier", "classify"} & set(NearWords(index).forms("classif"))
    assert list(NearWords(index).forms("zzzz")) == []


def test_search_uses_the_corrected_question(bm25: Retriever) -> None:
    typed, meant = "what is gradent descnet?", "what is gradient descent?"
    assert bm25.search(typed) == bm25.search(meant)
    answered = bm25.ask(typed)
    assert (answered.question, answered.typed) == (meant, typed)
    assert answered.hits == bm25.ask(meant).hits
    assert as_dict(answered)["typed"] == typed
    assert "typed" not in as_dict(bm25.ask(meant))
    explained = explain(bm25, typed, answered.hits[0])
    assert explained.question == meant
    assert sum(term.score for term in explained.terms) == pytest.approx(answered.hits[0].bm25_score, rel=1e-5)


def test_correction_can_be_switched_off(index: Bm25Index) -> None:
    exact = Retriever(index, None, correct=False)
    assert exact.ask("gradent descent").question == "gradent descent"
    assert exact.corrected(" gradent\n descent ") == "gradent descent"


def test_the_command_line_says_what_it_asked(capsys: pytest.CaptureFixture[str]) -> None:
    asking = ["ask", "what is gradent descent?", "--bm25-only", "-k", "1"]
    assert main(asking) == 0
    assert capsys.readouterr().out.startswith("Asked as: what is gradient descent?\n\n")
    assert main([*asking, "--no-correct"]) == 0
    assert "Asked as" not in capsys.readouterr().out
    assert main([*asking, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["typed"], told["question"]) == ("what is gradent descent?", "what is gradient descent?")


def test_the_chat_says_what_it_asked(bm25: Retriever) -> None:
    *_, turn = respond("what is gradent descent?", Corpus(bm25), Settings(), [])
    assert turn.rewritten
    assert "*Asked as:* what is gradient descent?" in messages([turn])[-1]["content"]
