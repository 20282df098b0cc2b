"""A question into hits: BM25 finds candidates, the reranker orders them."""

import re
from pathlib import Path

from ragqa.answer import THRESHOLD, answer
from ragqa.bm25 import Bm25Index
from ragqa.corpus import read_pages, starter_folder
from ragqa.errors import InputError
from ragqa.passages import full_text, split
from ragqa.records import Answer, Hit
from ragqa.rerank import Reranker

CANDIDATES = 100
MAX_QUESTION_CHARS = 2000

_CONTROL = re.compile(r"[\x00-\x1f\x7f\s\ud800-\udfff]+")  # and halves of surrogate pairs


class Retriever:
    """Finds the passages that answer a question. Safe to share between threads."""

    def __init__(self, index: Bm25Index, reranker: Reranker | None, *, candidates: int = CANDIDATES) -> None:
        """Without a reranker hits are in BM25's order. `candidates` of BM25 at least are reranked; 1 or more."""
        if candidates < 1:
            raise InputError(f"candidates is {candidates}; at least 1 is needed")
        self.index = index
        self.reranker = reranker
        self.candidates = candidates

    @classmethod
    def open(
        cls,
        folder: str | Path | None = None,
        *,
        reranker: Reranker | str | Path | None = "bundled",
        candidates: int = CANDIDATES,
    ) -> "Retriever":
        """Open a saved index, or the starter corpus, with the bundled reranker.

        `reranker` may also be a folder, a hub id, a loaded `Reranker`, or None for BM25 alone. Raises `IndexStoreError`
        and `ModelError`.
        """
        index = open_starter() if folder is None else Bm25Index.open(folder)
        if reranker is not None and not isinstance(reranker, Reranker):
            reranker = Reranker.load(None if reranker == "bundled" else reranker)
        return cls(index, reranker, candidates=candidates)

    def search(self, question: str, k: int = 10) -> list[Hit]:
        """At most `k` hits, best first, ties by passage id; fewer where fewer passages share a word with the question.

        Raises `InputError` for `k` below 1 and for a question that is empty, holds no letter or digit, or is longer than
        2,000 characters.
        """
        if k < 1:
            raise InputError(f"k is {k}; at least 1 is needed")
        question = check_question(question)
        candidates = self.index.search(question, max(k, self.candidates) if self.reranker else k)
        if self.reranker is None:
            return [Hit(passage, score, None, score, rank) for rank, (passage, score) in enumerate(candidates, 1)]
        logits = self.reranker.score(question, [full_text(passage) for passage, _ in candidates]).tolist()
        hits = [
            Hit(passage, logit, self.reranker.probability(logit), score, rank)
            for rank, ((passage, score), logit) in enumerate(zip(candidates, logits, strict=True), 1)
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.passage.id))[:k]

    def ask(self, question: str, k: int = 10, *, threshold: float = THRESHOLD) -> Answer:
        """The best sentence of the best hits, or an abstention where the best hit's probability is below `threshold`.

        Raises as `search` does.
        """
        return answer(check_question(question), self.search(question, k), self.reranker, threshold=threshold)


def open_starter() -> Bm25Index:
    """Index the bundled starter corpus, in memory."""
    return Bm25Index.build(passage for page in read_pages(starter_folder()) for passage in split(page))


def check_question(question: str) -> str:
    """The question on one line, without control characters and lone surrogates.

    Raises `InputError` where nothing can be asked with it.
    """
    question = _CONTROL.sub(" ", question).strip()
    if not question:
        raise InputError("the question is empty")
    if len(question) > MAX_QUESTION_CHARS:
        raise InputError(f"the question has {len(question):,} characters; at most {MAX_QUESTION_CHARS:,} can be asked")
    if not any(character.isalnum() for character in question):
        raise InputError(f"the question {question[:40]!r} holds no letter or digit")
    return question
