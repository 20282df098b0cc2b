"""The adapter for LangChain: its own tests, and LangChain's standard tests of retrievers in a process of their own."""

import asyncio
import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from adapters import PASSAGES, QUESTION, assert_tells, make_retriever

from ragqa import Reranker, Retriever
from ragqa.errors import InputError

pytest.importorskip("langchain_core", reason="pip install '.[langchain]'")

from langchain_core.documents import Document

from ragqa.integrations.langchain import RagqaReranker, RagqaRetriever

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def retriever() -> Retriever:
    return make_retriever()


@pytest.fixture(scope="module")
def reranker(retriever: Retriever) -> RagqaReranker:
    assert retriever.reranker
    return RagqaReranker(reranker=retriever.reranker)


def test_documents_are_the_hits(retriever: Retriever) -> None:
    hits = retriever.search(QUESTION, k=3)
    documents = RagqaRetriever(retriever=retriever, k=3).invoke(QUESTION)
    assert [(document.id, document.page_content) for document in documents] == [
        (hit.passage.id, hit.passage.text) for hit in hits
    ]
    for document, hit in zip(documents, hits, strict=True):
        assert_tells(document.metadata, hit)
        assert document.metadata["score"] == hit.score


def test_the_number_of_documents_can_be_given_with_the_question(retriever: Retriever) -> None:
    adapter = RagqaRetriever(retriever=retriever)
    assert len(adapter.invoke(QUESTION, k=1)) == 1
    assert len(asyncio.run(adapter.ainvoke(QUESTION, k=2))) == 2
    with pytest.raises(InputError, match="k is 0; at least 1 is needed"):
        adapter.invoke(QUESTION, k=0)


def test_asynchronous_and_batched_calls_find_the_same(retriever: Retriever) -> None:
    adapter = RagqaRetriever(retriever=retriever)
    expected = adapter.invoke(QUESTION)
    assert asyncio.run(adapter.ainvoke(QUESTION)) == expected
    assert adapter.batch([QUESTION, QUESTION]) == [expected, expected]


def test_reranked_documents_are_copies_with_everything_they_had(reranker: RagqaReranker) -> None:
    documents = [
        Document(
            id=str(number), page_content=passage.text, metadata={"title": passage.title, "tags": ["a"], "n": number}
        )
        for number, passage in enumerate(PASSAGES)
    ]
    before = copy.deepcopy(documents)
    reranked = reranker.compress_documents(documents, QUESTION)
    assert documents == before
    assert reranked[0].page_content == PASSAGES[1].text
    scores = [document.metadata.pop("relevance_score") for document in reranked]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= document.metadata.pop("relevance_probability") <= 1 for document in reranked)
    assert sorted(reranked, key=lambda document: document.metadata["n"]) == before


def test_a_reranker_keeps_the_best_and_reads_the_title(retriever: Retriever, reranker: RagqaReranker) -> None:
    assert retriever.reranker
    documents = [Document("It eats meat.", metadata={"title": title}) for title in ("Bee", "Ferret", 3)]
    two = RagqaReranker(reranker=retriever.reranker, top_n=2)
    kept = two.compress_documents(documents, QUESTION)
    assert kept == reranker.compress_documents(documents, QUESTION)[:2]
    assert kept[0].metadata["title"] == "Ferret"
    assert asyncio.run(two.acompress_documents(documents, QUESTION)) == kept
    assert two.compress_documents([], QUESTION) == []


def test_the_bundled_reranker_is_the_default(reranker: RagqaReranker) -> None:
    documents = [Document(passage.text) for passage in PASSAGES]
    assert RagqaReranker().compress_documents(documents, QUESTION) == reranker.compress_documents(documents, QUESTION)


def test_a_model_without_calibration_gives_no_probability() -> None:
    class Lengths:
        def logits(self, question: str, texts: Any) -> Any:
            import numpy as np

            return np.array([len(text) for text in texts], dtype=np.float32)

    adapter = RagqaReranker(reranker=Reranker(Lengths(), "lengths"))
    (document,) = adapter.compress_documents([Document("abc")], QUESTION)
    assert document.metadata == {"relevance_score": 3.0}


def test_the_standard_tests_of_retrievers_pass_without_a_connection() -> None:
    """Its plugins are loaded by name, in that process alone: here they would change how every test runs."""
    pytest.importorskip("langchain_tests", reason="pip install langchain-tests")
    plugins = ["-p", "pytest_asyncio.plugin", "--asyncio-mode=auto", "-p", "pytest_socket", "--disable-socket"]
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--noconftest", *plugins, "--allow-unix-socket"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", f"--rootdir={TESTS}", TESTS / "langchain_suite.py"],
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout
    assert "skipped" not in done.stdout


def test_a_filter_limits_what_is_found(retriever: Retriever) -> None:
    adapter = RagqaRetriever(retriever=retriever, where={"title": "Ferret"})
    assert {document.id for document in adapter.invoke(QUESTION)} == {"Ferret#0", "Ferret#1", "Ferret#2"}
    assert [document.id for document in adapter.invoke(QUESTION, where={"section": "Food"})] == ["Ferret#1"]
    found = asyncio.run(RagqaRetriever(retriever=retriever).ainvoke(QUESTION, where={"title": "Bee"}))
    assert [document.id for document in found] == ["Bee#0"]
