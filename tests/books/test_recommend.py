"""Recommendations, on a library that a seeded generator makes up and on titles invented for it."""

import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from test_books import write_library
from test_process import BLOCKED

from ragqa.cli import main
from ragqa.errors import InputError, RecordError
from ragqa.models.reranker import Reranker
from ragqa.recipes.books import Book, Recommender, document, make_dataset, query, read_books, training_config
from ragqa.recipes.books.library import library_files, starter_file
from ragqa.recipes.books.readers import genre_shares
from ragqa.recipes.books.recommend import BUNDLED, CANDIDATES, choose
from ragqa.recipes.books.shelf import make_shelf, open_shelf
from ragqa.recipes.books.titles import Titles, is_edition, opening_parts, plain, series_of
from ragqa.storage.checksums import find_flaw
from ragqa.storage.json_lines import write_json_lines
from ragqa.training.pairs import read_pairs

TASTES = {"fantasy": "dragon wizard realm", "crime": "murder alibi harbour", "romance": "heart letter summer"}

SHELF = [
    Book("1", "The Glass Orchard (Orchard, #1)", ("Mina Thorne",), ("fantasy", "magic"), ratings_count=900),
    Book("2", "The Iron Orchard (Orchard, #2)", ("Mina Thorne",), ("fantasy", "magic"), ratings_count=700),
    Book("3", "The Glass Orchard", ("Mina Thorne", "Pål Vik"), ("comics", "fantasy"), ratings_count=20),
    Book("4", "Orchard Boxed Set (Orchard, #1-2)", ("Mina Thorne",), ("fantasy",), ratings_count=60),
    Book("5", "The Glass Orchard: An Illustrated Companion", ("Mina Thorne",), ("art",), ratings_count=5),
    Book("6", "A Quiet Harbour", ("J.R.R. Quill",), ("crime", "mystery"), ratings_count=400),
    Book("7", "A Quiet Harbour", ("Odile Marsh",), ("romance",), ratings_count=300),
    Book("8", "Émile's Café & Other Crimes: A Memoir", ("Odile Marsh",), ("memoir", "crime"), ratings_count=50),
    Book("9", "It", ("Bo Grim",), ("horror",), ratings_count=80),
    Book("10", "Harbour Lights (Inspector Vane, #3; Quill Universe, #9)", ("J.R.R. Quill",), ("crime",), ratings_count=90),
    Book("11", "The Night Ferry (Inspector Vane, #4)", ("J.R.R. Quill",), ("crime", "noir"), ratings_count=70),
]  # fmt: skip
SHELF = [replace(book, work="1" if book.id == "3" else book.id) for book in SHELF]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("RAGQA_CACHE")
    os.environ["RAGQA_CACHE"] = str(folder)
    yield folder
    os.environ.pop("RAGQA_CACHE") if before is None else os.environ.update(RAGQA_CACHE=before)


@pytest.fixture(scope="module")
def titles() -> Titles:
    return Titles(SHELF)


@pytest.fixture(scope="module")
def reranker() -> Reranker:
    return Reranker.load(BUNDLED)


@pytest.fixture(scope="module")
def recommender(reranker: Reranker) -> Recommender:
    return Recommender(make_shelf({book.id: book for book in SHELF}), reranker)


def generated(count: int, seed: int = 5) -> list[dict[str, object]]:
    rng = random.Random(seed)
    rows: list[dict[str, object]] = []
    for number in range(count):
        taste = list(TASTES)[number % 3]
        words = TASTES[taste].split()
        text = " ".join(rng.choice(words) for _ in range(9)) if number % 3 else ""
        title = f"The {rng.choice(words).title()} of {rng.randrange(10 * count)}"
        genres = [taste, rng.choice(("ya", "classics", "war"))]
        rows.append({"id": str(number), "title": title, "authors": [f"Author {rng.randrange(count // 2 + 1)}"],
                     "genres": genres, "description": text, "year": 1990, "ratings_count": rng.randrange(10_000)})  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("library") / "books.jsonl"
    write_json_lines(path, generated(300))
    return path


# Titles


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ("The Glass Orchard", "1"),
        ("glass orchard", "1"),
        ("THE GLASS ORCHARD (Orchard, #1)", "1"),
        ("the  glass, orchard!", "1"),
        ("The Glas Orchrd", "1"),
        ("iron orchard", "2"),
        ("Glass Orchard by Thorne", "1"),
        ("the iron orchad by mina thorne", "2"),
        ("emiles cafe and other crimes", "8"),
        ("Émile’s Café & Other Crimes", "8"),
        ("It", "9"),
        ("harbour lights", "10"),
        ("A Quiet Harbour by Odile Marsh", "7"),
        ("a quiet harbour by JRR Quill", "6"),
        ("night ferry", "11"),
        ("ferry", "11"),
        ("cafe and othr crimes", "8"),
    ],
)
def test_titles_are_found_as_people_write_them(titles: Titles, asked: str, key: str) -> None:
    assert titles.find(asked).id == key


def test_aliases_are_found_after_titles_unless_their_book_is_far_better_known() -> None:
    north = Book(
        "1",
        "The Brass Needle (North, #1)",
        ("Pia Ulm",),
        aliases=("Northern Fires", "Die Messingnadel"),
        work="1",
        ratings_count=90,
    )
    lights = Book("2", "Northern Fires", ("Nora Rowan",), work="2", ratings_count=9)
    for asked in (
        "Die Messingnadel",
        "die mesingnadel",
        "Northern Fires by Ulm",
        "Brass Needle: A Tale of Ice",
    ):
        assert Titles([north, lights]).find(asked) == north
    assert Titles([north, lights]).find("Northern Fires") == lights
    with pytest.raises(
        InputError, match=r"may be The Brass Needle \(North, #1\) by Pia Ulm; Northern Fires by Nora Rowan"
    ):
        Titles([replace(north, ratings_count=91), lights]).find("Northern Fires")


@pytest.mark.parametrize(
    ("asked", "title"),
    [
        ("Harry Potter and the Philosopher's Stone", "Harry Potter and the Sorcerer's Stone (Harry Potter, #1)"),
        ("Die Verwandlung", "The Metamorphosis"),
        ("Cien años de soledad", "One Hundred Years of Solitude"),
        ("cien anos de soledad", "One Hundred Years of Solitude"),
        ("война и мир", "War and Peace"),
        ("三体", "The Three-Body Problem (Remembrance of Earth's Past, #1)"),
        ("The Martian", "The Martian"),
    ],
)
def test_the_starter_library_knows_other_titles(asked: str, title: str) -> None:
    assert Titles(read_books(starter_file()).values()).find(asked).title == title


def test_every_title_finds_its_own_work(titles: Titles) -> None:
    for book in SHELF:
        assert titles.find(f"{book.title} by {book.authors[0]}").work == book.work


def test_a_title_of_several_books_is_asked_back_with_their_names(titles: Titles) -> None:
    with pytest.raises(InputError) as told:
        titles.find("quiet harbour")
    assert str(told.value) == (
        "'quiet harbour' may be A Quiet Harbour by J.R.R. Quill; A Quiet Harbour by Odile Marsh: say more of the title, or "
        "name the author after 'by'"
    )
    with pytest.raises(InputError, match=r"may be The Glass Orchard \(Orchard, #1\) by Mina Thorne; "):
        titles.find("orchard")


def test_an_unknown_title_is_told_with_the_nearest(titles: Titles) -> None:
    with pytest.raises(
        InputError, match=r"no book 'The Glass Mountain' in the library; nearest: The Glass Orchard"
    ) as told:
        titles.find("The Glass Mountain")
    assert "\n" not in str(told.value)
    with pytest.raises(InputError, match="nearest: none"):
        titles.find("Zzyzx")
    with pytest.raises(InputError, match="holds no letter or digit"):
        titles.find(" ?! ")
    with pytest.raises(InputError, match="no book 'A Quiet Harbour by Nobody'"):
        titles.find("A Quiet Harbour by Nobody")


def test_plain_names_are_alike_where_titles_look_alike() -> None:
    assert plain("The  Café's—Door & Sons") == plain("the CAFES door and sons") == "cafes door and sons"
    assert plain("The") == "the"


@pytest.mark.parametrize(
    ("title", "series"),
    [
        ("Two (Cycle, #2)", {"cycle": "2"}),
        ("Two (The Cycle #2)", {"cycle": "2"}),
        ("Two (Cycle, #2; Great Cycle, #7-9)", {"cycle": "2", "great cycle": "7-9"}),
        ("Two (Hardcover)", {}),
        ("Two", {}),
    ],
)
def test_series_are_read_from_titles(title: str, series: dict[str, str]) -> None:
    assert series_of(title) == series


def test_editions_are_told_from_other_books() -> None:
    one, two, comic, _, companion, *_ = SHELF
    assert is_edition(comic, one)
    assert is_edition(companion, one)
    assert not is_edition(two, one)
    assert not is_edition(SHELF[6], SHELF[5])  # the same title by somebody else


# Choosing


def test_editions_and_series_of_favourites_are_left_out(recommender: Recommender) -> None:
    named = {found.book.id for found in recommender.recommend(["The Glass Orchard"], k=20)}
    assert named.isdisjoint({"1", "2", "3", "4", "5"})
    assert {"6", "7", "8", "9"} <= named


def test_the_same_series_stays_if_asked_for(recommender: Recommender) -> None:
    found = recommender.recommend(["The Glass Orchard"], k=20, same_series=True)
    named = {one.book.id for one in found}
    assert {"2", "4", "10", "11"} <= named
    assert named.isdisjoint({"1", "3", "5"})
    assert "in the series of The Glass Orchard" in next(o for o in found if o.book.id == "2").reasons


def test_of_any_series_one_part_is_named_the_most_promising() -> None:
    assert [book.id for book in choose(SHELF, [SHELF[8]], 20)] == ["1", "5", "6", "7", "8", "10"]
    assert [book.id for book in choose(SHELF, [SHELF[8]], 2)] == ["1", "5"]


def test_of_a_series_the_first_part_is_named(recommender: Recommender) -> None:
    named = {found.book.id for found in recommender.recommend(["It"], k=20)}
    assert named == {"1", "5", "6", "7", "8", "10"}
    assert opening_parts(reversed(SHELF))["orchard"].id == "1"
    assert opening_parts(SHELF).keys() == {"orchard", "inspector vane", "quill universe"}


def test_reasons_name_what_is_shared(recommender: Recommender) -> None:
    found = recommender.recommend(["Glass Orchard", "The Night Ferry"], k=20)
    by_id = {one.book.id: one.reasons for one in found}
    assert by_id["6"] == (
        "by J.R.R. Quill, as is The Night Ferry",
        "crime",
    )
    assert by_id["8"] == ("crime",)
    assert by_id["9"] == ()


def test_a_likeness_is_named_only_with_what_is_alike(reranker: Reranker) -> None:
    genres = {
        "A": ("classics", "dystopia", "scifi"),
        "B": ("classics", "drama"),
        "C": ("classics", "dystopia", "politics", "scifi"),
        "D": ("classics", "war"),
        "E": ("classics", "drama", "poetry"),
        **{str(n): ("classics", "romance") for n in range(20)},
    }
    books = {name: Book(name, f"Title {name}", (f"Author {name}",), own, work=name) for name, own in genres.items()}
    found = Recommender(make_shelf(books), reranker).recommend(["Title A", "Title B"], k=30)
    reasons = {one.book.id: one.reasons for one in found}
    assert reasons["C"] == ("classics, dystopia and scifi, like Title A",)
    assert reasons["E"] == ("classics and drama, like Title B",)
    assert reasons["D"] == ("classics",)


def test_fiction_and_nonfiction_stay_apart_unless_the_reader_mixes_them(reranker: Reranker) -> None:
    kinds = {"F": ("fantasy",), "N": ("nonfiction", "science")}
    books = {
        f"{kind}{n}": Book(f"{kind}{n}", f"{kind} {n}", (f"Author {kind}{n}",), own, work=f"{kind}{n}")
        for n in range(12)
        for kind, own in kinds.items()
    }
    recommender = Recommender(make_shelf(books), reranker)

    def first(favourites: Sequence[str], k: int) -> list[str]:
        return [one.book.id[0] for one in recommender.recommend(favourites, k=k)]

    assert set(first(["N 1", "N 2"], 10)) == {"N"}
    assert set(first(["F 1", "F 2"], 10)) == {"F"}
    assert set(first(["F 1", "N 1"], 20)) == {"F", "N"}
    assert len(first(["N 1", "N 2"], 22)) == 22  # more than the library has of this kind
    assert {one.book.id[0] for one in recommender.recommend(["N 1", "N 2"], ["fantasy"])} == {"F"}


def test_genres_are_the_common_ones_or_those_given(recommender: Recommender) -> None:
    favourites = [recommender.find(title) for title in ("night ferry", "harbour lights", "iron orchard")]
    assert recommender.genres(favourites) == ["crime"]
    assert recommender.genres(favourites, ["sci-fi", "Young Adult", "crime"]) == ["scifi", "ya", "crime"]
    with pytest.raises(InputError, match="there is no genre 'fantsy'; there are fantasy"):
        recommender.recommend(favourites, ["fantsy"])


def test_only_books_of_the_genres_asked_for_are_named(recommender: Recommender) -> None:
    every = recommender.recommend(["The Glass Orchard"], k=20)
    assert not all("crime" in one.book.genres for one in every)
    found = recommender.recommend(["The Glass Orchard"], ["crime"], k=20)
    assert {one.book.id for one in found} == {one.book.id for one in every if "crime" in one.book.genres}
    either = recommender.recommend(["The Glass Orchard"], ["Crime", "memoir", "horror"], k=20)
    assert {one.book.id for one in either} == {"6", "8", "9", "10"}


def test_the_command_names_only_books_of_the_genre(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json_lines(tmp_path / "books.jsonl", SHELF)
    command = ["recommend", "--library", str(tmp_path / "books.jsonl"), "--favorite", "The Glass Orchard", "--json"]
    assert main([*command, "--genre", "horror"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["genres"], [one["book"]["id"] for one in told["recommendations"]]) == (["horror"], ["9"])
    assert main([*command[:-1], "--genre", "poetry"]) == 0
    assert "no other book of the genres poetry" in capsys.readouterr().out


class Listening:
    """An engine that keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Sequence[str]]] = []

    def logits(self, question: str, texts: Sequence[str]) -> object:
        import numpy as np

        self.asked.append((question, texts))
        return np.arange(len(texts), dtype=np.float32)


def test_the_reranker_reads_query_and_documents_as_in_training() -> None:
    engine = Listening()
    listening = Recommender(make_shelf({b.id: b for b in SHELF}), Reranker(engine, "listening"), candidates=3)  # type: ignore[arg-type]
    found = listening.recommend(["night ferry", "It", "iron orchard"], k=2)
    ((question, texts),) = engine.asked
    assert question == query([SHELF[10], SHELF[8], SHELF[1]], genre_shares(SHELF))
    assert set(texts) <= set(map(document, SHELF))
    assert len(texts) == 3
    assert len(found) == 2
    assert found[0].score > found[1].score
    assert {document(one.book) for one in found} <= set(texts)


@pytest.mark.parametrize(
    ("favourites", "settings", "message"),
    [
        ([], {}, "0 favourites are given; from 1 to 10 are needed"),
        (["It"], {"k": 0}, "k is 0; at least 1 is needed"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    recommender: Recommender, favourites: list[str], settings: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        recommender.recommend(favourites, **settings)  # type: ignore[arg-type]


def test_a_favourite_named_twice_counts_once(recommender: Recommender) -> None:
    twice = recommender.recommend(["It", "it", "glass orchard"])
    assert twice == recommender.recommend(["It", "glass orchard"])


def test_taste_is_met_and_the_same_each_time(library: Path) -> None:
    recommender = Recommender.open(library)
    favourites = [book for book in recommender.books.values() if "crime" in book.genres][:3]
    found = recommender.recommend(favourites, k=10)
    assert len({one.book.work for one in found}) == 10
    assert sum("crime" in one.book.genres for one in found) >= 8
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert Recommender.open(library).recommend(favourites, k=10) == found


# Libraries


def test_a_file_of_books_is_read(library: Path) -> None:
    books = read_books(library)
    assert len(books) == 300
    assert books["4"].genres == tuple(sorted(books["4"].genres))
    assert books["4"].description


def test_a_folder_of_goodbooks_is_a_library_too(tmp_path: Path) -> None:
    folder = write_library(tmp_path / "goodbooks")
    books = read_books(folder)
    assert books["2"].work == "1"
    assert {path.name for path in library_files(folder)} == {"books.csv", "book_tags.csv", "tags.csv", "ratings.csv"}
    assert open_shelf(folder).books == books == open_shelf(folder).books


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "1", "title": " ", "authors": ["A"]}', "line 1: an id, a title and an author are needed"),
        ('{"id": "1", "title": "One", "authors": []}', "line 1: an id, a title and an author are needed"),
        ('{"id": "1", "title": "One", "authors": "A"}', "line 1: 'authors' is str, not list"),
        ('{"id": "1", "title": "One", "authors": ["A"]}\n{"id": "1", "title": "One", "authors": ["A"]}', "is there twice"),
        ("no", "line 1: not JSON"),
    ],
)  # fmt: skip
def test_lines_that_are_no_books_are_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "books.jsonl").write_text(line + "\n")
    with pytest.raises(RecordError, match=message):
        read_books(tmp_path / "books.jsonl")


def test_no_library_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.jsonl is not a file"):
        Recommender.open(tmp_path / "nowhere.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no books"):
        Recommender.open(tmp_path / "empty.jsonl")


def test_an_opened_library_is_kept_and_a_changed_or_damaged_one_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGQA_CACHE", str(tmp_path / "kept"))
    path = tmp_path / "books.jsonl"
    write_json_lines(path, generated(20))
    assert open_shelf(path).index.generation is None
    kept = open_shelf(path)
    assert kept.index.generation is not None
    assert kept.books == read_books(path)
    write_json_lines(path, generated(21))
    assert len(open_shelf(path).books) == 21
    (folder,) = (
        f for f in (tmp_path / "kept" / "books").iterdir() if len((f / "books.jsonl").read_text().split("\n")) == 22
    )
    (folder / "books.jsonl").write_text("{")
    assert len(open_shelf(path).books) == 21
    assert open_shelf(path).index.generation is not None


def test_the_starter_library_can_be_recommended_from() -> None:
    recommender = Recommender.open()
    assert len(recommender.books) >= 40
    assert all(book.genres and book.description for book in read_books(starter_file()).values())
    some = list(recommender.books.values())[:3]
    assert len(recommender.recommend(some, k=5)) == 5


def test_among_ten_thousand_books_candidates_are_found_in_time(tmp_path: Path) -> None:
    path = tmp_path / "books.jsonl"
    write_json_lines(path, generated(10_000))
    engine = Listening()  # how long the reranker takes depends on the candidates alone
    recommender = Recommender(make_shelf(read_books(path)), Reranker(engine, "listening"))  # type: ignore[arg-type]
    favourites = [recommender.books[key] for key in ("1", "4", "7")]
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        assert len(recommender.recommend(favourites)) == 10
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.5  # 0.02 seconds where nothing else runs
    assert {len(texts) for _, texts in engine.asked} == {CANDIDATES}


# The command line


def test_the_command_names_books_with_reasons(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    titles = [row["title"] for row in generated(300)[1:12:3]][:2]
    wanted = [part for title in titles for part in ("--favorite", str(title).upper())]
    assert main(["recommend", "--library", str(library), "-k", "3", *wanted]) == 0
    out = capsys.readouterr().out
    assert out.startswith("For a reader of ")
    assert [line[:3] for line in out.splitlines() if line[:3].strip(" .").isdigit()] == [" 1.", " 2.", " 3."]
    assert "crime" in out
    assert main(["recommend", "--library", str(library), "-k", "3", "--json", *wanted]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [book["title"] for book in found["favorites"]] == titles
    assert len(found["recommendations"]) == 3
    assert found["recommendations"][0].keys() == {"book", "score", "reasons"}
    assert found["genres"]


def test_the_command_tells_errors_in_one_line(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", "--library", str(library), "--favorite", "Qwertyuiop"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("ragqa: there is no book 'Qwertyuiop' in the library; nearest: ")
    assert err.count("\n") == 1


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["recommend", "--help"])
    assert 'example:\n  ragqa recommend --favorite "' in capsys.readouterr().out


def test_it_works_without_a_network(library: Path, tmp_path: Path) -> None:
    title = generated(300)[0]["title"]
    command = ["recommend", "--favorite", title, "--library", str(library)]
    script = f"{BLOCKED}\nfrom ragqa.cli import main\nassert main({command!r}) == 0"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "CONNECTED" not in done.stderr
    assert done.stdout.startswith("For a reader of ")


def test_the_benchmark_finds_it_better_than_popularity(tmp_path: Path) -> None:
    data = write_library(tmp_path / "goodbooks")
    books = (data / "books.csv").read_text()
    (data / "books.csv").write_text(re.sub(r"\(Cycle \w+, #(\d+)\)", r"\1", books))  # of one series only one is named
    script = Path(__file__).parents[2] / "benchmarks" / "books.py"
    command = [sys.executable, str(script), "--data", str(data), "--recommend", "test"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [cell.strip() for cell in rows[0][:4]] == ["system", "hit rate", "Recall@10", "nDCG@10"]
    ndcg = {row[0].strip(): float(row[3].split()[0]) for row in rows[1:]}
    assert len(ndcg) == 6
    assert 1 >= min(ndcg["recommender"], ndcg["recommender without ratings"]) > ndcg["popularity on Goodreads"]


# The reranker


def test_the_bundled_reranker_is_whole_and_its_card_says_what_it_is() -> None:
    assert not find_flaw(BUNDLED)
    card = (BUNDLED / "README.md").read_text(encoding="utf8")
    for wanted in ("goodbooks-10k", "license: cc-by-sa-4.0", "all-MiniLM-L6-v2", "nDCG@10", "Limits", "matched"):
        assert wanted in card


def test_it_tells_taste(reranker: Reranker) -> None:
    favourites = [b for b in SHELF if b.id in ("6", "10", "11")]
    other = Book("x", "Alibi for a Murder", ("Ann Ash",), ("crime", "mystery", "noir", "thriller"))
    far = Book("y", "My First Counting Book", ("Bo Birch",), ("children", "picture-books"))
    close, distant = reranker.score(query(favourites, {}), [document(other), document(far)]).tolist()
    assert close > distant


def test_training_has_the_settings_of_the_reference() -> None:
    assert (training_config().epochs, training_config().batch_size, training_config().learning_rate) == (3, 48, 5e-5)
    assert (training_config().warmup, training_config().max_length, training_config().list_size) == (0.1, 384, 0)


def test_a_few_steps_of_training_make_a_reranker(
    tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sentence_transformers")
    data = write_library(tmp_path / "goodbooks")
    make_dataset(data, tmp_path / "dataset")
    pairs = read_pairs([tmp_path / "dataset"], "train")
    long = replace(pairs[0], passage=pairs[0].passage + " and so on" * 300)
    for split, some in (("train", (long, *pairs[:95])), ("eval", read_pairs([tmp_path / "dataset"], "eval")[:100])):
        lines = ({"sentence_0": p.question, "sentence_1": p.passage, "label": p.label} for p in some)
        write_json_lines(tmp_path / "dataset" / f"{split}.jsonl", lines)
    assert read_pairs([tmp_path / "dataset"], "train")[0].passage == long.passage
    command = (
        f"train --recipe books --dataset {tmp_path / 'dataset'} --out {tmp_path / 'model'} --base {tiny} --epochs 1"
    )
    assert main(command.split()) == 0
    out = capsys.readouterr().out
    assert json.loads(out[out.rindex("{") :]).keys() == {"map", "mrr@10", "ndcg@10"}
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf8")
    for wanted in (
        "Maximum Sequence Length:** 384",
        "`per_device_train_batch_size`: 48",
        "BinaryCrossEntropyLoss",
        "ndcg@10",
    ):
        assert wanted in card
    assert len(Reranker.load(tmp_path / "model").score("q", ["a", "b"])) == 2
