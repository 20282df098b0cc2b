import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragqa import Hit, Passage, Reranker, Retriever
from ragqa.answers.answer import answer, as_dict, quoted_spans, rank_quotes
from ragqa.models.reranker import BUNDLED, sigmoid
from ragqa.models.selector import Selector
from ragqa.models.tokens import open_tokenizer


class WordSpotter:
    """An engine that likes the tokens of a sentence's last word if it is in the question, and few others."""

    def __init__(self) -> None:
        self._tokenizer = open_tokenizer(BUNDLED)

    def run_tokens(self, texts: Sequence[tuple[str, str]]) -> list[tuple[Any, np.ndarray]]:
        found = []
        for question, text in texts:
            encoding = self._tokenizer.encode(question, text)
            wanted = {token for token, of in zip(encoding.tokens, encoding.sequence_ids, strict=True) if of == 0}
            wanted -= {".", "?"}
            numbers = np.zeros((len(encoding), 3), dtype=np.float32)
            numbers[:, 0] = [
                of == 1 and token in wanted for token, of in zip(encoding.tokens, encoding.sequence_ids, strict=True)
            ]
            found.append((encoding, numbers))
        return found


@pytest.fixture(scope="module")
def selector() -> Selector:
    return Selector(WordSpotter(), "word spotter")


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
    single = rank_quotes("dropout", hits, selector, most=1)
    assert [quote.text for quote in single] == ["One here.", "Two here.", "Three here.", "Four here.", "Five here."]


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


@pytest.mark.parametrize(
    "question",
    [
        "Why does dropout help against overfitting?",
        "What is the difference between bagging and boosting?",
        "How do I choose the number of clusters in k-means?",
        "When does recall matter more than precision?",
        "Why do gradients vanish in deep networks?",
        "How does attention work in a transformer?",
    ],
)
def test_the_example_questions_are_answered_by_whole_sentences_of_a_hit(starter: Retriever, question: str) -> None:
    found = starter.ask(question)
    assert not found.abstained
    for quote in found.quotes:
        text = found.hits[quote.hit].passage.text
        assert text[quote.start : quote.end] == quote.text
        assert quote.text[0].isupper()
        assert quote.text[-1] in ".?!"
    assert not re.match(r"(?:This|That|These|It|They|Both|However|Therefore)\b", found.text)


def test_no_sample_takes_the_first_hit_for_the_one_that_is_quoted() -> None:
    root = Path(__file__).parent.parent
    texts = [
        path.read_text(encoding="utf8")
        for part in ("*.md", "docs/*.md", "notebooks/*.ipynb")
        for path in root.glob(part)
    ]
    assert len(texts) > 5
    assert not [found for text in texts for found in re.findall(r"""\bhits[\\"'\]]*\[0\].*""", text)]
