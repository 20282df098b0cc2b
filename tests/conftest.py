import errno
import importlib
import os
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from wiki import Wiki, run_wiki

from ragqa import Retriever
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import BUNDLED
from ragqa.records import Page, Passage
from ragqa.text.pages import read_pages, starter_folder
from ragqa.text.passages import split

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # read on import; tests reach no other host
os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's threads spin while they wait for a core

# the files of the named suites, which have a target each in the Makefile; `make test` runs all others
SUITES = {
    "stress": (
        "concurrency crawl_faults damage demo_connections determinism faults fuzz growth processes serve_processes"
    ).split(),
    "browser": "demo_crawling demo_mount demo_page demo_sites".split(),
    "wiki": "connection crawl dump login omissions walkthrough".split(),
}

# a busy machine makes single examples slow without anything being wrong; the same examples every time
settings.register_profile("ragqa", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ragqa")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-packages", action="store_true", help="fail, rather than skip, where a Python package is missing"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--all-packages"):
        pytest.importorskip = _import  # type: ignore[assignment]  # it says no more than that it skips: no hook can tell why


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the suite of its file, before `-m` chooses."""
    for item in items:
        for suite, names in SUITES.items():
            if item.path.stem.removeprefix("test_") in names:
                item.add_marker(suite)


def _import(name: str, minversion: str | None = None, reason: str | None = None, **_: Any) -> Any:
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A small demo with its tools, and its address."""
    from demo_server import running  # Gradio is slow to import

    with running(mcp="yes") as served:
        yield served


@pytest.fixture(scope="module")
def address(served: tuple["subprocess.Popen[str]", str]) -> str:
    return served[1]


class WordEngine:
    """Vectors that count words by a hash of each: texts with the same words are near, others are not."""

    def vectors(self, texts: Sequence[str], progress: Callable[[int], object] | None) -> "np.ndarray":
        rows = np.full((len(texts), 64), 1e-3, dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row[zlib.crc32(word.encode()) % 64] += 1
        if progress:
            progress(len(texts))
        vectors: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return vectors


@pytest.fixture(scope="session")
def word_embedder() -> Embedder:
    return Embedder(WordEngine(), "", "words")


@pytest.fixture(scope="session")
def starter_pages() -> tuple[Page, ...]:
    return tuple(read_pages(starter_folder()))


@pytest.fixture(scope="session")
def starter_passages(starter_pages: tuple[Page, ...]) -> tuple[Passage, ...]:
    return tuple(passage for page in starter_pages for passage in split(page))


@pytest.fixture(scope="session")
def starter() -> Retriever:
    return Retriever.open(candidates=30)


@pytest.fixture(scope="session")
def wiki(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiki]:
    with run_wiki(tmp_path_factory.mktemp("wiki")) as running:
        yield running


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two narrow layers with random weights and the bundled vocabulary."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")

    tools: Any = transformers
    folder = tmp_path_factory.mktemp("base") / "tiny"
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    tools.BertForSequenceClassification(tools.BertConfig(**shape, num_labels=1)).save_pretrained(folder)
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    tools.PreTrainedTokenizerFast(tokenizer_file=str(BUNDLED / "tokenizer.json"), **special).save_pretrained(folder)
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Iterable[str]], Path]:
    """Write lines into a file below the test's folder."""

    def write_lines(name: str, lines: Iterable[str]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf8")
        return path

    return write_lines


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0)
    os.umask(before)
    yield os.umask
    os.umask(before)


@pytest.fixture
def broken_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, and only this one may write into."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
