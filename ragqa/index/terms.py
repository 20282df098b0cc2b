"""Passages and questions into the terms they are matched by: weighted fields, abbreviations, the questions answered.

Fields are weighted by repeating their terms, so that the weights act before BM25's saturation (Robertson, Zaragoza and
Taylor, "Simple BM25 Extension to Multiple Weighted Fields", 2004). A long form whose abbreviation the corpus gives ("long
short-term memory (LSTM)") adds the abbreviation, in passages and in questions: either finds the other. The titles that
redirect to a page are its other names. The questions generated for a passage are indexed with it, as in doc2query (Nogueira
et al., "Document Expansion by Query Prediction", 2019).
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

MAX_WEIGHT = 10

_HYPHEN = re.compile("[-‐‑–]")


@dataclass(frozen=True, slots=True)
class Fields:
    """What of a passage is indexed: how many times its title's and section's terms count, and what is added to its text.

    The questions generated for it may name its title and section too. Of the aliases, what the title lacks counts once.
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
    """Short forms by the words of their long forms, ready to be looked for in texts."""

    def __init__(self, short_forms: Mapping[str, str]) -> None:
        """`short_forms`: the short form's term by the long form's stemmed words, these joined by spaces."""
        self.short_forms = dict(short_forms)
        self._by_first: dict[str, list[tuple[list[str], str]]] = defaultdict(list)
        for long, short in self.short_forms.items():
            words = long.split()
            self._by_first[words[0]].append((words, short))

    def found_in(self, text: str, terms: Sequence[str], analyzer: Analyzer) -> list[str]:
        """The short forms whose long forms stand in a text, each once, in order; hyphens count as spaces.

        `terms` are the text's own: they hold the parts of words with hyphens too, so that most texts need no second look.
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
        places = ((_place(long, words), short) for long, short in likely)
        return list(dict.fromkeys(short for place, short in sorted(places) if place >= 0))


def find_abbreviations(passages: Iterable[Passage], analyzer: Analyzer) -> Abbreviations:
    """Collect "long form (SF)" from passages; of several long forms of one abbreviation the most frequent is taken."""
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


def _place(long: Sequence[str], words: list[str]) -> int:
    """Where the words of a long form first follow each other in a text's; -1 if nowhere."""
    starts = (place for place, word in enumerate(words) if word == long[0])
    return next((place for place in starts if words[place : place + len(long)] == long), -1)


def passage_terms(
    passages: Sequence[Passage], fields: Fields, analyzer: Analyzer, abbreviations: Abbreviations
) -> Iterator[list[str]]:
    """The terms that each passage is indexed by."""
    generator = QuestionGenerator(passages, FORMS) if fields.questions else None

    @lru_cache  # passages of one section follow each other
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
    """The terms that a question is searched by, each once."""
    terms = analyzer.question_terms(question)
    return list(dict.fromkeys([*terms, *abbreviations.found_in(question, analyzer.terms(question), analyzer)]))
