"""Answers questions about machine learning from Wikipedia, with the passages that prove the answer.

from ragqa import Retriever

retriever = Retriever.open()  # the starter corpus; Retriever.open("index/") for your own
for hit in retriever.search("why does dropout help?"):
    print(f"{hit.probability:.2f}", hit.passage.title, hit.passage.url)
"""

from ragqa.bm25 import Bm25Index
from ragqa.dense import DenseIndex
from ragqa.embed import Embedder
from ragqa.errors import RagqaError
from ragqa.passages import split
from ragqa.records import Answer, Hit, Page, Pair, Passage, Sentence
from ragqa.rerank import Reranker
from ragqa.retrieve import Retriever

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Bm25Index",
    "DenseIndex",
    "Embedder",
    "Hit",
    "Page",
    "Pair",
    "Passage",
    "RagqaError",
    "Reranker",
    "Retriever",
    "Sentence",
    "split",
]
