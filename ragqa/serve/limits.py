"""Limits: how often a visitor may do something, and how large and deeply nested the JSON of a request may be."""

import threading
from collections import OrderedDict
from ipaddress import ip_network
from itertools import accumulate
from time import monotonic

MOST_VISITORS = 10_000  # remembered by one `Allowance`
MOST_DEPTH = 40  # levels of nested lists and objects; a conversation has 9

_BRACKETS = b"[]{}"
_NO_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class Refused(Exception):  # noqa: N818
    """A request to answer with an HTTP status and one line, which the visitor sees."""

    def __init__(self, status: int, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.status, self.reason, self.retry_after_s = status, reason, retry_after_s


class Allowance:
    """Allow each visitor `most` actions at once and then one every `every_s` seconds.

    Remembers the last `MOST_VISITORS` visitors. Safe to share between threads.
    """

    def __init__(self, most: int, every_s: float) -> None:
        self._most, self._every_s = most, every_s
        self._spent_until: OrderedDict[str, float] = OrderedDict()  # when all actions are allowed again
        self._lock = threading.Lock()

    def take(self, visitor: str) -> float:
        """Count one action and return 0, or return how many seconds to wait for it."""
        now = monotonic()
        with self._lock:
            spent_until = max(self._spent_until.get(visitor, 0.0), now) + self._every_s
            wait_s = spent_until - now - self._most * self._every_s
            if wait_s > 0:
                return wait_s
            self._spent_until[visitor] = spent_until
            self._spent_until.move_to_end(visitor)
            if len(self._spent_until) > MOST_VISITORS:
                self._spent_until.popitem(last=False)
        return 0.0

    def give_back(self, visitor: str) -> None:
        """Undo the count of one action."""
        with self._lock:
            if visitor in self._spent_until:
                self._spent_until[visitor] -= self._every_s


def visitor_of(address: str) -> str:
    """Return the key of a visitor: the IP address, or for IPv6 its /64 network, which belongs to one visitor."""
    try:
        return str(ip_network((address.partition("%")[0], 64), strict=False)) if ":" in address else address
    except ValueError:  # not an address: a reverse proxy may send anything
        return address


def check_json(body: bytes | bytearray, most_values: int) -> None:
    """Raise `Refused` for JSON that is nested too deeply or has more than about `most_values` values, without parsing it."""
    if b"\0" in body:  # UTF-16, in which quotes are other bytes
        raise Refused(400, "The request is not JSON in UTF-8.")
    quoted = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if quoted.count(b'"') > 4 * most_values:  # two for a key, two for a value
        raise Refused(413, "The request has too many values.")
    bare = b"".join(quoted.split(b'"')[::2])  # the text between strings
    brackets = bare.translate(None, delete=_NO_BRACKETS)
    if bare.count(b",") + len(brackets) > most_values:
        raise Refused(413, "The request has too many values.")
    if max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > MOST_DEPTH:
        raise Refused(413, f"The request is nested more than {MOST_DEPTH} levels deep.")
