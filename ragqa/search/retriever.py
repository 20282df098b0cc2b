"""The retriever: BM25 and the embedder find candidates for a question, the reranker orders them.

The two rankings are combined by reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009): the score of a passage is the sum
of 1 / (60 + rank) over the rankings that contain it. The final score is the reranker's logit, plus `BM25_WEIGHT` times the BM25
score, plus (with an embedder) `COSINE_WEIGHT` times the cosine of question and passage. The three make different mistakes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.answers.answer import THRESHOLD, answer
from ragqa.answers.context import with_context
from ragqa.errors import ENGLISH_ONLY, InputError, warn_of_fallback
from ragqa.index.bm25 import Bm25Index
from ragqa.index.dense import DenseIndex
from ragqa.index.filters import Filter, Where, both
from ragqa.index.folder import OTHER_LANGUAGES, is_uri, open_index, usable
from ragqa.index.neighbours import neighbours
from ragqa.index.starter import open_starter, open_starter_vectors
from ragqa.models.embedder import Embedder
from ragqa.models.named import BUNDLED_NAME
from ragqa.models.reranker import Reranker
from ragqa.models.selector import Selector
from ragqa.records import Answer, Hit, Passage
from ragqa.search.language import is_foreign, refusal
from ragqa.search.question import check_question
from ragqa.search.spelling import Speller
from ragqa.text.language import Language
from ragqa.text.passages import full_text
from ragqa.text.texts import passages_from_texts

if TYPE_CHECKING:
    import numpy as np

    from ragqa.answers.written import Writer, Written
    from ragqa.index.interface import Index, Vectors

CANDIDATES = 30  # chosen, like both weights, on development questions: benchmarks/README.md
BM25_WEIGHT = 0.05
COSINE_WEIGHT = 6.0
WRITTEN_HITS = 5  # passages that a language model writes from
SOURCE_DEPTH = 100  # minimum length of the rankings to fuse
FUSION_RANK = 60  # the constant of the paper


class Retriever:
    """Finds the passages that answer a question. Can be shared between threads.

    It can also be used in a forked child and be pickled. What was opened from files is opened again there, and a pickle holds
    the paths; if a file has changed since, `IndexStoreError` or `ModelError` says so. What is in memory is pickled as it is.
    """

    def __init__(
        self,
        index: "Index",
        reranker: Reranker | None,
        *,
        dense: "Vectors | None" = None,
        bm25: bool = True,
        candidates: int = CANDIDATES,
        selector: Selector | None = None,
        correct: bool = True,
        where: Where | None = None,
    ) -> None:
        """Create a retriever from an index and models that are already open; see `open` for the usual way.

        Candidates come from BM25 (unless `bm25` is false), from `dense` if given, or from both, fused. Without a reranker
        hits keep this order. `candidates` is the number of passages to rerank, at least 1; more are reranked if more hits are
        requested. `selector` chooses the sentences of an answer; by default the bundled one, which the first `ask` loads.
        `correct`: whether to correct typing errors in questions (`ragqa.search.spelling`). `where`: a filter of all questions
        (see `search`).
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
        self.selector = selector
        self.correct = correct
        self.where = None if where is None else Filter.of(where)
        index.mask(self.where)  # raises for an unknown key
        self._warned = False

    @classmethod
    def open(
        cls,
        folder: str | Path | None = None,
        *,
        reranker: Reranker | str | Path | None = "bundled",
        dense: bool | None = None,
        embedder: Embedder | None = None,
        candidates: int = CANDIDATES,
        correct: bool = True,
        selector: Selector | None = None,
        where: Where | None = None,
    ) -> "Retriever":
        """Open a saved index, by default the bundled starter corpus, and a reranker, by default the bundled one.

        `folder` may also be the URI of a database that an index was pushed to, such as `qdrant://localhost:6333/wiki` or
        `postgresql://localhost/db` (`ragqa.index.database`).

        `reranker` may also be a folder, a hub id, a loaded `Reranker`, or None for no reranking. `dense`: True requires
        vectors, False ignores them, None uses them if the index has them. `embedder` is the model that made the vectors; by
        default it is loaded from where it was then. `candidates` is the number of passages to rerank. `correct`: whether to
        correct typing errors in questions. `selector` chooses the sentences of an answer, by default the bundled one. `where`
        is a filter of all questions (see `search`).

        The bundled models know English. If most letters of the passages are not Latin, they are left out, and a
        `FallbackWarning` says so, unless they are asked for with `dense=True` and a loaded `Reranker`.

        Raises `IndexStoreError`, `ModelError`, and `InputError` for the filter.
        """
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as thread:
            loading = thread.submit(_load_reranker, reranker)
            index, vectors = _open_sources(folder, dense, embedder)
            embedder = None if vectors is None or dense else vectors.embedder
            used, kept = _without_bundled(index.language, reranker, embedder)
            opened = cls(
                index,
                None if used is None else loading.result(),
                dense=vectors if kept is embedder else None,
                candidates=candidates,
                correct=correct,
                selector=selector,
                where=where,
            )
        if flaw := calibration_flaw(opened):
            warn_of_fallback(_doubt(flaw))
        return opened

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        metadatas: Iterable[Mapping[str, Any]] | None = None,
        *,
        ids: Iterable[str] | None = None,
        reranker: Reranker | str | Path | None = "bundled",
        dense: bool = True,
        embedder: Embedder | None = None,
        candidates: int = CANDIDATES,
        correct: bool = True,
        selector: Selector | None = None,
    ) -> "Retriever":
        """Index texts in memory, each as one passage, and open a reranker. Nothing is saved, and no input is changed.

        `metadatas` holds one mapping for each text. Its keys title, section, start, url and about are fields of a passage; all
        others become its metadata, which `where` can filter by (values: str, int, float, bool, or a list of str). The models
        read title and section too. `ids`, unique strings, become the ids of the passages. By default the id is the
        position of the text, from 0, padded with zeros: `texts[int(hit.passage.id)] == hit.passage.text`. Hits with equal
        scores are in the order of their ids, and thus of the texts.

        Texts are not cut, and models read at most 512 tokens; cut longer texts with `split`. `dense`: whether to embed the
        texts, which is most of the work; `embedder` is the model for it, by default the bundled one. The other arguments are
        those of `open`.

        Raises `InputError`, which names the text, if something is not as described, `CorpusError` if there is no text with a
        word, and `ModelError`.
        """
        passages = passages_from_texts(texts, metadatas, ids)
        index = Bm25Index.build(passages)
        used, kept = _without_bundled(index.language, reranker, (embedder or Embedder.load()) if dense else None)
        vectors = DenseIndex.build(passages, kept) if kept else None
        made = cls(
            index,
            _load_reranker(used),
            dense=vectors,
            candidates=candidates,
            correct=correct,
            selector=selector,
        )
        if flaw := calibration_flaw(made):
            warn_of_fallback(_doubt(flaw))
        return made

    def corrected(self, question: str) -> str:
        """Return the question that is searched for: on one line and, unless `correct` is false, without typing errors.

        Raises as `search` does.
        """
        question = check_question(question)
        return Speller(self.index).correct(question) if self.correct else question

    def refuses(self, question: str) -> bool:
        """Return True if a question is clearly not in English but the passages are, and the embedder reads English alone.

        That is only known of the bundled embedder.
        """
        if self.index.language is not Language.ENGLISH or (
            self.dense is not None and not self.dense.embedder.is_bundled
        ):
            return False
        return is_foreign(question, self.index)

    def search(self, question: str, k: int = 10, *, where: Where | None = None) -> list[Hit]:
        """Return at most `k` hits, best first, ties by passage id. Typing errors in the question are corrected first.

        `where` is a filter by metadata and fields, such as `{"category": "physics", "date>=": "2024-01-31"}`
        (`ragqa.index.filters`): candidates are the best of the passages that meet it, and of those only. Scores do not depend
        on the filter.

        Without vectors a hit shares at least one term with the question. Raises `InputError` for `k` below 1, for a question
        that is empty, has no letter or digit, or is longer than 2,000 characters, and for a filter with an unknown key or with
        a value of the wrong type.
        """
        return self._search(self.corrected(question), k, where)

    def _search(self, question: str, k: int, where: Where | None) -> list[Hit]:
        """Search for a question that needs no correction."""
        hits, cosines = self._find(question, k, where)
        if self.reranker is not None:
            hits = rerank(self.reranker, question, hits, cosines)
        return hits[:k]

    def find(self, question: str, k: int = 10, *, where: Where | None = None) -> "tuple[list[Hit], np.ndarray | None]":
        """Return the candidates for `rerank` in the order of their sources: at least `k`, if so many meet the filter `where`.

        The second value holds the cosines of the question with these passages, shape (hits,), or is None without vectors.
        Raises as `search` does.
        """
        return self._find(self.corrected(question), k, where)

    def _find(self, question: str, k: int, where: Where | None) -> "tuple[list[Hit], np.ndarray | None]":
        """Find the candidates for a question that needs no correction."""
        if k < 1:
            raise InputError(f"k is {k}; at least 1 is needed")
        index, count = self.index, max(k, self.candidates)
        depth, selection = max(count, SOURCE_DEPTH), index.mask(both(self.where, where))
        by_bm25 = index.rank(question, depth, selection)
        near = None if self.dense is None else self.dense.rank(question, index, depth, selection)
        if near is not None and self.bm25:
            fused = fuse(by_bm25.positions, near.positions)
            found = sorted(fused, key=lambda i: (-fused[i], index.ranks[i]))[:count]
            scores = [fused[i] for i in found]
        else:
            only = by_bm25 if near is None else near
            found = list(only.positions[:count])
            scores = only.scores(found).tolist()
        hits = [
            Hit(passage, score, None, bm25, by_bm25.rank(i))
            for i, passage, score, bm25 in zip(
                found, index.read(found), scores, by_bm25.scores(found).tolist(), strict=True
            )
        ]
        return hits, None if near is None else near.scores(found)

    def ask(self, question: str, k: int = 10, *, threshold: float = THRESHOLD, where: Where | None = None) -> Answer:
        """Answer with the best one to three adjoining sentences of the best hits.

        Abstain if the probability of the best hit is below `threshold`, or if the question is clearly not in English; `note`
        then says so. The answer also holds the `k` best hits. If the reranker is not calibrated, this does not abstain as long
        as there are hits, and issues a `FallbackWarning` the first time. Only passages that meet the filter `where` are
        quoted; if there are none, `note` says so. Raises as `search` does.
        """
        if self.reranker is not None and not self.reranker.is_calibrated and not self._warned:
            self._warned = True
            warn_of_fallback(
                f"the reranker {self.reranker.name} is not calibrated, so hits have no probabilities and `ask` never abstains; "
                "calibrate it with `ragqa calibrate`"
            )
        asked = self.corrected(question)
        found = self.answer(asked, self._search(asked, k, where), threshold=threshold, where=where)
        typed = check_question(question)
        return found if typed == asked else replace(found, typed=typed)

    def answer(
        self, question: str, hits: Sequence[Hit], *, threshold: float = THRESHOLD, where: Where | None = None
    ) -> Answer:
        """Answer a question from hits, as `ask` does from those that it finds."""
        if self.refuses(question):
            return refusal(question, hits)
        found = answer(question, hits, self.reranker, self.selector, threshold=threshold)
        found = with_context(found, lambda passage: self._before(passage, where))
        return replace(found, note=self.none_meets(where))

    def _before(self, passage: Passage, where: Where | None) -> Passage | None:
        """The passage before one on its page, if it meets the filters too."""
        mask = self.index.mask(both(self.where, where))
        earlier = neighbours(self.index, passage, 1, 0)
        return earlier[0] if earlier and (mask is None or mask[self.index.position(earlier[0].id)]) else None

    def write(
        self,
        question: str,
        writer: "Writer",
        k: int = WRITTEN_HITS,
        *,
        threshold: float = THRESHOLD,
        where: Where | None = None,
    ) -> "Iterator[Written]":
        """Yield the answer that a language model writes from the `k` best hits, as it grows; the last one is `done`.

        Its sentences are then checked. If `ask` abstains, the model is not asked, and the answer is empty. Raises as `ask` and
        `Writer.write` do.
        """
        answered = self.ask(question, k, threshold=threshold, where=where)
        hits = () if answered.abstained else answered.hits
        yield from writer.write(answered.question, hits, self.reranker)

    def none_meets(self, where: Where | None = None) -> str:
        """Say that no passage meets the filters; return an empty text if one does. Raises as `Bm25Index.mask` does."""
        wanted = both(self.where, where)
        mask = self.index.mask(wanted)
        return "" if mask is None or mask.any() else f"No passage meets the filter: {wanted}."

    async def asearch(self, question: str, k: int = 10, *, where: Where | None = None) -> list[Hit]:
        """Do what `search` does, in a thread, while the event loop goes on.

        A cancelled call raises `asyncio.CancelledError` at once; the thread finishes its work in the background, and the
        retriever can be used as before.
        """
        from asyncio import to_thread  # slow to import

        return await to_thread(self.search, question, k, where=where)

    async def aask(
        self, question: str, k: int = 10, *, threshold: float = THRESHOLD, where: Where | None = None
    ) -> Answer:
        """Do what `ask` does, in a thread, as `asearch` does."""
        from asyncio import to_thread

        return await to_thread(self.ask, question, k, threshold=threshold, where=where)


def _open_sources(
    folder: str | Path | None, dense: bool | None, embedder: Embedder | None
) -> "tuple[Index, Vectors | None]":
    if folder is None:
        index = open_starter()
        return index, None if dense is False else open_starter_vectors(index, embedder)
    if is_uri(folder):
        from ragqa.index.database import open_database

        return open_database(str(folder), dense, embedder)
    return open_index(folder, dense, embedder)


def _without_bundled(
    language: Language, reranker: Reranker | str | Path | None, embedder: Embedder | None
) -> tuple[Reranker | str | Path | None, Embedder | None]:
    """Return the models, in another script without the bundled ones. Warn if a bundled one does not know the language."""
    is_default = reranker == BUNDLED_NAME
    if language is Language.ENGLISH or not (is_default or (embedder is not None and embedder.is_bundled)):
        return reranker, embedder
    if language is Language.LATIN:
        warn_of_fallback(f"{OTHER_LANGUAGES[language]}: {ENGLISH_ONLY}")
        return reranker, embedder
    warn_of_fallback(f"{OTHER_LANGUAGES[language]}, so the bundled models are left out: {ENGLISH_ONLY}")
    return None if is_default else reranker, usable(embedder, language)


def calibration_flaw(retriever: Retriever) -> str:
    """Say how a retriever differs from the one its reranker was calibrated with; return an empty text if it does not."""
    basis = None if retriever.reranker is None else retriever.reranker.calibrations.basis
    if basis is None:
        return ""
    if (basis.bm25_weight, basis.cosine_weight) != (BM25_WEIGHT, COSINE_WEIGHT):
        return "the reranker is calibrated for other weights of BM25 and the embedder"
    if retriever.dense is not None and not retriever.dense.embedder.shares_calibration(basis.embedder):
        return "the reranker is calibrated for another embedder"
    return ""


def _doubt(flaw: str) -> str:
    return f"{flaw}, so its probabilities may be wrong, and `ask` may abstain wrongly"


def _load_reranker(source: Reranker | str | Path | None) -> Reranker | None:
    if source is None or isinstance(source, Reranker):
        return source
    return Reranker.load(None if source == BUNDLED_NAME else source)


def rerank(reranker: Reranker, question: str, hits: Sequence[Hit], cosines: "np.ndarray | None" = None) -> list[Hit]:
    """Return new hits with their final scores, best first, ties by passage id.

    `cosines` are those of the question with the passages of the hits, shape (hits,), if there is an embedder.
    """
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
    """Return the reciprocal rank fusion scores of all items in these rankings (best first)."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (FUSION_RANK + rank)
    return scores
