"""Measure rankings of books: baselines, and rerankers that were trained for it.

    python benchmarks/books.py --data ../shared/data/goodbooks --model ragqa/recipes/books/reranker
    python benchmarks/books.py --data ../shared/data/goodbooks --set test-library --candidates 20
    python benchmarks/books.py --data ../shared/data/goodbooks --recommend test

The sets are those `ragqa dataset --recipe books` writes for the same data and seed. Every system sees a reader's three
favourites and nothing else of that reader: the rerankers, the embedders and BM25 as the query, collaborative filtering as
three books. Settings were chosen on the sets of the split `eval`. With `--recommend` the first ten of all books are looked at
instead, among which no system names a favourite, a part of its series, or two parts of any series.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

import numpy as np
from implicit.nearest_neighbours import BM25Recommender
from scipy.sparse import csr_matrix

from ragqa.dataset import SPLITS
from ragqa.embed import Embedder
from ragqa.evaluate import METRICS, Measurement, Report, Search, System, compare, estimate, table
from ragqa.judged import Judged
from ragqa.recipes.books import Books, BooksConfig, build, document
from ragqa.recipes.books.build import sizes
from ragqa.recipes.books.candidates import Candidates, Source
from ragqa.recipes.books.library import Book
from ragqa.recipes.books.recommend import BUNDLED, Recommender, choose
from ragqa.recipes.books.shelf import Shelf
from ragqa.records import Hit, Passage
from ragqa.rerank import Reranker
from ragqa.train import OFFLINE_BASE, base_path

SETS = ("test-standard", "test-library", "test-matched")
POPULARITY_WEIGHT = 3.0
FUSED_WEIGHT = 1.0  # of collaborative filtering beside a reranker
NAMED = 10

Score = Callable[[Candidates, Sequence[Book]], np.ndarray]
Name = Callable[[Candidates], Sequence[Book]]


def main() -> None:
    """Read the arguments and print a table for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of goodbooks-10k")
    parser.add_argument("--set", nargs="+", default=SETS, help=f"default {' '.join(SETS)}")
    parser.add_argument("--model", action="append", default=[], help="a trained reranker; may be repeated")
    parser.add_argument(
        "--candidates", type=int, default=BooksConfig().candidates, help="in a set (default %(default)s)"
    )
    parser.add_argument(
        "--recommend", choices=SPLITS[1:], help="the recipe's recommender instead, on readers of a split"
    )
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--quick", action="store_true", help="without embedders")
    options = parser.parse_args()
    books = build(options.data, BooksConfig(seed=options.seed, candidates=options.candidates))
    if options.recommend:
        print(table(recommended(books, options.recommend)))
        return
    systems = baselines(books.source, options.seed)
    if not options.quick:
        models = {"bundled embedder": None, "all-MiniLM-L6-v2": base_path(OFFLINE_BASE)}
        systems |= {model: embedder(Embedder.load(source), books.source) for model, source in models.items()}
    systems |= collaborative(books.source)
    for model in options.model:
        score, together = reranker(Reranker.load(model)), systems["collaborative filtering"]
        systems[f"{Path(model).name} + collaborative filtering"] = fused(score, together)
        systems[Path(model).name] = score
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

    def popular(candidates: Candidates, books: Sequence[Book]) -> np.ndarray:
        return np.asarray(together(candidates, books) + POPULARITY_WEIGHT * np.log1p(popularity(source, books)))

    return {"collaborative filtering + popularity": popular, "collaborative filtering": together}


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
    """The logits of the trained cross-encoder; those it has given already are remembered."""
    known: dict[tuple[str, str], float] = {}

    def score(candidates: Candidates, books: Sequence[Book]) -> np.ndarray:
        new = [book for book in books if (candidates.query, book.id) not in known]
        logits = model.score(candidates.query, [document(book) for book in new]).tolist()
        known.update(((candidates.query, book.id), logit) for book, logit in zip(new, logits, strict=True))
        return np.array([known[candidates.query, book.id] for book in books])

    return score


def fused(first: Score, second: Score) -> Score:
    """Two systems' scores, standardized over the candidates, the second with `FUSED_WEIGHT`."""

    def score(candidates: Candidates, books: Sequence[Book]) -> np.ndarray:
        one, other = first(candidates, books), second(candidates, books)
        return np.asarray(standardized(one) + FUSED_WEIGHT * standardized(other))

    return score


def standardized(scores: np.ndarray) -> np.ndarray:
    """The same with mean 0 and deviation 1; zeros where all are equal."""
    return np.asarray((scores - scores.mean()) / (scores.std() or 1.0))


def recommended(books: Books, split: str) -> Report:
    """How good the first ten of all books are that the recommender and others name to a split's readers."""
    everything, readers = list(books.source.library.books.values()), books.sets[f"{split}-library"]
    recommender = Recommender(Shelf(books.source.library.books, books.source.index), Reranker.load(BUNDLED))
    known = baselines(books.source, 0) | collaborative(books.source)
    names = ("popularity on Goodreads", "BM25", "collaborative filtering")
    systems: dict[str, Name] = {name: first(known[name], everything) for name in names}
    systems["the recommender's candidates"] = lambda c: recommender.find_candidates(c.profile.favourites)
    systems["recommender"] = lambda c: [found.book for found in recommender.recommend(c.profile.favourites)]
    named = {name: [name_books(c)[:NAMED] for c in readers] for name, name_books in systems.items()}
    wanted = [
        {book.id for book in books.source.liked(c.profile) if choose([book], c.profile.favourites, 1)} for c in readers
    ]
    found = {name: quality(lists, wanted) for name, lists in named.items()}
    last = found["recommender"]
    return Report(
        f"{split}, the first {NAMED} of all books",
        len(readers),
        len(everything),
        tuple(
            System(name, tuple(estimate(own, other) for own, other in zip(values, last, strict=True)))
            for name, values in found.items()
        ),
    )


def first(score: Score, everything: Sequence[Book]) -> Name:
    """Name the books with the highest scores."""
    return lambda candidates: choose(
        [everything[i] for i in np.argsort(-score(candidates, everything), kind="stable")],
        candidates.profile.favourites,
        NAMED,
    )


def quality(lists: Sequence[Sequence[Book]], wanted: Sequence[Set[str]]) -> tuple[Measurement, ...]:
    """Of each reader's list: whether any book was liked, the share of the liked books that are named, nDCG."""
    gains = [[book.id in liked for book in named] for named, liked in zip(lists, wanted, strict=True)]
    weights = 1 / np.log2(np.arange(2, NAMED + 2))
    ndcg = [
        float(weights[: len(own)] @ own / max(weights[: len(liked)].sum(), weights[0]))
        for own, liked in zip(gains, wanted, strict=True)
    ]
    recall = [sum(own) / max(1, len(liked)) for own, liked in zip(gains, wanted, strict=True)]
    return (
        Measurement("hit rate", tuple(float(any(own)) for own in gains)),
        Measurement("R@10", tuple(recall)),
        Measurement("nDCG@10", tuple(ndcg)),
    )


if __name__ == "__main__":
    main()
