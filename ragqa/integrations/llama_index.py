"""LlamaIndex: a retriever (`BaseRetriever`) and a reranker (`BaseNodePostprocessor`)."""

from collections.abc import Sequence
from typing import Any

from ragqa.errors import InputError, MissingExtraError
from ragqa.index.filters import Filter
from ragqa.integrations.metadata import (
    NUMBERS,
    RELEVANCE,
    RETRIEVAL_SCORE,
    describe,
    join,
    operators,
    relevance,
    text_to_rerank,
)
from ragqa.models.reranker import Reranker
from ragqa.records import Hit, RankedText
from ragqa.search.retriever import Retriever

try:
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
    from llama_index.core.vector_stores import FilterCondition, MetadataFilter, MetadataFilters
except ImportError as error:
    raise MissingExtraError("the adapter for LlamaIndex", "llama-index") from error

_OPERATORS = operators("nin")


class RagqaRetriever(BaseRetriever):
    """Finds nodes with a `ragqa.Retriever`. `similarity_top_k` is the number of nodes.

    `filters` are conditions joined by AND with the operators ==, !=, <, <=, >, >=, in and nin; `InputError` for others.

    The id of a node is that of its passage, and `score` that of the hit. The metadata are those of
    `ragqa.integrations.metadata.describe`; language models and embedders are not shown the numbers. Raises as
    `ragqa.Retriever.search` does.
    """

    def __init__(
        self,
        retriever: Retriever,
        similarity_top_k: int = 10,
        callback_manager: CallbackManager | None = None,
        filters: MetadataFilters | None = None,
    ) -> None:
        super().__init__(callback_manager=callback_manager)
        self.retriever = retriever
        self.similarity_top_k = similarity_top_k
        self._where = None if filters is None else _where(filters)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _nodes(self.retriever.search(query_bundle.query_str, self.similarity_top_k, where=self._where))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _nodes(await self.retriever.asearch(query_bundle.query_str, self.similarity_top_k, where=self._where))


class RagqaReranker(BaseNodePostprocessor):
    """Orders nodes with a `ragqa.Reranker`, by default the bundled one. `top_n` is the number to keep, by default all.

    It returns copies, best first, ties in input order. `score` is the reranker's logit, unbounded. The metadata also have
    `relevance_score` (the same), `relevance_probability` (0 to 1) and `retrieval_score` (the score before, if there was one).
    The model reads the title and the section in the metadata too, if they are strings. Raises `InputError` without a query.
    """

    top_n: int | None = None
    _reranker: Reranker = PrivateAttr()

    def __init__(self, reranker: Reranker | None = None, top_n: int | None = None) -> None:
        super().__init__(top_n=top_n)
        self._reranker = reranker or Reranker.load()

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex saves."""
        return "RagqaReranker"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return _reranked(nodes, self._reranker.rank(_query(query_bundle), _texts(nodes), self.top_n))

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return _reranked(nodes, await self._reranker.arank(_query(query_bundle), _texts(nodes), self.top_n))


def _where(filters: MetadataFilters) -> Filter:
    if filters.condition not in (None, FilterCondition.AND) and len(filters.filters) != 1:
        raise InputError(f"filters are joined by {filters.condition.value}; ragqa can join them by AND only")
    return join(map(_condition, filters.filters))


def _condition(own: MetadataFilter | MetadataFilters) -> tuple[str, str, Any]:
    sign = getattr(own, "operator", "a nested filter")
    if isinstance(own, MetadataFilters) or sign not in _OPERATORS:
        raise InputError(f"filters: ragqa has no {getattr(sign, 'value', sign)}; it has {', '.join(_OPERATORS)}")
    return own.key, _OPERATORS[sign], own.value


def _query(bundle: QueryBundle | None) -> str:
    if bundle is None:
        raise InputError("reranking needs the query; give query_str or query_bundle")
    query: str = bundle.query_str
    return query


def _nodes(hits: Sequence[Hit]) -> list[NodeWithScore]:
    return [NodeWithScore(node=_node(hit), score=hit.score) for hit in hits]


def _node(hit: Hit) -> TextNode:
    passage, unread = hit.passage, list(NUMBERS)
    return TextNode(
        id_=passage.id,
        text=passage.text,
        metadata=describe(hit),
        start_char_idx=passage.start,
        end_char_idx=passage.end,
        excluded_embed_metadata_keys=unread,
        excluded_llm_metadata_keys=unread,
    )


def _texts(nodes: Sequence[NodeWithScore]) -> list[str]:
    return [text_to_rerank(node.node.get_content(), node.node.metadata) for node in nodes]


def _reranked(nodes: Sequence[NodeWithScore], ranking: Sequence[RankedText]) -> list[NodeWithScore]:
    return [_scored(nodes[ranked.position], ranked) for ranked in ranking]


def _scored(node: NodeWithScore, ranked: RankedText) -> NodeWithScore:
    before = {} if node.score is None else {RETRIEVAL_SCORE: node.score}
    own, added = node.node, [*RELEVANCE, RETRIEVAL_SCORE]
    changes = {
        "metadata": {**own.metadata, **before, **relevance(ranked)},
        "excluded_embed_metadata_keys": [*own.excluded_embed_metadata_keys, *added],
        "excluded_llm_metadata_keys": [*own.excluded_llm_metadata_keys, *added],
    }
    return NodeWithScore(node=own.model_copy(update=changes), score=ranked.score)
