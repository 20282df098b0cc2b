"""A retriever in, what the endpoints need out: scores, spans, vectors, hits and answers; all requests share the models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ragqa.errors import InputError
from ragqa.models.reranker import Engine, Reranker, sigmoid
from ragqa.models.selector import bundled_selector
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
    """A retriever whose reranker scores the pairs of several requests together. Safe to share between threads.

    `embed` does the same for texts. Searches and the selector run their models for each request alone.
    """

    retriever: Retriever
    _pair_runs: SharedRuns[tuple[str, str]] | None
    _text_runs: SharedRuns[str] | None

    @property
    def reranker(self) -> Reranker | None:
        """The reranker; None if the retriever has none."""
        return self.retriever.reranker

    @property
    def embedder_name(self) -> str | None:
        """The name of the embedder, never a path of this machine; None if the retriever has none."""
        if self.retriever.dense is None:
            return None
        source = self.retriever.dense.embedder.source
        return (Path(source).name if Path(source).is_absolute() else source) or "embedder"

    def rank(self, query: str, texts: Sequence[str]) -> "np.ndarray":
        """Return a logit for each text, in input order. Raises `InputError` without a reranker."""
        if self.reranker is None:
            raise InputError(NO_RERANKER)
        return self.reranker.score(query, texts)

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        """Return a unit vector for each text, in input order. Raises `InputError` without an embedder."""
        if self._text_runs is None:
            raise InputError("this server has no embedder; start it without --no-dense and --bm25-only")
        return self._text_runs.run(texts)

    def spans(self, query: str, texts: Sequence[str]) -> list[list[Span]]:
        """Return the sentences of each text, best first; those beyond the model's limit are left out.

        The score is the sigmoid of the selector's logit.
        """
        own = [sentences(text) for text in texts]
        if self.retriever.selector is None:
            raise InputError(NO_RERANKER)
        scored = self.retriever.selector.score(query, texts, own)
        found = [
            [Span(*spans[one.first], sigmoid(one.score)) for one in runs if one.first == one.last]
            for spans, runs in zip(own, scored, strict=True)
        ]
        return [sorted(spans, key=lambda span: -span.score) for spans in found]

    def models(self) -> list[str]:
        """Return the names of the models: what answers from the corpus, the reranker, the embedder."""
        reranker = None if self.reranker is None else self.reranker.name
        return [ANSWERS, *filter(None, (reranker, self.embedder_name))]

    def close(self) -> None:
        """End the threads of the models."""
        for runs in (self._pair_runs, self._text_runs):
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
    return Service(joined, runs[0] if runs else None, embedding)
