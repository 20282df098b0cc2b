"""The topic of a question: those of its words that its hits are about."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ragqa.answers.parts import pair_in
from ragqa.records import Answer, Hit
from ragqa.search.vocabulary import ASPECTS, EMPTY, HELPERS, LIGHT, spans_of_words, words_of
from ragqa.text.analyzer import STOP_WORDS, usual_analyzer
from ragqa.text.questions import without_parenthesis

_GERUND = re.compile("[A-Z][a-z]+ing")
_ARTICLE = re.compile(r"\b(?:an?|the) $", re.IGNORECASE)
_LONGEST = 5  # most words of a topic
_WEIGHTS = (1.0, 0.5, 0.3)  # weights of the evidence in the first three hits
_IN_TITLE, _IN_SECTION, _IN_TEXT, _FIRST = 3.0, 1.0, 1.0, 0.4  # evidence; `_FIRST` for being early in the question
_NOT_IN_THE_BEST = 0.5  # factor if the first hit has no evidence


class Topic(NamedTuple):
    """The topic of a question in the question's own words, with its article. `parts` are the two things that it compares."""

    text: str
    parts: tuple[str, str] | None = None


def topic_of(answer: Answer) -> Topic | None:
    """Return the topic of an answered question: its words with most evidence in titles, sections and texts of the first hits.

    Without any evidence it is the title of the best hit, or None if the answer abstains. The answer must have hits.
    """
    if pair := pair_in(answer.question):
        return Topic(f"{pair[0]} and {pair[1]}", pair)
    hits = answer.hits[: len(_WEIGHTS)]
    title = without_parenthesis(hits[0].passage.title)
    phrases = [(_evidence(answer.question[a:b], a, hits), -a, a, b) for a, b in _phrases(answer.question)]
    score, _, start, end = max(phrases, default=(0.0, 0, 0, 0))
    if not score:
        return Topic(title) if title and not answer.abstained else None
    phrase = answer.question[start:end]
    named, own = _terms(title), _terms(phrase)
    if len(own) > 1 and set(own) <= set(named) and not _in_order(own, named):
        return Topic(title[:1].lower() + title[1:])  # "vanishing gradient problem" for "gradients vanish"
    if own == named and _GERUND.fullmatch(title):
        return Topic(title.lower())  # "overfitting" for "my model overfits"
    wider = [
        (a, b)
        for a, b in _phrases(answer.question)
        if a <= start and end <= b and in_titles(answer.question[a:b], hits)
    ]
    start, end = max(wider, key=lambda span: span[1] - span[0], default=(start, end))
    start, end = _widen(answer.question, start, end, hits[0])
    article = _ARTICLE.search(answer.question[:start])
    return Topic((article[0] if article else "") + answer.question[start:end])


def _phrases(question: str) -> Iterator[tuple[int, int]]:
    """The spans of up to five successive words that may name a topic."""
    spans = spans_of_words(question)
    for first, (start, _) in enumerate(spans):
        for last in range(first, min(first + _LONGEST, len(spans))):
            end = spans[last][1]
            words = words_of(question[start:end])
            if re.search(r"[,;:?!()]|\. ", question[start:end]) or not words:
                break
            if words[0] in STOP_WORDS or words[0] in HELPERS:
                break
            if words[-1] not in STOP_WORDS and not all(word in EMPTY for word in words):
                yield start, end


def _evidence(phrase: str, start: int, hits: Sequence[Hit]) -> float:
    """The evidence that a phrase, which starts at offset `start` of the question, is its topic."""
    each = [_evidence_of(phrase, hit) for hit in hits]
    score = sum(weight * evidence for weight, evidence in zip(_WEIGHTS, each, strict=False))
    if not each[0]:
        score *= _NOT_IN_THE_BEST
    return score + (_FIRST / (1 + start / 20) if score else 0.0)


def _evidence_of(phrase: str, hit: Hit) -> float:
    own, passage = set(_terms(phrase)), hit.passage
    if in_titles(phrase, [hit]):
        return _IN_TITLE * len(_terms(phrase))
    if any(word in LIGHT for word in words_of(phrase)):
        return 0.0
    in_section, in_text = own <= set(_terms(passage.section)), own <= set(_terms(passage.text))
    return _IN_SECTION * in_section + _IN_TEXT * in_text * (1 + 0.2 * (len(_terms(phrase)) - 1))


def in_titles(phrase: str, hits: Sequence[Hit]) -> bool:
    """Return True if the title or an alias of a page contains all terms of a phrase."""
    own = set(_terms(phrase))
    return any(own <= set(_terms(name)) for hit in hits for name in _names(hit))


def _names(hit: Hit) -> tuple[str, ...]:
    return without_parenthesis(hit.passage.title), *hit.passage.aliases


def is_name(phrase: str, hits: Sequence[Hit]) -> bool:
    """Return True if a phrase is the whole title or an alias of a page, in any form of its words."""
    own = sorted(set(_terms(phrase)))
    return any(own == sorted(set(_terms(name))) for hit in hits for name in _names(hit))


def in_texts(phrase: str, hits: Sequence[Hit]) -> bool:
    """Return True if the text or a heading of one passage contains all terms of a phrase."""
    own = set(_terms(phrase))
    return any(own <= {*_terms(hit.passage.text), *_terms(hit.passage.section)} for hit in hits)


def _widen(question: str, start: int, end: int, hit: Hit) -> tuple[int, int]:
    """Extend a span by words that the best hit also contains: before it ("ReLU" activation function), or after it ("trick")."""
    known = {*_terms(hit.passage.text), *_terms(hit.passage.title)}
    while (word := re.search(r"(?<![\w-])([\w-]+) $", question[:start])) and word[1].lower() not in EMPTY:
        if not known.issuperset(_terms(word[1])):
            break
        start = word.start()
    if (
        (word := re.match(r" ([\w-]+)", question[end:]))
        and word[1].lower() in ASPECTS
        and known.issuperset(_terms(word[1]))
    ):
        end += word.end()
    return start, end


def _in_order(own: Sequence[str], named: Sequence[str]) -> bool:
    positions = [named.index(term) for term in own]
    return positions == sorted(positions)


def _terms(text: str) -> tuple[str, ...]:
    return tuple(usual_analyzer().terms(text))
