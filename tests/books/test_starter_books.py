"""The bundled library: what the recipe recommends from until a reader brings another."""

import hashlib
import json
import re
from collections import Counter

import pytest

from ragqa.recipes.books.genres import GENRES
from ragqa.recipes.books.library import LONGEST_DESCRIPTION, document, read_books, starter_file
from ragqa.recipes.books.shelf import SHELF_VERSION
from ragqa.storage.json_lines import json_line, read_rows

FILE = starter_file()
BOOKS = [row for _, row in read_rows(FILE)]
WELL_KNOWN = """adventure art biography business children classics comics contemporary crime drama dystopia essays fairy-tales
    fantasy feminism gothic health historical history horror humor lgbt literature magic memoir mystery mythology nature
    nonfiction paranormal philosophy poetry politics psychology religion romance science scifi self-help short-stories sports
    thriller travel war western ya""".split()
SHINGLE = 8  # words
DIGESTS = {1: "62314b1337a2db4d", 2: "58e1f4d9573caebe"}  # of the books and their documents, by `SHELF_VERSION`


def test_the_shelf_is_long_enough_to_recommend_from() -> None:
    assert len(BOOKS) >= 320


def test_every_line_is_a_book_in_one_form() -> None:
    kinds = {"id": str, "title": str, "authors": list, "genres": list, "description": str, "year": int}
    for line, book in zip(FILE.read_text(encoding="utf8").splitlines(), BOOKS, strict=True):
        assert line == json.dumps(book, ensure_ascii=False)
        assert [(key, type(value)) for key, value in book.items() if key != "aliases"] == list(kinds.items())
        texts = [book["title"], *book["authors"], book["description"], *book.get("aliases", ["none"])]
        assert all(text and text == " ".join(text.split()) for text in texts), book["title"]
        assert -2000 < book["year"] < 2026, book["title"]


def test_ids_count_from_1_and_no_book_stands_there_twice() -> None:
    assert [book["id"] for book in BOOKS] == [str(number) for number in range(1, len(BOOKS) + 1)]
    bare = Counter((re.sub(r" \([^()]*\)$", "", book["title"]).casefold(), book["authors"][0]) for book in BOOKS)
    assert [key for key, count in bare.items() if count > 1] == []


def test_genres_are_sorted_names_of_the_recipe() -> None:
    for book in BOOKS:
        assert 2 <= len(book["genres"]) <= 6, book["title"]
        assert book["genres"] == sorted(set(book["genres"]) & set(GENRES)), book["title"]


def test_every_well_known_genre_has_several_books() -> None:
    counts = Counter(genre for book in BOOKS for genre in book["genres"])
    assert {genre: counts[genre] for genre in WELL_KNOWN if counts[genre] < 6} == {}


def test_descriptions_are_a_paragraph_that_a_reranker_reads_whole() -> None:
    lengths = {book["title"]: len(book["description"].split()) for book in BOOKS}
    assert {title: length for title, length in lengths.items() if not 60 <= length <= 110} == {}
    assert max(len(book["description"]) for book in BOOKS) <= LONGEST_DESCRIPTION
    assert [book["title"] for book in BOOKS if not book["description"].endswith((".", "!", "?", '."'))] == []


@pytest.mark.parametrize("cliche", ["tale of", "readers will", "page-turner", "must-read", "testament to", "tapestry"])
def test_no_description_praises_in_set_phrases(cliche: str) -> None:
    assert [book["title"] for book in BOOKS if cliche in book["description"].casefold()] == []


def test_no_two_descriptions_share_a_stretch_of_words() -> None:
    seen: dict[tuple[str, ...], str] = {}
    for book in BOOKS:
        words = re.findall(r"\w+", book["description"].casefold())
        for shingle in zip(*(words[start:] for start in range(SHINGLE)), strict=False):
            assert seen.setdefault(shingle, book["id"]) == book["id"], f"{' '.join(shingle)}: {book['title']}"


def test_several_series_have_more_than_one_volume() -> None:
    volumes = Counter(found[1] for book in BOOKS if (found := re.search(r"\(([^()]+), #[\d.]+\)$", book["title"])))
    assert sum(count >= 2 for count in volumes.values()) >= 15


def test_several_authors_have_more_than_one_book_apart_from_a_series() -> None:
    alone = Counter(book["authors"][0] for book in BOOKS if not book["title"].endswith(")"))
    assert sum(count >= 2 for count in alone.values()) >= 15


def test_the_books_are_of_all_times() -> None:
    assert min(sum(book["year"] < 1800 for book in BOOKS), sum(book["year"] >= 2000 for book in BOOKS)) >= 20


def test_other_documents_need_another_version_of_the_cached_shelf() -> None:
    """If code has changed, raise `SHELF_VERSION` and add a line; if only the books have, replace the last digest."""
    books = read_books(FILE)
    rows = [json_line(row) for book in books.values() for row in (book, {"document": document(book)})]
    assert hashlib.sha256(b"".join(rows)).hexdigest()[:16] == DIGESTS.get(SHELF_VERSION)
