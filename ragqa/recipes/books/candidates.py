"""Books to rank for a reader: some that the reader liked, and others that the reader disliked or did not rate.

There are four kinds of other books:

- `disliked`: rated with one or two stars,
- `similar`: not rated, and found by BM25 for the reader's query; the first hits are skipped, since the reader may like them,
- `popular`: not rated, and drawn in proportion to its popularity, so that popularity alone does not mark a liked book,
- `any`: not rated, drawn uniformly from the library.

No candidate is a favourite or an unrated edition of a book that the reader rated. The popularity of a book is the number of
training readers who rated it.
"""

import random
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from ragqa.index.bm25 import Bm25Index
from ragqa.recipes.books.library import Book, Library, document
from ragqa.recipes.books.readers import DISLIKED, Profile, genre_shares, query
from ragqa.records import Passage
from ragqa.training.dataset import keyed_random

KINDS = ("disliked", "similar", "popular", "any")
SKIP, DEPTH = 50, 200  # hits of BM25: readers like a quarter of the first ten and a seventh of the first fifty


@dataclass(frozen=True, slots=True)
class Candidates:
    """Books to rank for a reader, `liked` and `others`. Their order says nothing about relevance."""

    profile: Profile
    query: str
    liked: tuple[Book, ...]
    others: tuple[Book, ...]


@dataclass(frozen=True)
class Source:
    """A library, and the readers whose ratings may be used."""

    library: Library
    known: Sequence[str]
    stars: int = 4  # least number for a liked book
    seed: int = 42

    @cached_property
    def popularity(self) -> Mapping[str, int]:
        """Number of known readers who rated a book, by book id."""
        return Counter(book for reader in self.known for book in self.library.ratings[reader])

    @cached_property
    def ladder(self) -> Sequence[Book]:
        """The books from least to most popular; ties by `ratings_count`, then by id."""
        books = self.library.books.values()
        return sorted(books, key=lambda book: (self.popularity.get(book.id, 0), book.ratings_count, book.id))

    @cached_property
    def rungs(self) -> Mapping[str, int]:
        """Position on the ladder by book id."""
        return {book.id: place for place, book in enumerate(self.ladder)}

    @cached_property
    def index(self) -> Bm25Index:
        """BM25 index of the books' documents."""
        books = self.library.books.values()
        return Bm25Index.build(Passage(book.id, "", text=document(book)) for book in books)

    @cached_property
    def _weights(self) -> list[int]:
        return list(accumulate(self.popularity.get(book.id, 0) for book in self.ladder))

    @cached_property
    def _shares(self) -> Mapping[str, float]:
        return genre_shares(self.library.books.values())

    def query(self, profile: Profile) -> str:
        """Return the query of a profile."""
        return query(profile.favourites, self._shares)

    def liked(self, profile: Profile) -> list[Book]:
        """Return the books that the reader liked, without the favourites and their other editions."""
        works = {book.work for book in profile.favourites}
        stars = self.library.ratings[profile.reader]
        rated = (self.library.books[book] for book, rating in stars.items() if rating >= self.stars)
        return list({book.work: book for book in rated if book.work not in works}.values())

    def works(self, reader: str, least: int = 1) -> set[str]:
        """Return the works that the reader gave at least `least` stars."""
        stars = self.library.ratings[reader]
        return {self.library.books[book].work for book, rating in stars.items() if rating >= least}

    def others(self, kind: str, profile: Profile, rng: random.Random) -> Iterator[Book]:
        """Yield books of one kind in random order. Books of all kinds but `disliked` and `similar` may repeat."""
        books, stars = self.library.books, self.library.ratings[profile.reader]
        if kind == "disliked":
            found = [books[book] for book, rating in stars.items() if rating <= DISLIKED]
            better = self.works(profile.reader, DISLIKED + 1)
            yield from (book for book in rng.sample(found, len(found)) if book.work not in better)
        else:
            rated = self.works(profile.reader)
            drawn = self._similar(profile, rng) if kind == "similar" else self._drawn(kind == "popular", rng)
            yield from (book for book in drawn if book.work not in rated)

    def _similar(self, profile: Profile, rng: random.Random) -> Iterator[Book]:
        hits = self.index.search(self.query(profile), DEPTH)[SKIP:]
        yield from (self.library.books[hit.id] for hit, _ in rng.sample(hits, len(hits)))

    def _drawn(self, by_popularity: bool, rng: random.Random) -> Iterator[Book]:
        weights = self._weights if by_popularity else range(1, len(self.ladder) + 1)
        for _ in range(20 * len(self.ladder)):  # ends even if the reader has rated every book
            yield self.ladder[bisect(weights, rng.random() * weights[-1])]

    def near(self, book: Book, reader: str, rng: random.Random) -> Iterator[Book]:
        """Yield unrated books of similar popularity, in random order from growing ranges of the ladder around the book."""
        place, rated, seen = self.rungs[book.id], self.works(reader), set[str]()
        reach = 10 + (len(self.ladder) - place) // 10
        while len(seen) < len(self.ladder):
            stretch = [b for b in self.ladder[max(0, place - reach) : place + reach + 1] if b.id not in seen]
            yield from (b for b in rng.sample(stretch, len(stretch)) if b.work not in rated)
            seen.update(b.id for b in stretch)
            reach *= 2


def draw(source: Source, profile: Profile, liked: int, others: int, shares: Sequence[float]) -> Candidates:
    """Draw at most `liked` liked books, and other books in proportion: `KINDS` by their shares, `any` if a kind runs out."""
    rng = keyed_random(source.seed, "candidates", profile.reader, [book.id for book in profile.favourites])
    chosen = _some(source.liked(profile), liked, rng)
    offered = {kind: source.others(kind, profile, rng) for kind in KINDS}
    drawn: dict[str, Book] = {}
    for kind in rng.choices(KINDS, shares, k=round(len(chosen) * others / liked)):
        if not _take(offered[kind], drawn):
            _take(offered["any"], drawn)
    return Candidates(profile, source.query(profile), chosen, tuple(drawn.values()))


def draw_matched(source: Source, profile: Profile, liked: int, others: int) -> Candidates:
    """Draw as `draw` does, but take only unrated others, for each liked book in turn from books of similar popularity."""
    rng = keyed_random(source.seed, "matched", profile.reader, [book.id for book in profile.favourites])
    chosen = _some(source.liked(profile), liked, rng)
    offered = [source.near(book, profile.reader, rng) for book in chosen]
    drawn: dict[str, Book] = {}
    for number in range(round(len(chosen) * others / liked)):
        _take(offered[number % len(offered)], drawn)
    return Candidates(profile, source.query(profile), chosen, tuple(drawn.values()))


def draw_rated(source: Source, profile: Profile, liked: int, others: int) -> Candidates:
    """Draw only books that the reader rated: others below `source.stars`, at most `others`, and liked books in proportion."""
    rng = keyed_random(source.seed, "rated", profile.reader, [book.id for book in profile.favourites])
    stars = source.library.ratings[profile.reader]
    better = source.works(profile.reader, source.stars) | {book.work for book in profile.favourites}
    rated = (source.library.books[book] for book, rating in stars.items() if rating < source.stars)
    rest = _some(list({book.work: book for book in rated if book.work not in better}.values()), others, rng)
    chosen = _some(source.liked(profile), round(len(rest) * liked / others), rng)
    return Candidates(profile, source.query(profile), chosen, rest)


def _some(books: Sequence[Book], most: int, rng: random.Random) -> tuple[Book, ...]:
    return tuple(rng.sample(books, min(most, len(books))))


def _take(offered: Iterator[Book], drawn: dict[str, Book]) -> bool:
    """Add the first offered book whose work has not been drawn yet. Return False if there is none."""
    book = next((book for book in offered if book.work not in drawn), None)
    if book is not None:
        drawn[book.work] = book
    return book is not None
