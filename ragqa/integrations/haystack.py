"""Haystack: a retriever and a ranker (components with `run` and `run_async`)."""

from asyncio import to_thread
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ragqa.errors import InputError, MissingExtraError
from ragqa.index.filters import Filter
from ragqa.integrations.metadata import RETRIEVAL_SCORE, describe, join, operators, relevance, text_to_rerank
from ragqa.models.reranker import Reranker
from ragqa.records import Hit, RankedText
from ragqa.search.retriever import Retriever

try:
    from haystack import Document, component, default_from_dict, default_to_dict
except ImportError as error:
    raise MissingExtraError("the adapter for Haystack", "haystack") from error

_OPERATORS = operators("not in")


@component
class RagqaRetriever:
    """Finds documents with ragqa.

    The id of a document is that of its passage, and `score` that of the hit. `meta` holds the metadata of
    `ragqa.integrations.metadata.describe`.
    """

    def __init__(
        self,
        index: str | Retriever | None = None,
        top_k: int = 10,
        reranker: str | None = "bundled",
        filters: dict[str, Any] | None = None,
    ) -> None:
        """`index` is the folder of an index, by default the bundled starter corpus; `reranker` as in `Retriever.open`.

        A folder is opened by `warm_up`, or by the first `run`. `index` may also be an open `ragqa.Retriever`, which has its
        own reranker; such a component cannot be saved. `top_k` is the number of documents. `filters` are those of Haystack,
        with the operators AND, ==, !=, >, >=, <, <=, in and not in; `InputError` for others.
        """
        self.index, self.top_k, self.reranker, self.filters = index, top_k, reranker, filters
        _where(filters)
        self._retriever = index if isinstance(index, Retriever) else None

    def warm_up(self) -> None:
        """Open the index and the models. Raises as `ragqa.Retriever.open` does."""
        self._open()

    def _open(self) -> Retriever:
        if self._retriever is None:
            self._retriever = Retriever.open(self.index, reranker=self.reranker)  # type: ignore[arg-type]
        return self._retriever

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, top_k: int | None = None, filters: dict[str, Any] | None = None
    ) -> dict[str, list[Document]]:
        """Return the `documents` found, best first. `filters` replace those of the component.

        Raises as `ragqa.Retriever.search` does.
        """
        where = _where(self.filters if filters is None else filters)
        hits = self._open().search(query, self.top_k if top_k is None else top_k, where=where)
        return {"documents": [_document(hit) for hit in hits]}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, top_k: int | None = None, filters: dict[str, Any] | None = None
    ) -> dict[str, list[Document]]:
        """Do what `run` does, in a thread, while the event loop goes on."""
        return await to_thread(self.run, query, top_k, filters)

    def to_dict(self) -> dict[str, Any]:
        """Return the arguments of the component. Raises `InputError` if it was made from an open retriever."""
        if isinstance(self.index, Retriever):
            raise InputError("a component of an open Retriever cannot be saved; give the folder of its index instead")
        own = {"index": self.index, "top_k": self.top_k, "reranker": self.reranker, "filters": self.filters}
        saved: dict[str, Any] = default_to_dict(self, **own)
        return saved

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "RagqaRetriever":
        """Create a component from what `to_dict` returned."""
        made: RagqaRetriever = default_from_dict(cls, data)
        return made


@component
class RagqaRanker:
    """Orders documents with a reranker of ragqa.

    It returns copies, best first, ties in input order. `score` is the reranker's logit, unbounded. `meta` also has
    `relevance_score` (the same), `relevance_probability` (0 to 1) and `retrieval_score` (the score before, if there was one).
    The model reads the title and the section in `meta` too, if they are strings.
    """

    def __init__(self, model: str | None = None, top_k: int | None = None) -> None:
        """`model` is a folder or a hub id, by default the bundled reranker. `top_k` is the number to keep, by default all.

        The model is loaded by `warm_up`, or by the first `run`.
        """
        self.model, self.top_k = model, top_k
        self._reranker: Reranker | None = None

    def warm_up(self) -> None:
        """Load the model. Raises as `ragqa.Reranker.load` does."""
        self._load()

    def _load(self) -> Reranker:
        if self._reranker is None:
            self._reranker = Reranker.load(self.model)
        return self._reranker

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        """Return copies of the `documents`, best first. Raises `InputError` for one without text."""
        texts = [text_to_rerank(_content(document), document.meta) for document in documents]
        ranking = self._load().rank(query, texts, self.top_k if top_k is None else top_k)
        return {"documents": _reranked(documents, ranking)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Do what `run` does, in a thread, while the event loop goes on."""
        return await to_thread(self.run, query, documents, top_k)

    def to_dict(self) -> dict[str, Any]:
        """Return the arguments of the component."""
        saved: dict[str, Any] = default_to_dict(self, model=self.model, top_k=self.top_k)
        return saved

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "RagqaRanker":
        """Create a component from what `to_dict` returned."""
        made: RagqaRanker = default_from_dict(cls, data)
        return made


def _where(filters: Mapping[str, Any] | None) -> Filter | None:
    return join(_conditions(filters)) if filters else None


def _conditions(filters: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    sign = filters.get("operator")
    if sign == "AND":
        for own in filters.get("conditions", ()):
            yield from _conditions(own)
    elif sign in _OPERATORS and "field" in filters:
        yield str(filters["field"]).removeprefix("meta."), _OPERATORS[sign], filters.get("value")
    else:
        raise InputError(
            f"filters: ragqa has no {sign or 'filter without operator'}; it has AND, {', '.join(_OPERATORS)}"
        )


def _document(hit: Hit) -> Document:
    return Document(id=hit.passage.id, content=hit.passage.text, meta=describe(hit), score=hit.score)


def _content(document: Document) -> str:
    if document.content is None:
        raise InputError(f"the document {document.id} has no text, so it cannot be reranked")
    content: str = document.content
    return content


def _reranked(documents: Sequence[Document], ranking: Sequence[RankedText]) -> list[Document]:
    return [_scored(documents[ranked.position], ranked) for ranked in ranking]


def _scored(document: Document, ranked: RankedText) -> Document:
    before = {} if document.score is None else {RETRIEVAL_SCORE: document.score}
    return replace(document, score=ranked.score, meta={**document.meta, **before, **relevance(ranked)})
