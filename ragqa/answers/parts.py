"""A question in, the parts of it that are answered one by one out: the two things it compares, or the questions it asks."""

import re

from ragqa.text.analyzer import QUESTION_WORDS, STOP_WORDS, usual_analyzer

_MORE_WORDS = r"(?: [\w’'*+/-]+){0,3}"
_NAME = rf"(?<![\w’'-])([\w’'*+/.-]+{_MORE_WORDS})"  # followed by what ends it
_THING = r"[^,;:.?]{1,40}?"
_END = r"(?= (?:in|for|when|with|if)\b| *(?:[?,.;:]|$))"
_COMPARED = (
    r"(?:(?:much|any|far|always|usually|really|generally|matters?|perform|work) )*"
    r"(?:(?:more|less)(?: [\w-]+)?|better|worse|\w{2,10}er)"
)
_PAIRS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\bbetween ({_THING}) and ({_THING}){_END}",
        rf"{_NAME} (?:vs\.?|versus) ([\w’'*+/-]+{_MORE_WORDS})",
        rf"^how do(?:es)? ({_THING}) (?:differ from|compare (?:to|with)) ({_THING}){_END}",
        rf"^(?:how|when|why) do ({_THING}) and ({_THING}) (?:differ|compare)\b",
        rf"^(?:(?:how|when|why) )?(?:is|are|does|do) ({_THING}) {_COMPARED} than ({_THING}){_END}",
        rf"^which [^,;:.?]{{1,60}}, ({_THING}) or ({_THING}){_END}",
    )
)
_CHOICE = re.compile(rf"{_NAME} or ([\w’'*+/.-]+{_MORE_WORDS})", re.IGNORECASE)
_ASKS = r"(?:what|how|why|when|where|which|who|is|are|does|do|can|should)"
_NEXT_QUESTION = re.compile(rf"\?\s+(?=\w)|,?\s+and\s+(?={_ASKS}\b\s+\w)", re.IGNORECASE)
_LEAST_WORDS = 2  # of a part that is a question
_LIGHT = STOP_WORDS | QUESTION_WORDS
_LIGHT_BEFORE = _LIGHT - {"a", "an", "the"}  # an article may begin a name


def compared(question: str) -> tuple[str, str] | None:
    """Return the names of the two things that a question compares or lets one choose from ("X or Y"), or None."""
    return pair_in(question) or _pair(_CHOICE.search(question))


def pair_in(question: str) -> tuple[str, str] | None:
    """Return the names of the two things that a question compares ("X vs Y", "How does X differ from Y?"), or None."""
    return _pair(next(filter(None, (pattern.search(question) for pattern in _PAIRS)), None))


def _pair(found: re.Match[str] | None) -> tuple[str, str] | None:
    first, second = map(_trim, found.groups()) if found else ("", "")
    return (first, second) if first and second else None


def _trim(name: str) -> str:
    """Return a name without the words at its ends that only ask."""
    words = name.split()
    while words and words[0].lower() in _LIGHT_BEFORE:
        words.pop(0)
    while words and words[-1].lower() in _LIGHT:
        words.pop()
    return " ".join(words)


def questions_in(question: str) -> tuple[str, ...]:
    """Return the questions that a text asks, in order; the text itself if it asks one."""
    parts = [part.strip(" ?") for part in _NEXT_QUESTION.split(question)]
    if len(parts) < 2 or not all(len(part.split()) >= _LEAST_WORDS and usual_analyzer().terms(part) for part in parts):
        return (question,)
    return tuple(f"{part}?" for part in parts)
