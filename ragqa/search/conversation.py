"""What was asked before and what is asked now: follow-up questions made to stand on their own, and questions to ask next.

All of it is done by rule, without a model. A follow-up is told by what it lacks: a pronoun with nothing before it that it
could stand for ("and when should I not use it?"), nouns that say nothing alone ("what are the advantages?"), or a verb ("and
for regression?"). What it lacks is the topic of the question before: the words of that question that its hits are about.
A question of which that is not certain stays as it is: "how many trees do I need?" does not say that it is a follow-up.
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
_SAMPLE = 2000  # passages that show which words are names
_AROUND = 40  # passages of a page that are looked at, before and after the hit
_FOUND_WITHIN = (
    5  # first passages that BM25 finds: one of them must be of the page that a suggested question comes from
)
_KNOWN: "WeakKeyDictionary[Bm25Index, QuestionGenerator]" = WeakKeyDictionary()
_SUBJECT = re.compile(r"What (?:is|are) (?P<subject>(?P<article>an? |the )?(?P<noun>.+?))(?: in (?P<page>[^?]+))?\?")
_CLUMSY = re.compile(
    r"[^\w(]|\d+\b|(?:in|on|of|for|with|to|at|by|from|as|five|ten|two|three|word|common|typical|practical|comparison|relation|"
    r"kinds|difference|role|further|new|usual|sensible|choosing|using|training|avoiding|\w+ly|"
    r"\w+ing(?= (?:up|the|an?|in|from|it)\b))\b|"
    r".*(?:[^\w ’'/.–-]|_| and | or | versus | the | their | its |s behind)",
    re.IGNORECASE,
)
_ONE_OF_MANY = re.compile(  # what a title names is one of several: "a confusion matrix"
    r"\b(?:algorithm|autoencoder|bandit|classifier|curve|encoder|forest|function|layer|machine|matrix|method|model|network|"
    r"perceptron|process|system|transformer|tree|unit)$",
    re.IGNORECASE,
)
_WHY_USED = re.compile(
    r"motivation|rationale|why (?:it|they) (?:helps?|works?|matters?|(?:is|are) used)", re.IGNORECASE
)


def standalone(question: str, earlier: Sequence[Answer]) -> str:
    """Put the topic of the last answered question into a question that cannot be understood without it.

    A question that stands on its own comes back as it is, and so does every first one. The same question and answers
    always give the same.
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
    """A question that has no pronoun to replace with what it lacks, or None if it lacks nothing.

    `opened`: "and", or a like word, stood before it.
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
    """At most `count` questions to ask next, all generated from passages of the index near the hits; none without hits.

    First what other sections of the answering page answer, the nearest first, then what the pages of the other hits do;
    one place is kept for these. Each is one that BM25 finds its page with, and never the question that was asked. The first
    call for an index reads up to 2,000 of its passages. Raises `InputError` for hits of another index.
    """
    if not answer.hits or count < 1:
        return []
    best = answer.hits[answer.sentences[0].hit if answer.sentences else 0].passage
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
    """The questions that have not been taken in other words and that the index finds the page of."""
    for question, passage in asked:
        terms = frozenset(index.question_terms(question))
        if terms not in taken and any(p.title == passage.title for p, _ in index.search(question, _FOUND_WITHIN)):
            taken.add(terms)
            yield question


def _asked_nearby(
    passage: Passage, index: Bm25Index, words: str, *, answering: bool = False
) -> Iterator[tuple[str, Passage]]:
    """The questions that a page's passages answer, those nearest to one of them first; not its own section's if `answering`.

    They call the page's topic as the `words` of the question before do, if that is a name which its first passage defines.
    """
    around = neighbours(index, passage, _AROUND, _AROUND)
    page = sorted([passage, *around], key=lambda p: p.start)
    place = page.index(passage)
    generator = _generator(index).narrowed(page)
    topic = generator.topic(passage.title)
    opening = [question.text for question in generator.questions(page[0])]
    whole = _named_as_in(words, opening) or _with_article(topic, opening)
    nearby = (near for _, _, near in sorted((abs(n - place), -n, p) for n, p in enumerate(page)))
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
    """Whether a question asks about a page or a section of it, not only about a term that is defined there."""
    match = _SUBJECT.fullmatch(question)
    return match is None or bool(match["page"]) or topic in question


def _named_as_in(words: str, opening: Iterable[str]) -> str | None:
    """What the first passage of a page defines, as it stands in the question for that, if it is among the `words`."""
    subjects = filter(None, map(_SUBJECT.fullmatch, opening))
    return next((match["subject"] for match in subjects if f" {' '.join(words_of(match['noun']))} " in words), None)


def _with_article(topic: str, opening: Iterable[str]) -> str:
    """A page's topic as it stands in the question that its first passage answers, else with the article that it should have."""
    pattern = re.compile(rf"What (?:is|are) ((?:an? |the ){re.escape(topic)})\?")
    if named := next((match[1] for question in opening if (match := pattern.fullmatch(question))), ""):
        return named
    return f"{'an' if topic[0] in 'aeiouAEIO' else 'a'} {topic}" if _ONE_OF_MANY.search(topic) else topic


def _reads_well(question: str, passage: Passage, topic: str) -> bool:
    """Whether a generated question is one that a person might ask: many headings and definitions make none."""
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
    """What a sample of the index's passages says of which words are names, read once."""
    if index not in _KNOWN:
        passages = index.passages
        places = range(0, len(passages), -(-len(passages) // _SAMPLE))
        _KNOWN[index] = QuestionGenerator([passages[place] for place in places], _FORMS)
    return _KNOWN[index]


def _complete(stem: str, topic: Topic) -> str | None:
    """A question without a topic with it, or None for one about things that can be a topic themselves ("parameters")."""
    words = words_of(stem)
    names_aspect = not ASPECTS.isdisjoint(words)
    if PAIR.search(stem) or (names_aspect and _ASKING.search(stem) and not _DEFINITE.search(stem)):
        return None
    joint = "of" if words and words[-1] in ASPECTS else "with"
    return f"{stem} {joint} {topic.text}?"


def _continue(fragment: str, earlier: str, topic: Topic) -> str:
    """The earlier question asked of what a fragment names: "recall" instead of the topic, "for regression" in addition."""
    stem = earlier.rstrip(" ?!.")
    if preposition := _PREPOSITION.match(fragment):
        place = stem.lower().rfind(f" {preposition[0].lower()}")
        return f"{stem[:place] if place > 0 else stem} {fragment}?"
    if topic.parts or topic.text not in stem:
        return f"{stem}, and {fragment}?"
    return f"{stem.replace(topic.text, fragment, 1)}?"
