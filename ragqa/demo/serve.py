"""Serving the page: on this machine only, unless --auth or --no-auth opens it to others."""

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ragqa.demo.corpora import Corpus
from ragqa.demo.door import LOOPBACK, PORT, Door, check_door
from ragqa.demo.extras import Extras
from ragqa.demo.listen import Server, address_of, bind
from ragqa.demo.mounting import mount_behind
from ragqa.demo.page import build_demo
from ragqa.demo.tools import MCP_PATH
from ragqa.search.retriever import Retriever

if TYPE_CHECKING:
    import gradio as gr


def serve(
    source: Retriever | Sequence[Corpus],
    *,
    host: str = LOOPBACK,
    port: int | None = PORT,
    auth: tuple[str, str] | None = None,
    open_to_all: bool = False,
    mcp: bool = False,
    names: Iterable[str] = (),
    root_path: str = "",
    extras: Extras | None = None,
) -> None:
    """Serve the demo until Ctrl-C; `port` None takes a free one. Prints one line with the address.

    It is reached by the loopback names, `host` and `names`; `root_path` is the path at which a reverse proxy serves it.
    Other machines reach it only where `auth` asks them for a user's name and password, or it is `open_to_all`. `mcp` serves
    the endpoints as tools too. Raises `InputError` for a host of others without either, for tools behind a password, and for
    an address that cannot be listened on, such as a port in use; `MissingExtraError` if MCP is not installed.
    """
    door = Door(host, port, auth, mcp, open_to_all, tuple(names), root_path)
    check_door(door)
    demo = build_demo(source, extras=extras)
    try:
        address = launch(demo, door)
        tools = f", its tools on {address}{MCP_PATH}" if mcp else ""
        print(f"ragqa demo on {address}{tools} (Ctrl-C ends it)", flush=True)
        while demo.is_running:
            time.sleep(0.2)
    except KeyboardInterrupt:
        pass
    finally:
        demo.close(verbose=False)


def launch(demo: "gr.Blocks", door: Door) -> str:
    """Start the demo in threads of its own and return its address. Raises `InputError` as `serve` does."""
    from fastapi import FastAPI

    listener = bind(door.host, door.port)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    server = Server(app, listener, proxied=bool(door.names or door.root_path))
    try:
        mount_behind(door, app, demo, "/")
        server.start()
    except BaseException:
        listener.close()
        raise
    demo.server = server  # type: ignore[assignment]  # the demo's `close` calls only its `close`
    return address_of(door.host, listener)
