"""A question and its hits into an answer: the sentence that answers best, or an abstention."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from ragqa.models.reranker import Reranker
from ragqa.records import Answer, Hit, Sentence
from ragqa.text.passages import full_text, sentences

# the least probability of the best hit at which there is an answer; on the questions to calibrate with, the highest multiple
# of 0.05 at which at most one covered question in ten is refused
THRESHOLD = 0.2
READ_HITS = 3  # whose sentences are scored

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
    """Choose, with the reranker, the best sentence of the first `read` hits.

    Abstains if there are no hits or the best hit's probability is below `threshold` (0 to 1). Without a reranker the
    answer is the first hit's whole text, and nothing is known of how good it is.
    """
    hits = tuple(hits)
    if reranker is None:
        return Answer(question, hits[0].passage.text if hits else "", hits, (), abstained=not hits)
    found = rank_sentences(question, hits[:read], reranker)
    abstained = not found or (hits[0].probability or 0.0) < threshold
    return Answer(question, "" if abstained else found[0].text, hits, found, abstained)


def answering_span(answer: Answer, rank: int) -> tuple[int, int]:
    """Where the answering sentence stands in the hit of this rank (from 1): (0, 0) if in another, or nowhere."""
    best = answer.sentences[0] if answer.sentences and not answer.abstained else None
    return (best.start, best.end) if best and best.hit == rank - 1 else (0, 0)


def as_dict(answer: Answer) -> dict[str, Any]:
    """An answer as plain data, ready for JSON; each hit with its rank, from 1."""
    plain = asdict(answer)
    return plain | {"hits": [{"rank": rank, **hit} for rank, hit in enumerate(plain["hits"], 1)]}


def rank_sentences(question: str, hits: Sequence[Hit], reranker: Reranker) -> tuple[Sentence, ...]:
    """The sentences of the hits, best first, ties in their order; each is scored below its passage's title and section."""
    spans = [(number, start, end) for number, hit in enumerate(hits) for start, end in sentences(hit.passage.text)]
    texts = [hits[number].passage.text[start:end] for number, start, end in spans]
    read = [full_text(replace(hits[span[0]].passage, text=text)) for span, text in zip(spans, texts, strict=True)]
    scores = reranker.score(question, read).tolist()
    scored = [Sentence(*span, text, score) for span, text, score in zip(spans, texts, scores, strict=True)]
    return tuple(sorted(scored, key=lambda sentence: -sentence.score))
