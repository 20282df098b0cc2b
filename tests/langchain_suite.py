"""LangChain's standard tests of retrievers, for ours. `test_langchain.py` runs them."""

from typing import Any

from adapters import QUESTION, make_retriever
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests

from ragqa.integrations.langchain import RagqaRetriever


class TestRagqaRetriever(RetrieversIntegrationTests):
    """They need a corpus with at least three passages for the question."""

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return RagqaRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"retriever": make_retriever()}

    @property
    def retriever_query_example(self) -> str:
        return QUESTION
