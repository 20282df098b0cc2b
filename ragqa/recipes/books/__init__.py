"""Books for a reader: a dataset from goodbooks-10k, a reranker trained on it, and recommendations.

from ragqa.recipes.books import Recommender

recommender = Recommender.open()  # the starter library; Recommender.open("books.jsonl") for your own
for found in recommender.recommend(["The Hobbit", "Emma", "Dracula"]):
    print(found.book.title, found.reasons)
"""

from collections.abc import Mapping
from typing import Any

from ragqa.recipes.books.build import Books, BooksConfig, build, make_dataset
from ragqa.recipes.books.commands import add_commands
from ragqa.recipes.books.library import Book, Library, document, read_books, read_library
from ragqa.recipes.books.readers import query
from ragqa.recipes.books.recommend import Recommendation, Recommender
from ragqa.recipes.books.sets import read_set
from ragqa.training.train import TrainConfig

TRAINING = TrainConfig(
    batch_size=48, warmup=0.1, max_length=384
)  # the settings of the published book reranker, plus warm-up

TAB = "Books"


def add_tab(events: Mapping[str, Any]) -> None:
    """Build the recipe's tab in the demo (`ragqa.recipes.books.tab`)."""
    from ragqa.recipes.books import tab

    tab.add_tab(events)


__all__ = [
    "TAB",
    "TRAINING",
    "Book",
    "Books",
    "BooksConfig",
    "Library",
    "Recommendation",
    "Recommender",
    "add_commands",
    "add_tab",
    "build",
    "document",
    "make_dataset",
    "query",
    "read_books",
    "read_library",
    "read_set",
]
