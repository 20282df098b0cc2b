"""The two public endpoints, `/search` and `/ask`: for programs and, as tools, for language models (MCP, streamable HTTP)."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from ragqa.answers.answer import THRESHOLD, as_dict, hits_as_dicts
from ragqa.demo.corpora import Corpus
from ragqa.errors import InputError, RagqaError
from ragqa.serve.arguments import RESULTS, check, check_threshold
from ragqa.serve.tools import HttpTools, Tool

if TYPE_CHECKING:
    import gradio as gr

MCP_PATH = "gradio_api/mcp/"


def add_endpoints(corpora: Mapping[str, Corpus], limits: Mapping[str, Any]) -> None:
    """Add `/search` and `/ask` to the page that is being built; `limits` are Gradio's options for slow events.

    Their docstrings describe what they return in one line: Gradio joins these lines with commas, and all others with spaces.
    """
    from gradio.events import api

    first = next(iter(corpora))

    def find(name: str | None) -> Corpus:
        if name and name not in list(corpora):  # a program may send anything, such as a list
            raise InputError(f"There is no corpus {name}; there are: {', '.join(corpora)}")
        return corpora[name or first]

    def search(question: str, k: int = RESULTS, corpus: str = "") -> list[dict[str, Any]]:
        """Find the passages of the corpus that answer a question about machine learning, best first.

        The `url` of a passage is the page and revision that it was taken from. Text written for ragqa has none; its `about` is
        Wikipedia's article on the topic, which it does not quote.

        Args:
            question: The question, in the language of the passages, at most 2,000 characters.
            k: The number of passages to return, from 1 to 20.
            corpus: The name of the corpus to search; empty for the first one.

        Returns:
            Hits: rank, passage (title, section, text, url, about), score, probability, score and rank by BM25.
        """
        hits = find(corpus).retriever.search(*check(question, k))
        return hits_as_dicts(hits)

    def ask(question: str, k: int = RESULTS, corpus: str = "", threshold: float = THRESHOLD) -> dict[str, Any]:
        """Answer a question about machine learning with the sentences of the corpus that answer it best.

        The `url` of a passage is the page and revision that it was taken from. Text written for ragqa has none; its `about` is
        Wikipedia's article on the topic, which it does not quote.

        Args:
            question: The question, in the language of the passages, at most 2,000 characters.
            k: The number of passages to return with the answer, from 1 to 20.
            corpus: The name of the corpus to search; empty for the first one.
            threshold: The probability of the best passage, from 0 to 1, below which there is no answer.

        Returns:
            Its text (empty and abstained if no passage answers), its quotes with their places, and the hits as in `search`.
        """
        return as_dict(find(corpus).retriever.ask(*check(question, k), threshold=check_threshold(threshold)))

    for function in (search, ask):
        api(_with_plain_errors(function), api_name=function.__name__, **limits)


def _with_plain_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function report ragqa's errors as Gradio's, without a trace."""
    import gradio as gr

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except RagqaError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return call


class Tools(HttpTools):
    """An ASGI app that serves the public endpoints of a page over MCP, while its `lifespan` is entered."""

    def __init__(self, demo: "gr.Blocks") -> None:
        functions = {str(fn.api_name): fn.fn for fn in demo.fns.values() if fn.api_visibility == "public" and fn.fn}
        super().__init__(_tool(name, function) for name, function in functions.items())


def _tool(name: str, function: Callable[..., Any]) -> Tool:
    """Return the tool of an endpoint, with the descriptions of its docstring."""
    from gradio.utils import get_function_description

    purpose, parameters, returns = get_function_description(function)
    return Tool(name, f"{purpose} Returns: {' '.join(returns)}", parameters, _with_own_errors(function))


def _with_own_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let an endpoint report Gradio's errors as ragqa's."""
    import gradio as gr

    def call(**arguments: Any) -> Any:
        try:
            return function(**arguments)
        except gr.Error as error:
            raise RagqaError(str(error.message)) from error

    return call
