"""Books for a reader: a dataset from goodbooks-10k, a reranker trained on it, and recommendations.

from ragqa.recipes.books import Recommender

recommender = Recommender.open()  # the starter library; Recommender.open("books.jsonl") for your own
for found in recommender.recommend(["The Hobbit", "Emma", "Dracula"]):
    print(found.book.title, found.reasons)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.process import on_demand
from ragqa.recipes.books.commands import add_commands

if TYPE_CHECKING:
    from ragqa.recipes.books.library import Book, Library, document, read_books, read_library
    from ragqa.recipes.books.readers import query
    from ragqa.recipes.books.recommend import Recommendation, Recommender
    from ragqa.training.config import TrainConfig

TAB = "Books"


def make_dataset(data: str | Path, out: str | Path, seed: int = 42) -> dict[str, Any]:
    """Write a dataset folder from goodbooks-10k and return its lint report (`build.make_dataset`)."""
    from ragqa.recipes.books import build

    return build.make_dataset(data, out, seed)


def training_config() -> "TrainConfig":
    """Return the settings of the reference model for books, with a warm-up."""
    from ragqa.training.config import TrainConfig

    return TrainConfig(batch_size=48, warmup=0.1, max_length=384)


def add_tab(events: Mapping[str, Any]) -> None:
    """Build the recipe's tab in the demo (`ragqa.recipes.books.tab`)."""
    from ragqa.recipes.books import tab

    tab.add_tab(events)


__all__ = [
    "TAB",
    "Book",
    "Library",
    "Recommendation",
    "Recommender",
    "add_commands",
    "add_tab",
    "document",
    "make_dataset",
    "query",
    "read_books",
    "read_library",
    "training_config",
]

__getattr__ = on_demand(
    __name__,
    {
        "ragqa.recipes.books.library": ("Book", "Library", "document", "read_books", "read_library"),
        "ragqa.recipes.books.readers": ("query",),
        "ragqa.recipes.books.recommend": ("Recommendation", "Recommender"),
    },
)
