"""Books to rank for a reader: some the reader liked, others the reader did not pick or did not like.

Four kinds of others, each a sense in which a book is the wrong one:

- `disliked`: the reader gave it one or two stars,
- `similar`: not rated, of those BM25 finds for the reader's query; the first are passed over, the reader may well like them,
- `popular`: not rated, drawn as often as other readers have rated it, so that popularity alone is no reason to rank it low,
- `any`: not rated, any book of the library.

No candidate is a favourite, and none an unrated edition of a book that the reader rated. Popularity is the number of training
readers who rated a book.
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
SKIP, DEPTH = 50, 200  # of what BM25 finds: of the first ten readers like a quarter, of the first fifty a seventh


@dataclass(frozen=True, slots=True)
class Candidates:
    """What is to be ranked for a reader, in no telling order: `liked` and `others`."""

    profile: Profile
    query: str
    liked: tuple[Book, ...]
    others: tuple[Book, ...]


@dataclass(frozen=True)
class Source:
    """A library and the readers whose ratings may be known."""

    library: Library
    known: Sequence[str]
    stars: int = 4  # of a liked book at least
    seed: int = 42

    @cached_property
    def popularity(self) -> Mapping[str, int]:
        """By book id the number of known readers who rated it."""
        return Counter(book for reader in self.known for book in self.library.ratings[reader])

    @cached_property
    def ladder(self) -> Sequence[Book]:
        """The books, the least popular first; equally popular ones by their ratings elsewhere."""
        books = self.library.books.values()
        return sorted(books, key=lambda book: (self.popularity.get(book.id, 0), book.ratings_count, book.id))

    @cached_property
    def rungs(self) -> Mapping[str, int]:
        """The places on the ladder by book id."""
        return {book.id: place for place, book in enumerate(self.ladder)}

    @cached_property
    def index(self) -> Bm25Index:
        """The books' documents."""
        books = self.library.books.values()
        return Bm25Index.build(Passage(book.id, "", text=document(book)) for book in books)

    @cached_property
    def _weights(self) -> list[int]:
        return list(accumulate(self.popularity.get(book.id, 0) for book in self.ladder))

    @cached_property
    def _shares(self) -> Mapping[str, float]:
        return genre_shares(self.library.books.values())

    def query(self, profile: Profile) -> str:
        """The profile's query."""
        return query(profile.favourites, self._shares)

    def liked(self, profile: Profile) -> list[Book]:
        """The books the reader liked, without the favourites and other editions of them."""
        works = {book.work for book in profile.favourites}
        stars = self.library.ratings[profile.reader]
        rated = (self.library.books[book] for book, rating in stars.items() if rating >= self.stars)
        return list({book.work: book for book in rated if book.work not in works}.values())

    def works(self, reader: str, least: int = 1) -> set[str]:
        """The works that the reader gave so many stars."""
        stars = self.library.ratings[reader]
        return {self.library.books[book].work for book, rating in stars.items() if rating >= least}

    def others(self, kind: str, profile: Profile, rng: random.Random) -> Iterator[Book]:
        """Books of one kind of others, in random order; any but the disliked ones may come again and again."""
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
        for _ in range(20 * len(self.ladder)):  # a reader may have rated them all
            yield self.ladder[bisect(weights, rng.random() * weights[-1])]

    def near(self, book: Book, reader: str, rng: random.Random) -> Iterator[Book]:
        """Unrated books about as popular: in random order from ever wider stretches of the ladder around the book."""
        place, rated, seen = self.rungs[book.id], self.works(reader), set[str]()
        reach = 10 + (len(self.ladder) - place) // 10
        while len(seen) < len(self.ladder):
            stretch = [b for b in self.ladder[max(0, place - reach) : place + reach + 1] if b.id not in seen]
            yield from (b for b in rng.sample(stretch, len(stretch)) if b.work not in rated)
            seen.update(b.id for b in stretch)
            reach *= 2


def draw(source: Source, profile: Profile, liked: int, others: int, shares: Sequence[float]) -> Candidates:
    """At most `liked` liked books and others in proportion, of `KINDS` by their shares; where one has none left, of any."""
    rng = keyed_random(source.seed, "candidates", profile.reader, [book.id for book in profile.favourites])
    chosen = _some(source.liked(profile), liked, rng)
    offered = {kind: source.others(kind, profile, rng) for kind in KINDS}
    drawn: dict[str, Book] = {}
    for kind in rng.choices(KINDS, shares, k=round(len(chosen) * others / liked)):
        if not _take(offered[kind], drawn):
            _take(offered["any"], drawn)
    return Candidates(profile, source.query(profile), chosen, tuple(drawn.values()))


def draw_matched(source: Source, profile: Profile, liked: int, others: int) -> Candidates:
    """The same with unrated others only, drawn for each liked book in turn from the books about as popular."""
    rng = keyed_random(source.seed, "matched", profile.reader, [book.id for book in profile.favourites])
    chosen = _some(source.liked(profile), liked, rng)
    offered = [source.near(book, profile.reader, rng) for book in chosen]
    drawn: dict[str, Book] = {}
    for number in range(round(len(chosen) * others / liked)):
        _take(offered[number % len(offered)], drawn)
    return Candidates(profile, source.query(profile), chosen, tuple(drawn.values()))


def _some(books: Sequence[Book], most: int, rng: random.Random) -> tuple[Book, ...]:
    return tuple(rng.sample(books, min(most, len(books))))


def _take(offered: Iterator[Book], drawn: dict[str, Book]) -> bool:
    """Add the first book on offer whose work is not among the drawn; whether there was one."""
    book = next((book for book in offered if book.work not in drawn), None)
    if book is not None:
        drawn[book.work] = book
    return book is not None
