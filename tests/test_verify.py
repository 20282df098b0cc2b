import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from ragqa.errors import IndexStoreError, InputError, ModelError, RecordError
from ragqa.index.bm25 import Bm25Index
from ragqa.index.verify import verify
from ragqa.models.embedder import BUNDLED as EMBEDDER
from ragqa.models.reranker import BUNDLED as RERANKER
from ragqa.records import Page, Pair, Passage
from ragqa.storage.checksums import seal
from ragqa.storage.generations import current
from ragqa.storage.json_lines import json_line, write_json_lines
from ragqa.text.passages import split
from ragqa.training.card import write_dataset
from ragqa.training.dataset import PairConfig

PAGE = Page("Dropout", text="Dropout switches units off.\n\n== Use ==\nIt helps.")


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    write_json_lines(tmp_path / "pages.jsonl", [PAGE])
    return tmp_path / "pages.jsonl"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"1234")
    seal(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    pairs = [Pair("What is it?", "It is this.", 1.0), Pair("What is it?", "No.", 0.0)]
    splits = {"train": pairs, "eval": pairs, "test": pairs}
    write_dataset(splits, tmp_path / "data", title="T", sources=["s"], licence="CC0-1.0", config=PairConfig())
    return tmp_path / "data"


def test_what_is_whole_is_described_in_a_line(pages: Path, model: Path, dataset: Path, tmp_path: Path) -> None:
    write_json_lines(tmp_path / "passages.jsonl", split(PAGE))
    Bm25Index.build(split(PAGE)).save(tmp_path / "index")
    assert verify(pages) == "1 pages"
    assert verify(model) == "a model, every byte as written"
    assert verify(dataset) == "a dataset, every byte as written"
    for source in ((), [PAGE, replace(PAGE, text="another with the same title")]):
        assert verify(tmp_path / "passages.jsonl", source) == "2 passages"
        assert verify(tmp_path / "index", source) == "2 passages, every byte as written"


@pytest.mark.parametrize("bundled", [RERANKER, EMBEDDER])
def test_the_bundled_models_are_as_they_were_exported(bundled: Path) -> None:
    assert verify(bundled) == "a model, every byte as written"


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_what_is_damaged_is_named_with_what_to_do(model: Path, dataset: Path, tmp_path: Path) -> None:
    Bm25Index.build(split(PAGE)).save(tmp_path / "index")
    weights = current(tmp_path / "index") / "weights.npy"
    for path in (model / "weights", dataset / "train.parquet", weights):
        _flip(path)
    with pytest.raises(ModelError, match="weights is damaged; make or install the model again"):
        verify(model)
    with pytest.raises(InputError, match=rf"train\.parquet is damaged; make it again: ragqa dataset --out {dataset}"):
        verify(dataset)
    with pytest.raises(IndexStoreError, match=r"weights\.npy is damaged; build it again: ragqa index"):
        verify(tmp_path / "index")


def test_a_cut_or_reformatted_list_of_checksums_is_damage(model: Path, tmp_path: Path) -> None:
    Bm25Index.build(split(PAGE)).save(tmp_path / "index")
    for path in (tmp_path / "index" / "CURRENT", model / "checksums.json"):
        whole = path.read_bytes()
        for changed in (whole[:-1], whole + b" ", whole.replace(b": ", b":")):
            path.write_bytes(changed)
            with pytest.raises((IndexStoreError, ModelError), match=rf"{path} is (missing or )?damaged"):
                verify(path.parent)
        path.write_bytes(whole)


def test_passages_must_be_what_stands_in_their_pages(tmp_path: Path) -> None:
    moved = [Passage("Dropout#0", "Dropout", start=1, end=8, text="Dropout")]
    write_json_lines(tmp_path / "passages.jsonl", moved)
    Bm25Index.build(moved).save(tmp_path / "index")
    assert verify(tmp_path / "passages.jsonl") == "1 passages"
    for path in (tmp_path / "passages.jsonl", tmp_path / "index"):
        with pytest.raises(
            InputError, match=f"{path}: passage 'Dropout#0' does not match the text of its page at its offsets"
        ):
            verify(path, [PAGE])


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        ([], InputError, "is empty"),
        (['{"title": "A"}', '{"title": "A"}'], InputError, "holds 'A' twice"),
        (['{"id": "a", "title": "A"}', '{"id": "a", "title": "A"}'], InputError, "holds 'a' twice"),
        (['{"id": "a", "title": "A", "end": 3}'], InputError, "passage 'a' does not match the text of its page at"),
        (['{"title": "A"}', '{"titel": "B"}'], RecordError, "line 2: 'title' is missing"),
        (
            ['{"id": "a", "title": "A", "text": "no place is said"}', '{"id": "a", "title": "A"}'],
            InputError,
            "'a' twice",
        ),
        (['{"id": "a", "title": 1}'], RecordError, "line 1: 'title' is int, not str"),
        (["{"], RecordError, "line 1: not JSON"),
    ],
)
def test_records_that_are_none_are_named(
    write: Callable[[str, list[str]], Path], lines: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        verify(write("records.jsonl", lines))


@pytest.mark.skipif(os.name != "posix", reason="pipes with names")
@pytest.mark.parametrize(
    ("records", "found"), [([Page("A", text="a")], "1 pages"), ([Passage("A#0", "A")], "1 passages")]
)
def test_a_pipe_is_checked_like_a_file(tmp_path: Path, records: list[Page | Passage], found: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = Thread(target=(tmp_path / "pipe").write_bytes, args=(b"".join(map(json_line, records)),))
    writer.start()
    assert verify(tmp_path / "pipe") == found
    writer.join()


def test_what_is_nothing_of_ours_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match=f"{path} is not an index, model, dataset or file of records"):
            verify(path)
