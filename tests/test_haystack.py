"""The adapter for Haystack. `conftest.py` turns its telemetry off."""

import asyncio
import copy
import os
import sys
from pathlib import Path

import pytest
from adapters import PASSAGES, QUESTION, assert_tells, make_retriever

from ragqa import Bm25Index, DenseIndex, Retriever
from ragqa.errors import IndexStoreError, InputError
from ragqa.index.folder import save_index

if sys.version_info < (3, 11):
    pytest.skip("haystack-ai needs Python 3.11", allow_module_level=True)
pytest.importorskip("haystack", reason="pip install '.[haystack]'")

from haystack import Document, Pipeline, telemetry

from ragqa.integrations.haystack import RagqaRanker, RagqaRetriever


@pytest.fixture(scope="module")
def retriever() -> Retriever:
    return make_retriever()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, retriever: Retriever) -> Path:
    folder = tmp_path_factory.mktemp("haystack") / "index"
    assert isinstance(retriever.index, Bm25Index)
    assert isinstance(retriever.dense, DenseIndex)
    save_index(folder, retriever.index, retriever.dense)
    return folder


@pytest.fixture(scope="module")
def ranker() -> RagqaRanker:
    return RagqaRanker()


def documents() -> list[Document]:
    return [
        Document(id=passage.id, content=passage.text, meta={"title": passage.title, "tags": ["a"]}, score=score)
        for passage, score in zip(PASSAGES, (0.9, None, 0.7, 0.6), strict=True)
    ]


def test_the_telemetry_is_off() -> None:
    assert os.environ["HAYSTACK_TELEMETRY_ENABLED"] == "False"
    assert not telemetry._telemetry.telemetry


def test_documents_are_the_hits(retriever: Retriever) -> None:
    hits = retriever.search(QUESTION, k=3)
    found = RagqaRetriever(retriever, top_k=3).run(QUESTION)["documents"]
    assert [(one.id, one.content, one.score) for one in found] == [
        (hit.passage.id, hit.passage.text, hit.score) for hit in hits
    ]
    for document, hit in zip(found, hits, strict=True):
        assert_tells(document.meta, hit)
        assert Document.from_dict(document.to_dict()) == document


def test_an_asynchronous_call_finds_the_same_and_may_ask_for_fewer(retriever: Retriever) -> None:
    adapter = RagqaRetriever(retriever)
    assert asyncio.run(adapter.run_async(QUESTION, top_k=2)) == adapter.run(QUESTION, top_k=2)
    assert len(adapter.run(QUESTION, top_k=2)["documents"]) == 2
    with pytest.raises(InputError, match="k is 0; at least 1 is needed"):
        adapter.run(QUESTION, top_k=0)


def test_reranked_documents_are_copies_with_everything_they_had(ranker: RagqaRanker) -> None:
    given, before = documents(), documents()
    reranked = ranker.run(QUESTION, given)["documents"]
    assert given == before
    assert reranked[0].id == PASSAGES[1].id
    for document in reranked:
        old = next(one for one in before if one.id == document.id)
        meta = copy.copy(document.meta)
        assert meta.pop("relevance_score") == document.score
        assert 0 <= meta.pop("relevance_probability") <= 1
        assert meta.pop("retrieval_score", None) == old.score
        assert (meta, document.content) == (old.meta, old.content)
    assert [one.score for one in reranked] == sorted((one.score or 0 for one in reranked), reverse=True)


def test_a_ranker_keeps_the_best(ranker: RagqaRanker) -> None:
    every, kept = ranker.run(QUESTION, documents()), ranker.run(QUESTION, documents(), top_k=2)
    assert kept["documents"] == every["documents"][:2]
    assert RagqaRanker(top_k=2).run(QUESTION, documents()) == kept
    assert asyncio.run(ranker.run_async(QUESTION, documents(), top_k=2)) == kept
    assert ranker.run(QUESTION, []) == {"documents": []}


def test_a_document_without_text_is_named(ranker: RagqaRanker) -> None:
    with pytest.raises(InputError, match="the document image7 has no text, so it cannot be reranked"):
        ranker.run(QUESTION, [Document(id="image7")])


def test_a_pipeline_of_both_is_saved_loaded_and_run(folder: Path) -> None:
    pipeline = Pipeline()
    pipeline.add_component("retriever", RagqaRetriever(str(folder), reranker=None))
    pipeline.add_component("ranker", RagqaRanker(top_k=2))
    pipeline.connect("retriever.documents", "ranker.documents")
    asked = {"retriever": {"query": QUESTION}, "ranker": {"query": QUESTION}}
    expected = pipeline.run(asked)
    assert expected["ranker"]["documents"][0].id == PASSAGES[1].id
    loaded = Pipeline.loads(pipeline.dumps(), allowed_modules=["ragqa.integrations.haystack"])
    assert loaded.run(asked) == expected
    assert asyncio.run(loaded.run_async(asked)) == expected


def test_what_is_opened_later_is_told_when_it_is_opened(folder: Path, tmp_path: Path) -> None:
    missing = RagqaRetriever(str(tmp_path / "nowhere"))
    with pytest.raises(IndexStoreError, match="is not an index; build it again"):
        missing.warm_up()
    opened = RagqaRetriever(str(folder))
    opened.warm_up()
    first = opened._retriever
    opened.warm_up()
    assert opened._retriever is first


def test_a_component_of_an_open_retriever_cannot_be_saved(retriever: Retriever) -> None:
    with pytest.raises(InputError, match="cannot be saved; give the folder of its index instead"):
        RagqaRetriever(retriever).to_dict()


def test_filters_limit_what_is_found(retriever: Retriever) -> None:
    bees = {"field": "meta.title", "operator": "==", "value": "Bee"}
    others = {"field": "section", "operator": "not in", "value": ["Food"]}
    both = {"operator": "AND", "conditions": [bees, others]}
    for filters, ids in ((bees, {"Bee#0"}), (others, {"Ferret#0", "Bee#0", "Ferret#2"}), (both, {"Bee#0"})):
        adapter = RagqaRetriever(retriever, filters=filters)
        assert {document.id for document in adapter.run(QUESTION)["documents"]} == ids
        assert RagqaRetriever(retriever).run(QUESTION, filters=filters) == adapter.run(QUESTION)
    assert RagqaRetriever("index", filters=both).to_dict()["init_parameters"]["filters"] == both
    with pytest.raises(InputError, match="filters: ragqa has no OR; it has AND, ==, in, not in"):
        RagqaRetriever(retriever, filters={"operator": "OR", "conditions": [bees]})
