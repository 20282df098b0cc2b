"""What a question says that it is about: the subject of a definition, or the two things that it compares."""

import re

from ragqa.answers.parts import trim
from ragqa.search.vocabulary import LIGHT

_ARTICLES = frozenset({"a", "an", "the"})
_THING = r"[^,;:.?]{1,40}?"  # one of two things
_END = r"(?= (?:in|for|when|with|if)\b| *(?:[?,.;:]|$))"
_COMPARED = (
    r"(?:(?:much|any|far|always|usually|really|generally|matters?|perform|work) )*"
    r"(?:(?:more|less)(?: [\w-]+)?|better|worse|\w{2,10}er)"
)
_PAIRS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\bbetween ({_THING}) and ({_THING}){_END}",
        r"(?<![\w’'-])([\w’'-]+(?: [\w’'-]+){0,3}) (?:vs\.?|versus) ([\w’'-]+(?: [\w’'-]+){0,3})",
        rf"^how do(?:es)? ({_THING}) (?:differ from|compare (?:to|with)) ({_THING}){_END}",
        rf"^(?:how|when|why) do ({_THING}) and ({_THING}) (?:differ|compare)\b",
        rf"^(?:(?:how|when|why) )?(?:is|are|does|do) ({_THING}) {_COMPARED} than ({_THING}){_END}",
        rf"^which [^,;:.?]{{1,60}}, ({_THING}) or ({_THING}){_END}",
    )
)
_DEFINING = re.compile(  # questions that ask about their subject in general
    r"(?:please |(?:can|could|would) you (?:please )?)?(?:"
    r"(?:what(?:['’]?s| is| are| was| were)|explain|describe|define|show me|tell me (?:more )?about) (?P<a>[^?.]+)|"
    r"how do(?:es)? (?P<b>[^?.]+?) works?(?: (?:in|with) [^?.]+)?|what do(?:es)? (?P<c>[^?.]+?) mean|"
    r"(?:explain|tell me)(?: to me)? (?:what|how) (?P<d>[^?.]+?) (?:is|are|works?|means?)|"
    r"(?:is|are) (?P<e>[^?.]{1,40}?) (?:an?|the same) [^?.]+)(?: please)?[ ?.!]*",
    re.IGNORECASE,
)
_NO_SUBJECT = re.compile(
    r"\b(?:used|good|called|made|trained|computed|invented|for|in|of|to|with)$|\b(?:used|good|for|of) (?:in|for|with)\b|"
    r"(?<![\w-])(?:is|are|was|were|does|do|did|can|should|happens|causes|mean|means|it|they|this|that|these|those)(?![\w-])",
    re.IGNORECASE,
)


def pair_in(question: str) -> tuple[str, str] | None:
    """Return the two things that a question compares, if it does."""
    match = next(filter(None, (pattern.search(question) for pattern in _PAIRS)), None)
    first, second = (trim(part, LIGHT, _ARTICLES) for part in match.groups()) if match else ("", "")
    return (first, second) if first and second else None


def subject_of(question: str) -> str | None:
    """Return what a question such as "What is X?" or "How does X work?" is about; None for a narrower question."""
    match = _DEFINING.fullmatch(question.strip())
    subject = next(filter(None, match.groups()), "").strip() if match else ""
    return None if not subject or _NO_SUBJECT.search(subject) else subject
