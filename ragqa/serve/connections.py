"""HTTP connections with time limits: uvicorn itself waits forever for headers and for slow readers."""

from asyncio import TimerHandle
from math import inf
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0  # from the start of a connection, or its last response, to the end of the next headers
WRITE_S = 30.0  # for the client to read what was written
MOST_CONNECTIONS = 400  # many systems allow 1,024 open files per process


class TimedProtocol(H11Protocol):
    """Close connections that send no request or read no response.

    If there are more than `MOST_CONNECTIONS`, close the one that has waited longest for a request.
    """

    waiting_since = inf  # event loop time
    _head: TimerHandle | None = None
    _writing: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start to wait for a request."""
        super().connection_made(transport)
        self._await_head()
        if len(self.connections) > MOST_CONNECTIONS:
            min(self.connections, key=lambda other: getattr(other, "waiting_since", inf)).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._stop_waiting()
        self._stop_timing()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Read what was sent; a new request ends the waiting, the rest of an earlier one does not."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Start to wait for the next request, which may already be there."""
        self._await_head()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Start the time limit for reading."""
        super().pause_writing()
        self._writing = self.loop.call_later(WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the time limit for reading."""
        super().resume_writing()
        self._stop_timing()

    def _await_head(self) -> None:
        self._stop_waiting()
        self.waiting_since = self.loop.time()
        self._head = self.loop.call_later(HEAD_S, self._cut_off)

    def _cut_off(self) -> None:
        """Close the connection, if possible without a reset, since browsers open connections in advance."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # `close` would wait until the client has read it
        else:
            self.transport.close()

    def _stop_waiting(self) -> None:
        self.waiting_since = inf
        if self._head is not None:
            self._head.cancel()

    def _stop_timing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
