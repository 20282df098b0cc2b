"""A misspelled word in, the words of the index that may be meant out, as the passages spell them.

The terms of an index are stems, so a term near the word, or near its beginning, is looked up in some of its passages. The
distance of two words is that of optimal string alignment (OSA): letters missing, extra, wrong or swapped with the next one.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from ragqa.index.interface import Index
from ragqa.text.analyzer import usual_analyzer

if TYPE_CHECKING:
    import numpy as np

_SHORTEST_STEM = 3  # characters
_LONGEST_ENDING = 7  # characters that a stem may lack: "izations"
_PLURALS = ("s", "es")
_LONG_STEM = 6  # characters
_LIKELY_TERMS, _MOST_TERMS = 3, 8  # terms that are looked up in many passages, and all that are looked up
_MANY_PASSAGES, _FEW_PASSAGES = 96, 8  # passages that are read for a term
_SAMPLED = 1000  # passages of a term that are compared with those of other terms
_TERMS: "WeakKeyDictionary[Index, dict[str, list[str]]]" = WeakKeyDictionary()


class NearWord(NamedTuple):
    """A word of the index that may be meant. Of several, the first in sort order is the likeliest.

    The passages that it shares with another word of the question are counted negatively (about, if they are many), and so are
    all of its passages.
    """

    distance: int
    shared: int
    passages: int
    word: str


class NearWords:
    """Finds the words of an index that are near a word. Can be shared between threads."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._terms = _TERMS.setdefault(index, {})

    def near(self, word: str, limit: int, others: Iterable[str]) -> list[NearWord]:
        """Return the words at a distance of at most `limit`, likeliest first. `others` are terms of the same question."""
        stem = term_of(word)
        terms = sorted(
            self._near_terms(word, stem, limit), key=lambda near: (near[1], near[2], -self.frequency(near[0]))
        )
        positions = [self._index.positions_of(term) for term in others]
        found: list[NearWord] = []
        for rank, (term, _, more) in enumerate(terms[:_MOST_TERMS]):
            is_likely = rank < _LIKELY_TERMS and not any(one.distance <= 1 for one in found)
            near = self.nearest_form(word, term, _MANY_PASSAGES if is_likely else _FEW_PASSAGES)
            if near is None:
                continue
            is_plural = not more and len(stem) >= _LONG_STEM and word.removeprefix(stem) in _PLURALS
            if near[0] <= limit or (
                is_plural and near[1] == term
            ):  # the passages that were read hold only the singular
                own = self._index.positions_of(term)
                found.append(NearWord(min(near[0], limit), -_shared(own, positions), -len(own), near[1]))
        return sorted(found)

    def frequency(self, term: str) -> int:
        """Return the number of passages that hold a term."""
        return len(self._index.positions_of(term))

    def nearest_form(self, word: str, term: str, passages: int = _MANY_PASSAGES) -> tuple[int, str] | None:
        """Return the spelling of a term that is nearest to a word, and its distance; None if none is found.

        Reads at most so many passages, and no more after a spelling at a distance of 1.
        """
        best: tuple[int, str] | None = None
        for form in self.forms(term, passages):
            near = (distance(word, re.sub(r"\W", "", form)), form)
            best = near if best is None else min(best, near)
            if best[0] <= 1:
                break
        return best

    def forms(self, term: str, passages: int = _MANY_PASSAGES) -> Iterator[str]:
        """Yield how the first passages that hold a term spell it, in lower case, each spelling once."""
        stable = term[: max(_SHORTEST_STEM, len(term) - 1)]  # the last letter of a stem may be another (y: i)
        letters = "[-‐‑–]?".join(map(re.escape, stable))
        pattern = re.compile(rf"(?<![\w-]){letters}[^\W\d_]*(?![\w-])", re.IGNORECASE)
        seen = set()
        for position in self._index.positions_of(term)[:passages].tolist():
            for match in pattern.finditer(self._text(position)):
                form = match[0].lower()
                if form not in seen and term_of(form) == term:
                    yield form
                seen.add(form)

    def follow(self, one: str, two: str, between: str = "") -> bool:
        """Return True if a passage holds two words, in any inflection, next to each other, or with a word `between` them.

        Reads some of the passages that hold both.
        """
        import numpy as np

        terms = term_of(one), term_of(two)
        first, second = (re.escape(term.removesuffix("i")) for term in terms)  # the i may be a y
        space = rf"[-‐‑–\s]{re.escape(between)}[-‐‑–\s]" if between else r"[-‐‑–\s]"
        pair = re.compile(rf"\b({first}[^\W\d_]*){space}({second}[^\W\d_]*)", re.IGNORECASE)
        holding = [self._index.positions_of(term) for term in terms]
        both = np.intersect1d(holding[0], holding[1], assume_unique=True)[:_MANY_PASSAGES].tolist()
        found = (match.groups() for position in both for match in pair.finditer(self._text(position)))
        return any((term_of(first), term_of(second)) == terms for first, second in found)

    def _near_terms(self, word: str, stem: str, limit: int) -> Iterator[tuple[str, int, int]]:
        """Terms near the stem or the beginning of a word, with the distance and the number of letters that follow.

        If none with its first letter is near its stem, terms with another first letter are compared too.
        """
        import numpy as np
        from rapidfuzz import process
        from rapidfuzz.distance import OSA

        shortest = max(_SHORTEST_STEM, len(word) - _LONGEST_ENDING)
        begun = [stem, *(word[:end] for end in range(shortest, len(word)))]
        terms = self._beginning_with(word[0])
        distances = process.cdist(begun, terms, scorer=OSA.distance, score_cutoff=limit, dtype=np.uint8)
        near = (distances.min(axis=0) <= limit).nonzero()[0].tolist()
        for number in near:
            row = int(distances[:, number].argmin())
            yield terms[number], int(distances[row, number]), len(word) - len(begun[row]) if row else 0
        if not any(distances[0, number] <= 1 for number in near):
            compare = partial(process.extract_iter, scorer=OSA.distance, score_cutoff=1)
            for term, apart, _ in compare(stem, self._beginning_with("")):
                if term[0] != word[0]:
                    yield term, int(apart), 0

    def _beginning_with(self, letter: str) -> list[str]:
        """The terms that begin with a letter; without a letter all terms."""
        if letter not in self._terms:
            words = (term for term in self._index.vocabulary if term.isalpha() and len(term) >= _SHORTEST_STEM)
            self._terms[letter] = [term for term in words if term.startswith(letter)]
        return self._terms[letter]

    def _text(self, position: int) -> str:
        passage = self._index.passages[position]
        return "\n".join((passage.text, passage.title, passage.section, *passage.aliases))


def term_of(word: str) -> str:
    """Return the term of a word, of a compound that of the word written together; empty if it has none."""
    return (usual_analyzer().terms(word) or [""])[-1]


def distance(one: str, two: str) -> int:
    """Return the OSA distance of two words."""
    from rapidfuzz.distance import OSA

    return OSA.distance(one, two)


def _shared(own: "np.ndarray", others: Sequence["np.ndarray"]) -> int:
    """About how many of the passages in `own` are also in one of the others, at most. All are ascending."""
    import numpy as np

    step = 1 + len(own) // _SAMPLED
    sample, shared = own[::step], 0
    for other in others:
        if len(other):
            nearest = other[np.minimum(np.searchsorted(other, sample), len(other) - 1)]
            shared = max(shared, step * int((nearest == sample).sum()))
    return shared
