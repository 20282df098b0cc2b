"""Extractive answers: the sentence of the hits that answers best, or an abstention."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from ragqa.models.reranker import Reranker
from ragqa.records import Answer, Hit, Sentence
from ragqa.text.passages import full_text, sentences

# below this probability of the best hit there is no answer; the highest multiple of 0.05 at which at most one in ten of the
# calibration questions that the corpus covers gets no answer
THRESHOLD = 0.2
READ_HITS = 3  # hits whose sentences are scored

NO_ANSWER = "The corpus has no good answer; the nearest passages are:"
NOTHING_FOUND = "The corpus has no good answer: no passage shares a word with the question."


def answer(
    question: str,
    hits: Sequence[Hit],
    reranker: Reranker | None,
    *,
    threshold: float = THRESHOLD,
    read: int = READ_HITS,
) -> Answer:
    """Answer with the sentence of the first `read` hits that the reranker scores highest.

    Abstain if there are no hits, or if the probability of the best hit is below `threshold` (0 to 1). A reranker that is not
    calibrated gives no probabilities, so there is always an answer if there are hits. Without a reranker the answer is the
    whole text of the first hit, and its quality is unknown.
    """
    hits = tuple(hits)
    if reranker is None:
        return Answer(question, hits[0].passage.text if hits else "", hits, (), abstained=not hits)
    found = rank_sentences(question, hits[:read], reranker)
    probability = hits[0].probability if hits else None
    abstained = not found or (probability is not None and probability < threshold)
    return Answer(question, "" if abstained else found[0].text, hits, found, abstained)


def answering_span(answer: Answer, rank: int) -> tuple[int, int]:
    """Return the offsets of the answering sentence in the hit at `rank` (from 1), or (0, 0) if it is not in this hit."""
    best = answer.sentences[0] if answer.sentences and not answer.abstained else None
    return (best.start, best.end) if best and best.hit == rank - 1 else (0, 0)


def as_dict(answer: Answer) -> dict[str, Any]:
    """Return an answer as plain data for JSON. Each hit also gets its rank, from 1."""
    plain = asdict(answer)
    return plain | {"hits": [{"rank": rank, **hit} for rank, hit in enumerate(plain["hits"], 1)]}


def rank_sentences(question: str, hits: Sequence[Hit], reranker: Reranker) -> tuple[Sentence, ...]:
    """Return the sentences of the hits, best first, ties in text order. Title and section are scored with each sentence."""
    spans = [(number, start, end) for number, hit in enumerate(hits) for start, end in sentences(hit.passage.text)]
    texts = [hits[number].passage.text[start:end] for number, start, end in spans]
    read = [full_text(replace(hits[span[0]].passage, text=text)) for span, text in zip(spans, texts, strict=True)]
    scores = reranker.score(question, read).tolist()
    scored = [Sentence(*span, text, score) for span, text, score in zip(spans, texts, scores, strict=True)]
    return tuple(sorted(scored, key=lambda sentence: -sentence.score))
