"""A question into hits: BM25 and the embedder find candidates, the reranker orders them.

The two rankings are joined by reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009): a passage's score is the sum of
1 / (60 + rank) over the rankings it stands in. The final score is the reranker's logit plus `BM25_WEIGHT` times
BM25's score plus, where there is an embedder, `COSINE_WEIGHT` times the cosine of question and passage: the three err in
different places.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ragqa.answers.answer import THRESHOLD, answer
from ragqa.errors import InputError, warn_of_fallback
from ragqa.index.bm25 import Bm25Index, best
from ragqa.index.dense import DenseIndex
from ragqa.index.folder import open_index
from ragqa.index.starter import open_starter, open_starter_vectors
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import Reranker
from ragqa.records import Answer, Hit
from ragqa.search.question import check_question
from ragqa.text.passages import full_text

if TYPE_CHECKING:
    import numpy as np

CANDIDATES = 30  # this and the two weights were chosen on questions to tune on: benchmarks/README.md
BM25_WEIGHT = 0.05
COSINE_WEIGHT = 6.0
SOURCE_DEPTH = 100  # of each ranking that is fused, at least
FUSION_RANK = 60  # as in the paper


class Retriever:
    """Finds the passages that answer a question. Safe to share between threads."""

    def __init__(
        self,
        index: Bm25Index,
        reranker: Reranker | None,
        *,
        dense: DenseIndex | None = None,
        bm25: bool = True,
        candidates: int = CANDIDATES,
    ) -> None:
        """Without a reranker hits are in the order of their sources: BM25 (unless `bm25` is false), `dense`, or both fused.

        `candidates`, 1 or more, are reranked, more if more hits are asked for.
        """
        if candidates < 1:
            raise InputError(f"candidates is {candidates}; at least 1 is needed")
        if dense is None and not bm25:
            raise InputError("without BM25 a dense index is needed")
        self.index = index
        self.reranker = reranker
        self.dense = dense
        self.bm25 = bm25
        self.candidates = candidates

    @classmethod
    def open(
        cls,
        folder: str | Path | None = None,
        *,
        reranker: Reranker | str | Path | None = "bundled",
        dense: bool | None = None,
        embedder: Embedder | None = None,
        candidates: int = CANDIDATES,
    ) -> "Retriever":
        """Open a saved index, or the starter corpus, with the bundled reranker.

        `reranker` may also be a folder, a hub id, a loaded `Reranker`, or None for no reranking. `dense` says whether
        vectors find candidates too; None: if the index has them. `embedder` is the one they were made with; if not given, it
        is loaded from where it then was. Raises `IndexStoreError` and `ModelError`.
        """
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as beside:
            loading = beside.submit(_load_reranker, reranker)
            index, vectors = _open_sources(folder, dense, embedder)
            opened = cls(index, loading.result(), dense=vectors, candidates=candidates)
        if flaw := calibration_flaw(opened):
            warn_of_fallback(f"{flaw}, so its probabilities may be wrong, and `ask` may abstain wrongly")
        return opened

    def search(self, question: str, k: int = 10) -> list[Hit]:
        """At most `k` hits, best first, ties by passage id; without vectors only passages that share a word with the question.

        Raises `InputError` for `k` below 1 and for a question that is empty, holds no letter or digit, or is longer than
        2,000 characters.
        """
        hits, cosines = self.find(question, k)
        if self.reranker is not None:
            hits = rerank(self.reranker, check_question(question), hits, cosines)
        return hits[:k]

    def find(self, question: str, k: int = 10) -> "tuple[list[Hit], np.ndarray | None]":
        """The candidates that `rerank` orders, at least `k` if there are so many: hits in the order of their sources.

        Beside them the cosines of question and passages, shape (hits,), None without vectors. Raises as `search` does.
        """
        if k < 1:
            raise InputError(f"k is {k}; at least 1 is needed")
        question = check_question(question)
        passages, ranks, count = self.index.passages, self.index.ranks, max(k, self.candidates)
        depth = max(count, SOURCE_DEPTH)
        bm25 = self.index.scores(question)
        by_bm25 = best(bm25, ranks, depth, above=0.0).tolist()
        cosines, scores = None, {place: float(bm25[place]) for place in by_bm25}
        if self.dense is not None:
            cosines = self.dense.scores(question)
            near = best(cosines, ranks, depth).tolist()
            scores = fuse(by_bm25, near) if self.bm25 else {place: float(cosines[place]) for place in near}
        places = sorted(scores, key=lambda place: (-scores[place], ranks[place]))[:count]
        hits = [Hit(passages[i], scores[i], None, float(bm25[i]), _rank(bm25, i, by_bm25)) for i in places]
        return hits, None if cosines is None else cosines[places]

    def ask(self, question: str, k: int = 10, *, threshold: float = THRESHOLD) -> Answer:
        """The best sentence of the best hits, or an abstention where the best hit's probability is below `threshold`.

        Raises as `search` does.
        """
        return answer(check_question(question), self.search(question, k), self.reranker, threshold=threshold)


def _open_sources(
    folder: str | Path | None, dense: bool | None, embedder: Embedder | None
) -> tuple[Bm25Index, DenseIndex | None]:
    if folder is None:
        index = open_starter()
        return index, None if dense is False else open_starter_vectors(index, embedder)
    return open_index(folder, dense, embedder)


def calibration_flaw(retriever: Retriever) -> str:
    """How a retriever differs from what its reranker's probabilities were fitted with; empty if it does not."""
    basis = None if retriever.reranker is None else retriever.reranker.calibrations.basis
    if basis is None:
        return ""
    if (basis.bm25_weight, basis.cosine_weight) != (BM25_WEIGHT, COSINE_WEIGHT):
        return "the reranker is calibrated for other weights of BM25 and the embedder"
    if retriever.dense is not None and retriever.dense.embedder.identity != basis.embedder:
        return "the reranker is calibrated for another embedder"
    return ""


def _load_reranker(source: Reranker | str | Path | None) -> Reranker | None:
    if source is None or isinstance(source, Reranker):
        return source
    return Reranker.load(None if source == "bundled" else source)


def rerank(reranker: Reranker, question: str, hits: Sequence[Hit], cosines: "np.ndarray | None" = None) -> list[Hit]:
    """New hits with their final scores, best first, ties by passage id; `cosines` with the question, shape (hits,)."""
    import numpy as np

    scores = reranker.score(question, [full_text(hit.passage) for hit in hits])
    scores = scores + BM25_WEIGHT * np.array([hit.bm25_score for hit in hits], dtype=np.float32)
    fused = cosines is not None
    if cosines is not None:
        scores = scores + COSINE_WEIGHT * cosines
    reranked = [
        replace(hit, score=score, probability=reranker.probability(score, fused=fused))
        for hit, score in zip(hits, scores.tolist(), strict=True)
    ]
    return sorted(reranked, key=lambda hit: (-hit.score, hit.passage.id))


def fuse(*rankings: Sequence[int]) -> dict[int, float]:
    """The scores, by reciprocal rank fusion, of what stands in these rankings, each best first."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (FUSION_RANK + rank)
    return scores


def _rank(scores: "np.ndarray", place: int, ranking: Sequence[int]) -> int:
    """The rank of a passage by its score: its place in the ranking, else behind all that score higher."""
    return ranking.index(place) + 1 if place in ranking else int((scores > scores[place]).sum()) + 1
