"""English grammar in short: articles, number, and verbs that agree with their subject."""

import re

_ARTICLE = re.compile(r"(?:an?|the) (?=\S)", re.IGNORECASE)
_PLURAL = re.compile(r"[a-rt-z]s$")
_SINGULAR = re.compile(r"(?:[iu]s|ics|bias|bayes|means|series|lens|neighbors)$")
_TO_PLURAL = {"is": "are", "does": "do", "was": "were", "has": "have", "isn't": "aren't", "doesn't": "don't"}
_TO_SINGULAR = {plural: singular for singular, plural in _TO_PLURAL.items()}
_LAST_VERB = re.compile(r"[\w'’]+(?= $)")
_CLAUSE = re.compile(r"(?:^|\b(?:if|when|because|that|whether|since|while|how|why|what) )$", re.IGNORECASE)
_FIRST_VERB = re.compile(r"(?<=^ )[\w'’]+")


def without_article(phrase: str) -> str:
    """Return a phrase without the article before it."""
    return _ARTICLE.sub("", phrase, count=1) if _ARTICLE.match(phrase) else phrase


def is_plural(phrase: str) -> bool:
    """Return True if a noun phrase is plural, or two things joined by "and". Only its head counts: "trees in a forest"."""
    first = re.split(r" (?:of|in|for|with|on|to|from|under)\b", phrase)[0]
    if " and " in first:
        return True
    head = (first.split() or [""])[-1].lower()
    return bool(_PLURAL.search(head)) and not _SINGULAR.search(head)


def put_subject(before: str, subject: str, after: str) -> str:
    """Join a text, a noun phrase and the rest of the text; a verb before the phrase, or else after it, agrees with it."""
    agreeing = _TO_PLURAL if is_plural(subject) else _TO_SINGULAR

    def agree(verb: "re.Match[str]") -> str:
        return agreeing.get(verb[0].lower(), verb[0])

    if _CLAUSE.search(before):
        return f"{before}{subject}{_FIRST_VERB.sub(agree, after)}"
    return f"{_LAST_VERB.sub(agree, before)}{subject}{after}"
