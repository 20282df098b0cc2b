"""Readers in, their splits, favourites and queries out. Queries have the format of the published book reranker."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ragqa.recipes.books.library import Book, Library

DISLIKED = 2  # most stars of a disliked book, of 5
FAVOURITES = 3
MOST_GENRES = 3
MOST_AUTHORS = 3  # named for one favourite; an anthology has dozens


@dataclass(frozen=True, slots=True)
class Profile:
    """Favourites of a reader."""

    reader: str
    favourites: tuple[Book, ...]


def split_readers(library: Library, parts: Sequence[float], seed: int) -> dict[str, list[str]]:
    """Return the readers by split. The split of a reader depends only on the reader's id and the seed."""
    from ragqa.training.dataset import SPLITS, keyed_random

    readers: dict[str, list[str]] = {split: [] for split in SPLITS}
    for reader in library.ratings:
        place = keyed_random(seed, "split", reader).random() * sum(parts)
        train, evaluation, _ = parts
        readers[SPLITS[0 if place < train else 1 if place < train + evaluation else 2]].append(reader)
    return readers


def profiles(library: Library, reader: str, count: int, seed: int) -> list[Profile]:
    """Return at most `count` profiles with different favourites, drawn from the reader's best-rated books.

    These are the books with 5 stars, or those with 4 and 5 if fewer than three have 5. If there are still fewer than three,
    there are no profiles.
    """
    from ragqa.training.dataset import keyed_random

    stars = library.ratings[reader]
    best = _works(library, [book for book, rating in stars.items() if rating == 5])
    if len(best) < FAVOURITES:
        best = _works(library, [book for book, rating in stars.items() if rating >= 4])
    if len(best) < FAVOURITES:
        return []
    rng = keyed_random(seed, "favourites", reader)
    drawn: dict[frozenset[str], Profile] = {}
    for _ in range(2 * count):  # a reader with few favourites has few profiles
        favourites = tuple(rng.sample(best, FAVOURITES))
        drawn.setdefault(frozenset(book.id for book in favourites), Profile(reader, favourites))
    return list(drawn.values())[:count]


def _works(library: Library, books: Sequence[str]) -> list[Book]:
    """Return the books, one edition of each work."""
    return list({library.books[book].work: library.books[book] for book in books}.values())


def query(favourites: Sequence[Book], shares: Mapping[str, float]) -> str:
    """Return the query of a reader with these favourites; `shares` is the fraction of books by genre (`genre_shares`)."""
    return tell(favourites, common_genres(favourites, shares))


def tell(favourites: Sequence[Book], genres: Sequence[str]) -> str:
    """Return the query of a reader with these favourites and genres."""
    books = enumerate_names([f"{book.title} by {' and '.join(book.authors[:MOST_AUTHORS])}" for book in favourites])
    return f"Favorite books: {books}." + (f" Favorite genres: {enumerate_names(genres)}." if genres else "")


def common_genres(books: Sequence[Book], shares: Mapping[str, float]) -> list[str]:
    """Return at most three genres that most of the books share, most frequent first; ties by rarity, then by name.

    A genre must occur in two books, unless no genre does.
    """
    counts = Counter(genre for book in books for genre in book.genres)
    least = min(2, max(counts.values(), default=0))
    shared = [genre for genre, count in counts.items() if count >= least]
    return sorted(shared, key=lambda genre: (-counts[genre], shares.get(genre, 0.0), genre))[:MOST_GENRES]


def genre_shares(books: Collection[Book]) -> dict[str, float]:
    """Return the fraction of the books that have each genre."""
    counts = Counter(genre for book in books for genre in book.genres)
    return {genre: count / len(books) for genre, count in counts.items()}


def enumerate_names(names: Sequence[str]) -> str:
    """Join names as in `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
