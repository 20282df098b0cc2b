"""Faults at every step of whatever writes: the process is killed there, or the disk fails, and somebody looks at what is left.

    python tests/faults.py FOLDER SCENARIO KIND [FIRST [EVERY [ARGUMENT]]]

runs a scenario again and again, each time in a fresh fork and on a fresh copy of the same files, with a fault at step FIRST, at
step FIRST + EVERY, and so on until there are no more; by default at every step. A step is a call that changes what is on the
disk: open, write (the fault comes when half of the data is written), fsync, rename, mkdir, unlink, rmdir, truncate, chmod.
Prints, as JSON, what was found after each.
"""

import builtins
import errno
import io
import json
import os
import re
import shutil
import signal
import sys
import traceback
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet  # noqa: F401  before the forks
from crawls import crawl_into

import ragqa.storage.folders
from ragqa.errors import IndexStoreError, RagqaError
from ragqa.index.bm25 import Bm25Index
from ragqa.index.folder import build_index, open_index, update_index
from ragqa.index.previous import read_previous
from ragqa.index.verify import verify
from ragqa.models.embedder import Embedder
from ragqa.records import Page, Pair, Passage
from ragqa.search.retriever import Retriever
from ragqa.storage.checksums import find_flaw
from ragqa.storage.json_lines import read_json_lines, write_json_lines
from ragqa.training.card import write_dataset
from ragqa.training.dataset import PairConfig

os.fsync = lambda fd: None  # slow, and a killed process loses nothing that it has written

# the process is killed; it is killed there once more; no space is left from now on; one input/output error
KINDS = ("kill", "kill again", "full", "broken")
STEPS = ("open", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "truncate", "chmod")
TAKES_SPACE = {"open", "write", "fsync", "mkdir"}

OLD = [Passage(f"Page {n}#0", f"Page {n}", text=f"what stands on page {n} of the old kernel book") for n in range(6)]
NEW = [Passage(f"Page {n}#0", f"Page {n}", text=f"what page {n} of the new kernel says") for n in range(4, 9)]
QUESTIONS = ("what does page 5 say?", "old kernel", "new kernel")


class Engine:
    """Vectors of a hash of the words."""

    def vectors(self, texts: Sequence[str], progress: object) -> "np.ndarray":
        rows = np.full((len(texts), 8), 1e-3, dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.split():
                row[zlib.crc32(word.encode()) % 8] += 1
        vectors: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return vectors


EMBEDDER = Embedder(Engine(), "", "words")
OLDER = Path(__file__).with_name("data") / "index-format-4.zip"


class Disk:
    """Counts the steps of this process, and lets one of them fail."""

    def __init__(self, kind: str, step: int) -> None:
        self.kind, self.step = kind, step
        self.count = 0

    def reach(self, name: str, before: Callable[[], object] = lambda: None) -> None:
        """One step more; `before` is done if this is the one that fails."""
        self.count += 1
        due = self.count == self.step
        if due:
            before()
        if due and self.kind.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if due and self.kind == "broken":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self.kind == "full" and self.count >= self.step and name in TAKES_SPACE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def install(self) -> None:
        """Let all that writes in this process go by here."""
        for name in STEPS:
            setattr(os, name, self._counting(name, getattr(os, name)))
        opened = io.open

        def open_file(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            if not set(mode) & set("wax+"):
                return opened(file, mode, *arguments, **options)
            if not isinstance(file, int):
                self.reach("open")
            return File(self, opened(file, mode, *arguments, **options))

        io.open = builtins.open = open_file
        exchange = ragqa.storage.folders._exchange_at_once

        def exchange_at_once(new: bytes, old: bytes) -> bool:
            self.reach("exchange")
            return exchange(new, old)

        ragqa.storage.folders._exchange_at_once = exchange_at_once

    def _counting(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if name != "open" or arguments[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.reach(name)
            return function(*arguments, **options)

        return call


class File:
    """An open file whose writes are steps."""

    def __init__(self, disk: Disk, file: Any) -> None:
        self._disk, self._file = disk, file

    def write(self, data: Any) -> int:
        def write_half() -> None:
            self._file.write(data[: len(data) // 2])
            self._file.flush()

        self._disk.reach("write", write_half)
        return int(self._file.write(data))

    def __enter__(self) -> "File":
        self._file.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._file.__exit__(*error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@dataclass(frozen=True)
class Scenario:
    """`prepare` and `write` take a folder; `look` says in a word what state it finds there, or raises."""

    prepare: Callable[[Path], object]
    write: Callable[[Path], object]
    look: Callable[[Path], str]


def answers(index: Bm25Index, dense: Any) -> list[Any]:
    found = [Retriever(index, None, dense=dense).search(question) for question in QUESTIONS]
    return [[(hit.passage.id, hit.passage.text, hit.score) for hit in hits] for hits in found]


def look_at_index(states: dict[str, list[Any]]) -> Callable[[Path], str]:
    def look(folder: Path) -> str:
        try:
            opened = open_index(folder / "index", embedder=EMBEDDER)
        except IndexStoreError as error:
            if "is not an index" in str(error):
                return "nothing"
            raise
        verify(folder / "index")
        found = answers(*opened)
        return next((name for name, expected in states.items() if found == expected), "mixture")

    return look


def unpack_older(folder: Path) -> None:
    with zipfile.ZipFile(OLDER) as packed:
        packed.extractall(folder)


def migration(folder: Path) -> Scenario:
    unpack_older(folder / "old")
    previous = read_previous(folder / "old" / "index")
    assert previous.embedder is not None
    embedder = Embedder(Engine(), "", previous.embedder["identity"])  # embeds nothing in a migration

    def look(place: Path) -> str:
        try:
            index, _ = open_index(place / "index", embedder=embedder)
        except IndexStoreError as error:
            if "has index format 4" in str(error) and read_previous(place / "index").passages == previous.passages:
                return "old"
            raise
        verify(place / "index")
        return "new" if tuple(index.passages) == previous.passages else "mixture"

    return Scenario(unpack_older, lambda place: update_index(place / "index", embedder=embedder), look)


def is_left(name: str) -> bool:
    """Whether a file lies in what a killed writer has left beside it, or in the folder that it wrote in place."""
    return re.match(r"\.[^/]+\.unfinished/", name) is not None


def look_at_bytes(name: str, old: Path, new: Path) -> Callable[[Path], str]:
    def contents(path: Path) -> dict[str, bytes]:
        def relative(file: Path) -> str:
            return file.relative_to(path).as_posix()

        files = path.rglob("*") if path.is_dir() else [path]
        return {name: file.read_bytes() for file in files if file.is_file() and not is_left(name := relative(file))}

    def look(folder: Path) -> str:
        found = contents(folder / name)
        states = {"old": contents(old / name), "new": contents(new / name)}
        unknown = "told" if folder.joinpath(name).is_dir() and find_flaw(folder / name) else "mixture"
        return next((state for state, expected in states.items() if found == expected), unknown)

    return look


def pairs(passages: Sequence[Passage]) -> dict[str, list[Pair]]:
    made = [Pair(f"What is {p.title}?", p.text, float(n % 2)) for n, p in enumerate(passages)]
    return {"train": made, "eval": made[:2], "test": made[:2]}


def save_dataset(passages: Sequence[Passage], folder: Path) -> None:
    write_dataset(pairs(passages), folder / "data", title="T", sources=["s"], licence="CC0-1.0", config=PairConfig())


def scenario(name: str, folder: Path, argument: str) -> Scenario:
    if name == "migrate":
        return migration(folder)
    if name in ("build", "first build", "update"):
        old, new = folder / "old", folder / "new"
        build_index(old, OLD, embedder=EMBEDDER)
        build_index(new, OLD[:2] + NEW if name == "update" else NEW, embedder=EMBEDDER)
        states = {state: answers(*open_index(folder / state, embedder=EMBEDDER)) for state in ("old", "new")}

        def write(place: Path) -> None:
            if name == "update":
                update_index(place / "index", NEW, ["Page 2", "Page 3"], embedder=EMBEDDER)
            else:
                build_index(place / "index", NEW, embedder=EMBEDDER)

        prepare = (lambda _: None) if name == "first build" else (lambda place: shutil.copytree(old, place / "index"))
        return Scenario(prepare, write, look_at_index(states))
    contents: Callable[[Sequence[Passage], Path], object]
    if name.startswith("dataset"):
        path, contents = "data", save_dataset
        if name == "dataset in place":  # as where a file system is mounted
            folders: Any = ragqa.storage.folders
            folders.is_mounted = lambda path: path.name == "data" and path.is_dir()
    elif name == "passages":
        path, contents = "file", lambda passages, place: write_json_lines(place / "file", passages)
    else:
        assert name == "crawl"
        titles = ["Perceptron", "AC/DC", "Gradient descent", "Dropout layer"]
        path = "pages.jsonl"

        def contents(passages: Sequence[Passage], place: Path) -> None:
            asked = titles[:2] if passages is OLD else titles
            crawl_into(place / path, contact="a@b.example", titles=asked, api_url=argument)
            if passages is OLD:  # of long ago: one page has changed since, another is gone
                kept = read_json_lines(place / path, Page)
                aged = [replace(page, revision=1, text="Stale.") if page.title == "AC/DC" else page for page in kept]
                write_json_lines(place / path, [*aged, Page("Gone", page_id=999, revision=1, text="Long ago.")])

    for state, passages in (("old", OLD), ("new", NEW)):
        (folder / state).mkdir()
        contents(OLD, folder / state)
        if state == "new":
            contents(passages, folder / state)
    return Scenario(
        lambda place: shutil.copytree(folder / "old", place, dirs_exist_ok=True),
        lambda place: contents(NEW, place),
        look_at_bytes(path, folder / "old", folder / "new"),
    )


def run(action: Callable[[], str]) -> str:
    """What an action returns, done in a fork: the signal that ended it, or its error with a `!` in front."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            said = action()
        except (RagqaError, OSError) as error:
            said = f"!{error}"
        except BaseException:
            said = f"!!{traceback.format_exc()}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else said


def write_again(tried: Scenario, place: Path) -> str:
    tried.write(place)
    return ""


def write_with_fault(tried: Scenario, place: Path, kind: str, step: int) -> str:
    disk = Disk(kind, step)
    disk.install()
    tried.write(place)
    return "done" if disk.count < step else "in spite of it"


def main(
    folder: Path, name: str, kind: str, first: str = "1", every: str = "1", argument: str = ""
) -> list[dict[str, Any]]:
    tried = scenario(name, folder, argument)
    outcomes: list[dict[str, Any]] = []
    step = int(first)
    while True:
        place = folder / "place"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        tried.prepare(place)
        ended = run(lambda: write_with_fault(tried, place, kind, step))  # noqa: B023
        if ended == "done":
            return outcomes
        if kind == "kill again":
            run(lambda: write_with_fault(tried, place, kind, step))  # noqa: B023
        found = run(lambda: tried.look(place))  # noqa: B023
        again = "" if found == "new" else run(lambda: write_again(tried, place))  # noqa: B023
        after = run(lambda: tried.look(place))  # noqa: B023
        outcomes.append({"step": step, "ended": ended, "found": found, "again": again, "after": after})
        step += int(every)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), *sys.argv[2:])))
