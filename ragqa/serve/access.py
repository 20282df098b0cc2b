"""Who may use a server: where it listens, its keys and names, and the check of each request's sender, key and size."""

from dataclasses import dataclass
from typing import Any

from ragqa.errors import InputError
from ragqa.process import is_own_host
from ragqa.serve.bodies import Bodies, replay
from ragqa.serve.keys import VARIABLE, has_key
from ragqa.serve.limits import Allowance, Refused, check_json, visitor_of
from ragqa.serve.origin import check_origin, read_names, values
from ragqa.serve.sizes import BODY_BYTES, BODY_VALUES

LOOPBACK = "127.0.0.1"
WRONG_KEYS, WRONG_KEY_EVERY_S = 20, 3.0  # of one address at once, then one each


@dataclass(frozen=True, slots=True)
class Access:
    """Where a server listens and who may use it.

    `port` None takes a free port. Other machines may use the server only with one of `keys`, or if it is `open_to_all`.
    Without keys it answers only to the loopback names, `host` and `names`. Raises `InputError` for values that contradict each
    other.
    """

    host: str = LOOPBACK
    port: int | None = None
    keys: tuple[str, ...] = ()
    open_to_all: bool = False
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.keys or self.open_to_all or (is_own_host(self.host) and not self.names)):
            raise InputError(
                f"other machines can reach the server on {self.names[0] if self.names else self.host}: "
                f"set {VARIABLE}, or give --no-auth to let everybody in"
            )
        if self.keys and self.open_to_all:
            raise InputError(f"give either {VARIABLE} or --no-auth, not both")
        read_names(self.host, self.names)


class Guard:
    """ASGI middleware that raises `Refused` for requests that are not allowed; `open_paths` need no key."""

    def __init__(self, app: Any, access: Access, open_paths: tuple[str, ...] = ()) -> None:
        self._app, self._access, self._open_paths = app, access, open_paths
        self._names = read_names(access.host, access.names)
        self._bodies = Bodies(shared=True)
        self._wrong = Allowance(WRONG_KEYS, WRONG_KEY_EVERY_S)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let the app answer an HTTP request."""
        visitor, body = visitor_of((scope.get("client") or ("",))[0]), bytearray()
        try:
            self._check(scope, visitor)
            if scope["method"] == "POST":
                await self._bodies.read(visitor, BODY_BYTES, scope, receive, body)
                check_json(body, BODY_VALUES)
                receive = replay(bytes(body), receive)
            await self._app(scope, receive, send)
        finally:
            self._bodies.release(visitor, body)

    def _check(self, scope: Any, visitor: str) -> None:
        """Raise `Refused` if this visitor may not ask.

        With keys, `Host` and `Origin` are not checked, because a page of another site has no key.
        """
        if scope["path"] in self._open_paths:
            return
        if not self._access.keys:
            check_origin(scope, self._names, visit=False)
        elif not has_key(values(scope, b"authorization"), self._access.keys):
            wait_s = self._wrong.take(visitor)
            if wait_s:
                raise Refused(429, "Too many requests with a wrong key.", wait_s)
            raise Refused(401, "Send a valid API key: Authorization: Bearer KEY.")
