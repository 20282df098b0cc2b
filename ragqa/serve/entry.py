"""What every request passes first: its id, its sender or key, and its size. Afterwards it is counted and logged."""

import logging
import re
import time
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from ragqa.serve.access import Access, Guard
from ragqa.serve.limits import Refused
from ragqa.serve.logs import LOGGER
from ragqa.serve.metrics import Metrics
from ragqa.serve.origin import values
from ragqa.serve.shapes import refusal

_LOG = logging.getLogger(LOGGER)
OPEN = ("/health", "/ready")  # without a key
QUIET = (*OPEN, "/metrics")  # not logged
REQUEST_ID = "ragqa.request_id"  # its key in the scope
_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_HEADERS = {b"x-content-type-options": b"nosniff", b"cross-origin-resource-policy": b"same-origin"}


class Entry:
    """ASGI middleware around the whole server; `paths` are those it serves."""

    def __init__(self, app: Any, access: Access, metrics: Metrics, paths: Iterable[str]) -> None:
        self._app, self._metrics = app, metrics
        self._paths = frozenset(paths)
        self._guard = Guard(app, access, OPEN)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let the app answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._answer(_Request(scope, send), receive)

    async def _answer(self, request: "_Request", receive: Any) -> None:
        self._metrics.open.inc()
        try:
            await self._pass_on(request, receive)
        except Exception:  # the app has answered, unless its answer had begun
            _LOG.exception("request failed", extra={"fields": {"request_id": request.id}})
        finally:
            self._metrics.open.dec()
            self._note(request)

    async def _pass_on(self, request: "_Request", receive: Any) -> None:
        try:
            await self._guard(request.scope, receive, request.send)
        except Refused as refused:
            await refusal(request.path, refused)(request.scope, receive, request.send)

    def _note(self, request: "_Request") -> None:
        """Count and log a request."""
        seconds = time.perf_counter() - request.began
        path = request.path if request.path in self._paths else "other"
        self._metrics.requests.labels(path, str(request.status)).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        if path in QUIET and request.status < 400:
            return
        fields = {
            "request_id": request.id,
            "client": request.client,
            "method": request.scope["method"],
            "path": request.path[:200],
            "status": request.status,
            "duration_ms": round(seconds * 1000, 1),
        }
        _LOG.info("request", extra={"fields": fields})


class _Request:
    """A request, the status of its response (0 before it begins), and a `send` that adds the headers."""

    def __init__(self, scope: Any, send: Any) -> None:
        given = values(scope, b"x-request-id")
        self.id = given[0] if given and _ID.fullmatch(given[0]) else uuid4().hex
        self.scope, self._send = {**scope, REQUEST_ID: self.id}, send
        self.path: str = scope["path"].rstrip("/") or "/"
        self.client: str = (scope.get("client") or ("",))[0]
        self.status = 0
        self.began = time.perf_counter()

    async def send(self, message: Any) -> None:
        """Send a part of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            added = [*_HEADERS.items(), (b"x-request-id", self.id.encode())]
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await self._send(message)
