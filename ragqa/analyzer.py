"""Text into terms, for machine-learning text.

The usual `\\w\\w+` turns k-means into "means", t-SNE into "sne" and "What is R?" into nothing. Here a compound gives its
parts and itself written together (k-means: "k", "mean", "kmean"), so that it finds "kmeans" and "k means" and they find
it; `C4.5`, `C++`, `A*` and one-letter names stay; words are stemmed (Snowball's English stemmer).
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from threading import Lock

VERSION = 1  # raise with every change that gives other terms for some text: it enters the fingerprint

STOP_WORDS = frozenset(
    "a an and are as at be been being but by can could did do does for from had has have how if in into is it its of on "
    "or so such than that the their them then there these they this those to was we were what when where which while who "
    "whom whose why will with would you your i me my our us he she his her am not no nor also about should may might must "
    "between".split()
)
# not here: what names of methods hold too ("k means", "bag of words", "adversarial examples", "type I error")
QUESTION_WORDS = frozenset(
    "please tell explain describe define mean meaning definition difference differences different compare versus vs "
    "know name list give idea understand work works working use used uses using need call called happen "
    "happens want like way ways kind kinds types explanation briefly detail details terms say think".split()
)

_TOKEN = re.compile(r"[^\W_]+(?:(?:[-‐‑–'’./&]|(?<=\w)_)[^\W_]+)*(?:\+\+|[*#](?!\w))?")
_PART = re.compile(r"[^\W_]+")
_NUMBER_WITH_POINT = re.compile(r"[^\W_]*\d\.\d[^\W_]*")
_POSSESSIVE = re.compile(r"['’]s?$")


class Analyzer:
    """Text into terms; two analyzers with one `fingerprint` give the same terms for every text. Safe between threads."""

    def __init__(self) -> None:
        import Stemmer

        self._stemmer = Stemmer.Stemmer("english")
        self._stemming = Lock()  # the stemmer works in a buffer of its own
        self._terms = lru_cache(maxsize=2**18)(self._terms_of_token)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that the terms depend on."""
        import Stemmer

        settings = [
            VERSION,
            sorted(STOP_WORDS),
            sorted(QUESTION_WORDS),
            _TOKEN.pattern,
            Stemmer.version().split(".")[0],
            unicodedata.unidata_version.split(".")[0],
        ]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    def terms(self, text: str) -> list[str]:
        """The terms of a passage, in text order, without stop words; empty if it has no letters or digits."""
        return [term for token in tokens(text) for term in self._terms(token) if token not in STOP_WORDS]

    def question_terms(self, question: str) -> list[str]:
        """The terms of a question, each once, without the words that only ask ("what is the difference between").

        Where nothing else would be left they stay: the list is empty only if the question has no letters or digits.
        """
        words = list(tokens(question))
        for unwanted in (STOP_WORDS | QUESTION_WORDS, STOP_WORDS, frozenset[str]()):
            if kept := [word for word in words if word not in unwanted]:
                return list(dict.fromkeys(term for word in kept for term in self._terms(word)))
        return []

    def _terms_of_token(self, token: str) -> tuple[str, ...]:
        parts = _PART.findall(token)
        if len(parts) == 1:
            return (self._stem(token),)
        if _NUMBER_WITH_POINT.fullmatch(token):  # 4.5 or c4.5: the parts alone mean nothing
            return (token,)
        stems = [self._stem(part) for part in parts]
        return (*stems, self._stem("".join(parts)))

    def _stem(self, word: str) -> str:
        with self._stemming:
            return str(self._stemmer.stemWord(word))


def tokens(text: str) -> Iterator[str]:
    """The words of a text in lower case and without accents; compounds are one word."""
    text = unicodedata.normalize("NFKD", text).casefold()
    text = "".join(c for c in text if not unicodedata.combining(c)) if not text.isascii() else text
    for match in _TOKEN.finditer(text):
        yield _POSSESSIVE.sub("", match[0]) if match[0][-1] in "s'’" else match[0]
