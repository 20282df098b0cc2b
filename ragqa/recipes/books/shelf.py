"""A library ready to be searched: books, BM25 index and what ratings tell, kept in the cache folder for the next start."""

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

SHELF_VERSION = 1  # raise with every change of what is kept for the same library: books, their documents, their tastes
KEPT = 4  # libraries in the cache folder; one of 10,000 books takes 13 MB, with ratings 18

_BOOKS, _INDEX = "books.jsonl", "index"


@dataclass(frozen=True, slots=True)
class Shelf:
    """The books of a library by id, their index and their vectors (`tastes.learn`), both in the order of the books.

    The documents are the passages of the index. Without ratings the vectors have no dimensions.
    """

    books: Mapping[str, Book]
    index: Bm25Index
    tastes: "np.ndarray"


def open_shelf(source: str | Path | None = None) -> Shelf:
    """Open a library (`read_books`), the starter library for None; the first call indexes it and learns from its ratings.

    Those of a file of books lie beside it already learned (`tastes_file`), if there are any. Raises as `read_books` does, and
    `InputError` if they are not of these books. For the starter library that is a `FallbackWarning`: it has no tastes then.
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
        warn_of_fallback(f"{error.flaw}, so books are recommended without what readers rated; install ragqa again")
        return make_shelf(books)  # not kept, since the next start must warn too
    if folder is not None:
        _keep(shelf, folder)
    return shelf


def make_shelf(books: Mapping[str, Book], tastes: "np.ndarray | None" = None) -> Shelf:
    """Index books."""
    index = Bm25Index.build(Passage(book.id, "", text=document(book)) for book in books.values())
    return Shelf(books, index, learn((), books) if tastes is None else tastes)


def _keep(shelf: Shelf, folder: Path) -> None:
    """Leave a shelf for the next start; warn if it cannot be left."""
    try:
        write_json_lines(folder / _BOOKS, shelf.books.values())
        write_tastes(tastes_file(folder / _BOOKS), shelf.tastes, shelf.books.values())
        with suppress(IndexStoreError):  # another start is just keeping it
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
        raise IndexStoreError(f"{folder} holds books that were not indexed")
    tastes = read_tastes(tastes_file(folder / _BOOKS), books.values())
    with suppress(OSError):  # another user's
        folder.touch()
    return Shelf(books, index, tastes)


def _kept(path: Path) -> Path | None:
    """Return the cache folder of a library, named after its files; None if there is no library, or the user has no home."""
    files = library_files(path)
    contents = [(file.name, sha256(file)) for file in files]
    key = hashlib.sha256(repr([SHELF_VERSION, build_version(), contents]).encode())
    try:
        return cache_folder() / "books" / key.hexdigest()[:32] if files else None
    except RuntimeError as error:
        warn_without_cache(error)
        return None


def _remove_old(folder: Path) -> None:
    """Remove the kept shelves that were used longest ago, and nothing that is not ours."""
    with suppress(OSError):
        others = [other for other in folder.parent.iterdir() if other != folder and holds_index(other / _INDEX)]
        for old in used_longest_ago(others, keep=KEPT - 1):
            for path in (old / _BOOKS, tastes_file(old / _BOOKS)):
                path.unlink(missing_ok=True)
            remove_index(old / _INDEX)
            old.rmdir()
