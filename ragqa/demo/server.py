"""The HTTP server of the page, on a socket that is bound before the server starts."""

import socket
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ragqa.demo.corpora import Corpus
from ragqa.demo.endpoints import MCP_PATH
from ragqa.demo.mounting import ServerConfig, mount_as
from ragqa.demo.page import Features, build_demo
from ragqa.errors import RagqaError
from ragqa.search.retriever import Retriever
from ragqa.serve.sockets import address_of, bind

if TYPE_CHECKING:
    import gradio as gr

START_S = 30.0
STOP_S = 5.0  # for requests that are being answered


def serve(
    source: Retriever | Sequence[Corpus], config: ServerConfig | None = None, *, features: Features | None = None
) -> None:
    """Serve the page until Ctrl-C; print one line with its address. By default only this machine can reach it.

    Raises `InputError` if the server cannot listen on the host and port, and like `build_demo`.
    """
    config = config or ServerConfig()
    demo = build_demo(source, features=features)
    try:
        address = launch(demo, config)
        tools = f", its tools on {address}{MCP_PATH}" if config.mcp else ""
        print(f"ragqa demo on {address}{tools} (Ctrl-C ends it)", flush=True)
        while demo.is_running:
            time.sleep(0.2)
    except KeyboardInterrupt:
        pass
    finally:
        demo.close(verbose=False)


def launch(demo: "gr.Blocks", config: ServerConfig) -> str:
    """Start the page in threads of its own and return its address. Raises like `serve`."""
    from fastapi import FastAPI

    listener = bind(config.host, config.port)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    server = Server(app, listener, proxied=bool(config.names or config.root_path))
    try:
        mount_as(config, app, demo, "/")
        server.start()
    except BaseException:
        listener.close()
        raise
    demo.server = server  # type: ignore[assignment]  # `demo.close` calls only its `close`
    return address_of(config.host, listener)


class Server:
    """An HTTP server in a thread. If `proxied`, it believes what a reverse proxy on this machine says about visitors."""

    def __init__(self, app: Any, listener: socket.socket, *, proxied: bool = False) -> None:
        import uvicorn

        from ragqa.serve.connections import TimedProtocol

        config = uvicorn.Config(
            app,
            http=TimedProtocol,
            ws="none",
            log_level="critical",  # the gate logs failures
            access_log=False,
            server_header=False,
            proxy_headers=proxied,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True, name="ragqa demo")

    def start(self) -> None:
        """Start the server and wait until it answers. Raises `RagqaError` if it does not."""
        self._thread.start()
        end = time.monotonic() + START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                raise RagqaError("the chat's server did not start; see the messages above")
            time.sleep(0.01)

    def close(self) -> None:
        """Stop the server; requests that are being answered have a few seconds to finish."""
        self._server.should_exit = True
        self._thread.join(timeout=STOP_S)
