"""Conversations: rewrite a follow-up question so that it can be understood alone, and suggest the next questions.

Both work by rules, without a model. A follow-up question lacks something: a pronoun has no antecedent ("and when should I not
use it?"), its nouns need a topic ("what are the advantages?"), or it has no verb ("and for regression?"). The missing part is
the topic of the question before, that is, the words of that question that its hits are about. A question that may not be a
follow-up, such as "how many trees do I need?", stays as it is.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, zip_longest
from weakref import WeakKeyDictionary

from ragqa.index.bm25 import Bm25Index
from ragqa.index.neighbours import neighbours
from ragqa.records import Answer, Passage
from ragqa.search.pronouns import replace_pronoun
from ragqa.search.question import MAX_QUESTION_CHARS
from ragqa.search.topics import ASPECTS, PAIR, Topic, is_empty, topic_of, words_of
from ragqa.text.questions import QuestionGenerator

_OPENINGS = "and but so or also then ok okay thanks".split()
_OPENING = re.compile(rf"(?:(?:{'|'.join(_OPENINGS)})\b[\s,.!:-]*)+(?=\S)", re.IGNORECASE)
_ABOUT = re.compile(r"(?:what|how) about\s+", re.IGNORECASE)
_ASKING = re.compile(
    r"\b(?:what|how|why|when|where|which|who|is|are|was|were|does|do|did|can|could|should|would|will|has|have|tell|explain|"
    r"show|describe|list|name)\b",
    re.IGNORECASE,
)
_QUESTION_WORD = re.compile(r"(?:why|how|how so|how come|why not|really|when|where|who)[\s?!.]*", re.IGNORECASE)
_DEFINITE = re.compile(r"\b(?:the|any|some|other|more|an example|main|typical|common)\b", re.IGNORECASE)
_PREPOSITION = re.compile(r"(?:in|for|with|on|at|when|during|without|after|before|against|if) ", re.IGNORECASE)
_FORMS = ("what", "how", "difference")
_SAMPLE = 2000  # passages that are read to learn which words are names
_AROUND = 40  # passages before and after the hit that may give suggestions
_FOUND_WITHIN = 5  # a suggested question must find its own page among so many passages by BM25
_GENERATORS: "WeakKeyDictionary[Bm25Index, QuestionGenerator]" = WeakKeyDictionary()
_SUBJECT = re.compile(r"What (?:is|are) (?P<subject>(?P<article>an? |the )?(?P<noun>.+?))(?: in (?P<page>[^?]+))?\?")
_CLUMSY = re.compile(
    r"[^\w(]|\d+\b|(?:in|on|of|for|with|to|at|by|from|as|five|ten|two|three|word|common|typical|practical|comparison|relation|"
    r"kinds|difference|role|further|new|usual|sensible|choosing|using|training|avoiding|\w+ly|"
    r"\w+ing(?= (?:up|the|an?|in|from|it)\b))\b|"
    r".*(?:[^\w ’'/.–-]|_| and | or | versus | the | their | its |s behind)",
    re.IGNORECASE,
)
_ONE_OF_MANY = re.compile(  # titles that need an indefinite article: "a confusion matrix"
    r"\b(?:algorithm|autoencoder|bandit|classifier|curve|encoder|forest|function|layer|machine|matrix|method|model|network|"
    r"perceptron|process|system|transformer|tree|unit)$",
    re.IGNORECASE,
)
_WHY_USED = re.compile(
    r"motivation|rationale|why (?:it|they) (?:helps?|works?|matters?|(?:is|are) used)", re.IGNORECASE
)


def standalone(question: str, earlier: Sequence[Answer]) -> str:
    """Rewrite a follow-up question so that it can be understood alone, with the topic of the last answered question.

    A first question, and one that can be understood alone, is returned unchanged. Deterministic.
    """
    if len(question) > MAX_QUESTION_CHARS or all(word in _OPENINGS for word in words_of(question)):
        return question
    before = next((answer for answer in reversed(earlier) if answer.hits), None)
    topic = topic_of(before) if before else None
    if before is None or topic is None:
        return question
    asked = _OPENING.sub("", question.strip(), count=1) if _OPENING.match(question.strip()) else question.strip()
    return (
        replace_pronoun(asked, topic)
        or _extend(asked, before.question, topic, opened=asked != question.strip())
        or question
    )


def _extend(asked: str, earlier: str, topic: Topic, *, opened: bool) -> str | None:
    """Complete a question that has no pronoun to replace; return None if nothing is missing.

    `opened` means that the question began with "and" or a similar word.
    """
    stem = asked.rstrip(" ?!.")
    if _QUESTION_WORD.fullmatch(asked):
        return f"{stem}: {earlier}"
    if about := _ABOUT.match(asked):
        return None if _ASKING.search(asked, about.end()) else f"{stem} with {topic.text}?"
    if is_empty(stem):
        return _complete(stem, topic)
    return _continue(stem, earlier, topic) if opened and not _ASKING.search(asked) else None


def suggest(answer: Answer, index: Bm25Index, count: int = 3) -> list[str]:
    """Suggest at most `count` next questions, generated from passages near the hits; none without hits.

    First come questions that other sections of the answering page answer, nearest sections first, then those of the pages of
    the other hits, which get at least one place if they have any. Each question finds its own page by BM25 and differs from
    the question that was asked. The first call for an index reads up to 2,000 passages. Raises `InputError` for hits of
    another index.
    """
    if not answer.hits or count < 1:
        return []
    best = answer.source or answer.hits[0].passage
    others = {hit.passage.title: hit.passage for hit in reversed(answer.hits) if hit.passage.title != best.title}
    taken = {frozenset(index.question_terms(answer.question))}
    words = f" {' '.join(words_of(answer.question))} "
    own = list(islice(_fresh(_asked_nearby(best, index, words, answering=True), index, taken), count))
    pages = [_fresh(_asked_nearby(passage, index, words), index, taken) for passage in reversed(others.values())]
    rounds = chain.from_iterable(
        zip_longest(*(islice(page, count) for page in pages))
    )  # one question of each page, then more
    kept = own[: max(1, count - 1)]
    kept += islice((question for question in rounds if question), count - len(kept))
    return [*kept, *own[max(1, count - 1) :]][:count]


def _fresh(asked: Iterable[tuple[str, Passage]], index: Bm25Index, taken: set[frozenset[str]]) -> Iterator[str]:
    """Yield the questions that find their own page and do not repeat the terms of one in `taken`. Add them to `taken`."""
    for question, passage in asked:
        terms = frozenset(index.question_terms(question))
        if terms not in taken and any(p.title == passage.title for p, _ in index.search(question, _FOUND_WITHIN)):
            taken.add(terms)
            yield question


def _asked_nearby(
    passage: Passage, index: Bm25Index, words: str, *, answering: bool = False
) -> Iterator[tuple[str, Passage]]:
    """Yield questions that the page of a passage answers, with the passage that answers each, nearest passages first.

    If `answering`, the section of `passage` is left out. The questions call the topic of the page by its name in `words` (the
    question before) if the first passage of the page defines that name.
    """
    around = neighbours(index, passage, _AROUND, _AROUND)
    page = sorted([passage, *around], key=lambda p: p.start)
    position = page.index(passage)
    generator = _generator(index).narrowed(page)
    topic = generator.topic(passage.title)
    opening = [question.text for question in generator.questions(page[0])]
    whole = _named_as_in(words, opening) or _with_article(topic, opening)
    nearby = (near for _, _, near in sorted((abs(n - position), -n, p) for n, p in enumerate(page)))
    others = [p for p in nearby if not answering or (p.id != passage.id and p.section != passage.section)]
    made = [
        (question.text, p)
        for p in others
        for question in generator.questions(p)
        if _reads_well(question.text, p, topic)
    ]
    made.sort(key=lambda pair: not _is_of_heading(pair[0], topic))
    for question, near in made:
        named = question if whole in question else re.sub(rf"\b{re.escape(topic)}(?=[ ?])", lambda _: whole, question)
        yield re.sub(r"^(What are the \w+) in ", r"\1 of ", named), near


def _is_of_heading(question: str, topic: str) -> bool:
    """Return True if a question asks about a page or one of its sections, not only about a term defined there."""
    match = _SUBJECT.fullmatch(question)
    return match is None or bool(match["page"]) or topic in question


def _named_as_in(words: str, opening: Iterable[str]) -> str | None:
    """The subject of a question for the first passage of a page (`opening`), if it occurs in `words`; else None."""
    subjects = filter(None, map(_SUBJECT.fullmatch, opening))
    return next((match["subject"] for match in subjects if f" {' '.join(words_of(match['noun']))} " in words), None)


def _with_article(topic: str, opening: Iterable[str]) -> str:
    """The topic of a page with the article it has in the questions for its first passage, else with a fitting article."""
    pattern = re.compile(rf"What (?:is|are) ((?:an? |the ){re.escape(topic)})\?")
    if named := next((match[1] for question in opening if (match := pattern.fullmatch(question))), ""):
        return named
    return f"{'an' if topic[0] in 'aeiouAEIO' else 'a'} {topic}" if _ONE_OF_MANY.search(topic) else topic


def _reads_well(question: str, passage: Passage, topic: str) -> bool:
    """Return True if a person might ask this generated question. Many headings and definitions give clumsy ones."""
    if question.startswith("Why is "):
        return _WHY_USED.fullmatch(passage.section) is not None
    match = _SUBJECT.fullmatch(question)
    if match is None or question.startswith(
        ("What is the difference", "What is the history", "What is the definition")
    ):
        return True
    noun, single = match["noun"], " " not in match["noun"]
    if noun == topic:
        return True
    if _CLUMSY.match(noun) or is_empty(noun):
        return False
    if match["page"]:
        return noun[0].islower() and (question.startswith("What are the") or not single)
    return match["article"] != "the " and (match["article"] is not None or question.startswith("What is "))


def _generator(index: Bm25Index) -> QuestionGenerator:
    """The question generator of an index. The first call reads a sample of passages to learn which words are names."""
    if index not in _GENERATORS:
        passages = index.passages
        sample = range(0, len(passages), -(-len(passages) // _SAMPLE))
        _GENERATORS[index] = QuestionGenerator([passages[position] for position in sample], _FORMS)
    return _GENERATORS[index]


def _complete(stem: str, topic: Topic) -> str | None:
    """Add the topic to a question without one; None if its nouns can be the topic themselves ("parameters")."""
    words = words_of(stem)
    names_aspect = not ASPECTS.isdisjoint(words)
    if PAIR.search(stem) or (names_aspect and _ASKING.search(stem) and not _DEFINITE.search(stem)):
        return None
    joint = "of" if words and words[-1] in ASPECTS else "with"
    return f"{stem} {joint} {topic.text}?"


def _continue(fragment: str, earlier: str, topic: Topic) -> str:
    """Ask the earlier question about a fragment: "recall" replaces the topic, "for regression" is added to it."""
    stem = earlier.rstrip(" ?!.")
    if preposition := _PREPOSITION.match(fragment):
        offset = stem.lower().rfind(f" {preposition[0].lower()}")
        return f"{stem[:offset] if offset > 0 else stem} {fragment}?"
    if topic.parts or topic.text not in stem:
        return f"{stem}, and {fragment}?"
    return f"{stem.replace(topic.text, fragment, 1)}?"
