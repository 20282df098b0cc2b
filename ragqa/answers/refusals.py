"""A sentence of a language model in, whether it says that the passages do not answer the question."""

import re

from ragqa.answers.citations import without_citations

_SOURCE = (
    r"(?:the )?(?:given |provided |numbered |above |following |supplied )*"
    r"(?:passages?|texts?|context|documents?|sources?|information)"
)
_LACKS = (
    r"(?:(?:do(?:es)?|did|can)(?: not|n['’]t)|cannot|fails? to) (?:\w+ )?"
    r"(?:answer|contain|provide|mention|say|state|specify|include|discuss|address|give|tell|cover|explain|describe|have|"
    r"indicate|offer|reveal|list)"
)
_REFUSALS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\A(?:\w+, )?(?:(?:none|no part|neither) of )?{_SOURCE}(?: \w+)? {_LACKS}\b",
        rf"\A(?:\w+, )?(?:none of {_SOURCE}|no passages?|nothing in {_SOURCE}) (?:\w+ )?"
        r"(?:answers?|contains?|provides?|mentions?|says?|states?|tells?|gives?|explains?|covers?)\b",
        rf"\b(?:not|n['’]t|never|nowhere) (?:\w+ )?(?:answered|provided|mentioned|stated|specified|given|found|included|"
        rf"discussed|addressed|contained|available|explained|covered) (?:directly )?(?:in|by) {_SOURCE}\W*\Z",
        r"\A(?:sorry, |unfortunately, |i['’]m sorry, (?:but )?)*i (?:do not|don['’]t|cannot|can['’]t|could not|couldn['’]t|am "
        r"unable to|am not able to) (?:know|answer|find|determine|tell|provide)\b",
        rf"\A(?:there is |there['’]s )(?:no|not enough|insufficient) (?:\w+ )?(?:information|answer|mention|data|passage)\b"
        rf"(?:.* {_SOURCE})?",
        r"\A(?:it is|this is|that is|the (?:question|answer) (?:is|can|could)) ?(?:not|n['’]t) (?:be )?"
        r"(?:answered|stated|possible to (?:answer|say|determine))\b",
        r"\A(?:the )?(?:question|answer) cannot be (?:answered|found|determined)\b",
        r"\A(?:not enough|insufficient) information\b",
        r"\A(?:no answer|n/a|unknown|unanswerable)\W*\Z",
    )
)
_BUT = re.compile(
    r"[,;] (?:but|however|although|though)\b", re.IGNORECASE
)  # "…do not say how many, but …" says something


def is_refusal(sentence: str) -> bool:
    """Return True if a sentence says that the passages do not answer, in any of the usual wordings.

    "A model does not answer questions" and "they do not say how many, but …" are no refusals.
    """
    said = " ".join(without_citations(sentence).split())
    return not _BUT.search(said) and any(pattern.search(said) for pattern in _REFUSALS)
