"""The two public endpoints, `/search` and `/ask`: for programs and, as tools, for language models (MCP, streamable HTTP)."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any

from ragqa.answers.answer import THRESHOLD, as_dict, hits_as_dicts
from ragqa.demo.corpora import Corpus
from ragqa.demo.respond import LEAST_RESULTS, MOST_RESULTS, RESULTS, check_results
from ragqa.errors import InputError, RagqaError

if TYPE_CHECKING:
    import gradio as gr
    from mcp import types

MCP_PATH = "gradio_api/mcp/"
AT_ONCE = 2  # tool calls answered at the same time
WAITING = 64  # tool calls that may wait; more are refused

# the arguments that the endpoints accept: null for a default, and 2.0 for 2, since JSON does not tell them apart
PROPERTIES: Mapping[str, Mapping[str, Any]] = {
    "question": {"type": "string"},
    "k": {"type": ["integer", "null"], "minimum": LEAST_RESULTS, "maximum": MOST_RESULTS, "default": RESULTS},
    "corpus": {"type": ["string", "null"], "default": ""},
    "threshold": {"type": ["number", "null"], "minimum": 0, "maximum": 1, "default": THRESHOLD},
}


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
            question: The question, in English, at most 2,000 characters.
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
            question: The question, in English, at most 2,000 characters.
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


def check(question: object, k: object) -> tuple[str, int]:
    """Return the question and the number of passages; null means the default, and 2.0 means 2.

    Raises `InputError` for other types, since programs may send anything.
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


def check_threshold(threshold: object) -> float:
    """Return the threshold; null means the default. Raises `InputError` for anything but a number from 0 to 1."""
    if threshold is None:
        return THRESHOLD
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise InputError(f"threshold is {repr(threshold)[:40]}; a number from 0 to 1 is needed")
    return float(threshold)


class Tools:
    """An ASGI app that serves the public endpoints of a page over MCP, while its `lifespan` is entered."""

    def __init__(self, demo: "gr.Blocks") -> None:
        from mcp.server.lowlevel import Server
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        functions = {str(fn.api_name): fn.fn for fn in demo.fns.values() if fn.api_visibility == "public" and fn.fn}
        server: Server[Any, Any] = Server("ragqa")
        _register(server, functions)
        self._manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True)

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """Serve in the meantime."""
        async with self._manager.run():
            yield

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        await self._manager.handle_request(scope, receive, send)


def _register(server: Any, functions: Mapping[str, Callable[..., Any]]) -> None:
    from anyio import CapacityLimiter, to_thread
    from mcp import types

    described = [describe(name, function) for name, function in functions.items()]
    limiter = CapacityLimiter(AT_ONCE)

    async def list_tools() -> list[types.Tool]:
        return described

    async def call_tool(name: str, arguments: dict[str, Any]) -> list[types.TextContent]:
        if limiter.statistics().tasks_waiting >= WAITING:
            raise ValueError("too many questions at once; try again in a few seconds")
        result = await to_thread.run_sync(call, functions, name, arguments, limiter=limiter)
        return [types.TextContent(type="text", text=json.dumps(result, ensure_ascii=False))]

    server.list_tools()(list_tools)
    server.call_tool(validate_input=False)(call_tool)  # the endpoints' own messages say what to do


def describe(name: str, function: Callable[..., Any]) -> "types.Tool":
    """Return a tool with the descriptions of its docstring."""
    from gradio.utils import get_function_description
    from mcp import types

    purpose, parameters, returns = get_function_description(function)
    properties = {key: {**PROPERTIES[key], "description": parameters[key]} for key in signature(function).parameters}
    schema = {"type": "object", "properties": properties, "required": ["question"], "additionalProperties": False}
    return types.Tool(name=name, description=f"{purpose} Returns: {' '.join(returns)}", inputSchema=schema)


def call(functions: Mapping[str, Callable[..., Any]], name: str, arguments: Mapping[str, Any]) -> Any:
    """Return what an endpoint answers. Raises `ValueError` with the endpoint's message if it refuses."""
    import gradio as gr

    if name not in functions:
        raise ValueError(f"there is no tool {name[:40]!r}; there are: {', '.join(functions)}")
    *most, last = signature(functions[name]).parameters
    if unknown := [key for key in arguments if key not in (*most, last)]:
        raise ValueError(f"{name} takes {', '.join(most)} and {last}, not {unknown[0]!r:.40}")
    if "question" not in arguments:
        raise ValueError("question is missing")
    try:
        return functions[name](**arguments)
    except gr.Error as error:
        raise ValueError(str(error.message)) from error
