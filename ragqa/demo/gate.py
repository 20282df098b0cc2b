"""The checks that every request passes before Gradio sees it, cheapest first.

    host and sender   `origin`: only the page itself and programs may use the server
    route             only those of Gradio's that the page and programs need; no uploads, files or proxies
    sign-in           checked before a request is read; attempts are slowed down
    size              `limits`: bytes, seconds, depth and number of values, before JSON is parsed

Responses get `HEADERS`, lose CORS headers, and their cookies stay on this site.
"""

import logging
import math
import re
from collections.abc import Callable
from typing import Any

from ragqa.errors import first_line
from ragqa.serve.bodies import Bodies, replay
from ragqa.serve.limits import Allowance, Refused, check_json, visitor_of
from ragqa.serve.origin import Names, check_origin, values

_LOG = logging.getLogger(__name__)
KIB = 1024
LOGIN_BYTES = 4 * KIB
QUEUED_BYTES, QUEUED_VALUES = (
    1024 * KIB,
    25_000,
)  # the longest conversation has 550 KB and 15,000 values; 256 requests may wait
BODY_BYTES, BODY_VALUES = 4096 * KIB, 120_000  # all chats: a browser stores at most 5 MB
SIGN_INS, SIGN_IN_EVERY_S = 5, 30.0

_FILES = r"theme\.css|favicon\.ico|manifest\.json|robots\.txt|(?:assets|static|svelte)/.+"
_READ = r"info|openapi\.json|theme\.css|app_id|user|login_check|startup-events|queue/(?:status|data)|heartbeat/[^/]+|call/.+"
_SEND = r"queue/join|(?:call|run|api)/.+|reset|cancel|component_server"
OPEN = re.compile(rf"/(?:{_FILES}|login/?)?")  # without a password
ROUTES = {
    "GET": re.compile(rf"/(?:{_FILES}|config/?|logout|gradio_api/(?:{_READ})/?)?"),
    "POST": re.compile(rf"/(?:login|gradio_api/(?:{_SEND}))/?"),
}
TOOLS = re.compile("/gradio_api/mcp/?")

# neither a passage nor a model can make the page load anything from elsewhere; 'unsafe-eval' since Gradio compiles its
# templates in the browser
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
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Gate:
    """ASGI middleware around the whole demo.

    `signed_in` returns whether the cookies of a request prove that its visitor gave the password. `root_path` is the path at
    which a reverse proxy serves the page; the proxy may pass it on or cut it off.
    """

    def __init__(
        self,
        app: Any,
        names: Names,
        *,
        signed_in: Callable[[Any], bool] = lambda scope: True,
        tools: bool = False,
        root_path: str = "",
    ) -> None:
        self._app, self._names, self._signed_in = app, names, signed_in
        self._tools, self._root_path = tools, root_path
        self._sign_ins = Allowance(SIGN_INS, SIGN_IN_EVERY_S)
        self._bodies = Bodies()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let the app answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":  # Gradio uses none
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._answer(without_root(scope, self._root_path), receive, safe_send(scope, send))

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        visitor, body = visitor_of((scope.get("client") or ("",))[0]), bytearray()
        try:
            path = self._check(scope)
            if scope["method"] == "POST":
                most_bytes, most_values = limits_of(path)
                await self._bodies.read(visitor, most_bytes, scope, receive, body)
                check_body(scope, body, most_values)
                receive = replay(bytes(body), receive)
            if scope["method"] == "POST" and path.startswith("/login"):
                send = self._slow_down(visitor, send)
        except Refused as refused:
            await refuse(refused, scope, receive, send)
        else:
            await self._pass_on(scope, receive, send)
        finally:
            self._bodies.release(visitor, body)

    async def _pass_on(self, scope: Any, receive: Any, send: Any) -> None:
        """Let the app answer; log an exception in one line, since strangers can make Gradio raise."""
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # the server answers 500, or closes a response that has started
            _LOG.error("%s %r failed: %s", scope["method"], scope["path"], first_line(error))

    def _check(self, scope: Any) -> str:
        """Return the path within the page. Raises `Refused` if this visitor, or nobody, may ask for it."""
        path, method = path_of(scope), scope["method"]
        reading = method in ("GET", "HEAD")
        check_origin(scope, self._names, visit=reading and path == "/")
        route = ROUTES.get("GET" if reading else method)
        if not (route and route.fullmatch(path)) and not (self._tools and TOOLS.fullmatch(path)):
            raise Refused(404, "Not found.")
        if not OPEN.fullmatch(path) and not self._signed_in(scope):
            raise Refused(401, "Sign in first.")
        return path

    def _slow_down(self, visitor: str, send: Any) -> Any:
        """Count an attempt to sign in, unless it succeeds. Raises `Refused` after too many."""
        wait_s = self._sign_ins.take(visitor)
        if wait_s:
            raise Refused(429, f"Too many attempts to sign in; try again in {math.ceil(wait_s)} seconds.", wait_s)

        async def send_counted(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                self._sign_ins.give_back(visitor)
            await send(message)

        return send_counted


def without_root(scope: Any, root_path: str) -> Any:
    """Return the request as if the page were served at `/`."""
    path = scope["path"]
    if root_path and (path == root_path or path.startswith(f"{root_path}/")):
        return {**scope, "path": path[len(root_path) :] or "/"}
    return scope


def path_of(scope: Any) -> str:
    """Return the path below the one at which the page is mounted."""
    path, mounted = scope["path"], scope.get("root_path", "")
    return (path[len(mounted) :] if path.startswith(f"{mounted}/") else path) or "/"


def limits_of(path: str) -> tuple[int, int]:
    """Return how many bytes and JSON values a request may have; 0 values for a form."""
    if path.startswith("/login"):
        return LOGIN_BYTES, 0
    at_once = path.startswith(("/gradio_api/run/", "/gradio_api/api/"))
    return (BODY_BYTES, BODY_VALUES) if at_once else (QUEUED_BYTES, QUEUED_VALUES)


def check_body(scope: Any, body: bytearray, most_values: int) -> None:
    """Raise `Refused` for JSON that is costly to parse, and for a form instead of JSON: it may contain files."""
    if not most_values:
        return
    if any("form" in kind.lower() for kind in values(scope, b"content-type")):
        raise Refused(415, "Send JSON; nothing is uploaded here.")
    check_json(body, most_values)


def safe_send(scope: Any, send: Any) -> Any:
    """Return a `send` that adds `HEADERS`, removes CORS headers and keeps cookies to this site."""
    added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
    secure = scope.get("scheme") == "https"

    async def send_safely(message: Any) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (name, safe_cookie(value, secure) if name.lower() == b"set-cookie" else value)
                for name, value in message.get("headers", [])
                if not name.lower().startswith(b"access-control-")
            ]
            message = {**message, "headers": [*kept, *added]}
        await send(message)

    return send_safely


def safe_cookie(cookie: bytes, secure: bool) -> bytes:
    """Return a `Set-Cookie` header whose cookie only this site sends, and no script can read."""
    parts = [part for part in cookie.split(b"; ") if not part.lower().startswith((b"samesite", b"httponly"))]
    if secure and not any(part.lower() == b"secure" for part in parts):
        parts.append(b"Secure")
    return b"; ".join([*parts, b"HttpOnly", b"SameSite=Strict"])


async def refuse(refused: Refused, scope: Any, receive: Any, send: Any) -> None:
    """Answer a request that is refused."""
    from starlette.responses import PlainTextResponse

    later = {"Retry-After": str(math.ceil(refused.retry_after_s))} if refused.retry_after_s else None
    await PlainTextResponse(refused.reason, refused.status, later)(scope, receive, send)
