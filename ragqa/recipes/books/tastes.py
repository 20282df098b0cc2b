"""Ratings in, a vector for each book out: two books have a large dot product if the same readers rated them.

The vectors are a truncated singular value decomposition of a matrix of readers and books. An entry is 0 if the reader did not
rate the book. Otherwise it is 1, whatever the stars, divided by the square roots of the number of the reader's books and of the
number of the book's readers plus `SHRINKAGE`. The shrinkage makes a book with few ratings similar to no other. Books without
ratings have vectors of zeros.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ragqa.errors import InputError
from ragqa.recipes.books.library import Book, Library
from ragqa.recipes.books.titles import Titles, without_series
from ragqa.storage.files import read_array, replace_file, text_hash

if TYPE_CHECKING:
    import numpy as np

RANK = 128
SHRINKAGE = 5
_BESIDE = 32  # extra dimensions of the iteration, dropped at the end
_ROUNDS = 3
_AT_ONCE = 50_000  # ratings summed at once, about 30 MB
_SEED = 42
_REMEDY = "learn it again, or remove it"
_BOOK, _VECTOR = "book", "vector"  # the fields of a row in a file


def learn(ratings: Iterable[tuple[str, str]], books: Collection[str], rank: int = RANK) -> "np.ndarray":
    """Learn vectors from pairs of reader and book, in any order: float32, shape (books, rank), in the order of the books.

    Pairs with unknown books are ignored. There are at most as many dimensions as rated books, and none without ratings.
    """
    import numpy as np

    readers, rated = _numbers(ratings, books)
    known, columns, counts = np.unique(rated, return_inverse=True, return_counts=True)
    values = ((np.bincount(readers)[readers] * (counts[columns] + SHRINKAGE)) ** -0.5).astype(np.float32)
    by_book = np.argsort(columns, kind="stable")

    def apply(vectors: "np.ndarray") -> "np.ndarray":
        """Multiply vectors by the matrix and its transpose."""
        of_readers = _sums(vectors, columns, values, readers)
        return _sums(of_readers, readers[by_book], values[by_book], columns[by_book])

    size = len(known), min(rank + _BESIDE, len(known))
    basis = np.random.default_rng(_SEED).standard_normal(size, dtype=np.float32)
    for _ in range(_ROUNDS):
        basis, _ = np.linalg.qr(apply(basis))
    squares, turns = np.linalg.eigh(basis.T @ apply(basis))  # the smallest first
    vectors = np.zeros((len(books), min(rank, len(known))), dtype=np.float32)
    vectors[known] = (basis @ turns * np.sqrt(np.maximum(squares, 0)))[:, ::-1][:, :rank]
    return vectors


def learn_for(books: Mapping[str, Book], library: Library, readers: Iterable[str]) -> "np.ndarray":
    """Learn vectors for books, in their order, from ratings in another library. Ratings of all editions of a work count."""
    same = counterparts(books, library)
    return learn(((reader, same.get(book, "")) for reader in readers for book in library.ratings[reader]), books)


def counterparts(books: Mapping[str, Book], library: Library) -> dict[str, str]:
    """Return ids of `books` by the ids of the same works in another library, found by title and author."""
    titles = Titles(library.books.values())
    own: dict[str, str] = {}
    for book in books.values():
        with suppress(InputError):  # the other library lacks it, or has several with this title
            own.setdefault(titles.find(f"{without_series(book.title)} by {book.authors[0]}").work, book.id)
    return {book.id: own[book.work] for book in library.books.values() if book.work in own}


def read_tastes(path: Path, books: Collection[Book]) -> "np.ndarray":
    """Read vectors, as float32, in the order of the books.

    Raises `InputError` if the file does not hold a vector for each of them. Older files are plain arrays without a hash of the
    book in each row; only their number of rows is checked.
    """
    import numpy as np

    try:
        array = read_array(path)
    except Exception as error:  # numpy parses the header as Python, which can fail in many ways
        raise InputError(f"{path} is not a file of vectors: {error}") from error
    named = array.dtype.names == (_BOOK, _VECTOR)
    vectors = array[_VECTOR] if named else array
    if vectors.dtype.kind != "f" or vectors.ndim != 2 or len(vectors) != len(books) or not np.isfinite(vectors).all():
        raise InputError(f"{path} does not hold a vector for each of {len(books)} books", _REMEDY)
    keys = array[_BOOK].tolist() if named else [_key(book) for book in books]
    if other := next((book.title for book, key in zip(books, keys, strict=True) if key != _key(book)), ""):
        raise InputError(f"{path} holds the vector of another book for {other!r}", _REMEDY)
    return vectors.astype(np.float32, order="C")


def write_tastes(path: Path, vectors: "np.ndarray", books: Collection[Book]) -> None:
    """Write vectors, each with a hash of its book's title and authors."""
    import numpy as np

    rows = np.empty(len(books), dtype=[(_BOOK, "S12"), (_VECTOR, vectors.dtype, vectors.shape[1:])])
    rows[_BOOK] = [_key(book) for book in books]
    rows[_VECTOR] = vectors
    with replace_file(path) as file:
        np.save(file, rows)


def _key(book: Book) -> bytes:
    """Return a hash of the fields by which `learn_for` finds the ratings of a book. Other fields may change."""
    return text_hash("\n".join((book.title, *book.authors))).encode()


def _numbers(ratings: Iterable[tuple[str, str]], books: Collection[str]) -> tuple["np.ndarray", "np.ndarray"]:
    """Return reader numbers from 0 and positions of the books they rated, sorted by reader, without duplicates."""
    import numpy as np

    places = {book: place for place, book in enumerate(books)}
    numbers: dict[str, int] = {}
    pairs = (
        numbers.setdefault(reader, len(numbers)) * len(places) + places[book]
        for reader, book in ratings
        if book in places
    )
    readers, rated = np.divmod(np.unique(np.fromiter(pairs, dtype=np.int64)), max(1, len(places)))
    return readers, rated


def _sums(vectors: "np.ndarray", places: "np.ndarray", values: "np.ndarray", groups: "np.ndarray") -> "np.ndarray":
    """Sum `vectors[places] * values` within each group. `groups` is sorted and has no gaps."""
    import numpy as np

    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    cuts = np.unique([*np.searchsorted(starts, np.arange(0, len(groups), _AT_ONCE)), len(starts)])
    sums = np.empty((len(starts), vectors.shape[1]), dtype=np.float32)
    for first, last in pairwise(cuts.tolist()):
        own = slice(starts[first], starts[last] if last < len(starts) else len(groups))
        sums[first:last] = np.add.reduceat(vectors[places[own]] * values[own, None], starts[first:last] - starts[first])
    return sums
