"""A library in, a searchable shelf out: books, BM25 index and vectors of ratings, cached for the next start."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ragqa.errors import IndexStoreError, InputError, RagqaError, warn_of_fallback
from ragqa.index.bm25 import Bm25Index, build_version
from ragqa.recipes.books.library import Book, document, library_files, read_books, read_rated, starter_file, tastes_file
from ragqa.recipes.books.tastes import learn, read_tastes, write_tastes
from ragqa.records import Passage
from ragqa.storage.files import cache_folder, sha256, used_longest_ago, warn_without_cache
from ragqa.storage.generations import holds_index, remove_index
from ragqa.storage.json_lines import read_json_lines, write_json_lines

if TYPE_CHECKING:
    import numpy as np

SHELF_VERSION = 2  # raise with every change of what is kept for the same library: books, their documents, their tastes
KEPT = 4  # libraries in the cache folder; 10,000 books take 13 MB, with ratings 18 MB

_BOOKS, _INDEX = "books.jsonl", "index"


@dataclass(frozen=True, slots=True)
class Shelf:
    """The books of a library by id, their index, and their vectors (`tastes.learn`), all in the same order.

    The passages of the index are the books' documents. Without ratings, the vectors have no dimensions.
    """

    books: Mapping[str, Book]
    index: Bm25Index
    tastes: "np.ndarray"


def open_shelf(source: str | Path | None = None) -> Shelf:
    """Open a library (`read_books`); None opens the bundled one. The first call indexes it and learns from its ratings.

    A file of books may have a file of vectors that were learned before (`tastes_file`). Raises as `read_books` does, and
    `InputError` if the vectors belong to other books. For the bundled library, this is a `FallbackWarning`, and the shelf then
    has no vectors.
    """
    path = starter_file() if source is None else Path(source)
    folder = _kept(path)
    if folder is not None:
        with suppress(RagqaError, OSError):
            return _open(folder)
    books = read_books(path)
    try:
        shelf = make_shelf(books, _learned(path, books))
    except InputError as error:
        if path != starter_file():
            raise
        warn_of_fallback(f"{error.flaw}, so recommendations do not use ratings; install ragqa again")
        return make_shelf(books)  # not cached, because the next start must warn too
    if folder is not None:
        _keep(shelf, folder)
    return shelf


def make_shelf(books: Mapping[str, Book], tastes: "np.ndarray | None" = None) -> Shelf:
    """Index books; without `tastes`, the vectors have no dimensions."""
    index = Bm25Index.build(Passage(book.id, "", text=document(book)) for book in books.values())
    return Shelf(books, index, learn((), books) if tastes is None else tastes)


def _keep(shelf: Shelf, folder: Path) -> None:
    """Save a shelf in the cache folder; warn if that fails."""
    try:
        write_json_lines(folder / _BOOKS, shelf.books.values())
        write_tastes(tastes_file(folder / _BOOKS), shelf.tastes, shelf.books.values())
        with suppress(IndexStoreError):  # another process is saving it right now
            shelf.index.save(folder / _INDEX)
    except (InputError, OSError) as error:
        warn_without_cache(error)
    else:
        _remove_old(folder)


def _learned(path: Path, books: Mapping[str, Book]) -> "np.ndarray":
    learned = tastes_file(path)
    if path == starter_file() or (path.is_file() and learned.is_file()):
        return read_tastes(learned, books.values())
    return learn(read_rated(path, books), books)


def _open(folder: Path) -> Shelf:
    index = Bm25Index.open(folder / _INDEX)
    books = {book.id: book for book in read_json_lines(folder / _BOOKS, Book)}
    if len(books) != len(index.passages):
        raise IndexStoreError(f"{folder} holds other books than its index")
    tastes = read_tastes(tastes_file(folder / _BOOKS), books.values())
    with suppress(OSError):  # it belongs to another user
        folder.touch()
    return Shelf(books, index, tastes)


def _kept(path: Path) -> Path | None:
    """Return the cache folder of a library, by a hash of its files; None without a library or a home folder."""
    files = library_files(path)
    contents = [(file.name, sha256(file)) for file in files]
    key = hashlib.sha256(repr([SHELF_VERSION, build_version(), contents]).encode())
    try:
        return cache_folder() / "books" / key.hexdigest()[:32] if files else None
    except RuntimeError as error:
        warn_without_cache(error)
        return None


def _remove_old(folder: Path) -> None:
    """Remove the cached shelves that were used longest ago. Foreign files stay."""
    with suppress(OSError):
        others = [other for other in folder.parent.iterdir() if other != folder and holds_index(other / _INDEX)]
        for old in used_longest_ago(others, keep=KEPT - 1):
            for path in (old / _BOOKS, tastes_file(old / _BOOKS)):
                path.unlink(missing_ok=True)
            remove_index(old / _INDEX)
            old.rmdir()
