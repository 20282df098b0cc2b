"""Measure rankings of books on the candidate sets of the recipe `books`: baselines, and rerankers that were trained for it.

    python benchmarks/books.py --data ../shared/data/goodbooks
    python benchmarks/books.py --data ../shared/data/goodbooks --set test-standard --model model/

The sets are those `ragqa dataset --recipe books` writes for the same data and seed. Every system sees a reader's three
favourites and nothing else of that reader: the rerankers, the embedders and BM25 as the query, collaborative filtering as
three books. Its settings were chosen on the sets of the split `eval`.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from implicit.nearest_neighbours import BM25Recommender
from scipy.sparse import csr_matrix

from ragqa.embed import Embedder
from ragqa.evaluate import METRICS, Report, Search, compare, table
from ragqa.judged import Judged
from ragqa.recipes.books import Books, BooksConfig, build, document
from ragqa.recipes.books.build import sizes
from ragqa.recipes.books.candidates import Candidates, Source
from ragqa.recipes.books.library import Book
from ragqa.records import Hit, Passage
from ragqa.rerank import Reranker
from ragqa.train import OFFLINE_BASE, base_path

SETS = ("test-standard", "test-library", "test-matched")
POPULARITY_WEIGHT = 3.0

Score = Callable[[Candidates, Sequence[Book]], np.ndarray]


def main() -> None:
    """Read the arguments and print a table for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of goodbooks-10k")
    parser.add_argument("--set", nargs="+", default=SETS, help=f"default {' '.join(SETS)}")
    parser.add_argument("--model", action="append", default=[], help="a trained reranker; may be repeated")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--quick", action="store_true", help="without embedders")
    options = parser.parse_args()
    books = build(options.data, BooksConfig(seed=options.seed))
    systems = baselines(books.source, options.seed)
    if not options.quick:
        models = {"bundled embedder": None, "all-MiniLM-L6-v2": base_path(OFFLINE_BASE)}
        systems |= {model: embedder(Embedder.load(source), books.source) for model, source in models.items()}
    systems |= collaborative(books.source)
    systems |= {f"reranker {Path(model).name}": reranker(Reranker.load(model)) for model in options.model}
    for name in options.set:
        print(f"{name}: {sizes(books)[name]}\n")
        print(table(measured(name, books, systems)) + "\n", flush=True)


def measured(name: str, books: Books, systems: Mapping[str, Score]) -> Report:
    """The metrics of a candidate set for which its size makes sense: MAP, MRR@10 and nDCG@10."""
    judged, by_query = as_judged(name, books), {candidates.query: candidates for candidates in books.sets[name]}
    report = compare({system: as_search(score, by_query) for system, score in systems.items()}, judged)
    return replace(
        report, systems=tuple(replace(s, estimates=s.estimates[: METRICS.index("R@10")]) for s in report.systems)
    )


def as_judged(name: str, books: Books) -> Judged:
    """A candidate set as a judged set."""
    sets = books.sets[name]
    return Judged(
        name,
        tuple(map(passage, books.source.library.books.values())),
        {c.profile.reader: c.query for c in sets},
        {c.profile.reader: {book.id: 1 for book in c.liked} for c in sets},
        {},
        rejected={c.profile.reader: frozenset(book.id for book in c.others) for c in sets},
    )


def as_search(score: Score, by_query: Mapping[str, Candidates]) -> Search:
    """Rank a query's candidates and nothing else; equal scores in an order that depends on the query alone."""

    def search(query: str) -> list[Hit]:
        candidates = by_query[query]
        books = np.array([*candidates.liked, *candidates.others], dtype=object)
        np.random.default_rng(list(query.encode())).shuffle(books)
        scores = score(candidates, list(books))
        return [Hit(passage(books[i]), float(scores[i]), None, 0.0, 0) for i in np.argsort(-scores, kind="stable")]

    return search


def passage(book: Book) -> Passage:
    """A book's document as a passage."""
    return Passage(book.id, "", text=document(book))


def baselines(source: Source, seed: int) -> dict[str, Score]:
    """What knows nothing of the reader, and BM25."""
    rng = np.random.default_rng(seed)
    place = {book: number for number, book in enumerate(source.library.books)}

    def bm25(candidates: Candidates, books: Sequence[Book]) -> np.ndarray:
        scores: np.ndarray = source.index.scores(candidates.query)
        return scores[[place[book.id] for book in books]]

    return {
        "random": lambda _, books: rng.random(len(books)),
        "popularity among the training readers": lambda _, books: popularity(source, books),
        "popularity on Goodreads": lambda _, books: np.array([book.ratings_count for book in books]),
        "BM25": bm25,
    }


def popularity(source: Source, books: Sequence[Book]) -> np.ndarray:
    """How many training readers rated each book."""
    return np.array([source.popularity.get(book.id, 0) for book in books])


def collaborative(source: Source) -> dict[str, Score]:
    """What training readers who rated the favourites rated too, with and without popularity."""
    place = {book: number for number, book in enumerate(source.library.books)}
    similarity = similarities(source, place)

    def together(candidates: Candidates, books: Sequence[Book]) -> np.ndarray:
        favourites = [place[book.id] for book in candidates.profile.favourites]
        return np.asarray(similarity[favourites].sum(axis=0)).ravel()[[place[book.id] for book in books]]

    def fused(candidates: Candidates, books: Sequence[Book]) -> np.ndarray:
        return np.asarray(together(candidates, books) + POPULARITY_WEIGHT * np.log1p(popularity(source, books)))

    return {"collaborative filtering + popularity": fused, "collaborative filtering": together}


def similarities(source: Source, place: Mapping[str, int]) -> csr_matrix:
    """How many training readers rated the one book and the other, weighted by BM25: shape (books, books)."""
    known = [(n, place[book]) for n, reader in enumerate(source.known) for book in source.library.ratings[reader]]
    rows, columns = zip(*known, strict=True)
    model = BM25Recommender(K=len(place), K1=3, B=0.2)
    model.fit(
        csr_matrix((np.ones(len(known)), (rows, columns)), shape=(len(source.known), len(place))), show_progress=False
    )
    return csr_matrix(model.similarity)


def embedder(model: Embedder, source: Source) -> Score:
    """The cosine of query and document."""
    place = {book: number for number, book in enumerate(source.library.books)}
    vectors = model.embed([document(book) for book in source.library.books.values()])
    return lambda candidates, books: np.asarray(
        vectors[[place[book.id] for book in books]] @ model.embed([candidates.query])[0]
    )


def reranker(model: Reranker) -> Score:
    """The logits of the trained cross-encoder."""
    text = cache(document)
    return lambda candidates, books: model.score(candidates.query, [text(book) for book in books])


if __name__ == "__main__":
    main()
