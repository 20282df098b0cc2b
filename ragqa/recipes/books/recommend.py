"""Books for a reader who names a few favourites: what may suit is found among all of a library, the reranker orders it.

Found by what costs little, its likelihood: how many have rated a book, how much its genres are the favourites', and BM25 of its
document for the reader's query, each standardized over the library. Where a library has ratings (`tastes`), it is half of that
and how many readers a book shares with the favourites. The final score is the reranker's logit plus a share of the likelihood.
The weights and the number of candidates were chosen on readers to tune on (benchmarks/README.md).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from ragqa.errors import InputError
from ragqa.models.reranker import Reranker
from ragqa.recipes.books.genres import GENRES, genres_of_shelf
from ragqa.recipes.books.library import Book, document
from ragqa.recipes.books.readers import common_genres, enumerate_names, genre_shares, tell
from ragqa.recipes.books.shelf import Shelf, open_shelf
from ragqa.recipes.books.titles import Titles, is_edition, opening_parts, series_of

if TYPE_CHECKING:
    import numpy as np

BUNDLED = Path(__file__).parent / "reranker"
CANDIDATES = 20
MOST_FAVOURITES = 10
SHARED = 0.02  # of the books of a library: those that are told to share readers with a favourite


@dataclass(frozen=True, slots=True)
class Weights:
    """Of what makes a book likely: `genres` and `bm25` beside 1 of popularity, `otherwise` of these three beside 1 of readers.

    `likelihood` is that of the whole beside 1 of the reranker's logit.
    """

    genres: float = 0.6
    bm25: float = 0.4
    otherwise: float = 0.5
    likelihood: float = 0.6


WEIGHTS = Weights()


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A book for a reader: `score` is the final one, unbounded; `reasons` say what it shares with the favourites."""

    book: Book
    score: float
    reasons: tuple[str, ...]


class Recommender:
    """Finds books for readers. Safe to share between threads."""

    def __init__(
        self, shelf: Shelf, reranker: Reranker, *, candidates: int = CANDIDATES, weights: Weights = WEIGHTS
    ) -> None:
        """`candidates`, 1 or more, are reranked, more if more books are asked for."""
        if candidates < 1:
            raise InputError(f"candidates is {candidates}; at least 1 is needed")
        self.books: Mapping[str, Book] = shelf.books
        self.candidates = candidates
        self._index, self._reranker, self._weights = shelf.index, reranker, weights
        self._all = tuple(shelf.books.values())
        self._places = {book.id: place for place, book in enumerate(self._all)}
        self._titles = Titles(self._all)
        self._openings = opening_parts(self._all)
        self._shares = genre_shares(self._all)
        self._genres = _GenreVectors(self._all, self._shares)
        self._tastes = shelf.tastes
        self._rated: np.ndarray = (shelf.tastes != 0).any(axis=1)
        self._popularity = _standardize(_logarithms(self._all))

    @classmethod
    def open(
        cls, library: str | Path | None = None, *, reranker: str | Path | None = None, candidates: int = CANDIDATES
    ) -> "Recommender":
        """Open a library, a JSON Lines file or a folder of goodbooks-10k (`read_books`), or the starter library.

        `reranker` is the folder of a model, the recipe's own if not given. Raises `InputError` and `ModelError`.
        """
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as beside:
            loading = beside.submit(Reranker.load, BUNDLED if reranker is None else reranker)
            shelf = open_shelf(library)
            return cls(shelf, loading.result(), candidates=candidates)

    def find(self, title: str) -> Book:
        """The book that somebody means by a title (`Titles.find`)."""
        return self._titles.find(title)

    def genres(self, favourites: Sequence[Book], names: Iterable[str] = ()) -> list[str]:
        """The genres that these names stand for, or without names the ones common to the favourites."""
        known = dict.fromkeys(genre for name in names for genre in self._genres_named(name))
        return list(known) or common_genres(favourites, self._shares)

    def _genres_named(self, name: str) -> list[str]:
        found = sorted(genres_of_shelf(name) or {name.casefold().strip()} & self._shares.keys())
        if not found:
            near = get_close_matches(name.casefold(), GENRES, n=3) or GENRES[:10]
            raise InputError(f"there is no genre {name[:40]!r}; there are {', '.join(near)} and others")
        return found

    def recommend(
        self,
        favorites: Sequence[str | Book],
        genres: Iterable[str] = (),
        k: int = 10,
        *,
        same_series: bool = False,
    ) -> list[Recommendation]:
        """At most `k` books for a reader of these favourites, best first, ties by id.

        With `genres`, every book is of one of them at least.
        Editions of the favourites are left out, of other books one is named. Other parts of the favourites' series are left
        out and of any other series the first is named, unless `same_series`. Three favourites are what the reranker has learned
        from. Raises `InputError` for a title that is unknown or may be several books, for an unknown genre, and for numbers
        that make no sense.
        """
        favourites = [self.find(book) if isinstance(book, str) else book for book in favorites]
        favourites = list({book.work: book for book in favourites}.values())
        if not 1 <= len(favourites) <= MOST_FAVOURITES:
            raise InputError(f"{len(favourites)} favourites are given; from 1 to {MOST_FAVOURITES} are needed")
        if k < 1:
            raise InputError(f"k is {k}; at least 1 is needed")
        genres = list(genres)
        asked = self.genres(favourites, genres)
        query = tell(favourites, asked)
        likelihoods = self._likelihoods(favourites, asked)
        wanted = asked if genres else ()
        books = self._choose(likelihoods, favourites, max(k, self.candidates), same_series, wanted)
        scores = self._scores(query, likelihoods, books)
        ranked = sorted(zip(books, scores.tolist(), strict=True), key=lambda scored: (-scored[1], scored[0].id))[:k]
        sharing = {favourite.id: self._sharing(favourite) for favourite in favourites}
        return [
            Recommendation(book, score, tuple(self._reasons(book, favourites, asked, sharing)))
            for book, score in ranked
        ]

    def score(self, favourites: Sequence[Book], books: Sequence[Book]) -> "np.ndarray":
        """The final scores, by which `recommend` ranks, of books of the library for a reader of these favourites."""
        asked = self.genres(favourites)
        return self._scores(tell(favourites, asked), self._likelihoods(favourites, asked), books)

    def find_candidates(self, favourites: Sequence[Book]) -> list[Book]:
        """The books that `recommend` reranks for these favourites, the likeliest first."""
        likelihoods = self._likelihoods(favourites, self.genres(favourites))
        return self._choose(likelihoods, favourites, self.candidates, same_series=False)

    def _scores(self, query: str, likelihoods: "np.ndarray", books: Sequence[Book]) -> "np.ndarray":
        logits = self._reranker.score(query, [document(book) for book in books])
        scores: np.ndarray = logits + self._weights.likelihood * likelihoods[[self._places[book.id] for book in books]]
        return scores

    def _likelihoods(self, favourites: Sequence[Book], genres: Sequence[str]) -> "np.ndarray":
        likeness, bm25 = self._genres.likeness(favourites, genres), self._index.scores(tell(favourites, genres))
        likelihoods: np.ndarray = self._popularity + self._weights.genres * _standardize(likeness)
        likelihoods += self._weights.bm25 * _standardize(bm25)
        places = [self._places[book.id] for book in favourites if self._is_rated(book)]
        if places:
            shared = _filled(self._tastes @ self._tastes[places].sum(axis=0), self._rated, likelihoods)
            likelihoods = self._weights.otherwise * likelihoods + _standardize(shared)
        return likelihoods

    def _is_rated(self, book: Book) -> bool:
        return book.id in self._places and bool(self._rated[self._places[book.id]])

    def _choose(
        self,
        likelihoods: "np.ndarray",
        favourites: Sequence[Book],
        count: int,
        same_series: bool,
        wanted: Sequence[str] = (),
    ) -> list[Book]:
        likely = (self._all[place] for place in (-likelihoods).argsort(kind="stable").tolist())
        books = likely if same_series else map(self._opening, likely)
        if wanted:
            books = (book for book in books if not set(wanted).isdisjoint(book.genres))
        return choose(books, favourites, count, same_series=same_series)

    def _opening(self, book: Book) -> Book:
        """The first part of the book's series; the book itself if it is in none."""
        return next((self._openings[name] for name in series_of(book.title) if name in self._openings), book)

    def _reasons(
        self, book: Book, favourites: Sequence[Book], genres: Sequence[str], sharing: "Mapping[str, np.ndarray]"
    ) -> Iterable[str]:
        place = self._places[book.id]
        for favourite in favourites:
            if series_of(book.title).keys() & series_of(favourite.title).keys():
                yield f"in the series of {favourite.title}"
            if shared := [author for author in book.authors if author in favourite.authors]:
                yield f"by {enumerate_names(shared)}, as is {favourite.title}"
        if readers := [favourite for favourite in favourites if sharing[favourite.id][place]]:
            yield f"shares readers with {enumerate_names([favourite.title for favourite in readers])}"
        if own := [genre for genre in genres if genre in book.genres]:
            yield enumerate_names(own)
        likeness = [self._genres.between(book, favourite) for favourite in favourites]
        if len(favourites) > 1 and max(likeness) > 0:
            yield f"most like {favourites[likeness.index(max(likeness))].title}"

    def _sharing(self, favourite: Book) -> "np.ndarray":
        """Which books are among the few that share the most readers with a favourite: booleans, shape (books,)."""
        import numpy as np

        if not self._is_rated(favourite):
            return np.zeros(len(self._all), dtype=bool)
        shared = self._tastes @ self._tastes[self._places[favourite.id]]
        ahead = len(shared) - np.searchsorted(np.sort(shared), shared, side="right")
        sharing: np.ndarray = self._rated & (ahead / len(shared) < SHARED)
        return sharing


class _GenreVectors:
    """Books as unit vectors of their genres, of which the rare ones count more."""

    def __init__(self, books: Sequence[Book], shares: Mapping[str, float]) -> None:
        import numpy as np

        self._column = {genre: column for column, genre in enumerate(sorted(shares))}
        self._weights = np.sqrt([-np.log(shares[genre]) for genre in self._column])
        self._vectors = np.array([self.vector(book.genres) for book in books])

    def vector(self, genres: Iterable[str]) -> "np.ndarray":
        """The unit vector of genres, zero where none is known: shape (genres,)."""
        import numpy as np

        vector = np.zeros(len(self._column), dtype=np.float32)
        columns = [self._column[genre] for genre in genres if genre in self._column]
        vector[columns] = self._weights[columns]
        return vector / max(float(np.linalg.norm(vector)), 1e-9)

    def between(self, book: Book, other: Book) -> float:
        """How much the genres of two books are alike, 0 to 1."""
        return float(self.vector(book.genres) @ self.vector(other.genres))

    def likeness(self, favourites: Sequence[Book], genres: Sequence[str]) -> "np.ndarray":
        """How much the books' genres are like the favourites' and those, in the order of the books: 0 to 1."""
        wanted = [self.vector(named) for named in (*(book.genres for book in favourites), genres) if named]
        mean: np.ndarray = self._vectors @ (sum(wanted, self.vector(())) / max(1, len(wanted)))
        return mean


def choose(books: Iterable[Book], favourites: Sequence[Book], count: int, *, same_series: bool = False) -> list[Book]:
    """The first `count` of the books that are neither editions of favourites nor of each other.

    Unless `same_series`, no two are parts of one series, and none of a favourite's.
    """
    chosen: list[Book] = []
    works = {book.work for book in favourites}
    series = {name for book in favourites for name in series_of(book.title)}
    for book in books:
        own = series_of(book.title).keys()
        part = not own.isdisjoint(series)
        if book.work in works or (part and not same_series):
            continue
        if not part and any(is_edition(book, favourite) for favourite in favourites):
            continue
        chosen.append(book)
        if len(chosen) == count:
            break
        works.add(book.work)
        series |= own
    return chosen


def _filled(shared: "np.ndarray", rated: "np.ndarray", likelihoods: "np.ndarray") -> "np.ndarray":
    """The same with what the likelihood lets expect of the books that nobody has rated, by the line nearest to the others."""
    import numpy as np

    both = np.column_stack((np.ones_like(likelihoods), likelihoods))
    line = np.linalg.lstsq(both[rated], shared[rated])[0]
    filled: np.ndarray = np.where(rated, shared, both @ line)
    return filled


def _logarithms(books: Sequence[Book]) -> "np.ndarray":
    import numpy as np

    return np.log1p(np.array([book.ratings_count for book in books], dtype=np.float32))


def _standardize(values: "np.ndarray") -> "np.ndarray":
    """The same with mean 0 and deviation 1; zeros where all are equal."""
    spread = float(values.std())
    standardized: np.ndarray = (values - values.mean()) / (spread or 1.0)
    return standardized
