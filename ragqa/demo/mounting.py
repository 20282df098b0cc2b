"""The page within an app: where it is served, who may use it, and Gradio's own app behind the gate."""

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.demo.endpoints import MCP_PATH, Tools
from ragqa.demo.gate import Gate
from ragqa.demo.rendering import HEAD, theme
from ragqa.errors import InputError, MissingExtraError, check_extra
from ragqa.process import is_own_host
from ragqa.serve.access import LOOPBACK
from ragqa.serve.origin import read_names, values

if TYPE_CHECKING:
    import gradio as gr
    from fastapi import FastAPI

PORT = 7860
MOST_SESSIONS = 100  # whose state Gradio keeps; the chat has no state


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where the page is served and who may use it.

    `port` None takes a free port. Other machines may use the page only with `auth`, a user name and a password, or if it is
    `open_to_all`. `mcp` serves the endpoints as tools too. The page answers to the loopback names, `host` and `names`;
    `root_path` is the path at which a reverse proxy serves it.

    Raises `InputError` for values that contradict each other, `MissingExtraError` without the extra `demo`
    or, for MCP, `mcp`.
    """

    host: str = LOOPBACK
    port: int | None = PORT
    auth: tuple[str, str] | None = None
    mcp: bool = False
    open_to_all: bool = False
    names: tuple[str, ...] = ()
    root_path: str = ""

    def __post_init__(self) -> None:
        check_extra("the chat", "demo")
        if not (self.auth or self.open_to_all or (is_own_host(self.host) and not self.names)):
            raise InputError(
                f"other machines can reach the chat on {self.names[0] if self.names else self.host}: "
                "give --auth USER:PASSWORD, or --no-auth to let everybody in"
            )
        read_names(self.host, self.names)
        if self.root_path and not re.fullmatch(r"(/[\w.~-]+)+/?", self.root_path):
            raise InputError(f"--root-path is {self.root_path}; give a path such as /chat")
        if self.mcp and self.auth:
            raise InputError("the tools of --mcp ask for no password: leave out either --mcp or --auth")
        if self.mcp:
            try:
                import mcp  # noqa: F401
            except ImportError as error:
                raise MissingExtraError("the MCP server", "mcp") from error


def read_auth(given: str) -> tuple[str, str]:
    """Return the two parts of `USER:PASSWORD`, or of the first line of FILE for `@FILE`. Raises `InputError`.

    The password may contain colons.
    """
    if given.startswith("@"):
        try:
            given = Path(given[1:]).read_text(encoding="utf8").partition("\n")[0]
        except UnicodeDecodeError as error:
            raise InputError(f"{given[1:]} is not UTF-8: {error}") from error
    user, colon, password = given.strip().partition(":")
    if not (user and colon and password):
        raise InputError("give a user name and a password as USER:PASSWORD")
    return user, password


def mount(
    app: "FastAPI",
    demo: "gr.Blocks",
    path: str,
    *,
    names: Iterable[str] = (),
    auth: tuple[str, str] | None = None,
    mcp: bool = False,
    root_path: str = "",
) -> None:
    """Serve the demo below `path` of your app, with its style, its headers and the same checks as `serve`.

    The page answers only to the loopback names and `names`; `root_path` is the whole path at which a reverse proxy serves it,
    if that differs from `path`. Your server has to limit the time for headers and for slow readers. Gradio's own
    `mount_gradio_app` has none of this. Raises like `ServerConfig`.
    """
    mount_as(ServerConfig(LOOPBACK, None, auth, mcp, True, tuple(names), root_path), app, demo, path)


def mount_as(config: ServerConfig, app: "FastAPI", demo: "gr.Blocks", path: str) -> None:
    """Mount the demo as the config says; `host` and `port` are only names here."""
    from fastapi import FastAPI
    from starlette.routing import Route

    tools = Tools(demo) if config.mcp else None
    inner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=tools.lifespan if tools else None)
    if tools:
        inner.router.routes += [Route(f"/{MCP_PATH.rstrip('/')}{slash}", tools) for slash in ("", "/")]
    page = _add_page(inner, demo, config)
    gate = Gate(
        inner,
        read_names(config.host, config.names),
        signed_in=lambda scope: page.auth is None or _has_token(page, scope),
        tools=config.mcp,
        root_path=config.root_path.rstrip("/"),
    )
    app.mount(path, gate)
    _run_with(app, inner)


def _add_page(app: "FastAPI", demo: "gr.Blocks", config: ServerConfig) -> Any:
    """Let Gradio mount the page in an app; return Gradio's own app."""
    import gradio as gr

    demo.state_session_capacity = MOST_SESSIONS
    gr.mount_gradio_app(
        app,
        demo,
        "/",
        auth=config.auth,
        root_path=config.root_path.rstrip("/"),
        theme=theme(),
        head=HEAD,
        footer_links=[],
        run_history=False,
        max_file_size=1,  # the gate refuses uploads before this
        show_error=False,
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        pwa=False,
    )
    demo.app = app.router.routes[-1].app  # type: ignore[attr-defined]
    return demo.app


def _has_token(page: Any, scope: Any) -> bool:
    """Return whether a request carries a cookie that Gradio issued for the password."""
    from starlette.requests import cookie_parser

    cookies = cookie_parser("; ".join(values(scope, b"cookie")))
    names = (f"access-token-{page.cookie_id}", f"access-token-unsecure-{page.cookie_id}")
    return any(cookies.get(name) in page.tokens for name in names)


def _run_with(app: "FastAPI", inner: "FastAPI") -> None:
    """Start and stop the inner app together with the outer one: the lifespan of a mounted app is not run by itself."""
    outer = app.router.lifespan_context

    @asynccontextmanager
    async def both(running: Any) -> AsyncIterator[Any]:
        async with outer(running) as state, inner.router.lifespan_context(inner):
            yield state

    app.router.lifespan_context = both
