import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragqa import Hit, Passage, Reranker
from ragqa.answers.answer import answer, rank_sentences
from ragqa.models.reranker import sigmoid


class WordCounter:
    """An engine whose logit is how often a text holds the question's first word, less one half."""

    def logits(self, question: str, texts: Sequence[str]) -> np.ndarray:
        word = question.split(maxsplit=1)[0].lower()
        return np.array([text.lower().count(word) - 0.5 for text in texts], dtype=np.float32)


@pytest.fixture
def reranker() -> Reranker:
    return Reranker(WordCounter(), "word counter")


def hit(text: str, logit: float, title: str = "Page") -> Hit:
    return Hit(Passage(f"{title}#{text[:9]}", title, text=text, end=len(text)), logit, sigmoid(logit), 1.0, 1)


def test_the_best_sentence_of_the_hits_is_the_answer(reranker: Reranker) -> None:
    hits = [hit("Soup is hot. Salt helps.", 2.0), hit("Dropout is noise. Dropout makes dropout nets.", 1.0)]
    found = answer("dropout?".rstrip("?"), hits, reranker)
    assert found.text == "Dropout makes dropout nets."
    assert not found.abstained
    best = found.sentences[0]
    assert (best.hit, best.text) == (1, found.text)
    assert found.hits[best.hit].passage.text[best.start : best.end] == best.text


def test_only_the_first_hits_are_read(reranker: Reranker) -> None:
    hits = [hit("Soup is hot.", 2.0), hit("Dropout is noise.", 1.0)]
    assert answer("dropout", hits, reranker, read=1).text == "Soup is hot."


def test_below_the_threshold_it_abstains_and_still_shows_the_hits(reranker: Reranker) -> None:
    hits = [hit("Soup is hot.", -1.0)]
    found = answer("dropout", hits, reranker, threshold=0.5)
    assert (found.abstained, found.text, len(found.hits), len(found.sentences)) == (True, "", 1, 1)
    assert not answer("dropout", hits, reranker, threshold=0.2).abstained


def test_without_probabilities_it_never_abstains(reranker: Reranker) -> None:
    hits = [replace(hit("Soup is hot.", -9.0), probability=None)]
    assert answer("dropout", hits, reranker, threshold=1.0).text == "Soup is hot."


def test_no_hits_are_an_abstention(reranker: Reranker) -> None:
    assert answer("dropout", [], reranker).abstained
    assert answer("dropout", [], None).abstained


def test_without_a_reranker_the_first_hit_is_the_answer() -> None:
    found = answer("dropout", [hit("Soup is hot. Salt helps.", 0.0)], None)
    assert found.text == "Soup is hot. Salt helps."
    assert not found.sentences


def test_equal_sentences_keep_their_order(reranker: Reranker) -> None:
    found = rank_sentences("dropout", [hit("One here. Two here.", 0.0), hit("Three here.", 0.0)], reranker)
    assert [s.text for s in found] == ["One here.", "Two here.", "Three here."]


def test_no_sample_takes_the_first_hit_for_the_one_that_is_quoted() -> None:
    root = Path(__file__).parent.parent
    texts = [
        path.read_text(encoding="utf8")
        for part in ("*.md", "docs/*.md", "notebooks/*.ipynb")
        for path in root.glob(part)
    ]
    assert len(texts) > 5
    assert not [found for text in texts for found in re.findall(r"""\bhits[\\"'\]]*\[0\].*""", text)]
