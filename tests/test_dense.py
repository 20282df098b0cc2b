from pathlib import Path

import numpy as np
import pytest

from ragqa.errors import IndexStoreError
from ragqa.index.bm25 import Bm25Index
from ragqa.index.dense import DenseIndex
from ragqa.models.embedder import Embedder
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
    index.save(tmp_path / "dense", bm25.texts_digest)
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
    with pytest.raises(IndexStoreError, match=f"{name} is missing or damaged"):
        DenseIndex.open(saved, bm25, word_embedder)


def test_every_flipped_byte_of_the_vectors_is_found(saved: Path, bm25: Bm25Index, word_embedder: Embedder) -> None:
    path = saved / "vectors.npy"
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(IndexStoreError, match=r"vectors\.npy is missing or damaged"):
            DenseIndex.open(saved, bm25, word_embedder)


def test_known_vectors_are_taken_over(index: DenseIndex, bm25: Bm25Index, word_embedder: Embedder) -> None:
    done: list[int] = []
    text = "Bagging: averages models"
    again = DenseIndex.build(PASSAGES, word_embedder, done.append, known={text: index.vectors[2]})
    assert again.vectors.tobytes() == index.vectors.tobytes()
    assert done == [1, 2]
    foreign = np.zeros(64, np.float16)
    assert DenseIndex.build(PASSAGES[2:], word_embedder, known={text: foreign}).vectors.tolist() == [foreign.tolist()]
