"""A library ready to be searched: its books and their BM25 index, kept in the cache folder for the next start."""

import hashlib
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ragqa.bm25 import Bm25Index
from ragqa.errors import IndexStoreError, RagqaError
from ragqa.files import cache_folder, sha256
from ragqa.recipes.books.library import Book, document, library_files, read_books, starter_file
from ragqa.records import Passage, read_json_lines, write_json_lines

KEPT = 4  # libraries in the cache folder; one of 10,000 books takes 13 MB

_BOOKS, _INDEX = "books.jsonl", "index"


@dataclass(frozen=True, slots=True)
class Shelf:
    """The books of a library by id, and their index: the documents are its passages, in the order of the books."""

    books: Mapping[str, Book]
    index: Bm25Index


def open_shelf(source: str | Path | None = None) -> Shelf:
    """Open a library (`read_books`), the starter library for None; the first call indexes it. Raises as `read_books` does."""
    path = starter_file() if source is None else Path(source)
    folder = _kept(path)
    if folder is not None:
        with suppress(RagqaError, OSError):
            return _open(folder)
    shelf = make_shelf(read_books(path))
    if folder is not None:
        with suppress(RagqaError, OSError):  # it cannot be kept, or another start is just doing so
            write_json_lines(folder / _BOOKS, shelf.books.values())
            shelf.index.save(folder / _INDEX)
            _remove_old(folder.parent)
    return shelf


def make_shelf(books: Mapping[str, Book]) -> Shelf:
    """Index books."""
    return Shelf(books, Bm25Index.build(Passage(book.id, "", text=document(book)) for book in books.values()))


def _open(folder: Path) -> Shelf:
    index = Bm25Index.open(folder / _INDEX)
    books = {book.id: book for book in read_json_lines(folder / _BOOKS, Book)}
    if len(books) != len(index.passages):
        raise IndexStoreError(f"{folder} holds books that were not indexed")
    folder.touch()
    return Shelf(books, index)


def _kept(path: Path) -> Path | None:
    """Where a library is kept, by its files and the code; None if there is no library, or the user has no home."""
    files = library_files(path)
    code = [*sorted(Path(__file__).parent.glob("*.py")), *sorted(Path(__file__).parents[2].glob("*.py"))]
    key = hashlib.sha256(repr([(file.name, sha256(file)) for file in (*files, *code)]).encode())
    try:
        return cache_folder() / "books" / key.hexdigest()[:32] if files else None
    except RuntimeError:
        return None


def _remove_old(folder: Path) -> None:
    for old in sorted(folder.iterdir(), key=lambda other: -other.stat().st_mtime)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
