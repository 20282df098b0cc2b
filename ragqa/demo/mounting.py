"""The page within an app: Gradio's own, behind the gate."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ragqa.demo.door import Door, check_door
from ragqa.demo.gate import Gate
from ragqa.demo.origin import read_names, values
from ragqa.demo.style import HEAD, theme
from ragqa.demo.tools import MCP_PATH, Tools

if TYPE_CHECKING:
    import gradio as gr
    from fastapi import FastAPI

MOST_SESSIONS = 100  # of which Gradio keeps the state; the chat has none


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
    """Serve the demo below `path` of an app of yours, with its style, its headers and the same checks as `serve`.

    It is reached by the loopback names and `names` only; `root_path` is the whole path where a reverse proxy serves it, if that
    is not `path`. Time limits for headers and slow readers are up to the server that you run the app with. Gradio's own
    `mount_gradio_app` mounts the page without any of this. Raises as `serve`.
    """
    door = Door(auth=auth, mcp=mcp, open_to_all=True, names=tuple(names), root_path=root_path)
    check_door(door)
    mount_behind(door, app, demo, path)


def mount_behind(door: Door, app: "FastAPI", demo: "gr.Blocks", path: str) -> None:
    """Mount the demo as `mount` does."""
    from fastapi import FastAPI
    from starlette.routing import Route

    tools = Tools(demo) if door.mcp else None
    inner = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=tools.lifespan if tools else None)
    if tools:
        inner.router.routes += [Route(f"/{MCP_PATH.rstrip('/')}{slash}", tools) for slash in ("", "/")]
    page = _add_page(inner, demo, door)
    gate = Gate(
        inner,
        read_names(door.host, door.names),
        signed_in=lambda scope: page.auth is None or _has_token(page, scope),
        tools=door.mcp,
        root_path=door.root_path.rstrip("/"),
    )
    app.mount(path, gate)
    _run_with(app, inner)


def _add_page(app: "FastAPI", demo: "gr.Blocks", door: Door) -> Any:
    """Let Gradio mount the page in an app; return Gradio's own app."""
    import gradio as gr

    demo.state_session_capacity = MOST_SESSIONS
    gr.mount_gradio_app(
        app,
        demo,
        "/",
        auth=door.auth,
        root_path=door.root_path.rstrip("/"),
        theme=theme(),
        head=HEAD,
        footer_links=[],
        run_history=False,
        max_file_size=1,  # nothing is uploaded; the gate refuses it before
        show_error=False,
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        pwa=False,
    )
    demo.app = app.router.routes[-1].app  # type: ignore[attr-defined]
    return demo.app


def _has_token(page: Any, scope: Any) -> bool:
    """Whether a request carries a cookie that Gradio gave out for the password."""
    from starlette.requests import cookie_parser

    cookies = cookie_parser("; ".join(values(scope, b"cookie")))
    names = (f"access-token-{page.cookie_id}", f"access-token-unsecure-{page.cookie_id}")
    return any(cookies.get(name) in page.tokens for name in names)


def _run_with(app: "FastAPI", inner: "FastAPI") -> None:
    """Start and stop the inner app with the outer one; a mounted app's own lifespan is not run."""
    outer = app.router.lifespan_context

    @asynccontextmanager
    async def both(running: Any) -> AsyncIterator[Any]:
        async with outer(running) as state, inner.router.lifespan_context(inner):
            yield state

    app.router.lifespan_context = both
