"""Whether a question is in another language than English and than the passages: told by its script or its function words."""

import re
from collections.abc import Sequence

from ragqa.index.interface import Index
from ragqa.records import Answer, Hit
from ragqa.text.analyzer import STOP_WORDS, words
from ragqa.text.characters import is_mostly_latin
from ragqa.text.language import FUNCTION_WORDS

IN_ENGLISH = "Questions must be in English."

_LETTERS = re.compile(r"[^\W\d_]+")
_FEWEST_LETTERS = 3  # of another script; fewer may be symbols
_SURE = frozenset[str]().union(*(sure for sure, _ in FUNCTION_WORDS.values()))


def is_foreign(question: str, index: Index) -> bool:
    """Return True if a question is clearly not in English, unless the index holds most of its words.

    Languages in Latin letters are recognized by words such as "ist" and "pourquoi", others by their script.
    """
    if not is_mostly_latin([question]):
        letters = "".join(_LETTERS.findall(question))
        return len(letters) >= _FEWEST_LETTERS and _is_unknown(question, index)
    asked = [word for text in words(question) for word in _LETTERS.findall(text)]
    return not _SURE.isdisjoint(asked) and any(
        _is_written_in(asked, sure, unsure, index) for sure, unsure in FUNCTION_WORDS.values()
    )


def refusal(question: str, hits: Sequence[Hit]) -> Answer:
    """Return an abstention that says in its note that questions must be in English."""
    return Answer(question, "", tuple(hits), (), abstained=True, note=IN_ENGLISH)


def _is_written_in(asked: list[str], sure: frozenset[str], unsure: frozenset[str], index: Index) -> bool:
    found = sum(word in sure for word in asked)
    if not found or any(word in sure and word in index.vocabulary for word in asked):
        return False  # the passages are in this language too
    own = found + sum(word in unsure for word in asked)
    english = sum(word in STOP_WORDS and word not in unsure for word in asked)
    if own <= english:
        return False
    rest = " ".join(word for word in asked if word not in sure and word not in unsure)
    return own > 1 or (not english and bool(rest) and _is_unknown(rest, index))


def _is_unknown(text: str, index: Index) -> bool:
    """Return True if the index holds at most half of the terms of a text."""
    terms = index.analyzer.terms(text)
    return 2 * sum(term in index.vocabulary for term in terms) <= len(terms)
