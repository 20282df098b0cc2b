"""What the server measures, in the format of Prometheus. With several workers, the numbers are those of all of them."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where workers keep their numbers; prometheus_client reads it when it is imported
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "ragqa_requests", "Requests that were answered.", ["path", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "ragqa_request_seconds", "Time to answer.", ["path"], buckets=SECONDS, registry=self._registry
        )
        self.open = Gauge(
            "ragqa_requests_in_progress",
            "Requests being answered.",
            multiprocess_mode="livesum",
            registry=self._registry,
        )
        self.run_texts = Histogram(
            "ragqa_run_texts", "Texts that a model read in one run.", ["model"], buckets=TEXTS, registry=self._registry
        )
        self.run_seconds = Histogram(
            "ragqa_run_seconds", "Time of one run.", ["model"], buckets=SECONDS, registry=self._registry
        )

    def observe_run(self, model: str, texts: int, seconds: float) -> None:
        """Count one run of a model."""
        self.run_texts.labels(model).observe(texts)
        self.run_seconds.labels(model).observe(seconds)

    def render(self) -> bytes:
        """Return all numbers as text."""
        if not os.environ.get(FOLDER):
            return generate_latest(self._registry)
        everyone = CollectorRegistry()
        MultiProcessCollector(everyone)  # type: ignore[no-untyped-call,unused-ignore]
        return generate_latest(everyone)

    def close(self) -> None:
        """Drop the requests in progress of this worker."""
        if os.environ.get(FOLDER):
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call,unused-ignore]


@contextmanager
def shared_numbers() -> Iterator[None]:
    """Let the workers that are started meanwhile add up their numbers, in a temporary folder."""
    folder = tempfile.mkdtemp(prefix="ragqa-metrics-")
    os.environ[FOLDER] = folder
    try:
        yield
    finally:
        del os.environ[FOLDER]
        shutil.rmtree(folder, ignore_errors=True)
