"""Greetings, thanks and the like: recognize a message that asks nothing, and reply to it."""

import re

_LONGEST = 100  # characters

_KINDS: tuple[tuple[str, str, str], ...] = (  # kind, phrases, reply; the first kind that occurs decides
    (
        "bye",
        r"(?:good)?bye(?:[ -]bye)?|good ?night|see (?:you|ya)(?: (?:later|soon|tomorrow))?|take care",
        "Goodbye! Come back with more questions whenever you like.",
    ),
    (
        "thanks",
        r"(?:many )?thanks|thank (?:you|u)|thank'?s|thx|ty|tysm|cheers|(?:much|i) appreciated?(?: (?:it|that|this))?",
        "You’re welcome! Ask more whenever you like.",
    ),
    (
        "greeting",
        r"hi+|hey+|hello+|hiya|howdy|greetings|good (?:morning|afternoon|evening|day)|"
        r"how(?: are|['’]s| is) (?:you|things|it going)(?: doing)?|what['’]?s up|nice to meet you",
        "Hello! Ask a question whenever you like.",
    ),
    (
        "understood",
        r"(?:o?k|okay|kk|alright|all right|right|cool|great|good|nice|neat|perfect|awesome|amazing|excellent|wonderful|"
        r"brilliant|fantastic|interesting|wow|aha)|(?:i )?(?:got|get) it|i see|"
        r"i understand|understood|gotcha|(?:(?:that|it|this) )?(?:makes|made) sense|"
        r"(?:that|this|it)(?: was|['’]s| is)(?: very| really| so)? (?:helpful|useful|clear|great|good|nice|interesting|all)|"
        r"(?:that|this|it) (?:really )?(?:helps|helped)|(?:very |really |so )?(?:helpful|well done|good (?:answer|job|bot))",
        "Good! Ask more whenever you like.",
    ),
    (
        "agreed",
        r"yes|yeah|yep|sure|fine|no|nope|no problem|never ?mind",
        "All right. Ask more whenever you like.",
    ),
)
_FILLERS = (  # words around these phrases
    r"there|everyone|all|you|again|now|then|well|very|much|so|a lot|lots|really|for (?:now|today|everything)|"
    r"for (?:the|your|that|this)(?: (?:\w+ )?(?:help|answers?|explanations?|information|info|time))?|mate|friend|bot|and|oh|"
    r"ah|h+m+|um+|lol|haha|pls|please|[a-z]*:\)"
)
_PHRASE = "|".join(f"(?P<{kind}>{phrases})" for kind, phrases, _ in _KINDS)
_BETWEEN = r"[^\w'’]"
_NEXT = re.compile(rf"(?:{_PHRASE}|(?P<filler>{_FILLERS}))(?:{_BETWEEN}+|$)", re.IGNORECASE)
_REPLIES = {kind: reply for kind, _, reply in _KINDS}


def reply_to(text: str) -> str:
    """Return a friendly line for a greeting, thanks, a farewell or "ok"; return "" for anything else."""
    found = _kinds_in(text.strip()) if len(text) <= _LONGEST else frozenset()
    return next((reply for kind, reply in _REPLIES.items() if kind in found), "")


def _kinds_in(text: str) -> frozenset[str]:
    """Return the kinds of the phrases that a text consists of; none if it holds anything else."""
    kinds: set[str] = set()
    position = 0
    while position < len(text):
        match = _NEXT.match(text, position)
        if match is None:
            return frozenset()
        kinds.add(str(match.lastgroup))
        position = match.end()
    return frozenset(kinds)
