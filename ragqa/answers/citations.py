"""A check whether the passages that a written sentence cites support it, by words, numbers, negations and antonyms.

A sentence counts as supported if its cited passages hold most of its words close together, and each of its numbers in a similar
context; if no clause there says the same with the opposite negation, or about something else; and if the reranker, if there is
one, takes a cited passage for an answer to the sentence.

The check proves nothing. It misses swapped roles ("A trains B" for "B trains A"; comparisons are checked) and opposites that
are neither negations nor among the antonyms below ("only once" for "k times"). It rejects paraphrases that share few words.
Four in five sentences that it calls supported really are; benchmarks/README.md has the figures by kind of error.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from ragqa.models.reranker import Reranker
from ragqa.records import Passage
from ragqa.text.analyzer import usual_analyzer
from ragqa.text.passages import full_text, heading_path, sentences

SUPPORTED, UNSUPPORTED, UNCITED, PENDING = "supported", "unsupported", "uncited", "pending"

LEAST_COVERAGE = 0.5  # minimum share of the sentence's terms in its passages; all limits: benchmarks/README.md
LEAST_NEARBY = 0.75  # the same for a statement in two adjoining sentences of one passage and its headings
LEAST_LOGIT = 0.0  # minimum logit of the reranker for the sentence (as the question) and its best passage
_SAME_CLAUSE = 0.6  # minimum share of common terms at which two clauses say the same or the opposite
_SAME_STATEMENT = 0.7  # minimum share of common terms, without the subject, at which two statements say the same
_SAME_CONTEXT = 0.4  # minimum share of common terms at which a number has the same context

_RANGE = r"\d{1,3}(?:\s*[-–]\s*\d{1,3})?"
CITATION = (
    re.compile(  # the forms that models write: [1], [1, 2], [1-3], [^1], [Passage 1], 【1†L2】; [0, 1] is an interval
        r"[\[【]{1,2}\s*\^?(?:[Pp]assages?\s+)?(?!0\s*,)"
        rf"({_RANGE}(?:\s*(?:[,;&]|and)\s*{_RANGE})*)\s*(?:†[^\[\]【】]*)?[\]】]{{1,2}}"
    )
)
_LONGEST_RANGE = 20
_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*")
_IN_WORDS = {
    word: str(number)
    for number, word in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
    if word != "one"  # rarely a number
} | {
    "half": "half",
    "twice": "twice",
    "hundred": "hundred",
    "thousand": "thousand",
    "million": "million",
    "billion": "billion",
}
_COUNTING = re.compile(rf"\b({'|'.join(_IN_WORDS)})(?:s|fold)?\b", re.IGNORECASE)
_NEGATION = re.compile(r"\b(?:not|no|never|cannot|neither|nor|none|nothing|hardly|\w+n['’]t)\b", re.IGNORECASE)
_HEDGE = re.compile(  # neither a denial nor its opposite
    r"\b(?:seldom|rarely|barely|scarcely|hardly|(?:not|n['’]t) (?:always|necessarily|only|just|merely|simply|often|usually|"
    r"fully|entirely|all|every\w*)|(?:may|might) not|no (?:matter|doubt|longer))\b",
    re.IGNORECASE,
)
_OPERATIONS = (  # each with the operand after "by" or "from"
    (re.compile(r"\b(?:multipl\w+|scal(?:e|es|ed|ing)|times)\b[^.;]{0,40}?\bby (\S+(?: [-−–+*/×·] \S+)*)", re.IGNORECASE),
     re.compile(r"\bdivid\w+\b[^.;]{0,40}?\bby (\S+(?: [-−–+*/×·] \S+)*)", re.IGNORECASE)),
    (re.compile(r"\badd(?:s|ed|ing)?\b ([^.;,]{1,30}?) to\b", re.IGNORECASE),
     re.compile(r"\bsubtract(?:s|ed|ing)?\b ([^.;,]{1,30}?) from\b", re.IGNORECASE)),
)  # fmt: skip
_THAN = re.compile(r"\bthan\b", re.IGNORECASE)
_CLAUSE = re.compile(
    r"[,;:()—]\s+|(?<!\s)\s+–\s+|"
    r"\b(?:and|but|because|while|whereas|although|so that|which|since|unlike|rather than|even if|if|when)\b",
    re.IGNORECASE,
)
_STATEMENT = re.compile(r";\s+|,\s+and\s+(?!then\b)|,?(?<!\s)\s+(?:while|whereas)\s+")
_PRONOUN = re.compile(r"\W*(?:it|its|they|their|this|these|that|those|here|which|then|and)\b", re.IGNORECASE)
_ANTONYMS = tuple(
    tuple(part.split("/") for part in pair.split("|"))
    for pair in (
        "increase/raise/grow|decrease/reduce/lower/shrink/lessen/not depend",
        "more/greater/larger/bigger|less/fewer/smaller",
        "high/higher|low/lower",
        "faster/fast/quick|slower/slow",
        "harmful|harmless",
        "preserve/keep/retain|lose/throw/discard/ignore",
        "always|never",
        "best|worst",
        "long/longer|short/shorter",
        "easy/easier|hard/harder/difficult",
        "above|below",
        "well/good|struggle/bad/poor",
        "cheap/cheaper|expensive",
        "together|alone",
        "possible|impossible",
    )
)


def check_sentence(sentence: str, passages: Sequence[Passage], reranker: Reranker | None) -> str:
    """Check a sentence against the passages that it cites as `[n]`, where n is the number of the passage, from 1.

    Returns "supported", "unsupported" (also if a cited number has no passage), or "uncited".
    """
    numbers = cited_numbers(sentence)
    if not numbers:
        return UNCITED
    if any(not 1 <= number <= len(passages) for number in numbers):
        return UNSUPPORTED
    said = without_citations(sentence)
    cited = [passages[number - 1] for number in numbers]
    if any(_is_copy(said, passage) for passage in cited):
        return SUPPORTED
    if not _is_said(said, cited):
        return UNSUPPORTED
    if reranker is not None and max(reranker.score(said, [full_text(p) for p in cited]).tolist()) < LEAST_LOGIT:
        return UNSUPPORTED
    return SUPPORTED


def find_support(sentence: str, passages: Sequence[Passage], reranker: Reranker | None) -> int | None:
    """Return the number of the passage that supports a sentence, whatever it cites; None if none does.

    Of several the one that holds most of its terms; ties by number.
    """
    said = without_citations(sentence)
    shares = [coverage(said, [full_text(passage)]) for passage in passages]
    for number in sorted(range(1, len(passages) + 1), key=lambda n: -shares[n - 1]):
        if check_sentence(f"{said} [{number}]", passages, reranker) == SUPPORTED:
            return number
    return None


def cited_numbers(text: str) -> tuple[int, ...]:
    """Return the distinct numbers that a text cites, in text order."""
    ranges = (part for match in CITATION.finditer(text) for part in re.findall(_RANGE, match[1]))
    return tuple(dict.fromkeys(number for part in ranges for number in _read_range(part)))


def _read_range(text: str) -> Sequence[int]:
    """The numbers of a range such as "1-3"; only its two ends if it is not ascending or too long."""
    ends = [int(number) for number in re.findall(r"\d+", text)]
    return range(ends[0], ends[-1] + 1) if 0 < ends[-1] - ends[0] < _LONGEST_RANGE else ends


def without_citations(text: str, most: int | None = None) -> str:
    """Remove citations from a text. If `most` is given, citations of numbers outside 1 to `most` stay."""

    def leave(citation: re.Match[str]) -> str:
        known = most is None or all(1 <= number <= most for number in cited_numbers(citation[0]))
        return "" if known else citation[0]

    return re.sub(r"(?<!\s)\s+([.!?,;])", r"\1", CITATION.sub(leave, text)).strip()


def _is_copy(said: str, passage: Passage) -> bool:
    """Return True if a text is a whole sentence of a passage, apart from case, spaces and punctuation."""
    own = _words(said)
    return any(own == _words(passage.text[start:end]) for start, end in sentences(passage.text))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s.,;:!?\"'“”‘’()]", text.casefold())


def _is_said(said: str, cited: Sequence[Passage]) -> bool:
    texts = [full_text(passage) for passage in cited]
    return (
        coverage(said, texts) >= LEAST_COVERAGE
        and all(max(_nearby(part, passage) for passage in cited) >= LEAST_NEARBY for part in _statements(said))
        and all(_has_number(number, clause, texts) for clause in clauses(said) for number in _numbers(clause))
        and not _is_denied(said, texts)
        and not _has_antonym(said, texts)
        and not _swaps_operation(said, texts)
        and not _swaps_sides(said, texts)
        and not _is_about_another(said, cited)
    )


def coverage(said: str, texts: Sequence[str]) -> float:
    """Return the share of a sentence's terms, 0 to 1, that occur in the texts."""
    own, known = set(_terms(said)), {term for text in texts for term in _terms(text)}
    return len(own & known) / len(own) if own else 0.0


def _nearby(statement: str, passage: Passage) -> float:
    """Return the largest share of a statement's terms that two adjoining sentences of a passage and its headings hold."""
    own, headings = set(_terms(_NEGATION.sub("", statement))), set(_terms(heading_path(passage)))
    read = [set(_terms(passage.text[start:end])) for start, end in sentences(passage.text)]
    pairs = pairwise([*read, set()])
    return max((len(own & (headings | one | other)) / len(own) for one, other in pairs), default=0.0) if own else 1.0


def clauses(text: str) -> list[str]:
    """Split a text into clauses."""
    found = (part.strip() for start, end in sentences(text) for part in _CLAUSE.split(text[start:end]))
    return [part for part in found if part]


def _numbers(text: str) -> Iterator[str]:
    for match in _NUMBER.finditer(text):
        yield match[0].replace(",", "")
    for match in _COUNTING.finditer(text):
        yield _IN_WORDS[match[1].lower()]


def _has_number(number: str, clause: str, texts: Sequence[str]) -> bool:
    """Return True if a sentence of the texts contains the number and enough terms of the clause."""
    wanted = {term for term in _terms(clause) if not any(c.isdigit() for c in term)}
    for text in texts:
        for start, end in sentences(text):
            if number in _numbers(text[start:end]):
                shared = wanted & set(_terms(text[start:end]))
                if len(shared) >= _SAME_CONTEXT * len(wanted):
                    return True
    return False


def _is_denied(said: str, texts: Sequence[str]) -> bool:
    """Return True if a clause of `said` says the same as clauses of the texts, and all of these have the opposite negation."""
    others = [(set(_terms(clause)), _is_negated(clause)) for text in texts for clause in clauses(text)]
    for clause in clauses(said):
        own, negated = set(_terms(clause)), _is_negated(clause)
        alike = (
            [(len(own & other) / len(own), other_negated) for other, other_negated in others] if len(own) > 1 else []
        )
        best = max((share for share, _ in alike), default=0.0)
        opposite = all(other is not None and other != negated for share, other in alike if share == best)
        if negated is not None and best >= _SAME_CLAUSE and opposite:
            return True
    return False


def _is_negated(clause: str) -> bool | None:
    """Return whether a clause is negated; None if it is hedged ("seldom", "not always") and so fits both."""
    if _HEDGE.search(clause):
        return None
    return len(_NEGATION.findall(clause)) % 2 == 1


def _is_about_another(said: str, cited: Sequence[Passage]) -> bool:
    """Return True if a statement says about one thing what the passages say about another thing, and they name both.

    A subject that occurs in a title or section is not checked, because passages often do not repeat it.
    """
    named = {term for passage in cited for term in _terms(heading_path(passage))}
    statements = [s for passage in cited for s in _statements(passage.text)]
    known = {term for statement in statements for term in _terms(statement)}
    for clause in _statements(said):
        subject, *others = dict.fromkeys(_terms(clause)) or [""]
        if subject in named or subject not in known or len(others) < 2:
            continue
        nearest = max(statements, key=lambda s: len(set(_terms(s)) & {subject, *others}))
        own = set(_terms(nearest))
        if (
            subject not in own
            and len(own & set(others)) >= _SAME_STATEMENT * len(others)
            and not _PRONOUN.match(nearest)
        ):
            return True
    return False


def _statements(text: str) -> list[str]:
    """Split a text into parts that have their own subjects."""
    found = (part.strip() for start, end in sentences(text) for part in _STATEMENT.split(text[start:end]))
    return [part for part in found if part]


def _has_antonym(said: str, texts: Sequence[str]) -> bool:
    """Return True if a word of the sentence is missing in the texts and they contain its antonym instead."""
    own, known = set(_terms(said)), {term for text in texts for term in _terms(text)}
    return any(
        own & _stems(one) - known and known & _stems(other) - own
        for pair in _ANTONYMS
        for one, other in (pair, pair[::-1])
    )


def _swaps_operation(said: str, texts: Sequence[str]) -> bool:
    """Return True if a text does the opposite with the same operand: it divides by 1 − p where the sentence multiplies."""
    for pair in _OPERATIONS:
        for own, opposite in (pair, pair[::-1]):
            swapped = _operands(own, [said]) & _operands(opposite, texts)
            if swapped - _operands(own, texts):
                return True
    return False


def _operands(operation: re.Pattern[str], texts: Sequence[str]) -> set[str]:
    found = (match[1] for text in texts for match in operation.finditer(text))
    return {operand.strip(".,;:()").casefold().replace("−", "-").replace("–", "-") for operand in found}


def _swaps_sides(said: str, texts: Sequence[str]) -> bool:
    """Return True if a comparison has its two sides swapped: "A is faster than B" for "B is faster than A"."""
    own = _sides(said)
    nearest = max(
        (sides for text in texts for statement in _statements(text) if (sides := _sides(statement))),
        key=lambda sides: len((sides[0] | sides[1]) & (own[0] | own[1])) if own else 0,
        default=None,
    )
    if own is None or nearest is None:
        return False
    left, right = own[0] - own[1], own[1] - own[0]
    kept = len(left & nearest[0]) + len(right & nearest[1])
    swapped = [left & nearest[1] - nearest[0], right & nearest[0] - nearest[1]]
    return all(swapped) and len(swapped[0]) + len(swapped[1]) >= kept


def _sides(statement: str) -> tuple[set[str], set[str]] | None:
    """Return the terms before and after "than"; None for a statement that does not compare."""
    parts = _THAN.split(statement)
    return (set(_terms(parts[0])), set(_terms(parts[1]))) if len(parts) == 2 else None


@lru_cache(4096)
def _terms(text: str) -> tuple[str, ...]:
    return tuple(usual_analyzer().terms(text))


def _stems(words: Sequence[str]) -> set[str]:
    return {term for word in words for term in _terms(word)}
