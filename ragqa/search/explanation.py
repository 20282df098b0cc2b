"""Why a passage stands where it does: what each term, each part of the score and each of its sentences says to the question."""

from dataclasses import dataclass

from ragqa.answers.answer import rank_sentences
from ragqa.records import Hit, Sentence
from ragqa.search.question import check_question
from ragqa.search.retriever import Retriever
from ragqa.text.analyzer import usual_analyzer, words
from ragqa.text.passages import full_text


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
    with the BM25 score, each with its weight of `ragqa.search.retriever`, they make `hit.score`. `sentences` are the passage's,
    with the reranker's logits, best first; without a reranker there are none.
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
    place = retriever.index.position(hit.passage.id)
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


def _words_of_terms(question: str) -> dict[str, str]:
    """For each term of a question the first of its words, as it is written there but in lower case."""
    analyzer = usual_analyzer()
    found: dict[str, str] = {}
    for word in words(question):
        for term in analyzer.question_terms(word):
            found.setdefault(term, word)
    return found
