"""Files of a library in, books and ratings out: goodbooks-10k, or JSON Lines.

goodbooks-10k (CC BY-SA 4.0, https://github.com/zygmuntz/goodbooks-10k) has these files, plain or gzipped: `books.csv`,
`ratings.csv`, `book_tags.csv` and `tags.csv`. Genres come from the last two, from `book_metadata.csv`, or from both. The
copy on Kaggle has `id` and `book_id` in `books.csv` for the columns `book_id` and `goodreads_book_id`; both are read.
Descriptions are not part of the dataset. They are read from the column `description` of `books.csv`, from `descriptions.csv`
(columns `Book`, `Author`, `Description`), or from `descriptions_isbn13.txt` (an ISBN-13 and a text in each line).
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ragqa.errors import InputError, RecordError
from ragqa.recipes.books.genres import LEAST_OF_COUNTS, LEAST_OF_NAMES, genres_of_book, genres_of_shelf
from ragqa.recipes.books.tables import Row, find_table, need_table, read_table, whole_number
from ragqa.storage.json_lines import construct, read_lines, read_rows

LONGEST_DESCRIPTION = (
    1000  # characters; the authors come after it and must stay within the tokens that a reranker reads
)
STARTER = "books.jsonl"
TABLES = (
    "books.csv", "book_tags.csv", "book_tags_reduced.csv", "tags.csv", "tags_reduced.csv", "book_metadata.csv",
    "descriptions.csv", "descriptions_isbn13.txt",
)  # fmt: skip

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

Ratings = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Book:
    """A book. All its editions have the same `work`. `ratings_count` counts ratings on the site of origin.

    `aliases` are other titles, by which the book is found too: the original title, titles in other countries and languages.
    """

    id: str
    title: str
    authors: tuple[str, ...]
    genres: tuple[str, ...] = ()
    description: str = ""
    work: str = ""
    ratings_count: int = 0
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Library:
    """Books by id, and the ratings of each reader, 1 to 5, by book id. Both are in the order of the ids."""

    books: Mapping[str, Book]
    ratings: Ratings


def read_library(folder: str | Path) -> Library:
    """Read a folder of goodbooks-10k.

    Raises `InputError` for a missing file, and `RecordError` with file and line for a missing column or a bad row.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the one that holds goodbooks-10k's books.csv")
    books = _read_books(folder)
    return Library(books, _read_ratings(folder, books))


def read_books(source: str | Path) -> dict[str, Book]:
    """Read books by id from a folder of goodbooks-10k or from a JSON Lines file, in file order.

    A line of the file has `id`, `title` and `authors`, and optionally `genres` (shelf names are understood), `description`,
    `ratings_count` and `aliases`. Raises `InputError` or `RecordError` for files that cannot be read.
    """
    source = Path(source)
    if source.is_dir():
        return _read_books(source)
    books: dict[str, Book] = {}
    for number, row in read_rows(source):
        try:
            book = _from_row(row)
        except InputError as error:
            raise RecordError(source, number, str(error)) from error
        if book.id in books:
            raise RecordError(source, number, f"book {book.id!r:.40} is there twice")
        books[book.id] = book
    if not books:
        raise InputError(f"{source} holds no books")
    return dict(_with_works(books.values(), {}))


def _from_row(row: Mapping[str, Any]) -> Book:
    book = construct(Book, {name: value for name, value in row.items() if name != "work"})
    title, authors = _one_line(book.title), tuple(filter(None, map(_one_line, book.authors)))
    if not book.id or not title or not authors:
        raise InputError("an id, a title and an author are needed")
    genres = {genre for name in book.genres for genre in genres_of_shelf(name) or (_one_line(name).casefold(),)}
    return replace(
        book,
        title=title,
        authors=authors,
        genres=tuple(sorted(filter(None, genres))),
        description=_shorten(_one_line(book.description)),
        aliases=_aliases(title, book.aliases),
    )


def read_rated(source: str | Path, books: Mapping[str, Book]) -> Iterator[tuple[str, str]]:
    """Yield pairs of a reader and a rated book from a folder of goodbooks-10k.

    A file, or a folder without `ratings.csv`, has none. Raises `InputError` or `RecordError` for files that cannot be read.
    """
    folder = Path(source)
    if folder.is_dir() and find_table(folder, "ratings.csv"):
        yield from ((reader, book) for reader, book, _ in _rating_rows(folder, books))


def starter_file() -> Path:
    """Return the path of the bundled library."""
    return Path(__file__).parent / "starter" / STARTER


def tastes_file(source: Path) -> Path:
    """Return the path of the vectors learned from ratings for a file of books: `books.tastes.npy` for `books.jsonl`."""
    return source.with_suffix(".tastes.npy")


def library_files(source: Path) -> list[Path]:
    """Return the files that `read_books`, `read_rated` and `read_tastes` may read; none if `source` does not exist."""
    if not source.is_dir():
        return [path for path in (source, tastes_file(source)) if path.is_file()] if source.is_file() else []
    names = {name + end for name in (*TABLES, "ratings.csv") for end in ("", ".gz")}
    return sorted(path for path in source.iterdir() if path.name in names and path.is_file())


def document(book: Book) -> str:
    """Return the text of a book for the reranker. Unknown parts are left out."""
    parts = {
        "Title": book.title,
        "Genres": ", ".join(book.genres),
        "Description": book.description,
        "Authors": ", ".join(book.authors),
    }
    return " | ".join(f"{name}: {text}" for name, text in parts.items() if text)


def _read_books(folder: Path) -> dict[str, Book]:
    path = need_table(folder, "books.csv")
    genres, descriptions = _Genres(folder), _Descriptions(folder)
    books: dict[str, Book] = {}
    work_ids: dict[str, str] = {}
    for line, row in map(_in_original_columns, read_table(path, ("book_id", "title", "authors"))):
        key = str(whole_number(path, line, row, "book_id"))
        title, authors = _one_line(row["title"]), tuple(filter(None, map(_one_line, row["authors"].split(","))))
        if not title or not authors:
            raise RecordError(path, line, f"book {key} has no {'authors' if title else 'title'}")
        if key in books:
            raise RecordError(path, line, f"book {key} is there twice")
        books[key] = Book(
            key,
            title,
            authors,
            genres.find(row),
            descriptions.find(row),
            ratings_count=whole_number(path, line, row, "ratings_count") if row.get("ratings_count") else 0,
            aliases=_aliases(title, [row.get("original_title", "")]),
        )
        work_ids[key] = row.get("work_id", "")
    if not books:
        raise InputError(f"{path} holds no books")
    return dict(_with_works([books[key] for key in sorted(books, key=int)], work_ids))


def _in_original_columns(numbered: tuple[int, Row]) -> tuple[int, Row]:
    """Give the columns of Kaggle's copy the names that they have in the original."""
    line, row = numbered
    if "id" in row and "goodreads_book_id" not in row:
        row = row | {"book_id": row["id"], "goodreads_book_id": row["book_id"]}
    return line, row


def _aliases(title: str, others: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(other for other in map(_one_line, others) if other and other != title))


def _with_works(books: Iterable[Book], work_ids: Mapping[str, str]) -> Iterator[tuple[str, Book]]:
    """Set the `work` of each book to the id of its first edition. Editions share a work id, or title and first author."""
    first: dict[str, str] = {}
    for book in books:
        keys = [key for key in (work_ids.get(book.id, ""), _title_key(book.title, book.authors[0])) if key]
        work = next((first[key] for key in keys if key in first), book.id)
        first.update((key, work) for key in keys if key not in first)
        yield book.id, replace(book, work=work)


def _read_ratings(folder: Path, books: Mapping[str, Book]) -> dict[str, dict[str, int]]:
    ratings: dict[str, dict[str, int]] = {}
    for reader, book, rating in _rating_rows(folder, books):
        ratings.setdefault(reader, {})[book] = rating
    if not ratings:
        raise InputError(f"{need_table(folder, 'ratings.csv')} holds no ratings")
    return {
        reader: dict(sorted(ratings[reader].items(), key=lambda item: int(item[0])))
        for reader in sorted(ratings, key=int)
    }


def _rating_rows(folder: Path, books: Mapping[str, Book]) -> Iterator[tuple[str, str, int]]:
    path = need_table(folder, "ratings.csv")
    for line, row in read_table(path, ("user_id", "book_id", "rating")):
        book, rating = row["book_id"], whole_number(path, line, row, "rating")
        if book not in books:
            raise RecordError(path, line, f"book {book!r:.40} is not among the books")
        if not 1 <= rating <= 5:
            raise RecordError(path, line, f"rating is {rating}, not 1 to 5")
        yield str(whole_number(path, line, row, "user_id")), book, rating


class _Genres:
    """Genres of books, from the shelves that readers put them on and from listed names."""

    def __init__(self, folder: Path) -> None:
        self._shelves: dict[str, list[tuple[str, int]]] = {}
        self._listed: dict[str, list[tuple[str, int]]] = {}
        tagged, listed = (
            find_table(folder, "book_tags.csv", "book_tags_reduced.csv"),
            find_table(folder, "book_metadata.csv"),
        )
        if tagged is None and listed is None:
            need_table(folder, "book_tags.csv", "book_metadata.csv")
        if tagged is not None:
            names = dict(_tag_names(need_table(folder, "tags.csv", "tags_reduced.csv")))
            for line, row in read_table(tagged, ("goodreads_book_id", "tag_id", "count")):
                count = max(0, int(row["count"])) if re.fullmatch(r"-?\d+", row["count"]) else None
                if count is None or row["tag_id"] not in names:
                    raise RecordError(tagged, line, "a tag_id that tags.csv has and a whole count are needed")
                self._shelves.setdefault(row["goodreads_book_id"], []).append((names[row["tag_id"]], count))
        if listed is not None:
            for _, row in read_table(listed, ("book_id", "genres")):
                self._listed[row["book_id"]] = [(name.strip(), 1) for name in row["genres"].split(",")]

    def find(self, row: Row) -> tuple[str, ...]:
        shelved = self._shelves.get(row.get("goodreads_book_id", ""), ())
        listed = self._listed.get(row["book_id"], ())
        return tuple(sorted(genres_of_book(shelved, LEAST_OF_COUNTS) | genres_of_book(listed, LEAST_OF_NAMES)))


def _tag_names(path: Path) -> Iterator[tuple[str, str]]:
    for _, row in read_table(path, ("tag_id", "tag_name")):
        yield row["tag_id"], row["tag_name"]


class _Descriptions:
    """Descriptions of books, by ISBN-13 and by title with author."""

    def __init__(self, folder: Path) -> None:
        self._texts: dict[str, str] = {}
        if by_isbn := find_table(folder, "descriptions_isbn13.txt"):
            for number, raw in read_lines(by_isbn):
                found = re.fullmatch(r"(97[89]\d{10})\s+(?:\1\s+)?(.*)", raw.decode(errors="replace").strip())
                if found is None:
                    raise RecordError(by_isbn, number, "an ISBN-13 and a text are needed")
                self._texts[found[1]] = found[2]
        if by_title := find_table(folder, "descriptions.csv"):
            for _, row in read_table(by_title, ("Book", "Author", "Description")):
                self._texts.setdefault(_title_key(row["Book"], row["Author"]), row["Description"])

    def find(self, row: Row) -> str:
        keys = _title_key(row["title"], row["authors"]), _isbn13(row.get("isbn", ""))
        found = [row.get("description", ""), *(self._texts.get(key, "") for key in keys if key)]
        return _shorten(_one_line(next(filter(None, found), "")))


def _title_key(title: str, authors: str) -> str:
    """Return title without series, and first author, as letters and digits only."""
    bare = re.sub(r"\([^()]*\)\s*$", "", title) or title
    parts = (unicodedata.normalize("NFKD", part).casefold() for part in (bare, authors.partition(",")[0]))
    return "/".join("".join(c for c in part if c.isalnum()) for part in parts)


def _isbn13(isbn: str) -> str:
    """Return the ISBN-13 of an ISBN-10, which may lack leading zeros; "" if it is not an ISBN-10."""
    if not re.fullmatch(r"\d{1,9}[\dXx]", isbn):
        return ""
    body = "978" + isbn.zfill(10)[:9]
    return body + str(-sum(int(digit) * (1, 3)[place % 2] for place, digit in enumerate(body)) % 10)


def _one_line(text: str) -> str:
    """Return text without line breaks and control characters, which would change the terminal."""
    return " ".join(_CONTROL.sub(" ", text).split())


def _shorten(text: str) -> str:
    if len(text) <= LONGEST_DESCRIPTION:
        return text
    return text[:LONGEST_DESCRIPTION].rpartition(" ")[0] + " …"
