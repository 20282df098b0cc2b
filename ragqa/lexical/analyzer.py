"""Text into terms, for machine-learning text.

The usual `\\w\\w+` turns k-means into "means", t-SNE into "sne" and "What is R?" into nothing. Here a compound gives its
parts and itself written together (k-means: "k", "mean", "kmean"), so that it finds "kmeans" and "k means" and they find
it; `C4.5`, `C++`, `A*` and one-letter names stay; words are stemmed (Snowball's English stemmer).
"""

import json
import re
import unicodedata
from collections.abc import Callable
from functools import cache

from ragqa.forks import lock_across_forks

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

_WORD = re.compile(r"[^\W_]+(?:(?:[-‐‑–'’./&]|(?<=\w)_)[^\W_]+)*(?:\+\+|[*#](?!\w))?")
_PART = re.compile(r"[^\W_]+")
_NUMBER_WITH_POINT = re.compile(r"[^\W_]*\d\.\d[^\W_]*")
_POSSESSIVE = re.compile(r"['’]s?$")
_PUNCTUATION = ".,;:!?()[]\"'"  # that no word has at its ends
_UNWANTED = STOP_WORDS | QUESTION_WORDS
_FIRST_MARK = "\u0300"  # no character before it combines with another
_CACHED = 2**17
_STEMMING = lock_across_forks()  # a stemmer works in a buffer of its own


class Analyzer:
    """Text into terms; two analyzers with one `fingerprint` give the same terms for every text. Safe between threads."""

    def __init__(self) -> None:
        import Stemmer

        self._stemmer = Stemmer.Stemmer("english", 0)  # its own cache is slower than none
        self._terms = _Cache(self._terms_of_word)
        self._terms_of_chunk = _Cache(self._terms_but_stop_words)

    def __reduce__(self) -> tuple[type["Analyzer"], tuple[()]]:
        return Analyzer, ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that the terms depend on."""
        import hashlib

        import Stemmer

        settings = [
            VERSION,
            sorted(STOP_WORDS),
            sorted(QUESTION_WORDS),
            _WORD.pattern,
            Stemmer.version().split(".")[0],
            unicodedata.unidata_version.split(".")[0],
        ]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    def terms(self, text: str) -> list[str]:
        """The terms of a passage, in text order, without stop words; empty if it has no letters or digits."""
        return [term for chunk in text.split() for term in self._terms_of_chunk[chunk]]

    def question_terms(self, question: str) -> list[str]:
        """The terms of a question, each once, without the words that only ask ("what is the difference between").

        Where nothing else would be left they stay: the list is empty only if the question has no letters or digits.
        """
        asked = words(question)
        for unwanted in (_UNWANTED, STOP_WORDS, frozenset[str]()):
            if kept := [word for word in asked if word not in unwanted]:
                return list(dict.fromkeys(term for word in kept for term in self._terms[word]))
        return []

    def _terms_but_stop_words(self, text: str) -> tuple[str, ...]:
        return tuple(term for word in words(text) if word not in STOP_WORDS for term in self._terms[word])

    def _terms_of_word(self, word: str) -> tuple[str, ...]:
        if word.isalnum():
            return (self._stem(word),)
        parts = _PART.findall(word)
        if len(parts) == 1:
            return (self._stem(word),)
        if _NUMBER_WITH_POINT.fullmatch(word):  # 4.5 or c4.5: the parts alone mean nothing
            return (word,)
        stems = [self._stem(part) for part in parts]
        return (*stems, self._stem("".join(parts)))

    def _stem(self, word: str) -> str:
        with _STEMMING:
            return str(self._stemmer.stemWord(word))


@cache
def usual_analyzer() -> Analyzer:
    """The analyzer of whoever reads texts without an index, made once: what it has found for a word is remembered."""
    return Analyzer()


class _Cache(dict[str, tuple[str, ...]]):
    """The terms of words, or of what stands between two spaces, made when first asked for.

    Emptied when full, so that it cannot grow without end.
    """

    def __init__(self, make: Callable[[str], tuple[str, ...]]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, text: str) -> tuple[str, ...]:
        if len(self) >= _CACHED:
            self.clear()
        terms = self[text] = self._make(text)
        return terms


def words(text: str) -> list[str]:
    """The words of a text in lower case, without accents and possessive endings; compounds are one word."""
    bare = text.strip(_PUNCTUATION)
    if bare.isascii() and bare.isalnum():  # most of what stands between two spaces
        return [bare.lower()]
    text = _normalize(text)
    found = _WORD.findall(text)
    if "'" in text or "’" in text:
        return [_POSSESSIVE.sub("", word) if word[-1] in "s'’" else word for word in found]
    return found


def _normalize(text: str) -> str:
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKD", text).casefold()
    for mark in (c for c in set(text) if c >= _FIRST_MARK and unicodedata.combining(c)):
        text = text.replace(mark, "")
    return text
