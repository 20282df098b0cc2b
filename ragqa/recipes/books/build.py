"""Ratings in, labelled pairs for training and candidate sets for evaluation out, split by reader."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragqa.errors import CorpusError, InputError
from ragqa.recipes.books.candidates import KINDS, Candidates, Source, draw, draw_matched, draw_rated
from ragqa.recipes.books.library import document, read_library
from ragqa.recipes.books.readers import DISLIKED, Profile, profiles, split_readers
from ragqa.recipes.books.sets import write_set
from ragqa.records import Pair
from ragqa.training.card import write_dataset
from ragqa.training.dataset import SPLITS, check_weights, keyed_random, name_weights

UNIFORM = (0.0, 0.0, 0.0, 1.0)  # shares of `KINDS`: unrated books, all equally likely
ABOUT = """\
Pairs of a reader (`sentence_0`, three favourite books) and a book (`sentence_1`). `label` is 1.0 if the reader gave the book
at least `stars` stars, and 0.0 if the reader gave it one or two stars or did not rate it.
Made by `ragqa dataset --recipe books`. Split by reader: no reader is in two splits, but all splits share the same books.
`eval` and `test` are the pairs of the candidate sets `candidates/eval-standard` and `candidates/test-standard`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BooksConfig:
    """Settings of the pairs and candidate sets.

    A reader likes a book that they gave at least `stars` stars. In the train split, at most `readers` readers have up to
    `profiles` profiles each, and each profile has `liked` liked books and `others` other books. In the eval and test splits,
    at most `measured` readers have one profile each, with `candidates` books in the same proportion. If there are more
    readers, they are sampled. `shares` are the proportions of the kinds of other books (`candidates.KINDS`), `parts` those of
    the readers in the splits. Readers with fewer than `least` liked books, not counting the favourites, are left out.
    """

    stars: int = 4
    readers: int = 2000
    measured: int = 500
    profiles: int = 8
    liked: int = 7
    others: int = 20
    candidates: int = 50
    shares: tuple[float, float, float, float] = (0.1, 0.1, 0.1, 0.7)
    parts: tuple[float, float, float] = (0.8, 0.1, 0.1)
    least: int = 5
    seed: int = 42

    def __post_init__(self) -> None:
        if not DISLIKED < self.stars <= 5:
            raise InputError(f"stars is {self.stars}; it must be from {DISLIKED + 1} to 5")
        for name in ("readers", "measured", "profiles", "liked", "others", "candidates", "least"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; at least 1 is needed")
        check_weights("shares", self.shares, KINDS)
        check_weights("parts", self.parts, SPLITS)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings by name; the values of `shares` and `parts` have the names of their kinds and splits."""
        return name_weights(self, KINDS)


@dataclass(frozen=True, slots=True)
class Books:
    """Result of `build`: the training lists, and the candidate sets by names such as `eval-standard`."""

    source: Source
    train: tuple[Candidates, ...]
    sets: Mapping[str, tuple[Candidates, ...]]


def build(data: str | Path, config: BooksConfig) -> Books:
    """Read goodbooks-10k and draw profiles and candidates. Deterministic: same data and config, same result and order.

    Ratings of the readers in eval and test are used for their candidates only. Popularity is counted without them.
    """
    library = read_library(data)
    readers = split_readers(library, config.parts, config.seed)
    source = Source(library, tuple(readers["train"]), config.stars, config.seed)
    asked: set[str] = set()  # two readers with the same query would judge it twice
    train = tuple(
        draw(source, profile, config.liked, config.others, config.shares)
        for profile in _profiles(
            source, _some(readers["train"], config.readers, config), config.profiles, config, asked
        )
    )
    if not train:
        raise CorpusError(f"{data} has no reader to train on, because none liked enough books; give more ratings")
    liked = round(config.candidates * config.liked / (config.liked + config.others))
    sizes = liked, config.candidates - liked
    sets: dict[str, tuple[Candidates, ...]] = {}
    for split in SPLITS[1:]:
        measured = list(_profiles(source, _some(readers[split], config.measured, config), 1, config, asked))
        sets[f"{split}-standard"] = tuple(draw(source, profile, *sizes, config.shares) for profile in measured)
        sets[f"{split}-library"] = tuple(draw(source, profile, *sizes, UNIFORM) for profile in measured)
        sets[f"{split}-matched"] = tuple(draw_matched(source, profile, *sizes) for profile in measured)
        rated = (draw_rated(source, profile, *sizes) for profile in measured)
        sets[f"{split}-rated"] = tuple(
            drawn for drawn in rated if drawn.liked
        )  # some readers liked nearly all they rated
    return Books(source, train, sets)


def _some(readers: Sequence[str], most: int, config: BooksConfig) -> Sequence[str]:
    """Return the readers, or a sample of `most` that depends only on their ids and the seed."""
    drawn = sorted(readers, key=lambda reader: keyed_random(config.seed, "drawn", reader).random())[:most]
    return readers if len(readers) <= most else sorted(drawn, key=int)


def _profiles(
    source: Source, readers: Iterable[str], count: int, config: BooksConfig, asked: set[str]
) -> Iterator[Profile]:
    for reader in readers:
        for profile in profiles(source.library, reader, count, config.seed):
            query = source.query(profile)
            if query not in asked and len(source.liked(profile)) >= config.least:
                asked.add(query)
                yield profile


def make_dataset(data: str | Path, out: str | Path, seed: int = 42) -> dict[str, Any]:
    """Write a dataset folder from a folder of goodbooks-10k; return its lint and the sizes of the sets in `candidates/`.

    Raises `InputError` or `RecordError` for data that cannot be used, `CorpusError` if there is no reader to train on.
    """
    config = BooksConfig(seed=seed)
    books = build(data, config)
    pairs = {"train": _pairs(books.train)} | {split: _pairs(books.sets[f"{split}-standard"]) for split in SPLITS[1:]}

    def add_sets(folder: Path) -> None:
        for name, candidates in books.sets.items():
            write_set(folder / "candidates" / name, candidates, books.source.library)

    report = write_dataset(
        pairs,
        out,
        title="Readers and books",
        sources=["goodbooks-10k", *(f"`candidates/{name}`: {size}" for name, size in sizes(books).items())],
        licence="cc-by-sa-4.0",
        config=config,
        about=ABOUT,
        add=add_sets,
    )
    return report | {"candidates": sizes(books)}


def sizes(books: Books) -> dict[str, str]:
    """Describe the size of each candidate set in words."""
    found = {}
    for name, sets in books.sets.items():
        counts = [len(c.liked) + len(c.others) for c in sets]
        share = sum(len(c.liked) for c in sets) / max(1, sum(counts))
        found[name] = (
            f"{len(sets)} readers, {min(counts, default=0)} to {max(counts, default=0)} candidates, {share:.1%} liked"
        )
    return found


def _pairs(sets: Sequence[Candidates]) -> list[Pair]:
    return [
        Pair(c.query, document(book), label)
        for c in sets
        for books, label in ((c.liked, 1.0), (c.others, 0.0))
        for book in books
    ]
