"""For any bytes in a file, its reader returns records or raises one of our errors."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ragqa.cli import main
from ragqa.errors import RagqaError
from ragqa.evaluation.judged import read_judged
from ragqa.index.verify import verify
from ragqa.records import Page, Pair, Passage
from ragqa.storage.json_lines import LONGEST_LINE, read_journal, read_json_lines, write_json_lines
from ragqa.text.pages import read_article, read_pages
from ragqa.training.pairs import read_pairs
from ragqa.wiki.seeds import read_seeds

EXAMPLES = 300
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = (
    "id title text url section start end page_id revision sentence_0 sentence_1 label _id question page answer".split()
)
ROWS = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6)
LINES = st.lists(ROWS.map(lambda row: json.dumps(row).encode()) | st.binary(max_size=40), max_size=5).map(b"\n".join)
MARKDOWN = st.lists(
    st.sampled_from([b"---", b"title: T", b"url: u", b"title:", b"## H", b"text", b"\xff", b"\x00", b": :"])
    | st.binary(max_size=9),
    max_size=8,
).map(b"\n".join)
TOML = st.lists(
    st.sampled_from(
        [b'language = "en"', b"depth = 1", b"depth = -1", b'titles = ["A"]', b"categories = 3", b"[x]", b"a = ="]
    )
    | st.binary(max_size=12),
    max_size=6,
).map(b"\n".join)
QRELS = st.lists(
    st.sampled_from([b"query-id\tcorpus-id\tscore", b"q1\td1\t1", b"q1\td1", b"q1\td1\tx", b"\t\t", b"q1\td1\t1e999"])
    | st.binary(max_size=12),
    max_size=5,
).map(b"\n".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def pages(path: Path) -> list[Page]:
    return list(read_json_lines(path, Page))


def passages(path: Path) -> list[Passage]:
    return list(read_json_lines(path, Passage))


def pairs(path: Path) -> list[Pair]:
    return list(read_json_lines(path, Pair))


def pages_of_any_kind(path: Path) -> list[Page]:
    return list(read_pages(path))


READERS: tuple[Callable[[Path], object], ...] = (pages, passages, pairs, pages_of_any_kind, verify)


def only_our_errors(read: Callable[[], object]) -> None:
    try:
        read()
    except RagqaError as error:
        assert str(error)


@settings(max_examples=EXAMPLES)
@given(LINES)
@example(b"[" * 100_000)
@example(b'{"title": "\\ud800"}')
@example(b'{"id": "a", "title": "b", "start": 1' + b"0" * 5000 + b"}")
@example(b'{"title": NaN}')
def test_records(folder: Path, data: bytes) -> None:
    for name, whole in (("file.jsonl", data), ("file.jsonl.gz", gzip.compress(data)), ("broken.jsonl.gz", data)):
        path = folder / name
        path.write_bytes(whole)
        for read in READERS:
            only_our_errors(lambda: read(path))  # noqa: B023
    (folder / "journal").write_bytes(data)
    only_our_errors(lambda: read_journal(folder / "journal", Page))
    (folder / "train.jsonl").write_bytes(data)
    only_our_errors(lambda: read_pairs([folder], "train"))


@settings(max_examples=EXAMPLES)
@given(MARKDOWN)
def test_articles(folder: Path, data: bytes) -> None:
    (folder / "article.md").write_bytes(data)
    only_our_errors(lambda: read_article(folder / "article.md"))


@settings(max_examples=EXAMPLES)
@given(TOML)
def test_seeds(folder: Path, data: bytes) -> None:
    for name in ("seeds.toml", "seeds.txt"):
        (folder / name).write_bytes(data)
        only_our_errors(lambda: read_seeds(folder / name))  # noqa: B023


@settings(max_examples=EXAMPLES)
@given(LINES, LINES, QRELS)
def test_judged_folders(folder: Path, corpus: bytes, queries: bytes, qrels: bytes) -> None:
    beir = folder / "beir"
    beir.mkdir(exist_ok=True)
    (beir / "corpus.jsonl").write_bytes(b'{"_id": "d1", "text": "t"}\n' + corpus)
    (beir / "queries.jsonl").write_bytes(b'{"_id": "q1", "text": "q"}\n' + queries)
    (beir / "qrels.tsv").write_bytes(qrels)
    only_our_errors(lambda: read_judged(beir))


BOMB = """
import resource, sys
from ragqa.errors import RecordError
from ragqa.records import Page
from ragqa.storage.json_lines import read_json_lines
def most(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
before = most()
try:
    list(read_json_lines("bomb.jsonl.gz", Page))
except RecordError as error:
    print(most() - before, error)
"""


@pytest.mark.skipif(os.name != "posix", reason="memory is measured as on posix")
def test_a_line_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "bomb.jsonl.gz", "wb") as file:
        for _ in range(500):
            file.write(bytes(1 << 20))
    done = subprocess.run([sys.executable, "-c", BOMB], cwd=tmp_path, capture_output=True, text=True, check=True)
    kibibytes, _, said = done.stdout.strip().partition(" ")
    assert said == f"bomb.jsonl.gz, line 1: it has more than {LONGEST_LINE:,} bytes"
    assert int(kibibytes) < 100_000


def test_titles_never_become_names_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = ["../../etc/passwd", "CON", "x" * 300, "Kernel", "kernel", "a/b\\c", "/abs", "..", "name\x00"]
    work = tmp_path / "deep" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    write_json_lines(
        "pages.jsonl", [Page(title, text=f"{title} is the answer, number {n}.") for n, title in enumerate(titles)]
    )
    for command in (
        "passages --pages pages.jsonl --out passages.jsonl",
        "index --passages passages.jsonl --out index --no-dense",
        "dataset --passages passages.jsonl --out data --parts 0.5 0.5 0",
        "verify index passages.jsonl data --pages pages.jsonl",
        "ask passwd --index index --bm25-only",
    ):
        assert main(command.split()) == 0
    assert {path.name for path in work.iterdir()} == {"pages.jsonl", "passages.jsonl", "index", "data"}
    assert {path.name for path in (work / "index").iterdir()} == {"CURRENT", "lock", "000001"}
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["work"]
