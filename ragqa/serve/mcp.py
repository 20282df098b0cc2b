"""The tools of an index, served to language models over the Model Context Protocol (MCP): stdio or streamable HTTP."""

import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import IO, Any

from ragqa.errors import check_extra
from ragqa.search.retriever import Retriever
from ragqa.serve.access import Access, Guard
from ragqa.serve.corpus_tools import INSTRUCTIONS, corpus_tools
from ragqa.serve.limits import Refused
from ragqa.serve.logs import log_as_json
from ragqa.serve.server import uvicorn_config
from ragqa.serve.sockets import address_of, bind
from ragqa.serve.tools import HttpTools, build_server, log_fallbacks

PORT = 8000
_LOG = logging.getLogger(__name__)
_STDIN, _STDOUT, _STDERR = range(3)


@dataclass(frozen=True, slots=True)
class McpConfig(Access):
    """Where the MCP server listens and who may use it.

    Raises like `Access`, and `MissingExtraError` without the extra `mcp`.
    """

    port: int | None = PORT

    def __post_init__(self) -> None:
        check_extra("the MCP server", "mcp")
        Access.__post_init__(self)  # `super()` does not work with slots


def serve_http(open_retriever: Callable[[], Retriever], config: McpConfig | None = None) -> None:
    """Serve the tools over HTTP until Ctrl-C or SIGTERM; print one line with the address.

    Raises `InputError` if the server cannot listen on the host and port, and what `open_retriever` raises.
    """
    import uvicorn

    from ragqa.serve.shapes import MCP_PATH

    config = config or McpConfig()
    with closing(bind(config.host, config.port)) as listener, suppress(KeyboardInterrupt):
        log_as_json()
        app = _build_app(open_retriever(), config)
        print(f"ragqa mcp on {address_of(config.host, listener)}{MCP_PATH[1:]} (Ctrl-C ends it)", flush=True)
        uvicorn.Server(uvicorn_config(app, config)).run([listener])


def _build_app(retriever: Retriever, config: McpConfig) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Route

    from ragqa.serve.shapes import MCP_PATH, refusal

    tools = HttpTools(corpus_tools(lambda: retriever), INSTRUCTIONS)
    route = Route(MCP_PATH, tools, methods=["POST"])  # there are no sessions, so there is nothing to GET or DELETE
    app = Starlette(routes=[route], lifespan=tools.lifespan)
    guard = Guard(app, config)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await app(scope, receive, send)
        try:
            await guard(scope, receive, send)
        except Refused as refused:
            await refusal(MCP_PATH, refused)(scope, receive, send)

    return answer


def serve_stdio(open_retriever: Callable[[], Retriever]) -> None:
    """Serve the tools over stdin and stdout until stdin ends, or until Ctrl-C or SIGTERM.

    The retriever is opened in the background, and the first call waits for it; if it cannot be opened, every call says why.
    Whatever else the process prints goes to stderr. Raises `MissingExtraError` without the extra `mcp`.
    """
    check_extra("the MCP server", "mcp")
    import anyio
    from mcp.server.stdio import stdio_server

    # the retriever is opened after these slow imports, which would take longer meanwhile; the client waits for them
    with ThreadPoolExecutor(1) as thread, _own_streams() as (requests, replies), log_fallbacks():
        opening = thread.submit(open_retriever)
        opening.add_done_callback(_log_failure)
        anyio.run(_serve, opening, stdio_server, requests, replies)


def _log_failure(opening: "Future[Retriever]") -> None:
    if error := opening.exception():
        _LOG.error(" ".join(str(error).split()))


@contextmanager
def _own_streams() -> Iterator[tuple[IO[str], IO[bytes]]]:
    """Yield the files of stdin and stdout. Until the end, stdin is empty for all other code, and its output goes to stderr."""
    sys.stdout.flush()
    requests = os.fdopen(os.dup(_STDIN), encoding="utf-8", errors="replace")
    with os.fdopen(os.dup(_STDOUT), "wb", buffering=0) as replies, Path(os.devnull).open("rb") as empty:
        os.dup2(empty.fileno(), _STDIN)
        os.dup2(_STDERR, _STDOUT)
        try:
            yield requests, replies
        finally:
            sys.stdout.flush()
            os.dup2(replies.fileno(), _STDOUT)
            os.dup2(requests.fileno(), _STDIN)


async def _serve(opening: "Future[Retriever]", transport: Any, requests: IO[str], replies: IO[bytes]) -> None:
    import anyio

    server = build_server(corpus_tools(opening.result), INSTRUCTIONS)
    with anyio.CancelScope() as scope, _cancelled_by_sigterm(scope):
        async with transport(_Lines(requests), _Writer(replies, scope)) as (read, write):
            await server.run(read, write, server.create_initialization_options())


@contextmanager
def _cancelled_by_sigterm(scope: Any) -> Iterator[None]:
    """Cancel the scope on SIGTERM, and raise the signal again at the end for who handled it before."""
    import asyncio

    loop, before, raised = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM), []

    def cancel(number: int, _: object) -> None:
        raised.append(number)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second signal ends the process at once
        loop.call_soon_threadsafe(scope.cancel)

    signal.signal(signal.SIGTERM, cancel)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if raised:
            signal.raise_signal(signal.SIGTERM)


class _Lines:
    """The lines of a file, read in a thread that does not keep the process alive, as it may wait for a line forever."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    async def __aiter__(self) -> AsyncIterator[str]:
        import anyio
        from anyio.lowlevel import current_token

        send, receive = anyio.create_memory_object_stream[str]()
        Thread(target=self._read, args=(send, current_token()), daemon=True, name="ragqa stdin").start()
        async with receive:
            async for line in receive:
                yield line

    def _read(self, send: Any, token: Any) -> None:
        from anyio import BrokenResourceError, RunFinishedError, from_thread

        try:
            for line in self._file:
                from_thread.run(send.send, line, token=token)
            from_thread.run_sync(send.close, token=token)
        except (BrokenResourceError, RunFinishedError):
            pass  # the server has ended


class _Writer:
    """A file to write replies to. If nobody reads them any more, the scope is cancelled."""

    def __init__(self, file: IO[bytes], scope: Any) -> None:
        self._file, self._scope = file, scope

    async def write(self, text: str) -> None:
        from anyio import to_thread

        try:
            await to_thread.run_sync(partial(_write_all, self._file, text.encode()))
        except OSError:
            self._scope.cancel()

    async def flush(self) -> None:
        """The file has no buffer."""


def _write_all(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
