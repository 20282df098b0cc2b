"""The command line of the recipe: `ragqa recommend`."""

import argparse
import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ragqa.recipes.books.library import Book
    from ragqa.recipes.books.recommend import Recommendation

Command = Callable[[str, Callable[[argparse.Namespace], int | None], str, str], Any]


def add_commands(command: Command) -> None:
    """Add `recommend` to the command line."""
    parser = command(
        "recommend", _recommend, "recommend books to a reader who names some favorites",
        'ragqa recommend --favorite "The Hobbit" --favorite "Emma by Jane Austen"',
    )  # fmt: skip
    parser.add_argument(
        "--favorite",
        action="append",
        required=True,
        metavar="TITLE",
        help="book that the reader likes, optionally with 'by AUTHOR'; may be repeated, three are best",
    )
    parser.add_argument(
        "--genre",
        action="append",
        default=[],
        metavar="NAME",
        help="recommend only books of this genre; may be repeated for books of any of them (default: all genres)",
    )
    parser.add_argument(
        "--library",
        metavar="PATH",
        help="JSON Lines file of books or folder of goodbooks-10k (default: the bundled library)",
    )
    parser.add_argument("-k", type=int, default=10, help="number of recommendations (default: 10)")
    parser.add_argument(
        "--same-series",
        action="store_true",
        help="allow several parts of a series, and parts of the favorites' series",
    )
    parser.add_argument(
        "--model", metavar="FOLDER", help="folder of a reranker (default: the one bundled with the recipe)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _recommend(options: argparse.Namespace) -> None:
    from ragqa.recipes.books.recommend import Recommender

    recommender = Recommender.open(options.library, reranker=options.model)
    favourites = [recommender.find(title) for title in options.favorite]
    genres = recommender.genres(favourites, options.genre)
    found = recommender.recommend(favourites, options.genre, options.k, same_series=options.same_series)
    print(_as_json(favourites, genres, found) if options.json else _as_text(favourites, genres, found))


def _as_json(favourites: "Sequence[Book]", genres: Sequence[str], found: "Sequence[Recommendation]") -> str:
    named = [{"id": book.id, "title": book.title, "authors": book.authors} for book in favourites]
    plain = {"favorites": named, "genres": genres, "recommendations": [asdict(one) for one in found]}
    return json.dumps(plain, ensure_ascii=False, indent=1)


def _as_text(favourites: "Sequence[Book]", genres: Sequence[str], found: "Sequence[Recommendation]") -> str:
    from ragqa.recipes.books.readers import enumerate_names
    from ragqa.recipes.books.titles import name_of

    head = f"For a reader of {enumerate_names([name_of(book) for book in favourites])}" + (
        f" ({', '.join(genres)}):" if genres else ":"
    )
    if not found:
        among = f" of the genres {enumerate_names(genres)}" if genres else ""
        head = f"The library holds no other book{among} than the favourites, their editions and their series."
    lines = [textwrap.fill(head, 100)]
    for rank, one in enumerate(found, 1):
        lines.append(f"{rank:2}. {name_of(one.book)}")
        lines.append(textwrap.fill("; ".join(one.reasons), 100, initial_indent="    ", subsequent_indent="    "))
    return "\n".join(lines)
