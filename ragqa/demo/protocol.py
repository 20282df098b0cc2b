"""HTTP connections with an end: uvicorn waits without limit for headers and for responses to be read."""

from asyncio import TimerHandle
from math import inf
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0  # from a connection's start, or the last response, to the end of the next request's headers
WRITE_S = 30.0  # to read what has been written, before more is written
MOST_CONNECTIONS = 400  # many systems allow a process 1,024 open files


class Protocol(H11Protocol):
    """Cut off connections that send no request or read no response.

    Where there are more than `MOST_CONNECTIONS`, the one goes that has been without a request for longest.
    """

    waiting_since = inf  # the loop's time at which it began to wait for a request
    _head: TimerHandle | None = None
    _writing: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._await_head()
        if len(self.connections) > MOST_CONNECTIONS:
            min(self.connections, key=lambda other: getattr(other, "waiting_since", inf)).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End all waiting."""
        self._stop_waiting()
        self._stop_timing()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Read what has been sent; a request ends the waiting, the rest of an earlier one does not."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, which may have been sent already."""
        self._await_head()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Give the client some time to read."""
        super().pause_writing()
        self._writing = self.loop.call_later(WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Write on."""
        super().resume_writing()
        self._stop_timing()

    def _await_head(self) -> None:
        self._stop_waiting()
        self.waiting_since = self.loop.time()
        self._head = self.loop.call_later(HEAD_S, self._cut_off)

    def _cut_off(self) -> None:
        """Close the connection; without a reset, since a browser may have opened it only in advance."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # `close` would wait for the client to read
        else:
            self.transport.close()

    def _stop_waiting(self) -> None:
        self.waiting_since = inf
        if self._head is not None:
            self._head.cancel()

    def _stop_timing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
