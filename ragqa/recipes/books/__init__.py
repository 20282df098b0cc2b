"""Ranking books for a reader: a dataset and candidate sets from goodbooks-10k, in the input format of the reference model."""

from ragqa.recipes.books.build import Books, BooksConfig, build, make_dataset
from ragqa.recipes.books.library import Book, Library, document, read_library
from ragqa.recipes.books.readers import query
from ragqa.recipes.books.sets import read_set

__all__ = [
    "Book",
    "Books",
    "BooksConfig",
    "Library",
    "build",
    "document",
    "make_dataset",
    "query",
    "read_library",
    "read_set",
]
