"""A retriever in, what the endpoints need out: scores, spans, vectors, hits and answers; all requests share the models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ragqa.errors import InputError
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import Engine, Reranker, sigmoid
from ragqa.models.selector import Selector, bundled_selector
from ragqa.search.retriever import Retriever
from ragqa.serve.batching import BatchingEngine, SharedRuns, pair_runner
from ragqa.text.passages import sentences

if TYPE_CHECKING:
    import numpy as np

Observe = Callable[[str, int, float], None]  # the name of a model, the texts and seconds of one run

NO_RERANKER = "this server has no reranker; start it without --bm25-only"
ANSWERS = "ragqa"  # the name of the model that answers from the corpus


class Span(NamedTuple):
    """A sentence `text[start:end]` and how likely it is part of an answer, 0 to 1."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Service:
    """A retriever whose reranker and embedder join the texts of several requests. Safe to share between threads.

    `reranker`, `selector` and `embedder` are None if the retriever has none.
    """

    retriever: Retriever
    reranker: Reranker | None
    selector: Selector | None
    embedder: Embedder | None
    _runs: tuple[SharedRuns[tuple[str, str]] | None, SharedRuns[str] | None]

    def rank(self, query: str, texts: Sequence[str]) -> "np.ndarray":
        """Return a logit for each text, in input order. Raises `InputError` without a reranker."""
        if self.reranker is None:
            raise InputError(NO_RERANKER)
        return self.reranker.score(query, texts)

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        """Return a unit vector for each text, in input order. Raises `InputError` without an embedder."""
        runs = self._runs[1]
        if runs is None:
            raise InputError("this server has no embedder; start it without --no-dense and --bm25-only")
        return runs.run(texts)

    def spans(self, query: str, texts: Sequence[str]) -> list[list[Span]]:
        """Return the sentences of each text, best first; those beyond the model's limit are left out.

        The score is the sigmoid of the selector's logit.
        """
        own = [sentences(text) for text in texts]
        if self.selector is None:
            raise InputError(NO_RERANKER)
        scored = self.selector.score(query, texts, own)
        found = [
            [Span(*spans[one.first], sigmoid(one.score)) for one in runs if one.first == one.last]
            for spans, runs in zip(own, scored, strict=True)
        ]
        return [sorted(spans, key=lambda span: -span.score) for spans in found]

    def models(self) -> list[str]:
        """Return the names of the models: what answers from the corpus, the reranker, the embedder."""
        embedder = [] if self.embedder is None else [self.embedder.source or "embedder"]
        return [ANSWERS, *([] if self.reranker is None else [self.reranker.name]), *embedder]

    def close(self) -> None:
        """End the threads of the models."""
        for runs in self._runs:
            if runs is not None:
                runs.close()


def open_service(retriever: Retriever, observe: Observe) -> Service:
    """Return the service of a retriever; `observe` is called after each run of a model."""
    runs: list[SharedRuns[tuple[str, str]]] = []

    def join(engine: Engine) -> Engine:
        runs.append(SharedRuns(pair_runner(engine), partial(observe, "reranker")))
        return BatchingEngine(runs[0])

    reranker = None if retriever.reranker is None else retriever.reranker.with_engine(join)
    selector = None if reranker is None else retriever.selector or bundled_selector()
    embedder = None if retriever.dense is None else retriever.dense.embedder
    embedding = None if embedder is None else SharedRuns(embedder.embed, partial(observe, "embedder"))
    joined = Retriever(
        retriever.index,
        reranker,
        dense=retriever.dense,
        bm25=retriever.bm25,
        candidates=retriever.candidates,
        selector=selector,
        correct=retriever.correct,
    )
    return Service(joined, reranker, selector, embedder, (runs[0] if runs else None, embedding))
