"""A question in, the parts of it that are answered one by one out: the two things it compares, or the questions it asks."""

import re
from collections.abc import Set

from ragqa.text.analyzer import QUESTION_WORDS, STOP_WORDS, usual_analyzer

_NAME = r"[\w’'*+/.-]+(?: [\w’'*+/-]+){0,3}"
COMPARISON = re.compile(
    r"\bbetween (?P<one>[^,;:.?]{1,40}?) and (?P<two>[^,;:.?]{1,40}?)(?= (?:in|for|when|with)\b| *(?:[?,.;:]|$))"
    rf"|(?<![\w’'-])(?P<first>{_NAME}) (?:vs\.?|versus) (?P<second>{_NAME})",
    re.IGNORECASE,
)
_CHOICE = re.compile(rf"(?<![\w’'-])(?P<first>{_NAME}) or (?P<second>{_NAME})", re.IGNORECASE)
_ASKS = r"(?:what|how|why|when|where|which|who|is|are|does|do|can|should)"
_NEXT_QUESTION = re.compile(rf"\?\s+(?=\w)|,?\s+and\s+(?={_ASKS}\b\s+\w)", re.IGNORECASE)
_LEAST_WORDS = 2  # of a part that is a question
_LIGHT = STOP_WORDS | QUESTION_WORDS


def compared(question: str) -> tuple[str, str] | None:
    """Return the names of the two things that a question compares ("X vs Y", "between X and Y", "X or Y"), or None."""
    found = COMPARISON.search(question) or _CHOICE.search(question)
    if not found:
        return None
    first, second = (trim(part, _LIGHT) for part in found.groups() if part)
    return (first, second) if first and second else None


def trim(phrase: str, light: Set[str], articles: Set[str] = frozenset()) -> str:
    """Return a phrase without the `light` words at its ends. `articles` stay at its beginning."""
    words = phrase.split()
    while words and words[0].lower() in light - articles:
        words.pop(0)
    while words and words[-1].lower() in light:
        words.pop()
    return " ".join(words)


def questions_in(question: str) -> tuple[str, ...]:
    """Return the questions that a text asks, in order; the text itself if it asks one."""
    parts = [part.strip(" ?") for part in _NEXT_QUESTION.split(question)]
    if len(parts) < 2 or not all(len(part.split()) >= _LEAST_WORDS and usual_analyzer().terms(part) for part in parts):
        return (question,)
    return tuple(f"{part}?" for part in parts)
