"""Why a passage stands where it does: what each term, each part of the score and each of its sentences says to the question."""

from collections.abc import Iterator
from dataclasses import dataclass

from ragqa.answer import rank_sentences
from ragqa.bm25 import Bm25Index
from ragqa.errors import InputError
from ragqa.lexical.analyzer import usual_analyzer, words
from ragqa.passages import full_text
from ragqa.records import Hit, Passage, Sentence
from ragqa.retrieve import Retriever, check_question


@dataclass(frozen=True, slots=True)
class TermScore:
    """A term that question and passage share, the word of the question that it comes from, and its part of the BM25 score.

    The word of an abbreviation that the index adds to a question ("LSTM" for "long short-term memory") is the term itself.
    """

    term: str
    word: str
    score: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a hit's score is made of.

    `terms`, highest first, add up to `hit.bm25_score`; `missing` are the question's words that the index does not find the
    passage by. `logit` is the reranker's of the whole passage and `cosine` the embedder's, None where there is none: together
    with the BM25 score, each with its weight of `ragqa.retrieve`, they make `hit.score`. `sentences` are the passage's, with
    the reranker's logits, best first; without a reranker there are none.
    """

    question: str
    hit: Hit
    terms: tuple[TermScore, ...]
    missing: tuple[str, ...]
    logit: float | None
    cosine: float | None
    sentences: tuple[Sentence, ...]


def explain(retriever: Retriever, question: str, hit: Hit) -> Explanation:
    """Take apart the score that a hit of this retriever has for this question.

    Raises `InputError` for a question that cannot be asked and for a hit whose passage is not in the index.
    """
    question = check_question(question)
    place = retriever.index.place(hit.passage.id)
    scores = retriever.index.term_scores(question, place)
    spelled = _words_of_terms(question)
    found = [TermScore(term, spelled.get(term, term), score) for term, score in scores.items() if score > 0]
    found.sort(key=lambda term: -term.score)
    matched = {term.word for term in found}
    missing = dict.fromkeys(spelled[term] for term in scores if term in spelled and spelled[term] not in matched)
    reranker, dense = retriever.reranker, retriever.dense
    return Explanation(
        question,
        hit,
        tuple(found),
        tuple(missing),
        float(reranker.score(question, [full_text(hit.passage)])[0]) if reranker else None,
        float(dense.scores(question)[place]) if dense else None,
        rank_sentences(question, [hit], reranker) if reranker else (),
    )


def neighbours(index: Bm25Index, passage: Passage, before: int = 1, after: int = 1) -> list[Passage]:
    """The passages around one on its page, in page order, without itself: at most so many before it and after it.

    They are found by the number in the id (`title#number`), else by their places in the index, where passages of a page
    follow each other; a passage that does not surely stand on the same page, behind or before, is not taken. Raises
    `InputError` if the passage is not in the index.
    """
    earlier = list(_walk(index, passage, -1, before))
    return [*reversed(earlier), *_walk(index, passage, 1, after)]


def _walk(index: Bm25Index, passage: Passage, step: int, count: int) -> Iterator[Passage]:
    place = index.place(passage.id)
    for _ in range(count):
        place = _next(index, passage, place, step)
        if place < 0:
            return
        passage = index.passages[place]
        yield passage


def _next(index: Bm25Index, passage: Passage, place: int, step: int) -> int:
    """The place of the passage that follows (`step` 1) or precedes (-1) the one at `place` on its page, or -1 at its end."""
    beside = place + step
    if 0 <= beside < len(index.passages) and _are_neighbours(passage, index.passages[beside], step):
        return beside  # as `split` leaves them
    name, mark, number = passage.id.rpartition("#")
    if not (mark and number.isdecimal()):
        return -1
    try:
        numbered = index.place(f"{name}#{int(number) + step}")
    except InputError:
        return -1
    return numbered if _are_neighbours(passage, index.passages[numbered], step) else -1


def _are_neighbours(passage: Passage, other: Passage, step: int) -> bool:
    """Whether the other follows (`step` 1) or precedes (-1) on the same page, as far as title, address, ids and offsets tell.

    Numbered ids or offsets must give their order; where there is no title to tell the page, both must.
    """
    if _page(passage) != _page(other):
        return False
    (name, _, number), (other_name, _, other_number) = (p.id.rpartition("#") for p in (passage, other))
    numbered = number.isdecimal() and other_number.isdecimal()
    consecutive = numbered and name == other_name and int(other_number) - int(number) == step
    if passage.title and numbered:
        return consecutive
    first, second = (passage, other) if step > 0 else (other, passage)
    return (consecutive or bool(passage.title)) and first.end <= second.start


def _page(passage: Passage) -> tuple[str, str]:
    return passage.title, passage.url.partition("#")[0]


def _words_of_terms(question: str) -> dict[str, str]:
    """For each term of a question the first of its words, as it is written there but in lower case."""
    analyzer = usual_analyzer()
    found: dict[str, str] = {}
    for word in words(question):
        for term in analyzer.question_terms(word):
            found.setdefault(term, word)
    return found
