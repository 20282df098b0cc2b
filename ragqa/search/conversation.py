"""Conversations: rewrite a follow-up question so that it can be understood alone, and suggest the next questions.

Both work by rules, without a model. `talk` keeps the topic of the conversation, which may be older than the last question. A
question has one of the usual forms ("why?", "what about X?", `followups`), or a pronoun without an antecedent (`pronouns`), or
it lacks a topic ("advantages?"). A question that may not be a follow-up, such as "how many trees do I need?", stays as it is.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, zip_longest
from weakref import WeakKeyDictionary

from ragqa.index.filters import Where
from ragqa.index.interface import Index
from ragqa.index.neighbours import neighbours
from ragqa.records import Answer, Passage
from ragqa.search.followups import complete, rewrite
from ragqa.search.pronouns import replace_pronoun
from ragqa.search.question import MAX_QUESTION_CHARS
from ragqa.search.small_talk import reply_to
from ragqa.search.talk import antecedent, talk_of
from ragqa.search.vocabulary import ASPECTS, is_empty, words_of
from ragqa.text.questions import QuestionGenerator

_OPENINGS = "and but so or also then ok okay well please".split()
_OPENING = re.compile(
    rf"(?:(?:{'|'.join(_OPENINGS)}|thanks|thank you|(?:(?-i:[Hh]m+)|hi|hello|hey)(?=[,.!…]))\b[\s,.!:…-]*)+(?=\S)",
    re.IGNORECASE,
)
_TURNS = 8  # answers that are read to find the topic
_FORMS = ("what", "how", "difference")
_SAMPLE = 2000  # passages that are read to learn which words are names
_AROUND = 40  # passages before and after the hit that may give suggestions
_FOUND_WITHIN = 5  # a suggested question must find its own page among so many passages by BM25
_GENERATORS: "WeakKeyDictionary[Index, QuestionGenerator]" = WeakKeyDictionary()
_SUBJECT = re.compile(r"What (?:is|are) (?P<subject>(?P<article>an? |the )?(?P<noun>.+?))(?: in (?P<page>[^?]+))?\?")
_CLUMSY = re.compile(
    r"[^\w(]|\d+\b|(?:in|on|of|for|with|to|at|by|from|as|five|ten|two|three|word|common|typical|practical|comparison|relation|"
    r"kinds|difference|role|further|new|usual|sensible|choosing|using|training|avoiding|\w+ly|"
    r"\w+ing(?= (?:up|the|an?|in|from|it|by|with|of|on|for)\b)|"
    r"\w+ing(?= [a-z -]+s$)|\w+ criteria|structure|compared|more|less|faster|better)\b|"
    r".*(?:[^\w ’'/.–-]|_| and | or | versus | the | their | its |s behind)",
    re.IGNORECASE,
)
_ONE_OF_MANY = re.compile(  # titles that need an indefinite article: "a confusion matrix"
    r"\b(?:algorithm|autoencoder|bandit|classifier|curve|encoder|forest|function|layer|machine|matrix|method|model|network|"
    r"perceptron|process|system|transformer|tree|unit)$",
    re.IGNORECASE,
)
_OF_ONE = re.compile(  # questions about many of a kind: "What is the history of a mixture model?"
    r"(?P<ask>What is the history of|What types of|What are the [\w -]+ (?:in|of|for)) an? "
    rf"(?P<noun>[^?]*{_ONE_OF_MANY.pattern[:-1]})"
    r"(?P<end>\?| are there\?)"
)
_IN_PAGE = re.compile(r"^(What are the (?!defenses)\w+) in ")
_FOR_PAGE = re.compile(r"^(What are the (?:remedies|reasons|solutions)) (?:in|of) ")
_GENERAL = ("What is the difference", "What is the history", "What is the definition")
_LEADING_ARTICLE = re.compile(r"(?:an?|the) ")
_ONLY_ONE = re.compile(r"\b(?:characteristic|problem|score|tradeoff|trick)$", re.IGNORECASE)
_ASKED_OF_A_PAGE = ASPECTS | frozenset(
    "architectures approaches defenses extensions families properties remedies tasks".split()
)
_WHY_USED = re.compile(
    r"motivation|rationale|why (?:it|they) (?:helps?|works?|matters?|(?:is|are) used)", re.IGNORECASE
)


def standalone(question: str, earlier: Sequence[Answer]) -> str:
    """Rewrite a follow-up question so that it can be understood alone, with the topic of the questions answered before.

    A first question, one that can be understood alone, and greetings and thanks are returned unchanged. Deterministic.
    """
    typed = question.strip()
    if len(question) > MAX_QUESTION_CHARS or reply_to(typed) or all(word in _OPENINGS for word in words_of(question)):
        return question
    talk = talk_of([answer for answer in earlier if answer.hits][-_TURNS:])
    if talk is None:
        return question
    asked = _OPENING.sub("", typed, count=1) if _OPENING.match(typed) else typed
    return (
        rewrite(asked, talk, opened=asked != typed)
        or replace_pronoun(asked, antecedent(asked, talk))
        or complete(asked, talk, opened=asked != typed)
        or question
    )


def suggest(answer: Answer, index: Index, count: int = 3, *, where: Where | None = None) -> list[str]:
    """Suggest at most `count` next questions, generated from passages near the hits; none without hits.

    First come questions that other sections of the answering page answer, nearest sections first, then those of the pages of
    the other hits, which get at least one place if they have any. Each question finds its own page by BM25 and differs from
    the question that was asked. Only passages that meet the filter `where` give or answer questions. The first call for an
    index reads up to 2,000 passages. Raises `InputError` for hits of another index, and as `Bm25Index.mask` does.
    """
    if not answer.hits or count < 1:
        return []
    best = answer.source or answer.hits[0].passage
    others = {hit.passage.title: hit.passage for hit in reversed(answer.hits) if hit.passage.title != best.title}
    taken = {frozenset(index.question_terms(answer.question))}
    words = f" {' '.join(words_of(answer.question))} "
    own = list(islice(_fresh(_asked_nearby(best, index, words, where, answering=True), index, taken, where), count))
    pages = [
        _fresh(_asked_nearby(passage, index, words, where), index, taken, where)
        for passage in reversed(others.values())
    ]
    rounds = chain.from_iterable(
        zip_longest(*(islice(page, count) for page in pages))
    )  # one question of each page, then more
    kept = own[: max(1, count - 1)]
    kept += islice((question for question in rounds if question), count - len(kept))
    return [*kept, *own[max(1, count - 1) :]][:count]


def _fresh(
    asked: Iterable[tuple[str, Passage]], index: Index, taken: set[frozenset[str]], where: Where | None
) -> Iterator[str]:
    """Yield the questions that find their own page and do not repeat the terms of one in `taken`. Add them to `taken`."""
    for question, passage in asked:
        terms = frozenset(index.question_terms(question))
        found = [] if terms in taken else index.search(question, _FOUND_WITHIN, where=where)
        if any(p.title == passage.title for p, _ in found):
            taken.add(terms)
            yield question


def _asked_nearby(
    passage: Passage, index: Index, words: str, where: Where | None, *, answering: bool = False
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
    named = _named_as_in(words, opening)
    whole = named if named and named != topic else _with_article(topic, opening)
    shown = _inside_sentence(whole, page)
    mask = index.mask(where)
    met = [n for n, p in enumerate(page) if mask is None or mask[index.position(p.id)]]
    nearby = (near for _, _, near in sorted((abs(n - position), -n, page[n]) for n in met))
    others = [p for p in nearby if not answering or (p.id != passage.id and p.section != passage.section)]
    made = [
        (question.text, p)
        for p in others
        for question in generator.questions(p)
        if _reads_well(question.text, p, topic)
    ]
    made.sort(key=lambda pair: not _is_of_heading(pair[0], topic))
    for question, near in made:
        own = whole if whole in question else topic
        yield _natural(re.sub(rf"\b{re.escape(own)}(?=[ ?])", lambda _: shown, question)), near


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
    if _ONLY_ONE.search(topic):
        return f"the {topic}"
    return f"{'an' if topic[0] in 'aeiouAEIO' else 'a'} {topic}" if _ONE_OF_MANY.search(topic) else topic


def _inside_sentence(subject: str, page: Sequence[Passage]) -> str:
    """Return the name of a page without its capital, if the page itself writes it so: "the bias–variance tradeoff"."""
    article = _LEADING_ARTICLE.match(subject)
    start = article.end() if article else 0
    lower = subject[start : start + 1].lower() + subject[start + 1 :]
    first = re.compile(rf"(?<![\w-]){re.escape(lower.split(' ')[0])}(?![\w-])")
    return subject[:start] + lower if any(first.search(passage.text) for passage in page) else subject


def _natural(question: str) -> str:
    """Return a generated question as a person would put it: the right preposition, and plurals instead of "of a …"."""
    if many := _OF_ONE.fullmatch(question):
        return f"{many['ask']} {_plural(many['noun'])}{many['end']}"
    question = _IN_PAGE.sub(r"\1 of ", question)
    return _FOR_PAGE.sub(r"\1 for ", question)


def _plural(noun: str) -> str:
    """Return the plural of a title for which `_ONE_OF_MANY` has a match: "confusion matrices"."""
    if noun.endswith("matrix"):
        return f"{noun[:-1].removesuffix('i')}ices"
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"


def _reads_well(question: str, passage: Passage, topic: str) -> bool:
    """Return True if a person might ask this generated question. Many headings and definitions give clumsy ones."""
    if question.startswith("Why is "):
        return _WHY_USED.fullmatch(passage.section) is not None
    match = _SUBJECT.fullmatch(question)
    if match is None or match["noun"] == topic or question.startswith(_GENERAL):
        return True
    noun = match["noun"]
    if _CLUMSY.match(noun) or is_empty(noun):
        return False
    return _fits_page(noun, topic) if match["page"] else _fits_term(question, match, topic)


def _fits_page(noun: str, topic: str) -> bool:
    """Return True if a noun from a heading can be asked "in" a page: it does not repeat the page's name."""
    repeated = not set(words_of(noun)).isdisjoint(words_of(topic))
    return noun[0].islower() and not repeated and (" " in noun or noun in _ASKED_OF_A_PAGE)


def _fits_term(question: str, match: "re.Match[str]", topic: str) -> bool:
    """Return True if a defined term can be asked alone: it is no word of the page's name ("ridge") and no plural."""
    if match["noun"].lower() in words_of(topic):
        return False
    return match["article"] != "the " and (match["article"] is not None or question.startswith("What is "))


def _generator(index: Index) -> QuestionGenerator:
    """The question generator of an index. The first call reads a sample of passages to learn which words are names."""
    if index not in _GENERATORS:
        passages = index.passages
        sample = range(0, len(passages), -(-len(passages) // _SAMPLE))
        _GENERATORS[index] = QuestionGenerator([passages[position] for position in sample], _FORMS)
    return _GENERATORS[index]
