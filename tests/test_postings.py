from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from ragqa.errors import CorpusError, IndexStoreError
from ragqa.index.bm25 import best
from ragqa.index.postings import Postings

TERMS = st.lists(st.lists(st.sampled_from("abcdef"), max_size=8), min_size=1, max_size=12).filter(any)


@given(TERMS)
def test_each_term_lists_the_passages_that_hold_it(passages: list[list[str]]) -> None:
    postings = Postings.build(iter(passages), k1=0.9, b=0.4)
    assert set(postings.vocabulary) == {term for own in passages for term in own}
    for term, number in postings.vocabulary.items():
        positions = postings.positions[postings.starts[number] : postings.starts[number + 1]]
        assert positions.tolist() == [position for position, own in enumerate(passages) if term in own]
    assert (postings.weights > 0).all()


@given(TERMS, st.lists(st.sampled_from("abcxyz"), max_size=4, unique=True))
def test_saved_postings_give_the_same_scores(folder: Path, passages: list[list[str]], terms: list[str]) -> None:
    built = Postings.build(passages, k1=0.9, b=0.4)
    built.save(folder)
    opened = Postings.open(folder, len(passages))
    np.testing.assert_array_equal(opened.scores(terms), built.scores(terms))


def test_without_terms_there_are_no_postings() -> None:
    with pytest.raises(CorpusError, match="no passage holds a word"):
        Postings.build([[], []], k1=0.9, b=0.4)


@pytest.mark.parametrize("name", ["starts", "places", "weights", "sums"])
def test_arrays_that_do_not_fit_each_other_are_refused(tmp_path: Path, name: str) -> None:
    Postings.build([["a", "b"], ["b"]], k1=0.9, b=0.4).save(tmp_path)
    np.save(tmp_path / f"{name}.npy", np.load(tmp_path / f"{name}.npy")[:-1])
    with pytest.raises(IndexStoreError, match=f"{tmp_path} holds arrays that do not fit each other; build it again"):
        Postings.open(tmp_path, 2)


@pytest.mark.parametrize("name", ["places", "weights"])
def test_damaged_postings_are_found_when_a_question_needs_them(tmp_path: Path, name: str) -> None:
    Postings.build([["a", "b"], ["b"]], k1=0.9, b=0.4).save(tmp_path)
    path = tmp_path / f"{name}.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # of the last term, b
    path.write_bytes(data)
    opened = Postings.open(tmp_path, 2)
    assert opened.scores(["a"]).tolist()[1] == 0
    for _ in range(2):
        with pytest.raises(IndexStoreError, match=r"places\.npy or .*weights\.npy is damaged; build it again"):
            opened.scores(["a", "b"])


@pytest.mark.parametrize("name", ["starts", "places", "weights", "sums"])
def test_arrays_of_another_kind_are_refused(tmp_path: Path, name: str) -> None:
    Postings.build([["a", "b"], ["b"]], k1=0.9, b=0.4).save(tmp_path)
    array = np.load(tmp_path / f"{name}.npy")
    for other in (array.astype(array.dtype.newbyteorder(">")), array.reshape(-1, 1), array.astype(np.float64)):
        np.save(tmp_path / f"{name}.npy", other)
        with pytest.raises(IndexStoreError, match=rf"{name}\.npy is damaged; build it again"):
            Postings.open(tmp_path, 2)


@given(
    nps.arrays(np.float32, st.integers(1, 300), elements=st.sampled_from([0.0, -1.0, 0.5, 1.0, 2.0, 2.5, 7.0])),
    st.integers(1, 40),
    st.sampled_from([-np.inf, 0.0, 1.0]),
)
def test_the_best_are_those_of_a_full_sort(scores: np.ndarray, k: int, above: float) -> None:
    ranks = np.random.default_rng(len(scores)).permutation(len(scores))
    expected = sorted((i for i in range(len(scores)) if scores[i] > above), key=lambda i: (-scores[i], ranks[i]))[:k]
    assert best(scores, ranks, k, above=above).tolist() == expected


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("postings")
