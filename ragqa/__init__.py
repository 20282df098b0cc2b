"""Answers questions about machine learning from indexed pages, and cites the passages that support the answer.

from ragqa import Retriever

retriever = Retriever.open()  # the starter corpus; Retriever.open("index/") opens your own index
for hit in retriever.search("why does dropout help?"):
    print(f"{hit.probability:.2f}", hit.passage.title, hit.passage.section, hit.passage.url)
"""

import logging as _logging
import typing as _typing

from ragqa.errors import RagqaError
from ragqa.process import on_demand as _on_demand

if _typing.TYPE_CHECKING:
    from ragqa.index.bm25 import Bm25Index
    from ragqa.index.dense import DenseIndex
    from ragqa.models.embedder import Embedder
    from ragqa.models.reranker import Reranker
    from ragqa.records import Answer, Hit, Page, Pair, Passage, Quote, RankedText
    from ragqa.search.retriever import Retriever
    from ragqa.text.passages import split

__version__ = "0.1.0"

_logging.getLogger(__name__).addHandler(_logging.NullHandler())  # quiet, unless the program that imports ragqa logs

__all__ = [
    "Answer",
    "Bm25Index",
    "DenseIndex",
    "Embedder",
    "Hit",
    "Page",
    "Pair",
    "Passage",
    "Quote",
    "RagqaError",
    "RankedText",
    "Reranker",
    "Retriever",
    "split",
]

__getattr__ = _on_demand(
    __name__,
    {
        "ragqa.index.bm25": ("Bm25Index",),
        "ragqa.index.dense": ("DenseIndex",),
        "ragqa.models.embedder": ("Embedder",),
        "ragqa.models.reranker": ("Reranker",),
        "ragqa.records": ("Answer", "Hit", "Page", "Pair", "Passage", "Quote", "RankedText"),
        "ragqa.search.retriever": ("Retriever",),
        "ragqa.text.passages": ("split",),
    },
)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
