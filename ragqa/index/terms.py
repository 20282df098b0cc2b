"""The terms that passages and questions are matched by: weighted fields, abbreviations, aliases and generated questions.

A field with weight 2 has its terms counted twice, so weights apply before BM25's saturation (Robertson, Zaragoza and Taylor,
"Simple BM25 Extension to Multiple Weighted Fields", 2004). If the corpus defines an abbreviation ("long short-term memory
(LSTM)"), its long form also adds the abbreviation, in passages and in questions, so each finds the other. Aliases are titles
that redirect to a page. The questions generated for a passage are indexed with it, as in doc2query (Nogueira et al., "Document
Expansion by Query Prediction", 2019).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ragqa.errors import InputError
from ragqa.records import Passage
from ragqa.text.analyzer import Analyzer
from ragqa.text.questions import FORMS, QuestionGenerator, expansions

TERMS_VERSION = 1  # raise with every change that gives some passage other terms; the analyzer has a version of its own
MAX_WEIGHT = 10

_HYPHEN = re.compile("[-‐‑–]")


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a passage that are indexed besides its text.

    `title` and `section` are weights (0 to `MAX_WEIGHT`): how many times each of their terms counts. The others add terms:
    `abbreviations` of long forms, generated `questions` (which may name title and section too), and those terms of `aliases`
    that are not in the title, each once.
    """

    title: int = 2
    section: int = 1
    abbreviations: bool = True
    questions: bool = True
    aliases: bool = True

    def __post_init__(self) -> None:
        for name in ("title", "section"):
            if not 0 <= getattr(self, name) <= MAX_WEIGHT:
                raise InputError(
                    f"the weight of the {name} is {getattr(self, name)}; it must be from 0 to {MAX_WEIGHT}"
                )


class Abbreviations:
    """Abbreviations and their long forms, prepared to be found in texts."""

    def __init__(self, short_forms: Mapping[str, str]) -> None:
        """`short_forms` maps the stemmed words of a long form, joined by spaces, to the term of its abbreviation."""
        self.short_forms = dict(short_forms)
        self._by_first: dict[str, list[tuple[list[str], str]]] = defaultdict(list)
        for long, short in self.short_forms.items():
            words = long.split()
            self._by_first[words[0]].append((words, short))

    def found_in(self, text: str, terms: Sequence[str], analyzer: Analyzer) -> list[str]:
        """Return the distinct abbreviations whose long forms occur in a text, in text order. Hyphens count as spaces.

        `terms` are the terms of the text. They include the parts of hyphenated words, so most texts are not analyzed again.
        """
        known = frozenset(terms)
        likely = [
            (long, short)
            for first in self._by_first.keys() & known
            for long, short in self._by_first[first]
            if known.issuperset(long)
        ]
        if not likely:
            return []
        words = _words(text, analyzer)
        found = ((_find(long, words), short) for long, short in likely)
        return list(dict.fromkeys(short for position, short in sorted(found) if position >= 0))


def find_abbreviations(passages: Iterable[Passage], analyzer: Analyzer) -> Abbreviations:
    """Collect definitions such as "long form (LF)" from passages. Each abbreviation gets its most frequent long form."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for passage in passages:
        for long, short in expansions(passage.text):
            counts[short.casefold()][" ".join(_words(long, analyzer))] += 1
    short_forms = {}
    for short, longs in sorted(counts.items()):
        long = min(longs, key=lambda form: (-longs[form], form))
        term = analyzer.terms(short)
        if len(term) == 1 and " " in long:
            short_forms[long] = term[0]
    return Abbreviations(short_forms)


def _words(text: str, analyzer: Analyzer) -> list[str]:
    return analyzer.terms(_HYPHEN.sub(" ", text))


def _find(long: Sequence[str], words: list[str]) -> int:
    """The first position at which the words of a long form follow each other in `words`, -1 if there is none."""
    starts = (position for position, word in enumerate(words) if word == long[0])
    return next((start for start in starts if words[start : start + len(long)] == long), -1)


def passage_terms(
    passages: Sequence[Passage], fields: Fields, analyzer: Analyzer, abbreviations: Abbreviations
) -> Iterator[list[str]]:
    """Yield the terms that each passage is indexed by."""
    generator = QuestionGenerator(passages, FORMS) if fields.questions else None

    @lru_cache  # passages with the same title and section follow each other
    def read(text: str) -> tuple[list[str], list[str]]:
        terms = analyzer.terms(text)
        return terms, abbreviations.found_in(text, terms, analyzer)

    for passage in passages:
        fields_read = map(read, (passage.title, passage.section, passage.text))
        (title, in_title), (section, in_section), (text, in_text) = fields_read
        asked = [t for q in generator.questions(passage) for t in analyzer.question_terms(q.text)] if generator else []
        named = read("\n".join(passage.aliases))[0] if fields.aliases and passage.aliases else []
        own = title * fields.title + section * fields.section + text
        names = dict.fromkeys(term for term in named if term not in title)
        yield [*own, *dict.fromkeys(in_title + in_section + in_text), *names, *dict.fromkeys(asked)]


def question_terms(question: str, analyzer: Analyzer, abbreviations: Abbreviations) -> list[str]:
    """Return the distinct terms that a question is searched by."""
    terms = analyzer.question_terms(question)
    return list(dict.fromkeys([*terms, *abbreviations.found_in(question, analyzer.terms(question), analyzer)]))
