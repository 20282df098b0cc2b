from pathlib import Path

import numpy as np
import pytest

from ragqa.bm25 import Bm25Index
from ragqa.dense import FOLDER, DenseIndex, save_index
from ragqa.embed import Embedder
from ragqa.errors import IndexStoreError
from ragqa.records import Passage

PASSAGES = [
    Passage("b", "Dropout", text="switches units off"),
    Passage("a", "Dropout", text="switches units off"),
    Passage("c", "Bagging", text="averages models"),
]


@pytest.fixture
def index(word_embedder: Embedder) -> DenseIndex:
    return DenseIndex.build(PASSAGES, word_embedder)


@pytest.fixture(scope="module")
def bm25() -> Bm25Index:
    return Bm25Index.build(PASSAGES)


@pytest.fixture
def saved(tmp_path: Path, index: DenseIndex, bm25: Bm25Index) -> Path:
    index.save(tmp_path / "dense", bm25.digest)
    return tmp_path / "dense"


def test_scores_are_cosines_of_every_passage(index: DenseIndex, word_embedder: Embedder) -> None:
    question = "bagging averages models"
    vectors = word_embedder.embed([question, "Bagging: averages models"])
    scores = index.scores(question)
    assert scores.dtype == np.float32
    assert scores.shape == (3,)
    assert scores[2] == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-3)


def test_the_nearest_come_first_ties_by_id(index: DenseIndex, bm25: Bm25Index) -> None:
    assert [p.id for p, _ in index.nearest("switches units", bm25, 3)] == ["a", "b", "c"]
    assert [p.id for p, _ in index.nearest("averages", bm25, 1)] == ["c"]


def test_saved_vectors_give_the_same_scores(
    index: DenseIndex, saved: Path, bm25: Bm25Index, word_embedder: Embedder
) -> None:
    opened = DenseIndex.open(saved, bm25, word_embedder)
    for question in ("switches", "averages models", "neither"):
        assert opened.scores(question).tolist() == index.scores(question).tolist()
    DenseIndex.verify(saved)


def test_vectors_of_other_passages_or_models_are_refused(saved: Path, bm25: Bm25Index, word_embedder: Embedder) -> None:
    with pytest.raises(IndexStoreError, match="made with another set of passages; build it again: ragqa index"):
        DenseIndex.open(saved, Bm25Index.build(PASSAGES[:2]), word_embedder)
    other = Embedder(word_embedder._engine, "", "others")
    with pytest.raises(IndexStoreError, match="made with another embedder; build it again"):
        DenseIndex.open(saved, bm25, other)


@pytest.mark.parametrize("name", ["vectors.npy", "manifest.json"])
def test_missing_and_damaged_files_are_named(saved: Path, bm25: Bm25Index, word_embedder: Embedder, name: str) -> None:
    whole = (saved / name).read_bytes()
    (saved / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IndexStoreError, match=f"{name} is missing or damaged"):
        DenseIndex.open(saved, bm25, word_embedder)
    (saved / name).unlink()
    for check in (lambda: DenseIndex.open(saved, bm25, word_embedder), lambda: DenseIndex.verify(saved)):
        with pytest.raises(IndexStoreError, match=f"{name} is missing or damaged"):
            check()


def test_verify_finds_every_flipped_byte_of_the_vectors(saved: Path) -> None:
    path = saved / "vectors.npy"
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(IndexStoreError, match=r"vectors\.npy is missing or damaged"):
            DenseIndex.verify(saved)


def test_vectors_of_another_shape_are_refused(saved: Path, bm25: Bm25Index, word_embedder: Embedder) -> None:
    for wrong in (np.zeros((2, 64), np.float16), np.zeros((3, 64), np.float32), np.zeros(3, np.float16)):
        np.save(saved / "vectors.npy", wrong)
        with pytest.raises(IndexStoreError, match=r"vectors\.npy is damaged"):
            DenseIndex.open(saved, bm25, word_embedder)


def test_an_index_is_saved_with_its_vectors_or_not_at_all(
    tmp_path: Path, index: DenseIndex, bm25: Bm25Index, word_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "index"
    save_index(folder, bm25, index)
    assert Bm25Index.open(folder).has_vectors
    assert Bm25Index.open(folder).digest == bm25.digest
    opened = DenseIndex.open(folder / FOLDER, Bm25Index.open(folder), word_embedder)
    assert opened.scores("models").tolist() == index.scores("models").tolist()
    monkeypatch.setattr(DenseIndex, "write", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_index(folder, Bm25Index.build(PASSAGES[:1]), index)
    assert len(Bm25Index.open(folder).passages) == 3
    save_index(folder, bm25, None)
    assert not Bm25Index.open(folder).has_vectors
    assert not (folder / FOLDER).exists()


def test_an_embedder_that_is_gone_says_what_can_be_done(
    tmp_path: Path, bm25: Bm25Index, word_embedder: Embedder
) -> None:
    moved = Embedder(word_embedder._engine, str(tmp_path / "moved"), "words")
    save_index(tmp_path / "index", bm25, DenseIndex.build(PASSAGES, moved))
    with pytest.raises(
        IndexStoreError, match=r"cannot be loaded .*; name it with --embedder, search with --no-dense, or"
    ):
        DenseIndex.open(tmp_path / "index" / FOLDER, bm25)
