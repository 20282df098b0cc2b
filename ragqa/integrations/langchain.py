"""LangChain: a retriever (`BaseRetriever`) and a reranker (`BaseDocumentCompressor`)."""

from collections.abc import Mapping, Sequence
from typing import Any

from ragqa.errors import MissingExtraError
from ragqa.index.filters import Filter, Where, both
from ragqa.integrations.metadata import describe, relevance, text_to_rerank
from ragqa.models.reranker import Reranker
from ragqa.records import Hit, RankedText
from ragqa.search.retriever import Retriever

try:
    from langchain_core.callbacks import (
        AsyncCallbackManagerForRetrieverRun,
        CallbackManagerForRetrieverRun,
        Callbacks,
    )
    from langchain_core.documents import BaseDocumentCompressor, Document
    from langchain_core.retrievers import BaseRetriever
    from pydantic import ConfigDict, Field
except ImportError as error:
    raise MissingExtraError("the adapter for LangChain", "langchain") from error


class RagqaRetriever(BaseRetriever):
    """Finds documents with a `ragqa.Retriever`. `k` is the number of documents, `where` a filter as in `Retriever.search`.

    Both can also be given to `invoke`; its filter applies in addition to this one.

    The id of a document is that of its passage. Its metadata are `score` and those of `ragqa.integrations.metadata.describe`.
    Raises as `ragqa.Retriever.search` does.
    """

    retriever: Retriever
    k: int = 10
    where: Mapping[str, Any] | Filter | None = None

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        where: Where | None = None,
    ) -> list[Document]:
        return _documents(self.retriever.search(query, self.k if k is None else k, where=self._filter(where)))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        where: Where | None = None,
    ) -> list[Document]:
        return _documents(await self.retriever.asearch(query, self.k if k is None else k, where=self._filter(where)))

    def _filter(self, where: Where | None) -> Filter | None:
        return both(None if self.where is None else Filter.of(self.where), where)


class RagqaReranker(BaseDocumentCompressor):
    """Orders documents with a `ragqa.Reranker`, by default the bundled one. `top_n` is the number to keep, by default all.

    It returns copies, best first, ties in input order. Their metadata also have `relevance_score` (a logit, unbounded) and
    `relevance_probability` (0 to 1). The model reads the title and the section in the metadata too, if they are strings.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    reranker: Reranker = Field(default_factory=Reranker.load)
    top_n: int | None = None

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return copies of the documents, best first."""
        return _reranked(documents, self.reranker.rank(query, _texts(documents), self.top_n))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Do what `compress_documents` does, in a thread, while the event loop goes on."""
        return _reranked(documents, await self.reranker.arank(query, _texts(documents), self.top_n))


def _documents(hits: Sequence[Hit]) -> list[Document]:
    return [_document(hit) for hit in hits]


def _document(hit: Hit) -> Document:
    metadata: dict[str, Any] = {**describe(hit), "score": hit.score}
    return Document(id=hit.passage.id, page_content=hit.passage.text, metadata=metadata)


def _texts(documents: Sequence[Document]) -> list[str]:
    return [text_to_rerank(document.page_content, document.metadata) for document in documents]


def _reranked(documents: Sequence[Document], ranking: Sequence[RankedText]) -> list[Document]:
    pairs = [(documents[ranked.position], ranked) for ranked in ranking]
    return [
        document.model_copy(update={"metadata": {**document.metadata, **relevance(ranked)}})
        for document, ranked in pairs
    ]
