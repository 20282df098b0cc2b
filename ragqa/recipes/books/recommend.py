"""A few favourites in, recommended books out: candidates are found in the whole library, then the reranker orders them.

Candidates are found by a cheap score, the likelihood. It is the weighted sum of popularity (number of ratings), likeness of
genres, and BM25 of the book's document for the reader's query, each standardized over the library. If the library has ratings
(`tastes`), this sum counts half, and the readers that a book shares with the favourites are added, halfway between their number
and the cosine, so that books which everybody has read do not lead every list. The final score is the reranker's logit plus the
weighted likelihood. In the bundled library, the reranker reads nothing if a favourite has ratings, because it makes such lists
worse. The weights and the number of candidates were tuned on other readers (benchmarks/books.md).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ragqa.errors import InputError
from ragqa.models.reranker import Reranker
from ragqa.recipes.books.genres import GENRES, genres_of_shelf
from ragqa.recipes.books.library import Book, document, starter_file
from ragqa.recipes.books.readers import MOST_GENRES, common_genres, enumerate_names, genre_shares, tell
from ragqa.recipes.books.shelf import Shelf, open_shelf
from ragqa.recipes.books.titles import Titles, is_edition, opening_parts, series_of, without_series

if TYPE_CHECKING:
    import numpy as np

BUNDLED = Path(__file__).parent / "reranker"
CANDIDATES = 20
MOST_FAVOURITES = 10
SHARED = 10  # so many books are said to share readers with a favourite
LEAST_LIKENESS = 0.4  # least likeness of genres for which a book is said to be like a favourite
NONFICTION = "nonfiction"


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of the parts of a score.

    `genres` and `bm25` are relative to popularity (= 1). `otherwise` is the weight of these three together, relative to shared
    readers (= 1). `likelihood` and `reranker` are the weights of the whole likelihood and of the reranker's logit in the final
    score, `reranker_beside_ratings` that of the logit if a favourite has ratings. If it is 0, the reranker reads nothing.
    `discount` says how shared readers are counted: 0 by their number, which puts books that everybody has read into every list,
    1 by the cosine.
    """

    genres: float = 0.6
    bm25: float = 0.4
    otherwise: float = 0.5
    likelihood: float = 0.6
    reranker: float = 1.0
    reranker_beside_ratings: float = 1.0
    discount: float = 0.5


WEIGHTS = Weights()
STARTER_WEIGHTS = replace(WEIGHTS, reranker_beside_ratings=0.0)  # of the bundled library


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A recommended book. `score` is the final score, unbounded. `reasons` say what it shares with the favourites."""

    book: Book
    score: float
    reasons: tuple[str, ...]


class Recommender:
    """Recommends books. Safe to share between threads."""

    def __init__(
        self,
        shelf: Shelf,
        reranker: Reranker | Callable[[], Reranker],
        *,
        candidates: int = CANDIDATES,
        weights: Weights = WEIGHTS,
    ) -> None:
        """Rerank `candidates` books (at least 1), or more if more recommendations are asked for.

        `reranker` may also be a function that returns it; it is called when the reranker first has something to read.
        """
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
        self._rated: np.ndarray = (shelf.tastes != 0).any(axis=1)
        self._tastes = _discounted(shelf.tastes, weights.discount)
        self._popularity = _standardize(_logarithms(self._all))

    @classmethod
    def open(
        cls, library: str | Path | None = None, *, reranker: str | Path | None = None, candidates: int = CANDIDATES
    ) -> "Recommender":
        """Open a library: a JSON Lines file or a folder of goodbooks-10k (`read_books`); by default the bundled library.

        `reranker` is the folder of a model, by default the bundled one. In the bundled library, the bundled one reads nothing
        if a favourite has ratings (`STARTER_WEIGHTS`), and is loaded when it first reads. Raises `InputError` and `ModelError`.
        """
        from concurrent.futures import ThreadPoolExecutor

        own_library = library is None or Path(library).resolve() == starter_file().resolve()
        own_reranker = reranker is None or Path(reranker).resolve() == BUNDLED.resolve()
        if own_library and own_reranker:
            return cls(open_shelf(), _bundled_reranker, candidates=candidates, weights=STARTER_WEIGHTS)
        with ThreadPoolExecutor(1) as beside:
            loading = beside.submit(Reranker.load, BUNDLED if reranker is None else reranker)
            shelf = open_shelf(library)
            return cls(shelf, loading.result(), candidates=candidates)

    def find(self, title: str) -> Book:
        """Return the book with a title (`Titles.find`)."""
        return self._titles.find(title)

    def genres(self, favourites: Sequence[Book], names: Iterable[str] = ()) -> list[str]:
        """Return the genres with these names; without names, the genres that the favourites share."""
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
        """Return at most `k` books for a reader with these favourites, best first, ties by id.

        With `genres`, every book has at least one of them. Without, if all favourites are non-fiction, or none is, so are the
        books, as far as the library has enough. Editions of the favourites are left out; of another work, one
        edition is returned. Unless `same_series`, other parts of the favourites' series are left out too, and any other series
        is represented by its first part. Three favourites are best, because the reranker was trained on three. Raises
        `InputError` for an unknown or ambiguous title, an unknown genre, no or more than ten favourites, or `k` below 1.
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
        scores = self._scores(favourites, query, likelihoods, books)
        ranked = sorted(zip(books, scores.tolist(), strict=True), key=lambda scored: (-scored[1], scored[0].id))[:k]
        sharing = {favourite.id: self._sharing(favourite) for favourite in favourites}
        return [
            Recommendation(book, score, tuple(self._reasons(book, favourites, asked, sharing)))
            for book, score in ranked
        ]

    def score(self, favourites: Sequence[Book], books: Sequence[Book]) -> "np.ndarray":
        """Return the final scores that `recommend` ranks by, for books of the library: shape (books,)."""
        asked = self.genres(favourites)
        return self._scores(favourites, tell(favourites, asked), self._likelihoods(favourites, asked), books)

    def find_candidates(self, favourites: Sequence[Book]) -> list[Book]:
        """Return the books that `recommend` reranks for these favourites, the likeliest first."""
        likelihoods = self._likelihoods(favourites, self.genres(favourites))
        return self._choose(likelihoods, favourites, self.candidates, same_series=False)

    def _scores(
        self, favourites: Sequence[Book], query: str, likelihoods: "np.ndarray", books: Sequence[Book]
    ) -> "np.ndarray":
        scores: np.ndarray = self._weights.likelihood * likelihoods[[self._places[book.id] for book in books]]
        has_ratings = any(map(self._is_rated, favourites))
        weight = self._weights.reranker_beside_ratings if has_ratings else self._weights.reranker
        if weight:
            reranker = self._reranker if isinstance(self._reranker, Reranker) else self._reranker()
            scores += weight * reranker.score(query, [document(book) for book in books])
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
        books: Iterable[Book] = likely if same_series else map(self._opening, likely)
        if wanted:
            books = (book for book in books if not set(wanted).isdisjoint(book.genres))
        elif len(kinds := {NONFICTION in book.genres for book in favourites}) == 1:
            books = sorted(books, key=lambda book: (NONFICTION in book.genres) not in kinds)
        return choose(books, favourites, count, same_series=same_series)

    def _opening(self, book: Book) -> Book:
        """Return the first part of the book's series, or the book itself if it is in no series."""
        return next((self._openings[name] for name in series_of(book.title) if name in self._openings), book)

    def _reasons(
        self, book: Book, favourites: Sequence[Book], genres: Sequence[str], sharing: Mapping[str, set[str]]
    ) -> Iterable[str]:
        for favourite in favourites:
            if series_of(book.title).keys() & series_of(favourite.title).keys():
                yield f"in the series of {_short(favourite)}"
            if shared := [author for author in book.authors if author in favourite.authors]:
                yield f"by {enumerate_names(shared)}, as is {_short(favourite)}"
        if readers := [_short(favourite) for favourite in favourites if book.id in sharing[favourite.id]]:
            yield f"shares readers with {enumerate_names(readers)}"
        own = [genre for genre in genres if genre in book.genres]
        like = max(favourites, key=lambda favourite: self._genres.between(book, favourite))
        alike = [] if self._genres.between(book, like) < LEAST_LIKENESS else self._genres.shared(book, like)
        if own and set(alike) <= set(own):
            yield enumerate_names(own)
        elif alike:
            named = enumerate_names([*dict.fromkeys((*own, *alike))])
            yield f"{named}, like {_short(like)}" if len(favourites) > 1 else named

    def _sharing(self, favourite: Book) -> set[str]:
        """Return the ids of the few books that share the most readers with a favourite, itself left out."""
        if not self._is_rated(favourite):
            return set()
        place = self._places[favourite.id]
        shared = self._tastes @ self._tastes[place]
        others = [other for other in (-shared).argsort(kind="stable").tolist() if other != place and shared[other] > 0]
        return {self._all[other].id for other in others[:SHARED]}


@cache
def _bundled_reranker() -> Reranker:
    return Reranker.load(BUNDLED)


class _GenreVectors:
    """Books as unit vectors of their genres. Rare genres count more."""

    def __init__(self, books: Sequence[Book], shares: Mapping[str, float]) -> None:
        import numpy as np

        self._column = {genre: column for column, genre in enumerate(sorted(shares))}
        self._weights = np.sqrt([-np.log(shares[genre]) for genre in self._column])
        self._vectors = np.array([self.vector(book.genres) for book in books])

    def vector(self, genres: Iterable[str]) -> "np.ndarray":
        """Return the unit vector of genres, or zeros if none is known: shape (genres,)."""
        import numpy as np

        vector = np.zeros(len(self._column), dtype=np.float32)
        columns = [self._column[genre] for genre in genres if genre in self._column]
        vector[columns] = self._weights[columns]
        return vector / max(float(np.linalg.norm(vector)), 1e-9)

    def between(self, book: Book, other: Book) -> float:
        """Return the likeness of the genres of two books, 0 to 1."""
        return float(self.vector(book.genres) @ self.vector(other.genres))

    def shared(self, book: Book, other: Book) -> list[str]:
        """Return the genres of two books, at most three, the rarest first."""
        both = [genre for genre in book.genres if genre in other.genres]
        return sorted(both, key=lambda genre: -self._weights[self._column[genre]])[:MOST_GENRES]

    def likeness(self, favourites: Sequence[Book], genres: Sequence[str]) -> "np.ndarray":
        """Return the likeness of all books to the favourites and these genres, 0 to 1, in the order of the books."""
        wanted = [self.vector(named) for named in (*(book.genres for book in favourites), genres) if named]
        mean: np.ndarray = self._vectors @ (sum(wanted, self.vector(())) / max(1, len(wanted)))
        return mean


def choose(books: Iterable[Book], favourites: Sequence[Book], count: int, *, same_series: bool = False) -> list[Book]:
    """Return the first `count` books that are not editions of a favourite or of each other.

    Unless `same_series`, no two books are parts of the same series, and none is part of a favourite's series.
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


def _short(book: Book) -> str:
    return without_series(book.title)


def _filled(shared: "np.ndarray", rated: "np.ndarray", likelihoods: "np.ndarray") -> "np.ndarray":
    """Fill in books that nobody has rated: a line fitted to the rated books predicts their value from the likelihood."""
    import numpy as np

    both = np.column_stack((np.ones_like(likelihoods), likelihoods))
    line = np.linalg.lstsq(both[rated], shared[rated])[0]
    filled: np.ndarray = np.where(rated, shared, both @ line)
    return filled


def _discounted(tastes: "np.ndarray", discount: float) -> "np.ndarray":
    """Divide vectors by a power of their lengths, which grow with the number of readers: shape (books, rank)."""
    import numpy as np

    lengths = np.linalg.norm(tastes, axis=1, keepdims=True)
    discounted: np.ndarray = tastes / np.where(lengths > 0, lengths, 1) ** discount
    return discounted


def _logarithms(books: Sequence[Book]) -> "np.ndarray":
    import numpy as np

    return np.log1p(np.array([book.ratings_count for book in books], dtype=np.float32))


def _standardize(values: "np.ndarray") -> "np.ndarray":
    """Scale values to mean 0 and standard deviation 1; zeros if all are equal."""
    spread = float(values.std())
    standardized: np.ndarray = (values - values.mean()) / (spread or 1.0)
    return standardized
