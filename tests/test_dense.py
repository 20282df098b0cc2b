import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ragqa.errors import FallbackWarning, IndexStoreError
from ragqa.evaluation.judged import read_starter_graded
from ragqa.index.bm25 import Bm25Index
from ragqa.index.dense import DenseIndex
from ragqa.index.starter import open_starter, open_starter_vectors
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


# --- many passages


COUNT = 20
Many = tuple[Bm25Index, DenseIndex, DenseIndex, Path]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Many]:
    """The starter corpus: its index, its vectors compared as few and as many ones, and the folder of the latter."""
    index = open_starter()
    few = open_starter_vectors(index)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ragqa.index.dense.FEW", 500)
        patch.setattr("ragqa.index.dense.COMPARED", 150)
        folder = tmp_path_factory.mktemp("many")
        DenseIndex(few.vectors, few.embedder).save(folder / "dense", index.texts_digest)
        yield index, few, DenseIndex.open(folder / "dense", index), folder / "dense"


def test_of_many_passages_nearly_all_of_the_nearest_are_found(many: Many) -> None:
    index, few, opened, _ = many
    found = total = 0
    for question in read_starter_graded().questions.values():
        wanted, ranking = few.rank(question, index, COUNT), opened.rank(question, index, COUNT)
        found += len(set(wanted.positions) & set(ranking.positions))
        total += COUNT
        assert len(ranking.positions) == COUNT
        scores = ranking.scores(ranking.positions)
        np.testing.assert_allclose(scores, few.scores(question)[list(ranking.positions)], atol=1e-6)
        assert (np.diff(scores) <= 0).all()
    assert found / total > 0.99


def test_scores_of_other_passages_are_computed_when_asked_for(
    many: Many,
) -> None:
    index, few, opened, _ = many
    ranking = opened.rank("why does dropout help?", index, 5)
    others = [n for n in range(50) if n not in ranking.positions]
    np.testing.assert_allclose(ranking.scores(others), few.scores("why does dropout help?")[others], atol=1e-6)
    assert [ranking.rank(n) for n in ranking.positions] == [1, 2, 3, 4, 5]
    assert ranking.rank(others[0]) == 6


@pytest.mark.parametrize("share", [3, 20])  # fewer passages than are compared, and more
def test_only_passages_of_a_mask_are_found(many: Many, share: int) -> None:
    index, few, opened, _ = many
    mask = np.arange(len(index.passages)) % 100 < share
    wanted, found = (dense.rank("what is a kernel?", index, 10, mask).positions for dense in (few, opened))
    assert mask[list(found)].all()
    assert list(found) == list(wanted)


def test_vectors_of_many_passages_stay_on_disk_also_in_a_pickle(
    many: Many,
) -> None:
    index, _, opened, _ = many
    again = pickle.loads(pickle.dumps(opened))
    for dense in (opened, again):
        assert isinstance(dense._vectors.base, np.memmap)
        assert dense._signs
        assert isinstance(dense._signs.codes.base, np.memmap)
    assert len(pickle.dumps(opened)) < 10_000
    assert again.nearest("bagging", index, 3) == opened.nearest("bagging", index, 3)


@pytest.mark.parametrize("name", ["signs.npy", "rotation.npy"])
def test_damaged_signs_are_named(many: Many, tmp_path: Path, name: str) -> None:
    index, _, _, folder = many
    shutil.copytree(folder, tmp_path / "dense")
    path = tmp_path / "dense" / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(IndexStoreError, match=f"{name} is missing or damaged"):
        DenseIndex.open(tmp_path / "dense", index)
    path.unlink()
    with pytest.raises(IndexStoreError, match=f"{name} is missing or damaged"):
        DenseIndex.open(tmp_path / "dense", index)


def test_many_vectors_without_signs_are_searched_with_a_warning(many: Many, tmp_path: Path) -> None:
    index, few, opened, _ = many
    few.save(tmp_path / "dense", index.texts_digest)
    with pytest.warns(FallbackWarning, match=r"has no signs.npy, so each start makes it in memory; build it again"):
        again = DenseIndex.open(tmp_path / "dense", index)
    assert again.nearest("bagging", index, 3) == opened.nearest("bagging", index, 3)
