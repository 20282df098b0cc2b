"""The bodies of requests, read with limits on their size, on the time to send them, and on the memory of all of them."""

from collections import Counter
from typing import Any

from ragqa.serve.limits import Refused
from ragqa.serve.origin import values

MIB = 1024 * 1024
HELD_BYTES = 32 * MIB  # of all requests being read or answered
HELD_BY_ONE = 12 * MIB  # of one visitor
BODY_S = 20.0  # to send the body of a request


class Bodies:
    """The bodies that are being read or answered. With `shared`, one visitor may fill all the memory."""

    def __init__(self, *, shared: bool = False) -> None:
        self._shared = shared
        self._held: Counter[str] = Counter()  # bytes, by visitor

    async def read(self, visitor: str, limit: int, scope: Any, receive: Any, body: bytearray) -> None:
        """Read the body of a request of at most `limit` bytes into `body`, and count it until `release`.

        Raises `Refused` if it is too large or too slow, or if too much is being read already.
        """
        from anyio import fail_after

        if any(not length.isdecimal() or int(length[:20]) > limit for length in values(scope, b"content-length")):
            raise Refused(413, f"A request may have at most {limit:,} bytes.")
        try:
            with fail_after(BODY_S):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "The request is incomplete.")
                    self._hold(visitor, message.get("body", b""), limit, body)
                    more = message.get("more_body", False)
        except TimeoutError as error:
            raise Refused(408, f"The request was not sent within {BODY_S:.0f} seconds.") from error

    def _hold(self, visitor: str, part: bytes, limit: int, body: bytearray) -> None:
        if len(body) + len(part) > limit:
            raise Refused(413, f"A request may have at most {limit:,} bytes.")
        body += part
        self._held[visitor] += len(part)
        most = HELD_BYTES if self._shared else HELD_BY_ONE
        if self._held[visitor] > most or self._held.total() > HELD_BYTES:
            raise Refused(503, "Too many large requests at once; try again.", 1.0)

    def release(self, visitor: str, body: bytearray) -> None:
        """Stop counting a body."""
        self._held[visitor] -= len(body)
        self._held += Counter()  # drops the zeros


def replay(body: bytes, receive: Any) -> Any:
    """Return a `receive` that repeats the body, and then continues with `receive`."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Any:
        return messages.pop() if messages else await receive()

    return receive_again
