"""A small API server in its own process, with quick models, for the tests of its endpoints, limits and processes."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import WordEngine
from demo_server import CALIBRATIONS, PASSAGES, RelyingEngine, environment, relies
from token_engine import TokenEngine

from ragqa.errors import IndexStoreError
from ragqa.index.bm25 import Bm25Index
from ragqa.index.dense import DenseIndex
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import Reranker
from ragqa.models.selector import Selector
from ragqa.search.retriever import Retriever
from ragqa.serve import ServeConfig, serve

SLOW_S = 1.0
DOCUMENTS = ["Trees split.", "No unit can end up relying on another one. Trees split.", "Boosting adds trees."]
# httpx's own functions read all certificates for each request
CLIENT = httpx.Client(verify=False, trust_env=False, timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
GOOD, BAD = 1 / (1 + np.exp(-2.0)), 0.5  # the relevance of a document that says "relying", and of others


class SlowEngine(RelyingEngine):
    """As the engine of the demo's tests; a question with "slow" takes a while, one with "broken" fails."""

    def logits(self, question: str, texts: Any) -> np.ndarray:
        if "slow" in question:
            time.sleep(SLOW_S)
        if "broken" in question:
            raise ValueError("first\nsecond")
        return super().logits(question, texts)


def open_small(*, models: bool = True) -> Retriever:
    """A retriever of a few passages; without models, BM25 alone."""
    index = Bm25Index.build(PASSAGES)
    if not models:
        return Retriever(index, None)
    return Retriever(
        index,
        Reranker(SlowEngine(), "relying", CALIBRATIONS),
        dense=DenseIndex.build(PASSAGES, Embedder(WordEngine(), "words", "words")),
        selector=Selector(TokenEngine(relies), "relying"),
    )


def serve_small(models: bool = True, **options: Any) -> None:
    """Run by the server process. It enables Ctrl-C, which a shell disables for a pytest in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    serve(partial(open_small, models=models), ServeConfig(**{"port": None, **options}))


@dataclass(frozen=True)
class Running:
    """A server process, its address without a final slash, and the file it logs to."""

    process: "subprocess.Popen[str]"
    address: str
    log: Path

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """Sent as ASCII, so that half of a surrogate pair can be sent too."""
        return self.post_bytes(path, json.dumps(body).encode("ascii"), **headers)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return CLIENT.get(f"{self.address}{path}", headers=headers)

    def post_bytes(self, path: str, body: bytes, **headers: str) -> httpx.Response:
        headers = {"Content-Type": "application/json", **headers}
        return CLIENT.post(f"{self.address}{path}", content=body, headers=headers)

    def lines(self) -> list[dict[str, Any]]:
        """The lines that the server has logged; each must be a JSON object."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf8").splitlines()]


@contextmanager
def running(folder: Path, variables: Mapping[str, str] | None = None, **options: Any) -> Iterator[Running]:
    """Start a server in its own process, with `options` of `serve_small`."""
    code = f"import serve_server\nif __name__ == '__main__': serve_server.serve_small(**{options!r})"
    with start([sys.executable, "-c", code], folder, variables) as server:
        yield server


@contextmanager
def start(command: list[str], folder: Path, variables: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Start a command that serves, and wait for its address."""
    log = folder / "server.log"
    env = {**environment(), **(variables or {})}
    with (
        log.open("w", encoding="utf8") as stderr,
        subprocess.Popen(command, env=env, stdout=-1, stderr=stderr, text=True) as process,
    ):
        try:
            assert process.stdout
            line = process.stdout.readline()
            address = re.fullmatch(r"ragqa (?:serve|mcp) on (http://\S+:\d+)/(?:mcp)? \(Ctrl-C ends it\)\n", line)
            if address is None:
                process.kill()
                pytest.fail(line + log.read_text(encoding="utf8"))
            yield Running(process, address[1], log)
        finally:
            process.kill()


def open_once(path: str) -> Retriever:
    """Open the small retriever for the first process that asks; for others its index has gone."""
    if Path(path).exists():
        raise IndexStoreError("the index has gone")
    Path(path).touch()
    return open_small()
