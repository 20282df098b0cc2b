"""The adapter for LlamaIndex."""

import asyncio

import pytest
from adapters import PASSAGES, QUESTION, assert_tells, make_retriever

from ragqa import Retriever
from ragqa.errors import InputError

pytest.importorskip("llama_index.core", reason="pip install '.[llama-index]'")

from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from ragqa.integrations.llama_index import RagqaReranker, RagqaRetriever


@pytest.fixture(scope="module")
def retriever() -> Retriever:
    return make_retriever()


@pytest.fixture(scope="module")
def reranker(retriever: Retriever) -> RagqaReranker:
    return RagqaReranker(retriever.reranker)


def nodes() -> list[NodeWithScore]:
    made = [
        TextNode(id_=passage.id, text=passage.text, metadata={"title": passage.title, "tags": ["a"]})
        for passage in PASSAGES
    ]
    return [NodeWithScore(node=node, score=score) for node, score in zip(made, (0.9, None, 0.7, 0.6), strict=True)]


def test_nodes_are_the_hits(retriever: Retriever) -> None:
    hits = retriever.search(QUESTION, k=3)
    found = RagqaRetriever(retriever, similarity_top_k=3).retrieve(QUESTION)
    assert [(node.node.node_id, node.node.get_content(), node.score) for node in found] == [
        (hit.passage.id, hit.passage.text, hit.score) for hit in hits
    ]
    for node, hit in zip(found, hits, strict=True):
        assert_tells(node.node.metadata, hit)
        assert isinstance(node.node, TextNode)
        assert (node.node.start_char_idx, node.node.end_char_idx) == (hit.passage.start, hit.passage.end)


def test_a_language_model_reads_the_source_and_no_numbers(retriever: Retriever) -> None:
    read = RagqaRetriever(retriever).retrieve(QUESTION)[0].node.get_content(MetadataMode.LLM)
    assert "title: Ferret" in read
    assert "url: https://en.wikipedia.org" in read
    assert "bm25" not in read
    assert "probability" not in read


def test_an_asynchronous_call_finds_the_same(retriever: Retriever) -> None:
    adapter = RagqaRetriever(retriever)
    assert asyncio.run(adapter.aretrieve(QueryBundle(QUESTION))) == adapter.retrieve(QUESTION)


def test_reranked_nodes_are_copies_with_everything_they_had(reranker: RagqaReranker) -> None:
    given, before = nodes(), nodes()
    reranked = reranker.postprocess_nodes(given, query_str=QUESTION)
    assert given == before
    assert reranked[0].node.node_id == PASSAGES[1].id
    assert [node.score for node in reranked] == sorted((node.get_score() for node in reranked), reverse=True)
    scores = {node.node.node_id: node.score for node in before}
    for node in reranked:
        metadata = dict(node.node.metadata)
        assert metadata.pop("relevance_score") == node.score
        assert 0 <= metadata.pop("relevance_probability") <= 1
        assert metadata.pop("retrieval_score", None) == scores[node.node.node_id]
        assert metadata == next(one.node.metadata for one in before if one.node.node_id == node.node.node_id)
        assert "score" not in node.node.get_content(MetadataMode.LLM)


def test_a_reranker_keeps_the_best(retriever: Retriever, reranker: RagqaReranker) -> None:
    two = RagqaReranker(retriever.reranker, top_n=2)
    kept = two.postprocess_nodes(nodes(), query_str=QUESTION)
    assert kept == reranker.postprocess_nodes(nodes(), QueryBundle(QUESTION))[:2]
    assert asyncio.run(two.apostprocess_nodes(nodes(), query_str=QUESTION)) == kept
    assert two.to_dict() == {"top_n": 2, "class_name": "RagqaReranker"}
    assert two.postprocess_nodes([], query_str=QUESTION) == []


def test_the_bundled_reranker_is_the_default(reranker: RagqaReranker) -> None:
    assert RagqaReranker().postprocess_nodes(nodes(), query_str=QUESTION) == reranker.postprocess_nodes(
        nodes(), query_str=QUESTION
    )


def test_without_a_query_nothing_can_be_reranked(reranker: RagqaReranker) -> None:
    with pytest.raises(InputError, match="reranking needs the query; give query_str or query_bundle"):
        reranker.postprocess_nodes(nodes())


def test_both_work_in_a_query_engine(retriever: Retriever, reranker: RagqaReranker) -> None:
    engine = RetrieverQueryEngine(
        RagqaRetriever(retriever),
        get_response_synthesizer(MockLLM()),
        node_postprocessors=[reranker],
    )
    assert engine.query(QUESTION).source_nodes[0].node.node_id == PASSAGES[1].id


def test_filters_limit_what_is_found(retriever: Retriever) -> None:
    bees = MetadataFilter(key="title", value="Bee")
    others = MetadataFilter(key="section", value=["Food"], operator=FilterOperator.NIN)
    for filters, ids in (
        ([bees], {"Bee#0"}),
        ([others], {"Ferret#0", "Bee#0", "Ferret#2"}),
        ([bees, others], {"Bee#0"}),
    ):
        adapter = RagqaRetriever(retriever, filters=MetadataFilters(filters=filters))
        assert {node.node.node_id for node in adapter.retrieve(QUESTION)} == ids
        assert {node.node.node_id for node in asyncio.run(adapter.aretrieve(QUESTION))} == ids
    with pytest.raises(InputError, match="filters are joined by or; ragqa can join them by AND only"):
        RagqaRetriever(retriever, filters=MetadataFilters(filters=[bees, others], condition=FilterCondition.OR))
    contains = MetadataFilter(key="title", value="Bee", operator=FilterOperator.CONTAINS)
    with pytest.raises(InputError, match="filters: ragqa has no contains; it has ==, in, nin"):
        RagqaRetriever(retriever, filters=MetadataFilters(filters=[contains]))
