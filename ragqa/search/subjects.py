"""What a question says that it is about: the subject of a definition."""

import re

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


def subject_of(question: str) -> str | None:
    """Return what a question such as "What is X?" or "How does X work?" is about; None for a narrower question."""
    match = _DEFINING.fullmatch(question.strip())
    subject = next(filter(None, match.groups()), "").strip() if match else ""
    return None if not subject or _NO_SUBJECT.search(subject) else subject
