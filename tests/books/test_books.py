"""The recipe `books`, on a library and readers that a seeded generator makes up; no title, author or reader is a real one."""

import csv
import gzip
import io
import json
import random
import shutil
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ragqa.cli import main
from ragqa.errors import CorpusError, InputError, RecordError
from ragqa.evaluation.judged import read_beir
from ragqa.evaluation.metrics import measure
from ragqa.index.verify import verify
from ragqa.recipes.books import Book, document, make_dataset, query, read_library
from ragqa.recipes.books.build import Books, BooksConfig, build
from ragqa.recipes.books.candidates import KINDS, Candidates
from ragqa.recipes.books.genres import GENRES, genres_of_book, genres_of_shelf
from ragqa.recipes.books.library import LONGEST_DESCRIPTION
from ragqa.recipes.books.readers import common_genres, enumerate_names
from ragqa.recipes.books.sets import read_set
from ragqa.records import Hit
from ragqa.training.pairs import read_pairs

TASTES = {
    "science-fiction": "Star Ship Orbit Comet",
    "romance": "Heart Rose Kiss Letter",
    "history": "King Empire War Road",
}
BOOKS, READERS = 240, 60
CONFIG = BooksConfig(profiles=3, parts=(0.6, 0.2, 0.2))

Rows = list[list[object]]


def write_library(folder: Path, *, zipped: bool = False, seed: int = 7) -> Path:
    """Write made-up goodbooks-10k files: three tastes, and readers who pick two thirds of one they like and dislike another."""
    rng = random.Random(seed)
    tastes = list(TASTES)
    taste_of = {book: tastes[book % 3] for book in range(1, BOOKS + 1)}
    tags = ["to-read", "favorites", *tastes, "ya"]
    books: Rows = [
        ["book_id", "goodreads_book_id", "work_id", "isbn", "authors", "title", "ratings_count", "description"]
    ]
    shelved: Rows = [["goodreads_book_id", "tag_id", "count"]]
    for book, taste in taste_of.items():
        words = TASTES[taste].split()
        title = f"The {rng.choice(words)} of the {rng.choice(words)} (Cycle {taste[:3]}, #{book})"
        authors = ", ".join(f"Author {rng.randrange(40)}" for _ in range(rng.choice((1, 1, 2, 3))))
        text = f"A tale of {rng.choice(words).lower()} and {rng.choice(words).lower()}." if book % 4 == 0 else ""
        books.append([book, 1000 + book, 5000 + book, "", authors, title, 10 * (BOOKS - book), text])
        shelved += [[1000 + book, tags.index("to-read"), 900], [1000 + book, tags.index(taste), 100]]
    books[2][5], books[2][4] = books[1][5], books[1][4]  # book 2 is another edition of book 1
    ratings: Rows = [["user_id", "book_id", "rating"]]
    for reader in range(1, READERS + 1):
        liked, disliked = rng.sample(tastes, 2)
        picked, rest = ([b for b, taste in taste_of.items() if (taste == liked) == own] for own in (True, False))
        for book in (*rng.sample(picked, 40), *rng.sample(rest, 20)):
            stars = {liked: rng.choice((4, 5, 5)), disliked: rng.choice((1, 2))}.get(taste_of[book], 3)
            ratings.append([reader, book, stars])
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Rows] = {
        "books": books,
        "ratings": ratings,
        "tags": [["tag_id", "tag_name"], *([n, tag] for n, tag in enumerate(tags))],
        "book_tags": shelved,
    }
    for name, rows in files.items():
        _write_csv(folder / f"{name}.csv", rows, zipped=zipped)
    return folder


def _write_csv(path: Path, rows: Iterable[Sequence[object]], *, zipped: bool = False) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    raw = text.getvalue().encode()
    (path.with_name(path.name + ".gz") if zipped else path).write_bytes(gzip.compress(raw) if zipped else raw)


def _edit(path: Path, line: int, text: str) -> None:
    lines = path.read_text(encoding="utf8").splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n", encoding="utf8")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_library(tmp_path_factory.mktemp("goodbooks"))


@pytest.fixture(scope="module")
def books(data: Path) -> Books:
    return build(data, CONFIG)


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(data, tmp_path / "copy"))


def _every(books: Books) -> list[Candidates]:
    return [*books.train, *(c for sets in books.sets.values() for c in sets)]


# The format


def _book(title: str, *authors: str, genres: tuple[str, ...] = ()) -> Book:
    return Book("1", title, authors, genres)


def test_a_query_names_books_authors_and_common_genres() -> None:
    favourites = [
        _book("One (Cycle, #1)", "Ann Ash", genres=("drama", "war")),
        _book("Two", "Bo Birch", "Cy Cedar", genres=("contemporary", "drama")),
        _book("Three", "Di Elm", "Ed Fir", "Flo Gum", "Hal Ivy", genres=("contemporary", "essays")),
    ]
    assert query(favourites, {"contemporary": 0.1, "drama": 0.2}) == (
        "Favorite books: One (Cycle, #1) by Ann Ash, Two by Bo Birch and Cy Cedar and Three by Di Elm and Ed Fir and Flo Gum. "
        "Favorite genres: contemporary and drama."
    )
    assert query([_book("One", "Ann Ash")], {}) == "Favorite books: One by Ann Ash."
    assert query(favourites[:2], {}) == (
        "Favorite books: One (Cycle, #1) by Ann Ash and Two by Bo Birch and Cy Cedar. Favorite genres: drama."
    )


@pytest.mark.parametrize(
    ("names", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c"), (list("abcd"), "a, b, c and d")],
)
def test_names_are_enumerated_with_and(names: list[str], text: str) -> None:
    assert enumerate_names(names) == text


def test_common_genres_are_those_of_most_books_the_rarer_first() -> None:
    three = [_book("x", "y", genres=genres) for genres in (("art", "noir", "war"), ("noir", "war"), ("war", "ya"))]
    assert common_genres(three, {}) == ["war", "noir"]
    alone = [_book("x", "y", genres=("art", "essays", "noir", "ya"))]
    assert common_genres(alone, {"art": 0.3, "essays": 0.1, "noir": 0.2, "ya": 0.4}) == ["essays", "noir", "art"]
    assert common_genres([_book("x", "y")], {}) == []


def test_a_document_leaves_out_what_is_not_known() -> None:
    book = Book("1", "A Title", ("Ann Ash", "Bo Birch"), ("drama", "war"), "It begins.")
    assert document(book) == (
        "Title: A Title | Genres: drama, war | Description: It begins. | Authors: Ann Ash, Bo Birch"
    )
    assert document(replace(book, description="")) == "Title: A Title | Genres: drama, war | Authors: Ann Ash, Bo Birch"
    assert document(replace(book, description="", genres=())) == "Title: A Title | Authors: Ann Ash, Bo Birch"


# Genres


@pytest.mark.parametrize(
    ("shelf", "genres"),
    [
        *((name, {"scifi"}) for name in ("sci-fi", "scifi", "science-fiction", "Science Fiction", "sf", "hard-sci-fi")),
        ("ya-paranormal-romance", {"ya", "paranormal", "romance"}),
        ("young-adult-fiction", {"ya"}),
        ("children-s-books", {"children"}),
        ("graphic-novels-manga", {"comics"}),
        ("science-fiction-and-fantasy", {"scifi", "fantasy"}),
        ("science", {"science"}),
        ("non-fiction", {"nonfiction"}),
        *(
            (name, set())
            for name in (
                "to-read owned owned-books book-club currently-reading favorites read-in-2015 5-stars kindle fiction series "
                "stephen-king to-read-fantasy - 1001"
            ).split()
        ),
        ("", set()),
    ],
)
def test_a_shelf_stands_for_genres_or_for_none(shelf: str, genres: set[str]) -> None:
    assert genres_of_shelf(shelf) == genres


def test_every_genre_is_the_name_of_a_shelf() -> None:
    assert all(genres_of_shelf(genre) == {genre} for genre in GENRES)


def test_genres_with_few_votes_are_left_out() -> None:
    shelves = [
        ("to-read", 5000),
        ("fantasy", 90),
        ("high-fantasy", 10),
        ("horror", 2),
        ("sci-fi-fantasy", 2),
        ("war", 1),
    ]
    assert genres_of_book(shelves, 0.0198) == {"fantasy", "horror"}
    assert genres_of_book([("to-read", 5000)], 0.1) == set()
    assert genres_of_book([], 0.1) == set()


# Reading


def test_plain_and_gzipped_files_are_the_same_library(data: Path, tmp_path: Path) -> None:
    assert read_library(write_library(tmp_path / "zipped", zipped=True)) == read_library(data)


def test_the_library_is_what_the_files_say(data: Path) -> None:
    library = read_library(data)
    assert len(library.books) == BOOKS
    assert len(library.ratings) == READERS
    assert list(library.books) == [str(number) for number in range(1, BOOKS + 1)]
    assert library.books["3"].genres == ("scifi",)
    assert library.books["4"].genres == ("romance",)
    assert library.books["4"].description.startswith("A tale of ")
    assert library.books["5"].description == ""
    assert library.books["2"].work == library.books["1"].work != library.books["3"].work
    assert library.books["3"].ratings_count == 10 * (BOOKS - 3)


def test_descriptions_are_found_by_isbn_and_by_title(copy: Path) -> None:
    _edit(copy / "books.csv", 6, '5,1005,5005,306406152,"Ann Ash, Bo Birch","Rôsé & Kiss (Cycle, #5)",9,')
    _edit(copy / "books.csv", 8, "7,1007,5007,,Cy Cedar,Old Roads,9,")
    (copy / "descriptions_isbn13.txt").write_text("9780306406157 9780306406157 By number.\n")
    _write_csv(
        copy / "descriptions.csv",
        [
            ["Book", "Author", "Description"],
            ["Old  roads", "CY CEDAR", "By\ntitle." + " word" * 400],
            ["Rose", "x", "No."],
        ],
    )
    library = read_library(copy)
    assert library.books["5"].description == "By number."
    long = library.books["7"].description
    assert long.startswith("By title. word")
    assert long.endswith("word …")
    assert LONGEST_DESCRIPTION - 10 < len(long) <= LONGEST_DESCRIPTION + 2


def test_listed_genres_serve_where_there_are_no_shelves(copy: Path) -> None:
    (copy / "book_tags.csv").unlink()
    _write_csv(copy / "book_metadata.csv", [["book_id", "genres"], [3, "sci-fi,scifi,fiction,to-read-fiction"]])
    library = read_library(copy)
    assert library.books["3"].genres == ("scifi",)
    assert library.books["4"].genres == ()


def test_the_copy_on_kaggle_is_the_same_library(data: Path, copy: Path) -> None:
    header = (data / "books.csv").read_text(encoding="utf8").splitlines()[0]
    kaggle = header.replace("book_id,goodreads_book_id", "id,book_id")
    assert kaggle != header
    _edit(copy / "books.csv", 1, kaggle)
    assert read_library(copy) == read_library(data)


def test_original_titles_are_aliases(copy: Path) -> None:
    with (copy / "books.csv").open(encoding="utf8", newline="") as file:
        header, *rows = csv.reader(file)
    originals = {"3": "Drei  Sterne", "4": rows[3][header.index("title")]}
    _write_csv(copy / "books.csv", [[*header, "original_title"], *([*row, originals.get(row[0], "")] for row in rows)])
    books = read_library(copy).books
    assert [books[key].aliases for key in "345"] == [("Drei Sterne",), (), ()]


@pytest.mark.parametrize("name", ["books.csv", "ratings.csv", "book_tags.csv", "tags.csv"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(InputError, match=rf"holds no {name}.*download goodbooks-10k"):
        read_library(copy)


@pytest.mark.parametrize(
    ("name", "line", "text", "message"),
    [
        ("books.csv", 1, "book_id,title", r"books\.csv, line 1: there is no column 'authors'"),
        ("books.csv", 5, "4,too,few", r"books\.csv, line 5: 3 cells, not 8"),
        ("books.csv", 5, "four,1004,5004,,A,B,1,", r"books\.csv, line 5: book_id is 'four', not a whole number"),
        ("books.csv", 5, "3,1004,5004,,A,B,1,", r"books\.csv, line 5: book 3 is there twice"),
        ("books.csv", 5, "4,1004,5004,,A, ,1,", r"books\.csv, line 5: book 4 has no title"),
        ("books.csv", 5, "4,1004,5004,,,B,1,", r"books\.csv, line 5: book 4 has no authors"),
        ("books.csv", 5, '4,"a"b,5004,,A,B,1,', r"books\.csv, line 5: not CSV: "),
        ("ratings.csv", 9, "1,2,6", r"ratings\.csv, line 9: rating is 6, not 1 to 5"),
        ("ratings.csv", 9, "1,2,-1", r"ratings\.csv, line 9: rating is '-1', not a whole number"),
        ("ratings.csv", 9, "1,9999,4", r"ratings\.csv, line 9: book '9999' is not among the books"),
        ("ratings.csv", 9, ",2,4", r"ratings\.csv, line 9: user_id is '', not a whole number"),
        ("book_tags.csv", 3, "1001,77,4", r"book_tags\.csv, line 3: a tag_id that tags\.csv has and a whole count"),
        ("book_tags.csv", 3, "1001,1,many", r"book_tags\.csv, line 3: a tag_id that tags\.csv has and a whole count"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(copy: Path, name: str, line: int, text: str, message: str) -> None:
    _edit(copy / name, line, text)
    with pytest.raises(RecordError, match=message) as raised:
        read_library(copy)
    assert "\n" not in str(raised.value)


def test_files_that_are_no_text_or_half_an_archive_are_told(copy: Path) -> None:
    (copy / "ratings.csv").write_bytes(b"user_id,book_id,rating\n1,2,4\n\xff\xfe,2,4\n")
    with pytest.raises(RecordError, match=r"ratings\.csv, line \d: not UTF-8"):
        read_library(copy)
    (copy / "ratings.csv").unlink()
    whole = gzip.compress(random.Random(1).randbytes(4000))
    (copy / "ratings.csv.gz").write_bytes(whole[:2000])
    with pytest.raises(InputError, match=r"ratings\.csv\.gz"):
        read_library(copy)
    with pytest.raises(InputError, match="is not a folder"):
        read_library(copy / "books.csv")
    (copy / "descriptions_isbn13.txt").write_text("978030640615 no\n")
    with pytest.raises(RecordError, match=r"descriptions_isbn13\.txt, line 1: an ISBN-13 and a text are needed"):
        read_library(copy)


@pytest.mark.parametrize("name", ["books.csv", "ratings.csv"])
def test_files_with_nothing_but_a_header_are_told(copy: Path, name: str) -> None:
    path = copy / name
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(InputError, match=rf"{name} holds no (books|ratings)"):
        read_library(copy)


# Profiles and candidates


def test_no_reader_is_in_two_parts(books: Books) -> None:
    readers = {
        "train": {c.profile.reader for c in books.train},
        "eval": {c.profile.reader for c in books.sets["eval-standard"]},
        "test": {c.profile.reader for c in books.sets["test-standard"]},
    }
    assert all(len(found) > 5 for found in readers.values())
    assert sum(map(len, readers.values())) == len(set().union(*readers.values()))
    assert not (readers["eval"] | readers["test"]) & set(books.source.known)


def test_favourites_have_the_most_stars_and_are_three_works(books: Books) -> None:
    for c in _every(books):
        stars = books.source.library.ratings[c.profile.reader]
        assert [stars[book.id] for book in c.profile.favourites] == [5, 5, 5]
        assert len({book.work for book in c.profile.favourites}) == 3


def test_training_readers_have_several_profiles_and_others_one(books: Books) -> None:
    assert set(Counter(c.profile.reader for c in books.train).values()) == {CONFIG.profiles}
    assert all(set(Counter(c.profile.reader for c in sets).values()) == {1} for sets in books.sets.values())
    queries = [c.query for c in (*books.train, *books.sets["eval-standard"], *books.sets["test-standard"])]
    assert len(set(queries)) == len(queries)


def test_no_candidate_is_a_favourite_or_another_edition_of_one(books: Books) -> None:
    for c in _every(books):
        works = [book.work for book in (*c.profile.favourites, *c.liked, *c.others)]
        assert len(set(works)) == len(works)


def test_liked_books_were_liked_and_no_other_was(books: Books) -> None:
    library = books.source.library
    for c in _every(books):
        stars = library.ratings[c.profile.reader]
        rated = {library.books[book].work for book in stars}
        assert all(stars[book.id] >= 4 for book in c.liked)
        most = 3 if c in books.sets["eval-rated"] + books.sets["test-rated"] else 2
        assert all(stars[book.id] <= most if book.id in stars else book.work not in rated for book in c.others)


def test_of_many_readers_some_are_drawn(data: Path, books: Books) -> None:
    some = build(data, replace(CONFIG, readers=9, measured=4))
    drawn = {c.profile.reader for c in some.train}
    assert len(drawn) <= 9 < len({c.profile.reader for c in books.train})
    assert set(some.train) <= set(books.train)
    assert len(some.sets["test-standard"]) <= 4
    assert some.source.popularity == books.source.popularity


def test_what_is_liked_may_be_narrowed_to_five_stars(data: Path) -> None:
    made = build(data, replace(CONFIG, stars=5))
    assert all(made.source.library.ratings[c.profile.reader][b.id] == 5 for c in _every(made) for b in c.liked)


def test_a_quarter_is_liked_and_no_set_is_too_long(books: Books) -> None:
    pairs = [book in c.liked for c in books.train for book in (*c.liked, *c.others)]
    assert statistics.mean(pairs) == pytest.approx(7 / 27, abs=0.005)
    for sets in books.sets.values():
        for c in sets:
            size = len(c.liked) + len(c.others)
            assert size <= CONFIG.candidates
            assert len(c.liked) >= CONFIG.least
            assert len(c.liked) / size == pytest.approx(0.26, abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_others_are_of_the_kind_asked_for(data: Path, kind: str) -> None:
    shares = tuple(float(own == kind) for own in KINDS)
    made = build(data, replace(CONFIG, others=3, shares=shares))  # type: ignore[arg-type]
    stars = made.source.library.ratings
    disliked = [book.id in stars[c.profile.reader] for c in made.train for book in c.others]
    assert all(disliked) if kind == "disliked" else not any(disliked)
    popularity = statistics.mean(made.source.popularity[book.id] for c in made.train for book in c.others)
    if kind == "popular":
        assert popularity > statistics.mean(made.source.popularity.values())


def test_matched_others_are_unrated_and_as_popular_as_the_liked(books: Books) -> None:
    rungs = books.source.rungs
    for c in books.sets["test-matched"]:
        assert not any(book.id in books.source.library.ratings[c.profile.reader] for book in c.others)
    places = {
        name: [
            rungs[book.id]
            for c in (*books.sets["eval-matched"], *books.sets["test-matched"])
            for book in getattr(c, name)
        ]
        for name in ("liked", "others")
    }
    assert statistics.mean(places["others"]) == pytest.approx(statistics.mean(places["liked"]), abs=0.05 * BOOKS)
    assert statistics.stdev(places["others"]) == pytest.approx(statistics.stdev(places["liked"]), abs=0.05 * BOOKS)


def test_rated_candidates_were_all_rated_and_the_liked_are_a_quarter(books: Books) -> None:
    rated = (*books.sets["eval-rated"], *books.sets["test-rated"])
    assert rated
    for c in rated:
        stars = books.source.library.ratings[c.profile.reader]
        assert {stars[book.id] for book in c.liked} <= {4, 5}
        assert {stars[book.id] for book in c.others} <= {1, 2, 3}
        assert len(c.liked) == round(len(c.others) * 13 / 37)
        favourites = {book.work for book in c.profile.favourites}
        works = [book.work for book in (*c.liked, *c.others)]
        assert len({*works} | favourites) == len(works) + len(favourites)


def test_popularity_knows_the_training_readers_only(books: Books) -> None:
    stars = books.source.library.ratings
    counted = Counter(book for reader in {c.profile.reader for c in books.train} for book in stars[reader])
    assert counted == books.source.popularity


def test_the_same_seed_makes_the_same_and_another_makes_another(data: Path, books: Books) -> None:
    again, other = build(data, CONFIG), build(data, replace(CONFIG, seed=43))
    assert (again.train, again.sets) == (books.train, books.sets)
    assert other.train != books.train
    assert {c.profile.reader for c in other.train} != {c.profile.reader for c in books.train}


def test_the_order_of_rows_does_not_matter(copy: Path, books: Books) -> None:
    for name in ("books.csv", "ratings.csv", "book_tags.csv"):
        header, *rows = (copy / name).read_text().splitlines()
        random.Random(3).shuffle(rows)
        (copy / name).write_text("\n".join([header, *rows]) + "\n")
    again = build(copy, CONFIG)
    assert (again.train, again.sets) == (books.train, books.sets)


def test_readers_who_like_too_little_are_left_out(copy: Path) -> None:
    lines = (copy / "ratings.csv").read_text().splitlines()
    (copy / "ratings.csv").write_text("\n".join(line[:-1] + "3" if line[-1] in "45" else line for line in lines) + "\n")
    with pytest.raises(CorpusError, match="has no reader to train on, because none liked enough books"):
        build(copy, CONFIG)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"stars": 2}, "stars is 2; it must be from 3 to 5"),
        ({"profiles": 0}, "profiles is 0; at least 1 is needed"),
        ({"shares": (0, 0, 0, 0)}, "4 numbers of at least 0 are needed, not all 0"),
        ({"parts": (1, -1, 1)}, "3 numbers of at least 0 are needed"),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BooksConfig(**setting)  # type: ignore[arg-type]


# What is written


@pytest.fixture(scope="module")
def written(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("written") / "dataset"
    report = make_dataset(data, out)
    assert json.loads((out / "lint.json").read_text()).items() <= report.items()
    return out


def test_the_command_writes_a_dataset(
    data: Path, written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset", "--recipe", "books", "--data", str(data), "--out", str(tmp_path / "out")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["contradictions"] == report["duplicate_pairs"] == report["leaking_questions"] == 0
    assert "readers" in report["candidates"]["test-matched"]
    names = sorted(path.relative_to(written) for path in written.rglob("*") if path.is_file())
    assert names == sorted(p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert all((written / name).read_bytes() == (tmp_path / "out" / name).read_bytes() for name in names)
    assert verify(written, ()) == "a dataset, every byte as written"


def test_the_card_says_how_it_was_made(written: Path) -> None:
    card = (written / "README.md").read_text(encoding="utf8")
    for text in (
        "# Readers and books",
        "license: cc-by-sa-4.0",
        "Split by reader: no reader is in two splits",
        "- `candidates/test-matched`: ",
        "- `shares`: {'disliked': 0.1, 'similar': 0.1, 'popular': 0.1, 'any': 0.7}",
        "- `profiles`: 8",
    ):
        assert text in card


def test_pairs_have_the_format_and_those_to_evaluate_with_are_the_standard_set(written: Path) -> None:
    pairs = read_pairs([written], "train")
    assert len(pairs) > 1000
    assert all(pair.question.startswith("Favorite books: ") and pair.question.endswith(".") for pair in pairs)
    assert all(pair.passage.startswith("Title: ") and " | Authors: " in pair.passage for pair in pairs)
    assert {pair.label for pair in pairs} == {0.0, 1.0}
    judged = read_set(written / "candidates" / "test-standard")
    texts = {passage.id: passage.text for passage in judged.passages}
    expected = {
        (judged.questions[key], texts[book], float(book in judged.relevance[key]))
        for key in judged.questions
        for book in (*judged.relevance[key], *judged.rejected[key])
    }
    assert {(pair.question, pair.passage, pair.label) for pair in read_pairs([written], "test")} == expected


def test_the_library_reads_and_measures_the_sets(written: Path) -> None:
    judged = read_set(written / "candidates" / "eval-matched")
    assert judged.questions.keys() == judged.rejected.keys()
    assert len(judged.passages) == BOOKS
    assert read_beir(written / "candidates" / "eval-matched").questions == judged.questions
    by_id, key_of = {p.id: p for p in judged.passages}, {text: key for key, text in judged.questions.items()}

    def perfect(question: str) -> list[Hit]:
        key = key_of[question]
        return [Hit(by_id[book], 0.0, None, 0.0, 0) for book in (*judged.relevance[key], *sorted(judged.rejected[key]))]

    assert {m.metric: m.mean for m in measure(perfect, judged)}["AP"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "books"], "the recipe books takes --data, --out and --seed\n"),
        (["--recipe", "books", "--data", ".", "--teacher-weight", "0.5"], "and --seed, not --teacher-weight\n"),
        (["--recipe", "books", "--data", "nowhere"], "nowhere is not a folder; give the one that holds"),
        (["--data", "."], "--data is for other recipes; give --passages or --judged, or choose a --recipe\n"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset", "--out", str(tmp_path / "out"), *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_benchmark_ranks_taste_above_chance(data: Path) -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "books.py"
    command = [sys.executable, str(script), "--data", str(data), "--set", "test-matched", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line.split("|")[1:3] for line in done.stdout.splitlines() if line.startswith("| ")]
    found = {name.strip(): float(cell.split()[0]) for name, cell in rows if cell.strip()[0].isdigit()}
    assert len(found) == 7
    assert found["collaborative filtering"] > found["random"] + 0.2
    assert found["BM25"] > found["random"]
