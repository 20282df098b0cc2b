"""Correction of typing errors in a question, against the vocabulary of the index.

Only a word that the index does not hold is changed, and only into a word that it holds: one letter was missing, extra, wrong or
swapped (two in long words), a space was missing or extra, or the spelling is British and that of the index American, or the
other way round. Usual English words are changed only if the passages hold the correction next to the same neighbour ("random
forrest"). Words in quotes, in capitals, with digits, and short words stay as they are.
"""

import json
import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from ragqa.index.interface import Index
from ragqa.models.reranker import BUNDLED
from ragqa.search.language import is_foreign
from ragqa.search.near_words import NearWord, NearWords, distance, term_of
from ragqa.text.analyzer import QUESTION_WORDS, STOP_WORDS, words

_ASKING = STOP_WORDS | QUESTION_WORDS
_QUOTED = re.compile(r'"[^"\s]*"|“[^”\s]*”')  # single words
_LETTERS = r"[^\W\d_]+"
_TOKEN = re.compile(rf"(?<![\w./+#*&@$\\-]){_LETTERS}(?:[-‐‑–]{_LETTERS})*(?:['’]s)?(?![\w/+#*&@-]|[.'’]\w)")
_HYPHEN = re.compile("[-‐‑–]")
_SENTENCE_START = re.compile(r"(?:^|[.?!:])\W*$")
_OWNER = re.compile("['’]s$")
_SPELLINGS = tuple(  # where British and American spellings differ
    (re.compile(one), other)
    for one, other in (
        (r"(?<=\w{3})our", "or"),
        (r"(?<=\w{3})or", "our"),
        ("is(?=e|ing|ation|able)", "iz"),
        ("iz(?=e|ing|ation|able)", "is"),
        ("ys(?=e(?:d|r|rs)?$|ing)", "yz"),
        ("yz(?=e(?:d|r|rs)?$|ing)", "ys"),
        ("tre$", "ter"),
        ("ter$", "tre"),
        ("ll(?=ed|ing|er|or)", "l"),
        ("(?<!l)l(?=ed|ing|er|or)", "ll"),
        ("ae", "e"),
        ("ence$", "ense"),
        ("ense$", "ence"),
        ("ogue", "og"),
        ("og(?=s?$)", "ogue"),
    )
)
_SHORTEST = 4  # characters of a word to correct
_LONG = 9  # characters of a word that may have two errors
_LONG_NAME = 7  # characters of a word with a capital that is taken for a misspelled word, and not for a name
_LONGEST_SINGLE = 12  # characters of words and terms; longer ones may be two words that were written as one
_SHORTEST_PART = 3  # characters of each of two words that were written as one
_SHORTEST_JOINED = 6  # characters of a word that was written as two
_MOST_ROUNDS = 3
_PREFIXES = ("un", "re", "de", "non", "mis", "sub", "over", "under", "anti", "multi", "pre")
_ENDINGS = ("er", "or", "y", "able", "ness", "less", "ist")


class _Token(NamedTuple):
    """A word of a question: its offsets, its spelling in lower case without accents, and whether it stays as it is.

    `is_name`: it has a capital that does not begin a sentence.
    """

    start: int
    end: int
    word: str
    stays: bool
    is_name: bool


class _Context(NamedTuple):
    """What stands around a word: the terms of the question that the index holds, and the words before and after it."""

    terms: Sequence[str]
    before: Sequence[str]
    after: Sequence[str]

    def has_neighbours(self) -> bool:
        """Return True if one of the two words before or of the two words after it has a content of its own."""
        return not _ASKING.issuperset((*self.before[-2:], *self.after[:2]))


class Speller:
    """Corrects questions against the vocabulary of an index. Can be shared between threads."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._words = NearWords(index)

    def correct(self, question: str) -> str:
        """Return the question with its typing errors corrected; the same if there are none. Deterministic.

        A question in another language stays as it is. If the index holds all words, this takes some microseconds.
        """
        terms = self._index.analyzer.terms(question)
        if all(term in self._index.vocabulary and len(term) < _LONGEST_SINGLE for term in terms):
            return question
        if is_foreign(question, self._index):
            return question
        for _ in range(_MOST_ROUNDS):  # a correction may be the evidence for another one
            corrected = self._correct_once(question)
            if corrected == question:
                break
            question = corrected
        return question

    def knows(self, word: str) -> bool:
        """Return True if the index holds a word in any inflection, or if it is a stop word or a question word.

        Of a compound it must hold all parts, or the compound as one word. `word` is in lower case, without accents.
        """
        if word in _ASKING:
            return True
        *parts, whole = self._index.analyzer.terms(word) or [""]
        if whole in self._index.vocabulary or not parts:
            return whole in self._index.vocabulary
        pieces = [piece for piece in _HYPHEN.split(word) if piece]
        return len(pieces) > 1 and all(map(self.knows, pieces))

    def _is_run_together(self, word: str) -> bool:
        """Return True if the passages hold a long word only with a hyphen ("reinforcement-learning")."""
        if len(word) < _LONGEST_SINGLE or not word.isalpha():
            return False
        hyphenated = False
        for form in self._words.forms(term_of(word)):
            if form == word:
                return False
            hyphenated |= _HYPHEN.sub("", form) == word
        return hyphenated

    def _correct_once(self, question: str) -> str:
        tokens = self._tokens(question)
        if all(token.stays for token in tokens):
            return question
        terms = [term for term in self._index.question_terms(question) if term in self._index.vocabulary]
        for token, word in reversed(self._joined(question, tokens) or self._replacements(tokens, terms)):
            typed = question[token.start : token.end]
            question = f"{question[: token.start]}{_like(typed, word)}{question[token.end :]}"
        return question

    def _tokens(self, question: str) -> list[_Token]:
        quoted = [match.span() for match in _QUOTED.finditer(question)]
        found = []
        for match in _TOKEN.finditer(question):
            start, end = match.span()
            word = (words(match[0]) or [""])[0]
            in_quotes = any(first <= start and end <= last for first, last in quoted)
            is_known = self.knows(word) and not self._is_run_together(word)
            stays = in_quotes or is_known or _is_fixed(match[0], word)
            is_name = match[0][0].isupper() and not _SENTENCE_START.search(question[:start])
            found.append(_Token(start, end, word, stays, is_name))
        return found

    def _replacements(self, tokens: Sequence[_Token], terms: Sequence[str]) -> list[tuple[_Token, str]]:
        """The tokens to replace, each with its correction."""
        around = [token.word for token in tokens]
        contexts = [_Context(terms, around[:number], around[number + 1 :]) for number in range(len(around))]
        corrected = (
            (token, self._correct_compound(token, context))
            for token, context in zip(tokens, contexts, strict=True)
            if not token.stays
        )
        return [(token, word) for token, word in corrected if word]

    def _joined(self, question: str, tokens: Sequence[_Token]) -> list[tuple[_Token, str]]:
        """The first two words that the index holds only as one ("auto encoder"), with that word; empty if there are none."""
        for one, two in pairwise(tokens):
            whole = one.word + two.word
            if (
                question[one.end : two.start] == " "
                and not (one.stays and two.stays)
                and _ASKING.isdisjoint((one.word, two.word))
                and len(whole) >= _SHORTEST_JOINED
                and term_of(whole) in self._index.vocabulary
                and (near := self._words.nearest_form(whole, term_of(whole)))
                and near[0] == 0
            ):
                return [(_Token(one.start, two.end, whole, stays=False, is_name=False), near[1])]
        return []

    def _correct_compound(self, token: _Token, context: _Context) -> str | None:
        """The correction of a word. A compound is corrected as one word, or else in each part that needs it."""
        parts = _HYPHEN.split(token.word)
        stay = [len(parts) > 1 and (self.knows(part) or len(part) < _SHORTEST or _is_english(part)) for part in parts]
        if all(stay):
            return None
        if (whole := self._correct_word("".join(parts), token.is_name, context)) or len(parts) == 1:
            return whole
        found = [
            part if stays else self._correct_word(part, token.is_name, context)
            for part, stays in zip(parts, stay, strict=True)
        ]
        return "-".join(filter(None, found)) if all(found) else None

    def _correct_word(self, word: str, is_name: bool, context: _Context) -> str | None:
        """The word that is meant by an unknown word; None if there is none, or if the evidence is weak."""
        if not (word.isascii() and word.isalpha()):
            return None
        if spelled := self._other_spelling(word):
            return spelled
        is_english = _is_english(word)
        if not is_english and (asked := _asking_word(word)):
            return asked
        if len(word) < _SHORTEST or (is_english and len(word) == _SHORTEST):
            return None
        may_differ = not is_english and (not is_name or len(word) >= _LONG_NAME)
        if not may_differ and not context.has_neighbours():
            return None
        near = self._words.near(word, 2 if len(word) >= _LONG else 1, context.terms)
        likely = [
            one for one in near if (may_differ and _is_likely(word, one)) or self._has_neighbour(one.word, context)
        ]
        split = None if not may_differ or (likely and likely[0].distance <= 1) else self._split(word)
        return split or (likely[0].word if likely else None)

    def _has_neighbour(self, word: str, context: _Context) -> bool:
        """Whether a passage holds a word next to the same content word as the question, or with the same stop word between."""
        before, after = _neighbour(context.before[::-1]), _neighbour(context.after)
        follow = self._words.follow
        return (before is not None and follow(before[0], word, before[1])) or (
            after is not None and follow(word, after[0], after[1])
        )

    def _other_spelling(self, word: str) -> str | None:
        """The British or American spelling of a word, if the index spells its term so."""
        for pattern, other in _SPELLINGS:
            if not (match := pattern.search(word)):
                continue
            beginning = word[: match.start()] + other
            spelled = beginning + word[match.end() :]
            if self.knows(spelled) and any(form.startswith(beginning) for form in self._words.forms(term_of(spelled))):
                return spelled
        return None

    def _split(self, word: str) -> str | None:
        """Two words that were written as one: they follow each other in a passage, or both are stop or question words."""
        for end in range(2, len(word) - 1):
            one, two = word[:end], word[end:]
            if {one, two} <= _ASKING and len(word) > _SHORTEST:
                return f"{one} {two}"
            if min(end, len(two)) >= _SHORTEST_PART and self._words.follow(one, two):
                return f"{one} {two}"
        return None


def _neighbour(away: Sequence[str]) -> tuple[str, str] | None:
    """The nearest word with a content of its own, and the stop word on the way to it or ""; None if there are two.

    `away` are the words from here on.
    """
    near = [(word, "".join(away[:number])) for number, word in enumerate(away[:2]) if word not in _ASKING]
    return near[0] if near else None


def _is_likely(word: str, near: NearWord) -> bool:
    """Return True if the evidence for a near word is strong enough for the length of the word that was typed."""
    swapped = sorted(word) == sorted(near.word)
    together = near.shared < 0
    if len(word) == _SHORTEST:
        return False
    if word[0] != near.word[0]:  # "aperiodic" is not "periodic"
        return together and (swapped or near.word[1:] == word)
    if near.distance > 1:
        return together and word[-1] == near.word[-1]
    if near.word.startswith(word) and len(word) < _LONG:  # "trivia" is not "trivial"
        return False
    return swapped or (len(word) > _SHORTEST + 1 and (together or near.passages < -1))


def _is_fixed(typed: str, word: str) -> bool:
    """Return True for what is never changed: acronyms, names with inner capitals, very short words, other scripts."""
    bare = _OWNER.sub("", typed)
    return len(bare) < _SHORTEST_PART or bare[1:] != bare[1:].lower() or not word


def _like(typed: str, word: str) -> str:
    """A correction with the capital and the possessive ending of what was typed."""
    owner = _OWNER.search(typed)
    return (word[:1].upper() + word[1:] if typed[:1].isupper() else word) + (owner[0] if owner else "")


def _asking_word(word: str) -> str | None:
    """The stop or question word that is meant: one with two letters swapped or, of longer words, with any one error."""
    near = [asked for asked in sorted(_ASKING) if abs(len(asked) - len(word)) <= 1 and distance(word, asked) == 1]
    swapped = [asked for asked in near if sorted(asked) == sorted(word)]
    return next(iter(swapped or (near if len(word) > _SHORTEST + 1 else [])), None)


def _is_english(word: str) -> bool:
    """Return True for usual English words, their inflections, and words such as "ranker", "foggy" and "ungrounded"."""
    starts = [word, *(word.removeprefix(prefix) for prefix in _PREFIXES if word.startswith(prefix))]
    bases = {base for start in starts for base in (start, start.removesuffix("s"), term_of(start))}
    for start in starts:
        for ending in _ENDINGS:
            if (base := start.removesuffix("s")).endswith(ending):
                base = base.removesuffix(ending)
                bases |= {base, base[:-1] if base[-2:-1] == base[-1:] else base}
    bases = {base for base in bases if len(base) >= _SHORTEST_PART}
    return any(base + end in _english_words() for base in bases for end in ("", "e", "y"))


@cache
def _english_words() -> frozenset[str]:
    """The words that the bundled reranker reads as one token: the most frequent ones of English texts."""
    vocabulary = json.loads((BUNDLED / "tokenizer.json").read_text(encoding="utf8"))["model"]["vocab"]
    return frozenset(word for word in vocabulary if word.isalpha() and word.isascii())
