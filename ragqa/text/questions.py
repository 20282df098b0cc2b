"""Passages in, the questions that they answer out, from definitions, headings, titles and abbreviations."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from ragqa.errors import InputError
from ragqa.records import Passage
from ragqa.text.passages import sentences
from ragqa.text.table_rows import is_table_row, only_rows

FORMS = ("what", "how", "explain", "difference", "abbreviation", "keyword")

_DEFINITION = re.compile(
    r"^(?:In (?:the )?[^,.;]{3,60}, )?(?P<article>[Aa]n? |[Tt]he |)(?P<term>[^\s,.;:()\"“”=][^,.;:()\"“”=]{1,60}?)"
    r"(?: \((?:[^()]{1,60})\))?(?:,? (?:also|sometimes|often) (?:known as|called|abbreviated)[^,]{3,60},)?"
    r" (?P<verb>is|are|refers to) (?P<rest>(?:an?|the|one|any|the name|used|those) \w.*)$",
    re.DOTALL,
)
_VERBS = (" is ", " are ", " refers to ")  # searching for them first saves two thirds of the time
_NOT_A_TERM = re.compile(
    r"^(?:this|that|these|those|it|its|they|their|there|here|he|she|his|her|we|our|you|your|one|each|every|some|any|all|"
    r"both|another|other|others|such|if|when|while|where|since|because|although|though|as|for|with|by|on|at|to|from|most|"
    r"many|several|few|more|less|note|so|then|thus|hence|however|first|second|third|finally|also|but|and|or|not|no|who|"
    r"what|which|why|how|same|former|latter|only|main|goal|idea|aim|purpose|result|reason|problem with|difference|"
    r"advantage|disadvantage|example|following|next|last|rest|number of)\b",
    re.IGNORECASE,
)
_HAS_CLAUSE = re.compile(
    r"\b(?:is|are|was|were|has|have|that|which|who|can|may|will|if|because|when|how|what|why|there|it|this|"
    r"these)\b",
    re.IGNORECASE,
)
_SHORT_FORM = re.compile(r" \(([A-Z][A-Za-z]{1,6}s?)\)")
_WORDS_BEFORE = re.compile(r"(?:[A-Za-z][\w’']*[ -]){0,6}[A-Za-z][\w’']*$")
_LONGEST_FORM = 120  # characters
CONTRAST = re.compile(
    r"\b(?:difference|distinction)s? between (\w[\w -]{1,40}?) and (\w[\w -]{1,40}?)(?= is| are| was| lies| can|[.,;:])"
)
_ARTICLE = re.compile(r"\b(an?|the) $", re.IGNORECASE)
_LONGEST_ARTICLE = 5  # characters, with the spaces around it
_AFTER_A_TERM = re.compile(
    r"[.,;:(]| (?:is|are|was|can|has|to|in|of|with|that|which|by|on|for|and|or)\b", re.IGNORECASE
)
_WORD_OF = re.compile(r"[a-z]\S* of ")
_LOWER = re.compile(r"\b[a-z]+\b")
_CAPITAL = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+\b")
_PARENTHESIS = re.compile(r"(?<!\s)\s*\([^()]*\)\s*$")

_HEADINGS: tuple[tuple[str, str, str], ...] = (
    (r"history|origins?|historical .*", "what", "What is the history of {topic}?"),
    (r"applications?|uses?|usage|use cases?|.* applications", "what", "What is {topic} used for?"),
    (r"advantages?|benefits|strengths", "what", "What are the advantages of {topic}?"),
    (r"disadvantages?|limitations?|criticisms?|drawbacks|weaknesses", "what", "What are the limitations of {topic}?"),
    (
        r"advantages and .*|strengths and .*|pros and cons",
        "what",
        "What are the advantages and limitations of {topic}?",
    ),
    (r"types|variants|kinds|types of .*|variations", "what", "What types of {topic} are there?"),
    (r"definitions?|formal definition|formulation|problem statement", "what", "What is the definition of {topic}?"),
    (
        r"algorithms?|methods?|approach|procedure|how it works|operation|mechanism|overview",
        "how",
        "How does {topic} work?",
    ),
    (r"training|learning|learning algorithm|parameter estimation", "how", "How is {topic} trained?"),
    (r"motivation|rationale|why .*", "how", "Why is {topic} used?"),
    (r"implementations?|software|libraries", "what", "What software implements {topic}?"),
)
_GENERIC = re.compile(
    r"examples?|introduction|description|background|details|discussion|properties|theory|statement|notation|basics|results|"
    r"general|general case|special cases?|remarks|notes?|summary|other.*|see also|references|further.*|external.*|in .*|"
    r"\d.*|.*\d{4}.*|[a-z]|the .*|a .*|for .*|with .*|using .*|by .*",
    re.IGNORECASE,
)


class Question(NamedTuple):
    """A generated question and its form, one of `FORMS`."""

    text: str
    form: str


class QuestionGenerator:
    """Makes questions for passages.

    It first reads all passages to learn which words are names, and which passage comes first below each heading. Only that
    passage gets a question about the heading.
    """

    def __init__(self, passages: Iterable[Passage], forms: Iterable[str] = ("what",)) -> None:
        """Raise `InputError` for a form that is not in `FORMS`."""
        self.forms = check_forms(forms)
        passages = tuple(passages)
        self._lower, self._capital = count_cases(passages)
        self._first = first_of_sections(passages)

    def narrowed(self, passages: Sequence[Passage]) -> "QuestionGenerator":
        """Return a generator for these passages, which are whole pages. It keeps the names that this generator has found."""
        other = copy(self)
        other._first = first_of_sections(passages)
        return other

    def questions(self, passage: Passage) -> list[Question]:
        """Return the questions that this passage answers, each once, in the chosen forms; often none."""
        made = list(self._from_sentences(passage))
        if passage.id in self._first and self.topic(passage.title):
            made += self._from_heading(passage) if passage.section else self._from_title(passage)
        return select(made, self.forms)

    def topic(self, title: str) -> str:
        """Return a title as it is written inside a sentence: without parenthesis, in lower case unless it is a name."""
        return self._decapitalize(without_parenthesis(title))

    def _from_title(self, passage: Passage) -> Iterator[Question]:
        if re.match(r"(?:list|glossary|outline|timeline|index) of", passage.title, re.IGNORECASE):
            return
        topic = self.topic(passage.title)
        verb = "are" if _is_plural(topic) else "is"
        topic = _article(topic, passage.text) + topic
        yield Question(f"What {verb} {topic}?", "what")
        yield Question(f"Can you explain what {topic} {verb}?", "explain")
        yield Question(f"Do you know how {topic} {'work' if verb == 'are' else 'works'}?", "explain")
        yield Question(topic, "keyword")

    def _from_heading(self, passage: Passage) -> Iterator[Question]:
        heading = without_parenthesis(passage.section)
        topic = self.topic(passage.title)
        if usual := _usual_heading(heading):
            form, template = usual
            yield Question(template.format(topic=topic), form)
            yield Question(f"{topic} {self._decapitalize(heading)}", "keyword")
            return
        if not heading or _GENERIC.fullmatch(heading) or _HAS_CLAUSE.search(heading) or len(heading.split()) > 5:
            return
        subject = self._decapitalize(heading)
        about = "" if topic.casefold() in subject.casefold() else f" in {topic}"
        verb = "are" if _is_plural(subject) else "is"
        article = "the " if verb == "are" and about else _article(subject, passage.text)
        yield Question(f"What {verb} {article}{subject}{about}?", "what")
        yield Question(f"Can you explain {subject}{about}?", "explain")
        yield Question(f"{topic} {subject}" if about else subject, "keyword")

    def _from_sentences(self, passage: Passage) -> Iterator[Question]:
        for start, end in sentences(passage.text):
            sentence = passage.text[start:end]
            if is_table_row(sentence):
                continue
            if any(verb in sentence for verb in _VERBS) and (match := _DEFINITION.match(sentence)):
                yield from self._from_definition(match)
            for words, short in expansions(sentence):
                yield Question(f"What does {short} stand for?", "abbreviation")
                yield Question(f"{short} {words}", "keyword")
            for one, other in CONTRAST.findall(sentence) if " between " in sentence else ():
                if any(_HAS_CLAUSE.search(side) or _NOT_A_TERM.match(side) for side in (one, other)):
                    continue
                yield Question(f"What is the difference between {one} and {other}?", "difference")
                yield Question(f"{one} vs {other}", "keyword")

    def _from_definition(self, match: re.Match[str]) -> Iterator[Question]:
        term = match["term"].strip()
        if _NOT_A_TERM.match(term) or _HAS_CLAUSE.search(term) or len(term.split()) > 6:
            return
        article = match["article"].lower()
        term = article + (term if article else self._decapitalize(term))
        verb = "are" if match["verb"] == "are" else "is"
        yield Question(f"What {verb} {term}?", "what")
        yield Question(f"Can you explain what {term} {verb}?", "explain")

    def _decapitalize(self, phrase: str) -> str:
        first, *others = re.findall(r"[^\s-]+", phrase) or [""]
        long = [word for word in others if len(word) > 3]
        is_name = bool(long) and all(
            word[0].isupper() for word in long
        )  # Wikipedia capitalises every word only in names
        if is_name or not re.fullmatch(r"[A-Z][a-z’']+", first) or not self._is_common(first):
            return phrase
        return phrase[0].lower() + phrase[1:]

    def _is_common(self, word: str) -> bool:
        return self._lower[word.lower()] > self._capital[word.lower()]


def select(made: Iterable[Question], forms: Sequence[str]) -> list[Question]:
    """Return the well-formed questions in these forms, in order, each once."""
    kept = [q for q in made if q.form in forms and (q.form == "keyword" or is_well_formed(q.text))]
    return list({q.text.casefold(): q for q in reversed(kept)}.values())[::-1]


def check_forms(forms: Iterable[str]) -> tuple[str, ...]:
    """Return the forms as a tuple. Raise `InputError` for one that is not in `FORMS`."""
    forms = tuple(forms)
    if unknown := [form for form in forms if form not in FORMS]:
        raise InputError(f"question form {unknown[0]!r} is unknown; there are {', '.join(FORMS)}")
    return forms


def without_parenthesis(title: str) -> str:
    """Return a title or heading without the parenthesis at its end."""
    return _PARENTHESIS.sub("", title).strip()


def first_of_sections(passages: Sequence[Passage]) -> frozenset[str]:
    """Return the ids of the passages that come first below their headings.

    A passage of nothing but table rows comes first only if all passages below its heading are such.
    """
    first = {(p.title, p.section): p.id for p in reversed(passages)}
    first |= {(p.title, p.section): p.id for p in reversed(passages) if not only_rows(p.text)}
    return frozenset(first.values())


def expansions(text: str) -> Iterator[tuple[str, str]]:
    """Yield the abbreviations that a text explains, as long and short form: "support vector machine", "SVM"."""
    for match in _SHORT_FORM.finditer(text):
        before = _WORDS_BEFORE.search(text, max(0, match.start() - _LONGEST_FORM), match.start())
        if before and (words := _expansion(before[0], match[1])) is not None:
            yield words, match[1].rstrip("s")


def is_well_formed(question: str) -> bool:
    """Return True for a capital, 3 to 25 words, one question mark at the end, and closed brackets and quotes."""
    words = question.split()
    return (
        3 <= len(words) <= 25
        and question[0].isupper()
        and question.endswith("?")
        and question.count("?") == 1
        and question.count("(") == question.count(")")
        and question.count('"') % 2 == 0
        and not re.search(r"[\n={}\\|<>]|[,;:. ]\?$|\b(?:is|are) (?:is|are)\b", question)
        and not re.search(r"\b(\w+) \1\b", question, re.IGNORECASE)
    )


def reference_question(window: str) -> str:
    """Return the reference model's question: "What is " and the first sentence of the raw window in lower case."""
    first = re.split(r"(?<=[.!?])\s|\n", window.strip(), maxsplit=1)[0]
    return f"What is {first.rstrip(' .!?').lower()}?"


@lru_cache
def _usual_heading(heading: str) -> tuple[str, str] | None:
    """Return form and template of the question for a heading that many articles have, or None for other headings."""
    for pattern, form, template in _HEADINGS:
        if re.fullmatch(pattern, heading, re.IGNORECASE):
            return form, template
    return None


def count_cases(passages: Sequence[Passage]) -> tuple[Counter[str], Counter[str]]:
    """Count each word in lower case, and each word with a capital inside a sentence."""
    lower: Counter[str] = Counter()
    for chunk, count in Counter(chain.from_iterable(passage.text.split() for passage in passages)).items():
        for word in _LOWER.findall(chunk):
            lower[word] += count
    capital = Counter(word.lower() for passage in passages for word in _CAPITAL.findall(passage.text))
    return lower, capital


def _is_plural(phrase: str) -> bool:
    last = (re.split(r" (?:of|to|in|on|from|for|between|with|by|as|and the) ", phrase)[0].split() or [""])[-1]
    return bool(re.search(r"[a-z](?<!s)s$", last)) and not re.search(
        r"(?:ics|sis|us|is|ness|bias|Bayes|series|k-means|means|lens)$", last
    )


def _article(phrase: str, text: str) -> str:
    """Return the article that a text puts before a phrase, with a space after it, or "": "a " for "perceptron"."""
    for start in occurrences(phrase, text):
        before = _ARTICLE.search(text, max(0, start - _LONGEST_ARTICLE), start)
        if before and _AFTER_A_TERM.match(text, start + len(phrase)):
            return before[1].lower() + " "
    return "the " if _WORD_OF.match(phrase) and not _is_plural(phrase) else ""


def occurrences(phrase: str, text: str) -> Iterator[int]:
    """Yield the offsets of a phrase in a text, in any case."""
    phrase, text = phrase.lower(), text.lower()
    start = text.find(phrase)
    while start >= 0:
        yield start
        start = text.find(phrase, start + max(1, len(phrase)))


def _expansion(long: str, short: str) -> str | None:
    """Return the last words of `long` whose initials are `short`, as in "support vector machine (SVM)", or None."""
    letters = short.rstrip("s").lower()
    words = re.split(r"[ -]", long)
    for count in range(1, len(words) + 1):
        initials = "".join(word[0] for word in words[-count:]).lower()
        if initials == letters:
            return long[-len(" ".join(words[-count:])) :]
    return None
