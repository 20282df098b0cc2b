"""Sends requests to a wiki one after the other, waits and retries where that may help, and raises `CrawlError` otherwise."""

from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING

from ragqa.errors import CrawlError
from ragqa.wiki.connection import Connection
from ragqa.wiki.monitor import Monitor
from ragqa.wiki.replies import WRONG, Trouble, find_trouble

if TYPE_CHECKING:
    import httpx

RETRY_WAITS_S = (1.0, 2.0, 4.0)  # longer if the server asks for it (Retry-After)
TIMEOUT_S = 30.0  # without any data
DEADLINE_S = 120.0  # for the whole response
_CHECK_EVERY_S = 0.2  # whether the crawl has been stopped
_PHASES = ("connect", "read", "write", "pool")  # for which httpx has time-outs


class RetryingTransport:
    """An httpx transport that retries requests and returns only answers. Threads may share it.

    Requests are at least `delay_s` seconds apart, and retries wait at most `longest_wait_s` seconds. Raises `CrawlError` for
    everything that is no answer after the last retry.

    It has the methods of `httpx.BaseTransport` but does not inherit from it, because importing httpx is slow.
    """

    def __init__(self, url: "httpx.URL", longest_wait_s: float, delay_s: float, monitor: Monitor) -> None:
        self._connection = Connection(url)
        self._longest_wait_s, self._delay_s = longest_wait_s, delay_s
        self._next = 0.0  # earliest time of the next request
        self._lock = Lock()
        self._monitor, self.stopped = monitor, monitor.stopped

    def handle_request(self, request: "httpx.Request") -> "httpx.Response":
        """Return the answer to a request."""
        request.extensions = {**request.extensions, "timeout": dict.fromkeys(_PHASES, TIMEOUT_S)}
        for wait_s in RETRY_WAITS_S:
            answer = self._try(request)
            if not isinstance(answer, Trouble):
                return answer
            if not answer.may_pass:
                break
            self._hold(min(max(wait_s, answer.wait_s), self._longest_wait_s))
        else:
            answer = self._try(request)
        if isinstance(answer, Trouble):
            raise CrawlError(f"{request.url.copy_with(query=None)}: {answer.reason}")
        return answer

    def close(self) -> None:
        """Close all connections."""
        self._connection.close()

    def _try(self, request: "httpx.Request") -> "httpx.Response | Trouble":
        import httpx

        self._wait()
        self._monitor.requests += 1
        try:
            response = self._read(request)
        except httpx.DecodingError as error:
            return Trouble(str(error))
        except httpx.RequestError as error:
            return Trouble(f"no connection: {error or type(error).__name__}")
        try:
            return find_trouble(request, response) or response
        except WRONG as error:
            return Trouble(f"incomplete reply ({error})")

    def _wait(self) -> None:
        """Wait until the next request may be sent. Raises `CrawlError` if the crawl is stopped."""
        with self._lock:
            now = monotonic()
            mine = max(now, self._next)
            self._next = mine + self._delay_s
        if self.stopped.is_set() or (mine > now and _rest(self.stopped, mine - now)):
            raise CrawlError("stopped")

    def _hold(self, wait_s: float) -> None:
        """Let no thread send a request for this time: a server that is busy for one is busy for all."""
        with self._lock:
            self._next = max(self._next, monotonic() + wait_s)

    def _read(self, request: "httpx.Request") -> "httpx.Response":
        """Return the whole response if it arrives before the deadline. A time-out alone lets a server send for ever."""
        import httpx

        deadline = monotonic() + DEADLINE_S
        read: SimpleQueue[httpx.Response | Exception] = SimpleQueue()
        Thread(target=self._receive, args=(request, read.put), daemon=True).start()
        while monotonic() < deadline and not self.stopped.is_set():
            with suppress(Empty):
                answer = read.get(timeout=_CHECK_EVERY_S)
                if isinstance(answer, Exception):
                    raise answer
                return answer
        raise httpx.ReadTimeout(f"the answer took more than {DEADLINE_S:.0f} seconds", request=request)

    def _receive(self, request: "httpx.Request", put: "Callable[[httpx.Response | Exception], None]") -> None:
        try:
            put(self._connection.send(request, DEADLINE_S))
        except Exception as error:  # raised by the waiting thread
            put(error)


def _rest(stopped: Event, seconds: float) -> bool:
    """Wait for this time or until the crawl is stopped; return True if it is."""
    return stopped.wait(seconds)
