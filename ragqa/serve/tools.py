"""Functions in, tools for language models out: a server of the Model Context Protocol (MCP), for any transport."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragqa.errors import RagqaError
from ragqa.serve.arguments import PROPERTIES

if TYPE_CHECKING:
    from mcp import types

AT_ONCE = 2  # tool calls answered at the same time
WAITING = 64  # tool calls that may wait; more are refused

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that language models may call.

    `parameters` maps the names of its arguments, keys of `PROPERTIES`, to their descriptions; the first is required. The
    results of `function` are JSON values. `output` is their JSON schema, if they are objects. Tools change nothing.
    """

    name: str
    description: str
    parameters: Mapping[str, str]
    function: Callable[..., Any]
    output: Mapping[str, Any] | None = None


def build_server(tools: Iterable[Tool], instructions: str | None = None) -> Any:
    """Return an MCP server (of the SDK's low-level kind) with these tools. Needs the extra `mcp`."""
    from importlib.metadata import version

    from anyio import CapacityLimiter, to_thread
    from mcp import types
    from mcp.server.lowlevel import Server

    named = {tool.name: tool for tool in tools}
    described = [describe(tool) for tool in named.values()]
    limiter = CapacityLimiter(AT_ONCE)
    server: Any = Server("ragqa", version("ragqa"), instructions)

    async def list_tools() -> list[types.Tool]:
        return described

    async def call_tool(name: str, arguments: dict[str, Any]) -> types.CallToolResult:
        if limiter.statistics().tasks_waiting >= WAITING:
            raise ValueError("too many questions at once; try again in a few seconds")
        text = await to_thread.run_sync(call, named, name, arguments, limiter=limiter)
        content: list[types.ContentBlock] = [types.TextContent(type="text", text=text)]
        return types.CallToolResult(content=content, structuredContent=json.loads(text) if named[name].output else None)

    server.list_tools()(list_tools)
    server.call_tool(validate_input=False)(call_tool)  # the messages of `call` say what to do
    return server


class HttpTools:
    """An ASGI app that serves tools over MCP's streamable HTTP, while its `lifespan` is entered. It keeps no sessions."""

    def __init__(self, tools: Iterable[Tool], instructions: str | None = None) -> None:
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        server = build_server(tools, instructions)
        self._manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True)

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """Serve in the meantime."""
        with log_fallbacks():
            async with self._manager.run():
                yield

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        await self._manager.handle_request(scope, receive, send)


def describe(tool: Tool) -> "types.Tool":
    """Return a tool as clients list it."""
    from mcp import types

    first = next(iter(tool.parameters))
    properties = {name: {**PROPERTIES[name], "description": about} for name, about in tool.parameters.items()}
    schema = {"type": "object", "properties": properties, "required": [first], "additionalProperties": False}
    return types.Tool(
        name=tool.name,
        description=tool.description,
        inputSchema=schema,
        outputSchema=dict(tool.output) if tool.output else None,
        annotations=types.ToolAnnotations(readOnlyHint=True, idempotentHint=True, openWorldHint=False),
    )


def call(tools: Mapping[str, Tool], name: str, arguments: Mapping[str, Any]) -> str:
    """Return the result of a tool as JSON. Raises `ValueError`, with one line for the client, if the call fails."""
    if name not in tools:
        raise ValueError(f"there is no tool {name[:40]!r}; there are: {', '.join(tools)}")
    tool = tools[name]
    first, *_ = tool.parameters
    if unknown := [key for key in arguments if key not in tool.parameters]:
        raise ValueError(f"{name} takes {_listed([*tool.parameters])}, not {unknown[0]!r:.40}")
    if first not in arguments:
        raise ValueError(f"{first} is missing")
    try:
        return json.dumps(tool.function(**arguments), ensure_ascii=False)
    except (RagqaError, OSError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    except Exception as error:
        _LOG.exception("the tool %s failed", name)
        raise ValueError(f"{name} failed; the log of the server says why") from error


@contextmanager
def log_fallbacks() -> Iterator[None]:
    """Log `FallbackWarning`s, which the SDK records while a request is handled, and logs as information."""
    logger, handler = logging.getLogger("mcp.server.lowlevel.server"), _FallbackHandler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _FallbackHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.args, tuple) and record.args[:1] == ("FallbackWarning",):
            _LOG.warning("%s", record.args[1])


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
