"""What ratings tell of books, on readers that a seeded generator makes up."""

import random
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_books import TASTES, write_library

from ragqa.errors import FallbackWarning, InputError, RecordError
from ragqa.models.reranker import Reranker
from ragqa.recipes.books import Book, Recommender, read_books, read_library, recommend
from ragqa.recipes.books.library import starter_file, tastes_file
from ragqa.recipes.books.recommend import BUNDLED, WEIGHTS
from ragqa.recipes.books.shelf import Shelf, make_shelf, open_shelf
from ragqa.recipes.books.tastes import RANK, SHRINKAGE, learn, learn_for, read_tastes, write_tastes
from ragqa.storage.json_lines import write_json_lines

KINDS, EACH = 3, 20
BOOKS = {
    str(n): Book(str(n), f"Title {n}", (f"Author {n}",), work=str(n), ratings_count=n) for n in range(KINDS * EACH)
}  # nothing but the ratings tells which are of a kind


def ratings(seed: int = 1, hidden: frozenset[str] = frozenset()) -> list[tuple[str, str]]:
    """Readers who pick most of their books of one kind, in random order."""
    rng = random.Random(seed)
    pairs = []
    for reader in range(90):
        own = [book for book in BOOKS if int(book) % KINDS == reader % KINDS]
        picked = {*rng.sample(own, 8), *rng.sample(list(BOOKS), 2)}
        pairs += [(f"reader {reader}", book) for book in sorted(picked) if book not in hidden]
    rng.shuffle(pairs)
    return pairs


class Indifferent:
    """An engine for which all pairs are alike."""

    def logits(self, question: str, texts: list[str]) -> np.ndarray:
        return np.zeros(len(texts), dtype=np.float32)


def recommender(shelf: Shelf) -> Recommender:
    return Recommender(shelf, Reranker(Indifferent(), "indifferent"))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGQA_CACHE", str(tmp_path / "cache"))


# Learning


def test_with_all_dimensions_products_are_those_of_the_matrix() -> None:
    pairs = ratings()
    readers = sorted({reader for reader, _ in pairs})
    matrix = np.zeros((len(readers), len(BOOKS)))
    for reader, book in pairs:
        matrix[readers.index(reader), int(book)] = 1
    of_readers, of_books = matrix.sum(axis=1, keepdims=True), matrix.sum(axis=0, keepdims=True)
    matrix /= np.sqrt(of_readers * (of_books + SHRINKAGE))
    vectors = learn(pairs, BOOKS, rank=len(BOOKS))
    assert vectors.dtype == np.float32
    assert vectors @ vectors.T == pytest.approx(matrix.T @ matrix, abs=1e-5)
    fewer = learn(pairs, BOOKS, rank=5)
    left = np.linalg.svd(matrix)[1][5:]
    assert fewer.shape == (len(BOOKS), 5)
    assert np.linalg.norm(fewer @ fewer.T - matrix.T @ matrix) == pytest.approx(np.sqrt((left**4).sum()), rel=1e-3)


def test_many_ratings_are_summed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = learn(ratings(), BOOKS, rank=8)
    monkeypatch.setattr("ragqa.recipes.books.tastes._AT_ONCE", 7)
    parts = learn(ratings(), BOOKS, rank=8)
    assert parts @ parts.T == pytest.approx(whole @ whole.T, abs=1e-5)


def test_order_and_repetition_of_ratings_do_not_matter() -> None:
    pairs = ratings()
    one, other = learn(pairs, BOOKS, rank=8), learn([*sorted(pairs), *pairs[:50]], BOOKS, rank=8)
    assert one @ one.T == pytest.approx(other @ other.T, abs=1e-5)
    assert (learn(pairs, BOOKS, rank=8) == one).all()


def test_books_without_readers_have_zeros_and_no_ratings_no_dimensions() -> None:
    hidden = frozenset(("7", "11"))
    vectors = learn(ratings(hidden=hidden), BOOKS)
    assert {book for book, vector in zip(BOOKS, vectors, strict=True) if not vector.any()} == hidden
    assert learn((), BOOKS).shape == (len(BOOKS), 0)
    assert learn([("1", "no such book")], BOOKS).shape == (len(BOOKS), 0)


# Recommending


def test_a_planted_taste_is_found() -> None:
    plain, tasting = recommender(make_shelf(BOOKS)), recommender(make_shelf(BOOKS, learn(ratings(), BOOKS)))
    for kind in range(KINDS):
        favourites = [BOOKS[str(kind + KINDS * n)] for n in range(3)]
        found = tasting.recommend(favourites, k=10)
        assert sum(int(one.book.id) % KINDS == kind for one in found) >= 9
        assert sum(int(one.book.id) % KINDS == kind for one in plain.recommend(favourites, k=10)) <= 6
        assert any("shares readers with Title" in reason for one in found for reason in one.reasons)


def test_without_ratings_of_the_favourites_all_is_as_without_any() -> None:
    favourites = [BOOKS[key] for key in ("3", "6", "9")]
    hidden = frozenset(book.id for book in favourites)
    found = recommender(make_shelf(BOOKS, learn(ratings(hidden=hidden), BOOKS))).recommend(favourites)
    assert found == recommender(make_shelf(BOOKS)).recommend(favourites)
    stranger = replace(BOOKS["3"], id="x", work="x", title="Elsewhere")  # of another library
    assert recommender(make_shelf(BOOKS, learn(ratings(), BOOKS))).recommend([stranger])


def test_a_book_that_nobody_has_rated_is_taken_for_as_shared_as_its_likelihood_suggests() -> None:
    likely, unlikely = f"{KINDS * EACH - 1}", "1"
    hidden = frozenset((likely, unlikely))
    tasting = recommender(make_shelf(BOOKS, learn(ratings(hidden=hidden), BOOKS)))
    favourites = [BOOKS[key] for key in ("0", "3", "6")]
    scores = tasting.score(favourites, list(BOOKS.values()))
    ranks = dict(zip(BOOKS, (-scores).argsort().argsort().tolist(), strict=True))
    assert ranks[likely] < ranks[unlikely]
    of_others = [ranks[book] for book in BOOKS if int(book) % KINDS]  # books that were rated, but by other readers
    assert ranks[likely] < np.median(of_others)


def test_scores_are_those_that_recommend_ranks_by() -> None:
    tasting = recommender(make_shelf(BOOKS, learn(ratings(), BOOKS)))
    favourites = [BOOKS[key] for key in ("3", "6", "9")]
    found = tasting.recommend(favourites)
    assert tasting.score(favourites, [one.book for one in found]).tolist() == [one.score for one in found]
    assert WEIGHTS.otherwise < 1


# Libraries


def test_a_folder_with_ratings_is_learned_from_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_library(tmp_path / "goodbooks")
    shelf = open_shelf(folder)
    assert shelf.tastes.shape == (len(shelf.books), RANK)
    monkeypatch.setattr("ragqa.recipes.books.shelf.learn", None)
    assert (open_shelf(folder).tastes == shelf.tastes).all()
    monkeypatch.undo()
    favourites = [shelf.books[key] for key in ("10", "13", "16")]  # of the second taste
    vectors = dict(zip(shelf.books, shelf.tastes, strict=True))
    near = sorted(vectors, key=lambda key: -sum(vectors[key] @ vectors[book.id] for book in favourites))[:20]
    assert sum(int(key) % len(TASTES) == 1 for key in near) >= 18


def test_new_ratings_are_learned_and_bad_ones_named(tmp_path: Path) -> None:
    folder = write_library(tmp_path / "goodbooks")
    first = open_shelf(folder).tastes
    path = folder / "ratings.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-100]) + "\n")
    assert open_shelf(folder).tastes.shape != first.shape or (open_shelf(folder).tastes != first).any()
    path.write_text("user_id,book_id,rating\n1,2,9\n")
    with pytest.raises(RecordError, match=r"ratings\.csv, line 2: rating is 9, not 1 to 5"):
        open_shelf(folder)
    path.unlink()
    assert open_shelf(folder).tastes.shape == (len(read_books(folder)), 0)


def test_vectors_beside_a_file_are_read_and_wrong_ones_told(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    write_json_lines(path, [{"id": key, "title": f"Title {key}", "authors": ["A"]} for key in ("a", "b")])
    assert open_shelf(path).tastes.shape == (2, 0)
    write_tastes(tastes_file(path), np.array([[1, 0], [0, 1]], dtype=np.float16), read_books(path).values())
    assert open_shelf(path).tastes.tolist() == open_shelf(path).tastes.tolist() == [[1, 0], [0, 1]]
    named = np.zeros(2, dtype=[("book", "S12"), ("vector", np.float32)])
    for wrong in (np.ones((3, 2)), np.ones(2), np.full((2, 1), np.nan), np.ones((2, 2), dtype=int), named):
        np.save(tastes_file(path), wrong)
        with pytest.raises(InputError, match=r"own\.tastes\.npy does not hold a vector for each of 2 books"):
            open_shelf(path)
    tastes_file(path).write_bytes(b"no")
    with pytest.raises(InputError, match=r"own\.tastes\.npy is not a file of vectors"):
        open_shelf(path)


def test_vectors_without_the_names_of_books_are_read_in_order(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    write_json_lines(path, [{"id": key, "title": f"Title {key}", "authors": ["A"]} for key in ("a", "b")])
    np.save(tastes_file(path), np.array([[1, 0], [0, 1]], dtype=np.float16))
    assert open_shelf(path).tastes.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({"description": "New."}, True),
        ({"id": "z"}, True),
        ({"title": "Other"}, False),
        ({"authors": ["A", "B"]}, False),
    ],
)
def test_vectors_of_other_books_are_refused(tmp_path: Path, change: dict[str, object], fits: bool) -> None:
    path, vectors = tmp_path / "own.jsonl", np.array([[1, 0], [0, 1]], dtype=np.float32)
    rows: list[dict[str, object]] = [{"id": key, "title": f"Title {key}", "authors": ["A"]} for key in ("a", "b")]
    write_json_lines(path, rows)
    write_tastes(tastes_file(path), vectors, read_books(path).values())
    write_json_lines(path, [rows[0], rows[1] | change])
    if fits:
        assert open_shelf(path).tastes.tolist() == vectors.tolist()
    else:
        with pytest.raises(
            InputError, match=r"own\.tastes\.npy holds the vector of another book for '(Other|Title b)'"
        ):
            open_shelf(path)
    write_json_lines(path, rows[::-1])
    with pytest.raises(
        InputError, match=r"holds the vector of another book for 'Title b'; learn it again, or remove it"
    ):
        open_shelf(path)


def test_a_library_of_ones_own_is_learned_for_by_title(tmp_path: Path) -> None:
    library = read_library(write_library(tmp_path / "goodbooks"))
    titles = [book.title for book in library.books.values()]
    some = [book for book in library.books.values() if titles.count(book.title) == 1 or book.work == book.id][:30]
    own = {f"own {book.id}": replace(book, id=f"own {book.id}") for book in some}
    own["new"] = Book("new", "Unheard Of", ("Nobody At All",), work="new")
    vectors = learn_for(own, library, library.ratings)
    assert not vectors[-1].any()
    assert vectors[:-1].any(axis=1).sum() > 20


def test_the_benchmark_writes_vectors_beside_a_file(tmp_path: Path) -> None:
    data, path = write_library(tmp_path / "goodbooks"), tmp_path / "own.jsonl"
    books = [book for book in read_books(data).values() if book.work == book.id]
    write_json_lines(path, [{"id": book.id, "title": book.title, "authors": book.authors} for book in books])
    script = Path(__file__).parents[2] / "benchmarks" / "books.py"
    command = [sys.executable, str(script), "--data", str(data), "--learn", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.fullmatch(r"(\d+) of (\d+) books were rated\n", done.stdout)
    assert found
    assert int(found[2]) == len(books)
    assert open_shelf(path).tastes.any(axis=1).sum() == int(found[1]) > len(books) / 2


# The starter library


@pytest.mark.parametrize("flaw", ["another title", "another order", "no file"])
def test_a_start_without_the_starter_library_s_vectors_warns_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flaw: str
) -> None:
    path = Path(shutil.copy(starter_file(), tmp_path))
    shutil.copy(tastes_file(starter_file()), tmp_path)
    lines = path.read_text(encoding="utf8").splitlines(keepends=True)
    if flaw == "no file":
        tastes_file(path).unlink()
    elif flaw == "another title":
        path.write_text("".join(lines).replace('"title": "Emma"', '"title": "Emma Woodhouse"'), encoding="utf8")
    else:
        path.write_text("".join([*lines[1:], lines[0]]), encoding="utf8")
    monkeypatch.setattr("ragqa.recipes.books.shelf.starter_file", lambda: path)
    for _ in range(2):
        with pytest.warns(FallbackWarning, match="so recommendations do not use ratings; install ragqa again$"):
            shelf = open_shelf()
        assert shelf.tastes.shape == (len(lines), 0)
    assert recommender(shelf).recommend([shelf.books["1"]])


def test_the_starter_library_has_a_vector_for_each_book() -> None:
    books = read_books(starter_file()).values()
    vectors = read_tastes(tastes_file(starter_file()), books)
    assert np.load(tastes_file(starter_file())).dtype.names == ("book", "vector")
    assert vectors.shape == (len(books), RANK)
    assert vectors.any(axis=1).mean() > 0.8
    assert tastes_file(starter_file()).stat().st_size < 200_000


@pytest.mark.parametrize(
    ("title", "near"),
    [
        ("The Fellowship of the Ring (The Lord of the Rings, #1)", "The Two Towers (The Lord of the Rings, #2)"),
        ("Emma", "Sense and Sensibility"),
        ("Foundation (Foundation, #1)", "I, Robot"),
    ],
)
def test_the_starter_library_s_vectors_are_those_of_its_books(title: str, near: str) -> None:
    books = read_books(starter_file()).values()
    titles = [book.title for book in books]
    vectors = read_tastes(tastes_file(starter_file()), books)
    products = vectors @ vectors[titles.index(title)]
    products[titles.index(title)] = 0
    assert (products > products[titles.index(near)]).sum() < 5


def test_beside_ratings_the_reranker_reads_nothing_of_the_starter_library(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    def loading() -> Reranker:
        loaded.append(BUNDLED)
        return Reranker.load(BUNDLED)

    monkeypatch.setattr(recommend, "_bundled_reranker", loading)
    recommender = Recommender.open()
    books = list(recommender.books.values())
    unrated = books[int(read_tastes(tastes_file(starter_file()), books).any(axis=1).argmin())]
    recommender.recommend(["The Hobbit", unrated])
    assert loaded == []
    assert recommender.recommend([unrated])
    assert loaded == [BUNDLED]


def test_naming_what_is_the_default_changes_nothing_but_another_reranker_reads(tmp_path: Path) -> None:
    favourites = ["The Hobbit", "Emma", "Dracula"]
    named = [one.book.title for one in Recommender.open().recommend(favourites)]
    for given in (
        {"reranker": BUNDLED},
        {"library": starter_file()},
        {"library": starter_file(), "reranker": str(BUNDLED)},
    ):
        assert [one.book.title for one in Recommender.open(**given).recommend(favourites)] == named
    shutil.copytree(BUNDLED, tmp_path / "other")
    assert [one.book.title for one in Recommender.open(reranker=tmp_path / "other").recommend(favourites)] != named


def test_the_starter_library_is_recommended_from_by_taste() -> None:
    found = Recommender.open(reranker=BUNDLED).recommend(["The Hobbit", "Emma", "Dracula"])
    assert any(reason.startswith("shares readers with ") for one in found for reason in one.reasons)
