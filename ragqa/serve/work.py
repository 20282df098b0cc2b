"""Back-pressure: a bounded number of requests is answered or waits; each has a time limit. Others are refused at once."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Lock
from typing import Any, TypeVar

from ragqa.serve.batching import DEADLINE, closing, too_late
from ragqa.serve.limits import Refused

AT_ONCE = 32  # requests that are worked on together; the model's runs join their texts
RETRY_AFTER_S = 1.0

T = TypeVar("T")


class Work:
    """Runs the work of requests in threads: at most `most` requests at a time, those beyond `AT_ONCE` in a queue."""

    def __init__(self, most: int, timeout_s: float) -> None:
        self._most, self._timeout_s = most, timeout_s
        self._threads = ThreadPoolExecutor(min(most, AT_ONCE), thread_name_prefix="ragqa work")
        self._taken, self._lock = 0, Lock()

    @property
    def is_full(self) -> bool:
        """Whether the next request would be refused."""
        return self._taken >= self._most

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what the function returns. Raises `Refused` if the queue is full, and after the time limit.

        Work that has begun goes on until it next asks for a run of a model.
        """
        with self._lock:
            if self.is_full:
                raise Refused(429, f"The server is busy with {self._most} requests; try again.", RETRY_AFTER_S)
            self._taken += 1
        token = DEADLINE.set(time.monotonic() + self._timeout_s)
        try:
            future = self._threads.submit(copy_context().run, function, *arguments)
        except RuntimeError as error:
            self._release()
            raise closing() from error
        finally:
            DEADLINE.reset(token)
        future.add_done_callback(lambda _: self._release())
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._timeout_s)
        except asyncio.TimeoutError as error:
            raise too_late() from error

    def _release(self) -> None:
        with self._lock:
            self._taken -= 1

    def close(self) -> None:
        """Start nothing more; requests that wait are dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)
