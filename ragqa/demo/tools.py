"""The endpoints as tools for language models (MCP, streamable HTTP)."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ragqa.demo.converse import LEAST_RESULTS, MOST_RESULTS, RESULTS

if TYPE_CHECKING:
    import gradio as gr
    from mcp import types

MCP_PATH = "gradio_api/mcp/"
AT_ONCE = 2  # calls answered at the same time
WAITING = 64  # calls that may wait; more are refused

# what `api.check` takes: null where a default stands, and 2.0 for 2, as JSON makes no difference between them
PROPERTIES: Mapping[str, Mapping[str, Any]] = {
    "question": {"type": "string"},
    "k": {"type": ["integer", "null"], "minimum": LEAST_RESULTS, "maximum": MOST_RESULTS, "default": RESULTS},
    "corpus": {"type": ["string", "null"], "default": ""},
}


class Tools:
    """An ASGI app that serves the public endpoints of a page; it answers only while its `lifespan` is entered."""

    def __init__(self, demo: "gr.Blocks") -> None:
        from mcp.server.lowlevel import Server
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        functions = {str(fn.api_name): fn.fn for fn in demo.fns.values() if fn.api_visibility == "public" and fn.fn}
        server: Server[Any, Any] = Server("ragqa")
        _register(server, functions)
        self._manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True)

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """Serve meanwhile."""
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
    """Return a tool as its docstring describes it."""
    from gradio.utils import get_function_description
    from mcp import types

    purpose, parameters, returns = get_function_description(function)
    properties = {key: {**schema, "description": parameters[key]} for key, schema in PROPERTIES.items()}
    schema = {"type": "object", "properties": properties, "required": ["question"], "additionalProperties": False}
    return types.Tool(name=name, description=f"{purpose} Returns: {' '.join(returns)}", inputSchema=schema)


def call(functions: Mapping[str, Callable[..., Any]], name: str, arguments: Mapping[str, Any]) -> Any:
    """Return what an endpoint answers. Raises `ValueError` with its message if it refuses."""
    import gradio as gr

    if name not in functions:
        raise ValueError(f"there is no tool {name[:40]!r}; there are: {', '.join(functions)}")
    unknown = [key for key in arguments if key not in PROPERTIES]
    if unknown or "question" not in arguments:
        raise ValueError(
            f"{name} takes question, k and corpus, not {unknown[0]!r:.40}" if unknown else "question is missing"
        )
    try:
        return functions[name](**arguments)
    except gr.Error as error:
        raise ValueError(str(error.message)) from error
