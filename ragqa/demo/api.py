"""The two public endpoints, for programs and, as tools, for language models (MCP)."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ragqa.answers.answer import as_dict
from ragqa.demo.converse import RESULTS, check_results
from ragqa.demo.corpora import Corpus
from ragqa.errors import InputError, RagqaError


def add_endpoints(corpora: Mapping[str, Corpus], limits: Mapping[str, Any]) -> None:
    """Add `/search` and `/ask` to the page that is being built; `limits` are options of Gradio's.

    What they return is told in one line each: Gradio puts a comma where a line of a docstring ends.
    """
    import gradio as gr
    from gradio.events import api

    first = next(iter(corpora))

    def find(name: str | None) -> Corpus:
        if name and name not in list(corpora):  # whatever a program sends
            raise gr.Error(f"There is no corpus {name}; there are: {', '.join(corpora)}", print_exception=False)
        return corpora[name or first]

    def search(question: str, k: int = RESULTS, corpus: str = "") -> list[dict[str, Any]]:
        """Find the passages of the indexed Wikipedia pages that answer a question about machine learning, best first.

        Args:
            question: The question, in English, at most 2,000 characters.
            k: How many passages to return, from 1 to 20.
            corpus: The name of the corpus to search; empty for the first one.

        Returns:
            Hits: rank, passage (title, section, text, url of the cited revision), score, probability, score and rank by BM25.
        """
        retriever = find(corpus).retriever
        try:
            hits = retriever.search(*check(question, k))
        except RagqaError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return [{"rank": rank, **asdict(hit)} for rank, hit in enumerate(hits, 1)]

    def ask(question: str, k: int = RESULTS, corpus: str = "") -> dict[str, Any]:
        """Answer a question about machine learning with the sentence of the indexed Wikipedia pages that answers it best.

        Args:
            question: The question, in English, at most 2,000 characters.
            k: How many passages to return with the answer, from 1 to 20.
            corpus: The name of the corpus to search; empty for the first one.

        Returns:
            Its text (empty and abstained where no passage answers), the hits as of `search`, the best sentences of hits 0, 1 …
        """
        retriever = find(corpus).retriever
        try:
            return as_dict(retriever.ask(*check(question, k)))
        except RagqaError as error:
            raise gr.Error(str(error), print_exception=False) from error

    api(search, api_name="search", **limits)
    api(ask, api_name="ask", **limits)


def check(question: object, k: object) -> tuple[str, int]:
    """Return the question and the number of passages to return; null stands for the default, and 2.0 for 2.

    Raises `InputError` for other types: Gradio lets programs send anything.
    """
    if not isinstance(question, str):
        raise InputError(f"question is {repr(question)[:40]}; text is needed")
    if k is None:
        return question, RESULTS
    if isinstance(k, float) and k.is_integer():
        k = int(k)
    if not isinstance(k, int) or isinstance(k, bool):
        raise InputError(f"k is {repr(k)[:40]}; a whole number is needed")
    check_results(k)
    return question, k
