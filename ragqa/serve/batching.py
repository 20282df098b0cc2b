"""Dynamic batching: one run of a model reads the texts of several requests.

While the model is busy, the texts of new requests wait; the next run takes all of them. So a request that is alone waits for
nobody, and many together fill batches of texts of similar length. Two runs may overlap, so that one is tokenized while the
model works on the other. With OpenVINO, results do not depend on what else is in a
run.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from threading import Condition, Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from ragqa.models.reranker import Engine, PairEngine
from ragqa.serve.limits import Refused

if TYPE_CHECKING:
    import numpy as np

MOST_TEXTS = 256  # in one run
RUNNERS = 2  # runs at a time
SLICE = 32  # texts of one request that a run takes before those of the next request

DEADLINE: ContextVar[float] = ContextVar("DEADLINE")  # of the request that is being answered, as `time.monotonic()`

Text = TypeVar("Text")
Run = Callable[[Sequence[Text]], "np.ndarray"]


@dataclass
class _Job(Generic[Text]):
    """The texts of one request.

    The first `taken` texts were given to runs. `rows` maps the position of a run's first text to its results.
    """

    texts: Sequence[Text]
    taken: int = 0
    rows: "dict[int, np.ndarray]" = field(default_factory=dict)
    done: "Future[np.ndarray]" = field(default_factory=Future)


@dataclass
class _Part(Generic[Text]):
    """The texts of a job, from the one at `start`, that one run takes."""

    job: _Job[Text]
    start: int
    texts: Sequence[Text]


class SharedRuns(Generic[Text]):
    """Runs a model for several threads at once. Threads of its own call `run`, which returns one row for each text.

    `observe`, if given, is called with the number of texts and the seconds of each run. `runners` runs may overlap.
    """

    def __init__(
        self, run: Run[Text], observe: Callable[[int, float], None] | None = None, *, runners: int = RUNNERS
    ) -> None:
        self._run, self._observe = run, observe
        self._waiting: deque[_Job[Text]] = deque()
        self._changed = Condition()
        self._closed = False
        for _ in range(runners):
            Thread(target=self._serve, daemon=True, name="ragqa batches").start()

    def run(self, texts: Sequence[Text]) -> "np.ndarray":
        """Return a row for each text, in input order. Raises what the model raises, and `Refused` after the deadline."""
        job = _Job(texts)
        with self._changed:
            if self._closed:
                raise closing()
            self._waiting.append(job)
            self._changed.notify()
        try:
            return job.done.result(time_left())
        except FutureTimeoutError as error:
            with self._changed:
                job.done.cancel()
            raise too_late() from error

    def close(self) -> None:
        """End the threads after their present runs; what waits then fails."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _serve(self) -> None:
        while parts := self._take():
            started = time.perf_counter()
            self._answer(parts)
            if self._observe:
                self._observe(sum(len(part.texts) for part in parts), time.perf_counter() - started)
        for job in self._waiting:
            self._fail(job, closing())

    def _take(self) -> list[_Part[Text]]:
        """Wait for texts and return those of the next run, a slice of each request in turn; nothing once closed."""
        with self._changed:
            while not self._closed:
                if parts := self._fill():
                    return parts
                self._changed.wait_for(lambda: self._closed or self._waiting)
        return []

    def _fill(self) -> list[_Part[Text]]:
        parts, room = [], MOST_TEXTS
        while self._waiting and room:
            job = self._waiting.popleft()
            if job.done.done():  # too late, or failed
                continue
            part = _Part(job, job.taken, job.texts[job.taken : job.taken + min(SLICE, room)])
            parts.append(part)
            job.taken += len(part.texts)
            room -= len(part.texts)
            if job.taken < len(job.texts):
                self._waiting.append(job)
        return parts

    def _answer(self, parts: Sequence[_Part[Text]]) -> None:
        """Run the parts together; if that fails, each alone, so that a request fails only by its own texts."""
        try:
            rows = self._run([text for part in parts for text in part.texts])
        except Exception as error:
            if len(parts) == 1:
                self._fail(parts[0].job, error)
            else:
                for part in parts:
                    self._answer([part])
            return
        first = 0
        for part in parts:
            self._add(part, rows[first : first + len(part.texts)])
            first += len(part.texts)

    def _add(self, part: _Part[Text], rows: "np.ndarray") -> None:
        import numpy as np

        job = part.job
        with self._changed:
            job.rows[part.start] = rows
            complete = sum(map(len, job.rows.values())) == len(job.texts)
            if complete and not job.done.cancelled():
                job.done.set_result(np.concatenate([job.rows[start] for start in sorted(job.rows)]))

    def _fail(self, job: _Job[Text], error: Exception) -> None:
        with self._changed:
            if not job.done.done():
                job.done.set_exception(error)


def too_late() -> Refused:
    """Return the error for a request that is not answered in time."""
    return Refused(504, "The request took too long; send fewer or shorter texts.")


def closing() -> Refused:
    """Return the error for a request that comes too late to be answered before the server ends."""
    return Refused(503, "The server is shutting down.", 1.0)


def time_left() -> float | None:
    """Return the seconds that the present request has left, at least 0; None without a deadline."""
    deadline = DEADLINE.get(None)
    return None if deadline is None else max(0.0, deadline - time.monotonic())


class BatchingEngine:
    """An engine of a reranker that scores pairs of several threads in shared runs."""

    def __init__(self, runs: SharedRuns[tuple[str, str]]) -> None:
        self._runs = runs

    def logits(self, question: str, texts: Sequence[str]) -> "np.ndarray":
        """Return logits in the order of the texts: float32, shape (len(texts),)."""
        return self._runs.run([(question, text) for text in texts])


def pair_runner(engine: Engine) -> Run[tuple[str, str]]:
    """Return a function that scores pairs with an engine; one that takes a question at a time runs for each question."""
    import numpy as np

    if isinstance(engine, PairEngine):
        return engine.pair_logits
    return lambda pairs: np.concatenate(
        [engine.logits(question, [text for _, text in own]) for question, own in groupby(pairs, key=itemgetter(0))]
    )
