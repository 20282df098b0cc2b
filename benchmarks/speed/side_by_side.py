"""Contestants side by side: each in a process of its own, on the same cores, one after the other, in turns.

A contestant is a class: its constructor prepares what is not timed, its methods are the jobs. In every round each does the job
once while the others wait, so that whatever slows the machine down meets all of them alike.
"""

import multiprocessing
import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import psutil

REST = 0.3  # seconds before each turn: some libraries' threads look busily for work a while after theirs
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS")


def pin(cores: int) -> None:
    """Keep this process and those it starts on so many cores, with as many threads in each library."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    os.environ.update(dict.fromkeys(THREADS, str(cores)) | {"TOKENIZERS_PARALLELISM": "true", "HF_HUB_OFFLINE": "1"})


@dataclass(frozen=True)
class Timing:
    """The seconds a job took in each round, what it returned in the last, and the memory it needed beyond what was there."""

    name: str
    seconds: tuple[float, ...]
    result: Any
    peak_bytes: int

    @property
    def median(self) -> float:
        """The median of the rounds, in seconds."""
        return statistics.median(self.seconds)

    def times_faster(self, other: "Timing") -> tuple[float, float, float]:
        """How many times faster than the other: the median, smallest and largest ratio of the rounds."""
        ratios = [theirs / own for own, theirs in zip(self.seconds, other.seconds, strict=False)]
        return statistics.median(ratios), min(ratios), max(ratios)


class Contestant:
    """A process that holds an object and does jobs with it when asked."""

    def __init__(self, name: str, make: Callable[..., Any], **options: Any) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, options), daemon=True)
        self._process.start()
        theirs.close()
        self._receive()  # when it is prepared

    def do(self, job: str, *arguments: Any) -> tuple[float, Any, int]:
        """Seconds, result and peak memory of one call of a method."""
        self._pipe.send((job, arguments))
        seconds, result, peak = self._receive()
        return seconds, result, peak

    def _receive(self) -> Any:
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise SystemExit(f"{self.name} ended before its time: out of memory?") from None
        if isinstance(answer, Exception):
            raise SystemExit(f"{self.name}: {answer!r}") from answer
        return answer

    def __enter__(self) -> "Contestant":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.join()


def take_turns(
    contestants: Sequence[Contestant], job: str, rounds: int, arguments: Sequence[tuple[Any, ...]] = ((),)
) -> list[Timing]:
    """Let each do the job in every round; round r gets `arguments[r % len(arguments)]`.

    Of several rounds there is one more before them, which is not counted.
    """
    done: dict[str, list[tuple[float, Any, int]]] = {c.name: [] for c in contestants}
    for number in range(-1 if rounds > 1 else 0, rounds):
        for contestant in contestants:
            time.sleep(REST)
            outcome = contestant.do(job, *arguments[number % len(arguments)])
            if number >= 0:
                done[contestant.name].append(outcome)
    return [
        Timing(name, tuple(s for s, _, _ in own), own[-1][1], max(p for _, _, p in own)) for name, own in done.items()
    ]


def once(contestant: Contestant, job: str, *arguments: Any) -> Timing:
    """Let one do a job a single time, such as building an index."""
    seconds, result, peak = contestant.do(job, *arguments)
    return Timing(contestant.name, (seconds,), result, peak)


def _serve(pipe: Connection, make: Callable[..., Any], options: dict[str, Any]) -> None:
    try:
        contestant = make(**options)
        pipe.send(True)
        while True:
            job, arguments = pipe.recv()
            with _Peak() as peak:
                start = time.perf_counter()
                result = getattr(contestant, job)(*arguments)
                seconds = time.perf_counter() - start
            pipe.send((seconds, result, peak.bytes))
    except (EOFError, KeyboardInterrupt):
        pass
    except Exception as error:  # told by the parent
        pipe.send(error)


class _Peak:
    """How far resident memory rises above where it was, looked at every 20 ms."""

    def __enter__(self) -> "_Peak":
        self._process = psutil.Process()
        self._before = self._most = self._process.memory_info().rss
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()
        return self

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self._most = max(self._most, self._process.memory_info().rss)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._watch.join()
        self._most = max(self._most, self._process.memory_info().rss)

    @property
    def bytes(self) -> int:
        return int(self._most - self._before)
