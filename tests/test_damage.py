"""Bits flipped and files cut, at random: `verify` finds each, and no search answers otherwise than before without a word.

The seed is 42, or what RAGQA_TEST_SEED says; a failure names the damage.
"""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ragqa.errors import IndexStoreError, ModelError, RagqaError
from ragqa.index.folder import build_index, open_index
from ragqa.index.verify import verify
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import BUNDLED, Reranker
from ragqa.records import Passage
from ragqa.search.retriever import Retriever

SEED = int(os.environ.get("RAGQA_TEST_SEED", "42"))
TIMES = [pytest.param(1, id="some"), pytest.param(5, id="more", marks=pytest.mark.slow)]
TO_AN_INDEX, TO_A_MODEL = 400, 40  # once; five times as often in the slow tests
QUESTIONS = (
    "what does dropout do?",
    "kernel trick",
    "how are trees grown?",
    "K-means clusters",
    "gradient of the loss",
)


def damage(rng: random.Random, folder: Path) -> tuple[Path, bytes, str]:
    """Flip a bit of some file below a folder, or cut the file; return it, what it held, and what was done."""
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size))
    whole = path.read_bytes()
    if rng.random() < 0.2:
        size = rng.randrange(len(whole))
        os.truncate(path, size)
        return path, whole, f"{path} cut to {size} bytes (seed {SEED})"
    place, bit = rng.randrange(len(whole)), rng.randrange(8)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes([whole[place] ^ 1 << bit]))
    return path, whole, f"{path}: bit {bit} of byte {place} flipped (seed {SEED})"


def check(folder: Path, times: int, answers: Callable[[], object], error: type[RagqaError]) -> int:
    """Damage a folder so many times; return how often the damage did not touch any answer."""
    rng, expected, unharmed = random.Random(SEED), answers(), 0
    for _ in range(times):
        path, whole, done = damage(rng, folder)
        with pytest.raises(RagqaError):
            pytest.fail(f"not found: {done}, {verify(folder)}")
        try:
            assert answers() == expected, done
            unharmed += 1
        except error:
            pass
        path.write_bytes(whole)
    verify(folder)
    return unharmed


@pytest.mark.parametrize("times", TIMES)
def test_a_damaged_index_is_found_out_and_never_answers_otherwise(
    tmp_path: Path, word_embedder: Embedder, starter_passages: tuple[Passage, ...], times: int
) -> None:
    build_index(tmp_path / "index", starter_passages[::20], embedder=word_embedder)
    (tmp_path / "index" / "lock").unlink(missing_ok=True)

    def answers() -> object:
        index, dense = open_index(tmp_path / "index", embedder=word_embedder)
        return [Retriever(index, None, dense=dense).search(question) for question in QUESTIONS]

    unharmed = check(tmp_path / "index", times * TO_AN_INDEX, answers, IndexStoreError)
    assert 0 < unharmed < times * TO_AN_INDEX / 2  # of postings and passages only what is needed is read


@pytest.mark.parametrize("times", TIMES)
def test_a_damaged_model_is_found_out_and_never_scores_otherwise(tmp_path: Path, times: int) -> None:
    shutil.copytree(BUNDLED, tmp_path / "model")

    def scores() -> object:
        return Reranker.load(tmp_path / "model").score(QUESTIONS[0], QUESTIONS).tolist()

    unharmed = check(tmp_path / "model", times * TO_A_MODEL, scores, ModelError)
    assert 0 < unharmed < times * TO_A_MODEL / 3  # the card is not read
