"""Text in, terms out, for machine-learning text.

The usual `\\w\\w+` turns k-means into "means", t-SNE into "sne" and "What is R?" into nothing. Here a compound gives its parts
and the parts written together (k-means: "k", "mean", "kmean"), so that "k-means", "kmeans" and "k means" find each other.
`C4.5`, `C++`, `A*` and one-letter names stay. Words are stemmed as English, or as Arabic or Hindi (`ragqa.text.stems`).

Scripts without spaces between words give bigrams of characters, as in Lucene's CJKAnalyzer. Case, accents, ligatures,
full-width forms, invisible characters and the Unicode normal form of a text make no difference.
"""

import json
import re
import unicodedata
from collections.abc import Callable
from functools import cache
from itertools import pairwise

from ragqa.text.characters import JOINTS, UNSPACED, is_accent, is_invisible, is_mark, marks
from ragqa.text.stems import WordStemmer

VERSION = 3  # part of the fingerprint; raise it with every change that gives other terms for some text
OLDER_VERSIONS = (2,)  # for indexes that were built with them; 2 stems all words as English

STOP_WORDS = frozenset(
    "a an and are as at be been being but by can could did do does for from had has have how if in into is it its of on "
    "or so such than that the their them then there these they this those to was we were what when where which while who "
    "whom whose why will with would you your i me my our us he she his her am not no nor also about should may might must "
    "between".split()
)
# without words that are part of method names ("k means", "bag of words", "adversarial examples", "type I error")
QUESTION_WORDS = frozenset(
    "please tell explain describe define mean meaning definition difference differences different compare versus vs "
    "know name list give idea understand work works working use used uses using need call called happen "
    "happens want like way ways kind kinds types explanation briefly detail details terms say think".split()
)

_LETTERS = r"[^\W_]+"
_WORD = re.compile(rf"{_LETTERS}(?:(?:[-‐‑–'’./&{JOINTS}]|(?<=\w)_){_LETTERS})*(?:\+\+|[*#](?!\w))?")
_JOINT = re.compile(rf"[-‐‑–'’./&_+*#{JOINTS}]+")
_UNSPACED = re.compile(f"[{UNSPACED}]")
_RUN = re.compile(f"[{UNSPACED}]+|[^{UNSPACED}]+")
_NUMBER_WITH_POINT = re.compile(r"[^\W_]*\d\.\d[^\W_]*")
_POSSESSIVE = re.compile(r"['’]s?$")
_PUNCTUATION = ".,;:!?()[]\"'"  # stripped from both ends of a word
_ENGLISH_ALONE = 2  # the last version that stemmed all words as English
_UNWANTED = STOP_WORDS | QUESTION_WORDS
_CACHED, _LONGEST_CACHED = 2**17, 64  # texts; characters of a text (without spaces a whole passage is one)


class Analyzer:
    """Turns text into terms. Analyzers with the same `fingerprint` give the same terms for every text. Thread-safe."""

    def __init__(self, version: int | None = None) -> None:
        """`version` is one of `OLDER_VERSIONS`, for an index that was built with it; None means `VERSION`."""
        self.version = VERSION if version is None else version
        self._stem = WordStemmer(by_script=self.version > _ENGLISH_ALONE).stem
        self._terms = _Cache(self._terms_of_word)
        self._terms_of_chunk = _Cache(self._terms_but_stop_words)

    def __reduce__(self) -> tuple[type["Analyzer"], tuple[int]]:
        return Analyzer, (self.version,)

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal digits, of everything that the terms depend on."""
        import hashlib

        import Stemmer

        settings = [
            self.version,
            sorted(STOP_WORDS),
            sorted(QUESTION_WORDS),
            _WORD.pattern,
            UNSPACED,
            Stemmer.version().split(".")[0],
            unicodedata.unidata_version.split(".")[0],
        ]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()

    def terms(self, text: str) -> list[str]:
        """Return the terms of a passage in text order, without stop words; empty if it has no letters or digits."""
        return [term for chunk in text.split() for term in self._terms_of_chunk[chunk]]

    def question_terms(self, question: str) -> list[str]:
        """Return the terms of a question, each once, without words that only ask ("what is the difference between").

        These words stay if nothing else is left: the list is empty only if the question has no letters or digits.
        """
        asked = words(question)
        for unwanted in (_UNWANTED, STOP_WORDS, frozenset[str]()):
            if kept := [word for word in asked if word not in unwanted]:
                return list(dict.fromkeys(term for word in kept for term in self._terms[word]))
        return []

    def _terms_but_stop_words(self, text: str) -> tuple[str, ...]:
        return tuple(term for word in words(text) if word not in STOP_WORDS for term in self._terms[word])

    def _terms_of_word(self, word: str) -> tuple[str, ...]:
        if word.isascii() and word.isalnum():
            return (self._stem(word),)
        parts = [part for part in _JOINT.split(word) if part]
        if _UNSPACED.search(word):
            return tuple(term for part in parts for run in _RUN.findall(part) for term in self._terms_of_run(run))
        if len(parts) == 1:
            return (self._stem(word),)
        if _NUMBER_WITH_POINT.fullmatch(word):  # 4.5 or c4.5: the parts have no meaning of their own
            return (word,)
        stems = [self._stem(part) for part in parts]
        return (*stems, self._stem("".join(parts)))

    def _terms_of_run(self, run: str) -> tuple[str, ...]:
        """Return the stem of a word, or the bigrams of a run of characters without spaces; a single character is a term."""
        if not _UNSPACED.match(run):
            return (self._stem(run),)
        characters = _characters(run)
        return tuple(map("".join, pairwise(characters))) or (run,)


def analyzer_of(fingerprint: str) -> Analyzer | None:
    """Return the analyzer with a fingerprint: the usual one or one of an older version; None if there is none."""
    analyzers = (Analyzer(version) for version in (VERSION, *OLDER_VERSIONS))
    return next((analyzer for analyzer in analyzers if analyzer.fingerprint == fingerprint), None)


@cache
def usual_analyzer() -> Analyzer:
    """Return the shared analyzer for texts without an index. It caches the terms of words."""
    return Analyzer()


class _Cache(dict[str, tuple[str, ...]]):
    """A cache of terms, computed at first use. It is emptied when full and holds no long texts, so its size is limited."""

    def __init__(self, make: Callable[[str], tuple[str, ...]]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, text: str) -> tuple[str, ...]:
        terms = self._make(text)
        if len(text) <= _LONGEST_CACHED:
            if len(self) >= _CACHED:
                self.clear()
            self[text] = terms
        return terms


class _Folding(dict[int, int | str | None]):
    """A table for `str.translate` that drops accents and invisible characters (value None)."""

    def __missing__(self, point: int) -> int | str | None:
        character = chr(point)
        kept = None if is_accent(character) or is_invisible(character) else point
        self[point] = kept
        return kept


_FOLDING = _Folding({ord("ı"): "i"})  # in Turkish the capital of ı is I, and that of i is İ


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, without accents and possessive endings. A compound is one word."""
    bare = text.strip(_PUNCTUATION)
    if bare.isascii() and bare.isalnum():  # the most frequent case
        return [bare.lower()]
    text = _normalize(text)
    found = _word_pattern(text).findall(text)
    if "'" in text or "’" in text:
        return [_POSSESSIVE.sub("", word) if word[-1] in "s'’" else word for word in found]
    return found


def _normalize(text: str) -> str:
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKD", text).casefold().translate(_FOLDING)
    return unicodedata.normalize("NFC", text)  # recomposes Hangul syllables and voiced kana


def _word_pattern(text: str) -> re.Pattern[str]:
    return _WORD if text.isascii() or not any(map(is_mark, text)) else _marked_word()


@cache
def _marked_word() -> re.Pattern[str]:
    """Return `_WORD` with marks allowed after letters."""
    return re.compile(_WORD.pattern.replace(_LETTERS, rf"(?:[^\W_][{marks()}]*)+"))


def _characters(run: str) -> list[str]:
    """Return the letters of a text, each with the marks that follow it."""
    characters: list[str] = []
    for character in run:
        if characters and is_mark(character):
            characters[-1] += character
        else:
            characters.append(character)
    return characters
