"""Measure rankings of books: baselines, and rerankers that were trained for it.

    python benchmarks/books.py --data ../shared/data/goodbooks --model ragqa/recipes/books/reranker
    python benchmarks/books.py --data ../shared/data/goodbooks --set test-library --candidates 20
    python benchmarks/books.py --data ../shared/data/goodbooks --recommend test
    python benchmarks/books.py --data ../shared/data/goodbooks --tune
    python benchmarks/books.py --data ../shared/data/goodbooks --learn ragqa/recipes/books/starter/books.jsonl

The sets are the ones that `ragqa dataset --recipe books` writes for the same data and seed, and the set `shipped`: 50 books of
the bundled library with its own descriptions, for the same readers. Every system knows three favourites of a reader and nothing
else about that reader. `likelihood` is the recommender without its reranker. Rerankers, the embedder and BM25 get them as a
query, collaborative filtering as three books. `recommender with MODEL` ranks as the recipe does: by the model's logit and the
likelihood, which uses the ratings of the training readers. Settings were chosen on the sets of the split `eval`.

- `--recommend` measures the first ten of all books. No system may name a favourite, a part of its series, or two parts of a
  series.
- `--tune` changes one setting of the recommender at a time and shows the effect on both kinds of sets of `eval`.
- `--learn` writes vectors for a file of books, learned from the ratings of the training readers. The vectors of the bundled
  library were made like this.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

import numpy as np
from implicit.nearest_neighbours import BM25Recommender
from scipy.sparse import csr_matrix

from ragqa.evaluation.compare import Report, System, compare, estimate, table
from ragqa.evaluation.judged import Judged
from ragqa.evaluation.metrics import METRICS, Measurement, Search, measure
from ragqa.models.bases import OFFLINE_BASE, base_path
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import Reranker
from ragqa.recipes.books import document
from ragqa.recipes.books.build import UNIFORM, Books, BooksConfig, build, sizes
from ragqa.recipes.books.candidates import Candidates, Source, draw
from ragqa.recipes.books.library import Book, Library, read_books, starter_file, tastes_file
from ragqa.recipes.books.readers import profiles
from ragqa.recipes.books.recommend import BUNDLED, CANDIDATES, STARTER_WEIGHTS, WEIGHTS, Recommender, Weights, choose
from ragqa.recipes.books.shelf import Shelf
from ragqa.recipes.books.tastes import RANK, counterparts, learn, learn_for, read_tastes, write_tastes
from ragqa.records import Hit, Passage
from ragqa.training.dataset import SPLITS

SETS = ("test-standard", "test-library", "test-matched", "test-rated", "test-shipped")
POPULARITY_WEIGHT = 3.0
FUSED_WEIGHT = 1.0  # of collaborative filtering, relative to the reranker (= 1)
NAMED = 10
TUNED: Mapping[str, Sequence[float]] = {
    "rank": (0, 16, 32, 64, 128, 256),
    "candidates": (10, 20, 30, 50),
    "genres": (0, 0.3, 0.6, 1),
    "bm25": (0, 0.2, 0.4, 0.8),
    "otherwise": (0, 0.25, 0.5, 1, 2),
    "likelihood": (0, 0.3, 0.6, 1),
    "reranker_beside_ratings": (0, 0.1, 0.3, 0.5, 1),
    "discount": (0, 0.25, 0.5, 0.75, 1),
}

Score = Callable[[Candidates, Sequence[Book]], np.ndarray]
Name = Callable[[Candidates], Sequence[Book]]


def main() -> None:
    """Read the arguments and print a table for each set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of goodbooks-10k")
    parser.add_argument("--set", nargs="+", default=SETS, help=f"candidate sets to measure (default: {' '.join(SETS)})")
    parser.add_argument("--model", action="append", default=[], help="folder of a trained reranker; may be repeated")
    parser.add_argument(
        "--candidates",
        type=int,
        default=BooksConfig().candidates,
        help="number of candidates of a reader (default: %(default)s)",
    )
    parser.add_argument(
        "--recommend", choices=SPLITS[1:], help="measure recommendations from all books, for the readers of this split"
    )
    parser.add_argument(
        "--tune", action="store_true", help="measure other settings of the recommender, for the readers of eval"
    )
    parser.add_argument("--learn", type=Path, metavar="FILE", help="write vectors for a file of books, into its folder")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--quick", action="store_true", help="leave out the embedders, which are slow")
    options = parser.parse_args()
    books = build(options.data, BooksConfig(seed=options.seed, candidates=options.candidates))
    if options.recommend:
        print(table(recommended(books, options.recommend)))
        return
    if options.tune:
        for row in tuned(books, options.candidates):
            print(row, flush=True)
        return
    if options.learn:
        own = read_books(options.learn)
        vectors = learn_for(own, books.source.library, books.source.known)
        write_tastes(tastes_file(options.learn), vectors.astype(np.float16), own.values())
        print(f"{int(vectors.any(axis=1).sum())} of {len(own)} books were rated")
        return
    for group, learned, weights in groups(books, options.candidates):
        names = [name for name in options.set if name in group.sets]
        systems = all_systems(group.source, learned(group.source), weights, options) if names else {}
        for name in names:
            print(f"{name}: {sizes(group)[name]}\n")
            print(table(measured(name, group, systems)) + "\n", flush=True)


def groups(books: Books, candidates: int) -> list[tuple[Books, Callable[[Source], np.ndarray], Weights]]:
    """Return the sets of goodbooks-10k and of the bundled library, each with what gives its vectors, and its weights."""
    return [(books, tastes, WEIGHTS), (shipped(books, candidates), bundled_tastes, STARTER_WEIGHTS)]


def all_systems(source: Source, vectors: np.ndarray, weights: Weights, options: argparse.Namespace) -> dict[str, Score]:
    """Return all systems for a library by their names in the tables."""
    systems = baselines(source, options.seed)
    if not options.quick:
        models = {"bundled embedder": None, "all-MiniLM-L6-v2": base_path(OFFLINE_BASE)}
        systems |= {name: embedder(Embedder.load(model), source) for name, model in models.items()}
    systems |= collaborative(source)
    unread = remembering(BUNDLED)
    systems["likelihood"] = product(recommender(source, vectors, unread, weights=without_reranker(weights)))
    for path in options.model:
        model, name = remembering(path), Path(path).name
        systems[f"{name} + collaborative filtering"] = fused(reranker(model), systems["collaborative filtering"])
        systems[name] = reranker(model)
        own = weights if Path(path).resolve() == BUNDLED.resolve() else WEIGHTS  # as `Recommender.open` chooses
        systems[f"recommender with {name}"] = product(recommender(source, vectors, model, weights=own))
    return systems


def without_reranker(weights: Weights) -> Weights:
    """Return the weights with which the reranker reads nothing."""
    return replace(weights, reranker=0, reranker_beside_ratings=0)


def shipped(books: Books, candidates: int) -> Books:
    """Return sets of the bundled library for the readers of eval and test: books that are liked, and any unrated others.

    Ratings of all editions of a work count; the best one counts. Readers who liked fewer than five of its books beside their
    favourites are left out.
    """
    own, config = read_books(starter_file()), BooksConfig()
    same = counterparts(own, books.source.library)
    ratings = {
        reader: dict(
            sorted((same[book], rating) for book, rating in sorted(stars.items(), key=lambda s: s[1]) if book in same)
        )
        for reader, stars in books.source.library.ratings.items()
    }
    source = replace(books.source, library=Library(own, ratings))
    liked = round(candidates * config.liked / (config.liked + config.others))
    sets = {}
    for split in SPLITS[1:]:
        readers = [c.profile.reader for c in books.sets[f"{split}-library"]]
        drawn = (profile for reader in readers for profile in profiles(source.library, reader, 1, source.seed))
        enough = (profile for profile in drawn if len(source.liked(profile)) >= config.least)
        sets[f"{split}-shipped"] = tuple(
            draw(source, profile, liked, candidates - liked, UNIFORM) for profile in enough
        )
    return Books(source, (), sets)


def bundled_tastes(source: Source) -> np.ndarray:
    """Return the vectors of the bundled library."""
    return read_tastes(tastes_file(starter_file()), source.library.books.values())


def measured(name: str, books: Books, systems: Mapping[str, Score]) -> Report:
    """Measure the systems on a candidate set by MAP, MRR@10 and nDCG@10. The sets are too small for the other metrics."""
    judged, by_query = as_judged(name, books), {candidates.query: candidates for candidates in books.sets[name]}
    report = compare({system: as_search(score, by_query) for system, score in systems.items()}, judged)
    return replace(
        report, systems=tuple(replace(s, estimates=s.estimates[: METRICS.index("R@10")]) for s in report.systems)
    )


def as_judged(name: str, books: Books) -> Judged:
    """Return a candidate set as a judged set."""
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
    """Rank the candidates of a query and nothing else. The order of equal scores depends on the query alone."""

    def search(query: str) -> list[Hit]:
        candidates = by_query[query]
        books = np.array([*candidates.liked, *candidates.others], dtype=object)
        np.random.default_rng(list(query.encode())).shuffle(books)
        scores = score(candidates, list(books))
        return [Hit(passage(books[i]), float(scores[i]), None, 0.0, 0) for i in np.argsort(-scores, kind="stable")]

    return search


def passage(book: Book) -> Passage:
    """Return the document of a book as a passage."""
    return Passage(book.id, "", text=document(book))


def baselines(source: Source, seed: int) -> dict[str, Score]:
    """Return systems that ignore the reader, and BM25."""
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
    """Count the training readers who rated each book."""
    return np.array([source.popularity.get(book.id, 0) for book in books])


def collaborative(source: Source) -> dict[str, Score]:
    """Return collaborative filtering by the ratings of the training readers, with and without popularity."""
    place = {book: number for number, book in enumerate(source.library.books)}
    similarity = similarities(source, place)

    def together(candidates: Candidates, books: Sequence[Book]) -> np.ndarray:
        favourites = [place[book.id] for book in candidates.profile.favourites]
        return np.asarray(similarity[favourites].sum(axis=0)).ravel()[[place[book.id] for book in books]]

    def popular(candidates: Candidates, books: Sequence[Book]) -> np.ndarray:
        return np.asarray(together(candidates, books) + POPULARITY_WEIGHT * np.log1p(popularity(source, books)))

    return {"collaborative filtering + popularity": popular, "collaborative filtering": together}


def similarities(source: Source, place: Mapping[str, int]) -> csr_matrix:
    """Count the training readers who rated both of two books, weighted by BM25: shape (books, books)."""
    known = [(n, place[book]) for n, reader in enumerate(source.known) for book in source.library.ratings[reader]]
    rows, columns = zip(*known, strict=True)
    model = BM25Recommender(K=len(place), K1=3, B=0.2)
    model.fit(
        csr_matrix((np.ones(len(known)), (rows, columns)), shape=(len(source.known), len(place))), show_progress=False
    )
    return csr_matrix(model.similarity)


def embedder(model: Embedder, source: Source) -> Score:
    """Score by the cosine of query and document."""
    place = {book: number for number, book in enumerate(source.library.books)}
    vectors = model.embed([document(book) for book in source.library.books.values()])
    return lambda candidates, books: np.asarray(
        vectors[[place[book.id] for book in books]] @ model.embed([candidates.query])[0]
    )


class Remembered:
    """An engine that remembers the logits of a reranker."""

    def __init__(self, model: Reranker) -> None:
        self._model = model
        self._known: dict[tuple[str, str], float] = {}

    def logits(self, question: str, texts: Sequence[str]) -> np.ndarray:
        """Return the logits in the order of the texts."""
        new = [text for text in texts if (question, text) not in self._known]
        logits = self._model.score(question, new).tolist()
        self._known.update(((question, text), logit) for text, logit in zip(new, logits, strict=True))
        return np.array([self._known[question, text] for text in texts])


def remembering(path: str | Path) -> Reranker:
    """Load a trained cross-encoder that reads no pair twice."""
    return Reranker(Remembered(Reranker.load(path)), str(path))


def reranker(model: Reranker) -> Score:
    """Score by the logits of a cross-encoder."""
    return lambda candidates, books: model.score(candidates.query, [document(book) for book in books])


def tastes(source: Source, rank: int = RANK) -> np.ndarray:
    """Learn the vectors of the books from the training readers."""
    rated = ((reader, book) for reader in source.known for book in source.library.ratings[reader])
    return learn(rated, source.library.books, rank)


def recommender(
    source: Source, vectors: np.ndarray, model: Reranker, candidates: int = CANDIDATES, weights: Weights = WEIGHTS
) -> Recommender:
    """Return the recommender of the recipe on the library of the benchmark."""
    shelf = Shelf(source.library.books, source.index, vectors)
    return Recommender(shelf, model, candidates=candidates, weights=weights)


def product(recommends: Recommender) -> Score:
    """Score by the final scores of the recommender."""
    return lambda candidates, books: recommends.score(candidates.profile.favourites, books)


def fused(first: Score, second: Score) -> Score:
    """Add the scores of two systems, standardized over the candidates, the second with `FUSED_WEIGHT`."""

    def score(candidates: Candidates, books: Sequence[Book]) -> np.ndarray:
        one, other = first(candidates, books), second(candidates, books)
        return np.asarray(standardized(one) + FUSED_WEIGHT * standardized(other))

    return score


def standardized(scores: np.ndarray) -> np.ndarray:
    """Scale scores to mean 0 and standard deviation 1; zeros if all are equal."""
    return np.asarray((scores - scores.mean()) / (scores.std() or 1.0))


def recommended(books: Books, split: str) -> Report:
    """Measure the ten books that the recommender and other systems name to the readers of a split."""
    everything, readers = list(books.source.library.books.values()), books.sets[f"{split}-library"]
    model = Reranker.load(BUNDLED)
    own = recommender(books.source, tastes(books.source), model)
    bare = recommender(books.source, learn((), books.source.library.books), model)
    known = baselines(books.source, 0) | collaborative(books.source)
    names = ("popularity on Goodreads", "BM25", "collaborative filtering")
    systems: dict[str, Name] = {name: first(known[name], everything) for name in names}
    systems["recommender without ratings"] = lambda c: [found.book for found in bare.recommend(c.profile.favourites)]
    systems["the recommender's candidates"] = lambda c: own.find_candidates(c.profile.favourites)
    systems["recommender"] = lambda c: [found.book for found in own.recommend(c.profile.favourites)]
    named = {name: [name_books(c)[:NAMED] for c in readers] for name, name_books in systems.items()}
    wanted = wishes(books.source, readers)
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


def wishes(source: Source, readers: Sequence[Candidates]) -> list[Set[str]]:
    """Return the liked books that may be named to each reader."""
    return [{book.id for book in source.liked(c.profile) if choose([book], c.profile.favourites, 1)} for c in readers]


def tuned(books: Books, candidates: int) -> Iterator[str]:
    """Yield a row for each setting and value: MAP and nDCG@10 of the sets of `eval`, nDCG@10 of the first ten of all books.

    The last column is of the bundled library, whose vectors have the dimensions that they were saved with.
    """
    model, source, readers = remembering(BUNDLED), books.source, books.sets["eval-library"]
    kinds, wanted = [name for name in books.sets if name.startswith("eval")], wishes(source, readers)
    yield "| setting | value |" + "".join(f" {name} |" for name in kinds) + " all books | eval-shipped |"
    yield "|---" * (len(kinds) + 4) + "|"
    starter = shipped(books, candidates)
    vectors, starter_vectors = tastes(source), bundled_tastes(starter.source)
    for setting, value in ((setting, value) for setting, values in TUNED.items() for value in values):
        changed = {setting: value} if hasattr(WEIGHTS, setting) else {}
        number = int(value) if setting == "candidates" else CANDIDATES
        learned = tastes(source, int(value)) if setting == "rank" else vectors
        own = recommender(source, learned, model, number, replace(WEIGHTS, **changed))
        its = recommender(starter.source, starter_vectors, model, number, replace(STARTER_WEIGHTS, **changed))
        found = [means(product(own), name, books) for name in kinds] + [means(product(its), "eval-shipped", starter)]
        sets = [f"{mean['AP']:.3f} / {mean['nDCG@10']:.3f}" for mean in found]
        lists = [[one.book for one in own.recommend(c.profile.favourites, k=NAMED)] for c in readers]
        sets.insert(len(kinds), f"{quality(lists, wanted)[-1].mean:.3f}")
        yield f"| {setting} | {value:g} | {' | '.join(sets)} |"


def means(score: Score, name: str, books: Books) -> dict[str, float]:
    """Measure a system on a candidate set."""
    by_query = {candidates.query: candidates for candidates in books.sets[name]}
    return {found.metric: found.mean for found in measure(as_search(score, by_query), as_judged(name, books))}


def first(score: Score, everything: Sequence[Book]) -> Name:
    """Name the books with the highest scores."""
    return lambda candidates: choose(
        [everything[i] for i in np.argsort(-score(candidates, everything), kind="stable")],
        candidates.profile.favourites,
        NAMED,
    )


def quality(lists: Sequence[Sequence[Book]], wanted: Sequence[Set[str]]) -> tuple[Measurement, ...]:
    """Measure each reader's list: whether any book was liked, the fraction of the liked books that are named, and nDCG."""
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
