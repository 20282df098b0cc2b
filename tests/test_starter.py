"""The cached index of the starter corpus is named by versions, so whoever changes what it holds must raise one of them."""

import hashlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import Stemmer

from ragqa.index import bm25, starter, terms
from ragqa.index.bm25 import FORMAT, Bm25Index
from ragqa.index.starter import open_starter
from ragqa.index.terms import TERMS_VERSION, Fields, find_abbreviations, passage_terms, question_terms
from ragqa.records import Passage
from ragqa.storage.generations import current
from ragqa.storage.json_lines import json_line
from ragqa.text import analyzer
from ragqa.text.analyzer import Analyzer
from ragqa.text.pages import starter_folder
from ragqa.text.passages import SPLITTER_VERSION

# If a test below fails because code has changed: raise the version and add a line, so that cached indexes are built again.
# If only the starter articles have changed: replace the digests of the last line.
PASSAGES = {1: "056b43b617a4e75f", 2: "056b43b617a4e75f"}  # by SPLITTER_VERSION
TERMS = {
    (2, 1, "2"): "ccd9e590d4cc6970",
    (2, 1, "3"): "5dd08534e940a787",
    (3, 1, "2"): "ccd9e590d4cc6970",
    (3, 1, "3"): "5dd08534e940a787",
}  # by the analyzer's VERSION, TERMS_VERSION and the stemmer
SCORES = {5: 1587.0183}  # the sum of all scores, by FORMAT
QUESTIONS = ("why does dropout help?", "what is an SVM?", "k-means or k nearest neighbors?")

Change = Callable[[pytest.MonkeyPatch, Path], object]


def digest(lines: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(lines)).hexdigest()[:16]


def test_another_splitter_needs_another_version(starter_passages: tuple[Passage, ...]) -> None:
    assert digest(map(json_line, starter_passages)) == PASSAGES.get(SPLITTER_VERSION)


def test_other_terms_need_another_version(starter_passages: tuple[Passage, ...]) -> None:
    one = Analyzer()
    abbreviations = find_abbreviations(starter_passages, one)
    rows = [*passage_terms(starter_passages, Fields(), one, abbreviations)]
    rows += [question_terms(question, one, abbreviations) for question in QUESTIONS]
    found = digest(f"{row}\n".encode() for row in rows)
    assert found == TERMS.get((analyzer.VERSION, TERMS_VERSION, Stemmer.version().split(".")[0]))


def test_other_scores_need_another_format(starter_passages: tuple[Passage, ...]) -> None:
    index = Bm25Index.build(starter_passages)
    total = sum(float(index.scores(question).sum()) for question in QUESTIONS)
    assert total == pytest.approx(SCORES.get(FORMAT), rel=1e-5)


def change_article(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    shutil.copytree(starter_folder(), folder)
    with next(path for path in sorted(folder.iterdir()) if path.suffix == ".md").open("a") as file:
        file.write("\nOne more sentence.\n")
    monkeypatch.setattr(starter, "starter_folder", lambda: folder)


CHANGES: dict[str, Change] = {
    "article": change_article,
    "format": lambda patch, _: patch.setattr(bm25, "FORMAT", 99),
    "splitter": lambda patch, _: patch.setattr(starter, "SPLITTER_VERSION", 99),
    "terms": lambda patch, _: patch.setattr(terms, "TERMS_VERSION", 99),
    "analyzer": lambda patch, _: patch.setattr(analyzer, "VERSION", 99),
    "settings": lambda patch, _: patch.setattr(bm25, "K1", 1.2),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_gives_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = starter._starter_key()
    assert starter._starter_key() == before
    CHANGES[name](monkeypatch, tmp_path / "corpus")
    assert starter._starter_key() != before


def test_after_a_change_the_starter_index_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGQA_CACHE", str(tmp_path / "cache"))
    before = open_starter()
    assert open_starter().generation == current(tmp_path / "cache" / "starter" / starter._starter_key())
    change_article(monkeypatch, tmp_path / "corpus")
    after = open_starter()
    assert len(list((tmp_path / "cache" / "starter").iterdir())) == 2
    assert list(after.passages) != list(before.passages)
