import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from token_engine import TokenEngine

from ragqa import Hit, Passage, Reranker, Retriever
from ragqa.answers.answer import answer, as_dict, quoted_spans, rank_quotes, rank_sentences
from ragqa.demo.examples import EXAMPLES
from ragqa.models.reranker import sigmoid
from ragqa.models.selector import AnswerCalibration, Selector


def spot(token: str, asked: set[str]) -> float:
    """Tokens of the question belong to an answer."""
    return float(token in asked - {".", "?"})


@pytest.fixture(scope="module")
def selector() -> Selector:
    return Selector(TokenEngine(spot), "word spotter")


class Constant:
    """An engine of a reranker whose scores do not matter."""

    def logits(self, question: str, texts: Sequence[str]) -> np.ndarray:
        return np.zeros(len(texts), dtype=np.float32)


RERANKER = Reranker(Constant(), "constant")


def hit(text: str, logit: float = 0.0, title: str = "Page") -> Hit:
    return Hit(
        Passage(f"{title}#{text[:9]}", title, start=100, end=100 + len(text), text=text), logit, sigmoid(logit), 1.0, 1
    )


def test_the_sentence_that_scores_highest_is_quoted_with_its_place_in_the_page(selector: Selector) -> None:
    hits = [hit("Soup is hot. Salt helps.", 0.1), hit("Soup is noise. Dropout drops units. Salt.", 0.0)]
    found = answer("dropout drops units", hits, RERANKER, selector)
    assert found.text == "Dropout drops units."
    assert not found.abstained
    (quote,) = found.quotes
    assert (quote.hit, quote.text) == (1, found.text)
    assert found.source == hits[1].passage
    assert hits[1].passage.text[found.start - 100 : found.end - 100] == found.text
    assert [quoted_spans(found, rank) for rank in (1, 2)] == [(), ((15, 35),)]


def test_the_score_of_the_hit_counts_too(selector: Selector) -> None:
    hits = [hit("Dropout helps.", 3.0), hit("Dropout helps nets.", -3.0)]
    assert answer("dropout helps nets", hits, RERANKER, selector).source == hits[0].passage


def test_only_the_first_hits_are_read(selector: Selector) -> None:
    hits = [hit("Soup is hot.", 0.0), hit("Dropout.", 0.0)]
    assert answer("dropout", hits, RERANKER, selector, read=1).text == "Soup is hot."


def test_below_the_threshold_it_abstains_and_still_shows_the_hits(selector: Selector) -> None:
    hits = [hit("Soup is hot.", -1.0)]
    found = answer("dropout", hits, RERANKER, selector, threshold=0.5)
    assert (found.abstained, found.text, len(found.hits), found.quotes) == (True, "", 1, ())
    assert (found.source, found.start, found.end) == (None, 0, 0)
    assert not answer("dropout", hits, RERANKER, selector, threshold=0.2).abstained


def test_without_probabilities_it_never_abstains(selector: Selector) -> None:
    hits = [replace(hit("Soup is hot.", -9.0), probability=None)]
    assert answer("dropout", hits, RERANKER, selector, threshold=1.0).text == "Soup is hot."


def test_no_hits_are_an_abstention(selector: Selector) -> None:
    assert answer("dropout", [], RERANKER, selector).abstained
    assert answer("dropout", [], None).abstained


def test_without_a_reranker_the_first_hit_is_the_answer() -> None:
    found = answer("dropout", [hit("Soup is hot. Salt helps.", 0.0)], None)
    assert found.text == "Soup is hot. Salt helps."
    assert not found.quotes
    assert (found.start, found.end) == (100, 124)


def test_equal_quotes_keep_their_order_and_runs_have_at_most_three_sentences(selector: Selector) -> None:
    hits = [hit("One here. Two here. Three here. Four here."), hit("Five here.")]
    found = rank_quotes("dropout", hits, selector)
    assert [quote.text for quote in found if quote.hit == 1] == ["Five here."]
    assert {len(quote.text.split(". ")) for quote in found} == {1, 2, 3}
    assert len(found) == 4 + 3 + 2 + 1
    single = rank_sentences("dropout", hits[0], selector)
    assert [quote.text for quote in single] == ["One here.", "Two here.", "Three here.", "Four here."]


def test_a_quote_brings_the_list_and_the_formula_that_it_leans_on(selector: Selector) -> None:
    listed = (
        "Ways to prevent dropout dropout dropout:\n\nfewer units\nearly stopping\nmore data\na penalty\n\nSoup is hot."
    )
    assert answer("dropout", [hit(listed)], RERANKER, selector).text == listed.removesuffix("\n\nSoup is hot.")
    formula = "Soup is hot.\nThe output is:\ny = p·x\nwhere dropout keeps units with dropout probability p. Salt helps."
    assert answer("dropout dropout", [hit(formula)], RERANKER, selector).text.startswith(
        "The output is:\ny = p·x\nwhere"
    )


def test_a_comparison_quotes_one_sentence_on_both_or_one_on_each(selector: Selector) -> None:
    apart = [
        hit("Bagging trains in parallel. Soup.", title="Trees"),
        hit("Boosting trains in turn. Salt.", title="Nets"),
    ]
    found = answer("difference between bagging and boosting", apart, RERANKER, selector)
    assert [quote.text for quote in found.quotes] == ["Bagging trains in parallel.", "Boosting trains in turn."]
    assert found.text == "Bagging trains in parallel.\n\nBoosting trains in turn."
    both = hit("Unlike bagging, boosting trains in turn.", title="Nets")
    assert answer("bagging vs boosting", [*apart, both], RERANKER, selector).text == both.passage.text


def test_two_questions_in_one_are_answered_one_after_the_other(selector: Selector) -> None:
    hits = [hit("Dropout drops units. Soup is hot."), hit("Momentum, momentum.", title="Nets")]
    found = answer("What is dropout? And what is momentum?", hits, RERANKER, selector)
    assert [quote.hit for quote in found.quotes] == [0, 1]


def test_the_probability_of_an_answer_is_that_of_its_least_likely_quote() -> None:
    calibrated = Selector(TokenEngine(spot), "word spotter", AnswerCalibration(quote=2.0, hit=1.0, bias=-1.0))
    likely, unlikely = hit("Dropout drops units.", 2.0), hit("Momentum, momentum.", 0.0, title="Nets")
    found = answer("dropout drops units", [likely], RERANKER, calibrated)
    assert found.probability == pytest.approx(sigmoid(2.0 * found.quotes[0].score + 2.0 - 1.0))
    both = answer("What is dropout? And what is momentum?", [likely, unlikely], RERANKER, calibrated)
    assert both.probability == pytest.approx(
        min(sigmoid(2.0 * quote.score + (2.0, 0.0)[quote.hit] - 1.0) for quote in both.quotes)
    )
    uncalibrated = replace(likely, probability=None)
    assert answer("dropout drops units", [uncalibrated], RERANKER, calibrated).probability is None
    assert answer("dropout drops units", [likely], RERANKER, Selector(TokenEngine(spot), "w")).probability is None


def test_json_names_the_place_of_each_quote(selector: Selector) -> None:
    plain = as_dict(answer("dropout", [hit("Soup. Dropout.")], RERANKER, selector))
    (quote,) = plain["quotes"]
    assert (quote["rank"], quote["page_start"], quote["page_end"]) == (1, 106, 114)
    assert quote["source"] == {"title": "Page", "section": "", "url": "", "about": ""}
    assert plain["hits"][0]["rank"] == 1


def test_records_are_shown_in_one_short_line(selector: Selector) -> None:
    found = answer("dropout", [hit("Dropout " + "is noise " * 50)], RERANKER, selector)
    for shown in (repr(found), repr(found.hits[0]), repr(found.source), repr(found.quotes[0])):
        assert len(shown) < 200
        assert "Dropout is noise" in shown


@pytest.mark.parametrize("question", EXAMPLES)
def test_the_example_questions_are_answered_by_whole_sentences_of_a_hit(starter: Retriever, question: str) -> None:
    found = starter.ask(question)
    assert not found.abstained
    for quote in found.quotes:
        text = found.hits[quote.hit].passage.text
        assert text[quote.start : quote.end] == quote.text
        assert quote.text[0].isupper()
        assert quote.text[-1] in ".?!"
    assert not re.match(r"(?:This|That|These|It|They|Both|However|Therefore)\b", found.text)


@pytest.mark.parametrize(
    ("question", "said"),
    list(
        zip(
            EXAMPLES,
            ("switches off a random", "in parallel", "elbow", "Precision asks", "a product with", "weighted mixture"),
            strict=True,
        )
    ),
)
def test_the_answers_to_the_example_questions_hold_what_was_asked_for(
    starter: Retriever, question: str, said: str
) -> None:
    assert said in starter.ask(question).text


def test_no_sample_takes_the_first_hit_for_the_one_that_is_quoted() -> None:
    root = Path(__file__).parent.parent
    texts = [
        path.read_text(encoding="utf8")
        for part in ("*.md", "docs/*.md", "notebooks/*.ipynb")
        for path in root.glob(part)
    ]
    assert len(texts) > 5
    assert not [found for text in texts for found in re.findall(r"""\bhits[\\"'\]]*\[0\].*""", text)]
