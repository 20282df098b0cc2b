"""Explanations of a hit's score: the share of each term, the parts of the score, and the scores of single sentences."""

from dataclasses import dataclass

from ragqa.answers.answer import rank_sentences
from ragqa.models.selector import bundled_selector
from ragqa.records import Hit, Quote
from ragqa.search.retriever import Retriever
from ragqa.text.analyzer import usual_analyzer, words
from ragqa.text.passages import full_text


@dataclass(frozen=True, slots=True)
class TermScore:
    """A term that question and passage share, the word of the question it comes from, and its part of the BM25 score.

    If the index added the term as an abbreviation ("LSTM" for "long short-term memory"), `word` is the term itself.
    """

    term: str
    word: str
    score: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """The parts of a hit's score.

    - `terms`: highest score first; they add up to `hit.bm25_score`.
    - `missing`: words of the question that do not match the passage.
    - `logit`: the reranker's score of the whole passage; None without a reranker.
    - `cosine`: of question and passage; None without an embedder. `hit.score` is the weighted sum of logit, BM25 score and
      cosine, with the weights of `ragqa.search.retriever`.
    - `sentences`: of the passage, with the selector's logits, best first; empty without a reranker.
    """

    question: str
    hit: Hit
    terms: tuple[TermScore, ...]
    missing: tuple[str, ...]
    logit: float | None
    cosine: float | None
    sentences: tuple[Quote, ...]


def explain(retriever: Retriever, question: str, hit: Hit) -> Explanation:
    """Explain the score that a hit of this retriever has for this question.

    Raises `InputError` for an invalid question (`Retriever.search`) and for a hit whose passage is not in the index.
    """
    question = retriever.corrected(question)
    position = retriever.index.position(hit.passage.id)
    scores = retriever.index.term_scores(question, position)
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
        float(dense.rank(question, retriever.index, 1).scores([position])[0]) if dense else None,
        rank_sentences(question, hit, retriever.selector or bundled_selector()) if reranker else (),
    )


def _words_of_terms(question: str) -> dict[str, str]:
    """The first word, in lower case, that each term of a question comes from."""
    analyzer = usual_analyzer()
    found: dict[str, str] = {}
    for word in words(question):
        for term in analyzer.question_terms(word):
            found.setdefault(term, word)
    return found
