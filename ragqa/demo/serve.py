"""Serving the page: on this machine only, unless a password or the user's own word says otherwise."""

import errno
import io
import json
import os
import re
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.demo.corpora import Corpus
from ragqa.demo.extras import Extras
from ragqa.demo.page import build_demo
from ragqa.demo.style import HEAD, theme
from ragqa.errors import InputError, MissingExtraError
from ragqa.offline import is_own_host
from ragqa.retrieve import Retriever

if TYPE_CHECKING:
    import gradio as gr

PORT = 7860
LOOPBACK = "127.0.0.1"
MCP_PATH = "gradio_api/mcp/"

# of pages that get hold of nothing elsewhere, neither by what a passage holds nor by what a model writes; Gradio's templates
# are compiled in the browser
POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


@dataclass(frozen=True, slots=True)
class Door:
    """Where the page is served and who may come in: `auth` is a user's name and password, `mcp` opens the tools."""

    host: str = LOOPBACK
    port: int | None = PORT
    auth: tuple[str, str] | None = None
    mcp: bool = False
    open_to_all: bool = False


def serve(
    source: Retriever | Sequence[Corpus],
    *,
    host: str = LOOPBACK,
    port: int | None = PORT,
    auth: tuple[str, str] | None = None,
    open_to_all: bool = False,
    mcp: bool = False,
    extras: Extras | None = None,
) -> None:
    """Serve the demo until Ctrl-C; `port` None takes a free one. Prints one line with the address.

    Other machines reach it only where `auth` asks them for a user's name and password, or it is `open_to_all`. `mcp` serves
    the endpoints as tools too. Raises `InputError` for a host of others without either, for tools behind a password, and for
    an address that cannot be listened on, such as a port in use; `MissingExtraError` if MCP is not installed.
    """
    door = Door(host, port, auth, mcp, open_to_all)
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


def check_door(door: Door) -> None:
    """Raise `InputError` where strangers could come in that nobody has invited, `MissingExtraError` if MCP is not there.

    Gradio lists its tools without a password, and answers none of their calls where there is one.
    """
    if not (is_own_host(door.host) or door.auth or door.open_to_all):
        raise InputError(
            f"on {door.host} other machines reach the chat: give --auth USER:PASSWORD, or --no-auth if all may use it"
        )
    if door.mcp and door.auth:
        raise InputError("the tools of --mcp ask for no password: leave out either --mcp or --auth")
    if door.mcp:
        try:
            import mcp  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("the MCP server", "mcp") from error


def read_auth(given: str) -> tuple[str, str]:
    """`USER:PASSWORD` as the two, or the first line of FILE for `@FILE`; the password may hold colons. Raises `InputError`."""
    if given.startswith("@"):
        try:
            given = Path(given[1:]).read_text(encoding="utf8").partition("\n")[0]
        except UnicodeDecodeError as error:
            raise InputError(f"{given[1:]} is not UTF-8: {error}") from error
    user, colon, password = given.strip().partition(":")
    if not (user and colon and password):
        raise InputError("a user's name and password are given as USER:PASSWORD")
    return user, password


def launch(demo: "gr.Blocks", door: Door) -> str:
    """Start the demo in threads of its own and return its address. Raises `InputError` as `serve` does."""
    from starlette.middleware import Middleware

    host, port = door.host, door.port
    invited = not is_own_host(host) or door.auth or door.open_to_all
    # it asks its own server whether it is up, and would ask it through a proxy
    os.environ["no_proxy"] = f"{host},localhost,{os.environ.get('no_proxy') or os.environ.get('NO_PROXY', '')}"
    try:
        with redirect_stdout(io.StringIO()):  # where it tells of MCP, however quiet it is to be
            demo.launch(
                server_name=f"[{host}]" if ":" in host else host,
                server_port=_free_port(host, port),
                auth=door.auth,
                mcp_server=door.mcp,
                theme=theme(),
                head=HEAD,
                footer_links=[],
                run_history=False,
                allowed_paths=[],
                max_file_size=1,  # nothing is to be uploaded here
                state_session_capacity=100,
                app_kwargs={"middleware": [Middleware(SafeHeaders), *([] if invited else [Middleware(OwnNames)])]},
                prevent_thread_lock=True,
                show_error=False,
                quiet=True,
                share=False,
                enable_monitoring=False,
                ssr_mode=False,
                pwa=False,
            )
    except OSError as error:
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be listened on ({error})"
        raise InputError(f"{host}:{port} {reason}; choose another host or port") from error
    if door.mcp:
        _tell_in_json(demo.mcp_server_obj)
    return str(demo.local_url)


def _tell_in_json(server: Any) -> None:
    """Let the tools' results be JSON: Gradio tells them as Python writes them."""

    def as_content(results: Iterable[Any], root_url: str) -> list[Any]:
        texts = (json.dumps(result, ensure_ascii=False) for result in results)
        return [server.types.TextContent(type="text", text=text) for text in texts]

    server.postprocess_output_data = as_content


class OwnNames:
    """Refuses requests for other names than this machine's own: a site may let its name lead here, to read what is here."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request as the app does, if it was sent to this machine by its own name."""
        from starlette.responses import PlainTextResponse

        app = self._app
        if scope["type"] == "http" and not is_own_host(_asked_host(scope)):
            app = PlainTextResponse("This is served to its own machine only; --auth or --no-auth opens it.", 403)
        await app(scope, receive, send)


def _asked_host(scope: Any) -> str:
    """The name, without a port, that a request was sent to."""
    name = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    return re.sub(r":\d*$", "", name).lower().removeprefix("[").removesuffix("]")


class SafeHeaders:
    """Adds `HEADERS` to every response."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request as the app does, with the headers."""

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *self._headers]}
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _free_port(host: str, port: int | None) -> int:
    """The port, or any free one for None. Raises `OSError` with the reason, which Gradio keeps back."""
    if not 0 <= (port or 0) <= 65535:
        raise InputError(f"port {port} is not between 0 and 65535")
    family, _, _, _, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    with socket.create_server((str(address[0]), port or 0), family=family) as server:
        return int(server.getsockname()[1])
