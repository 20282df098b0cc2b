"""What the tests of all adapters use: a small retriever, and what its hits must become in another framework."""

from collections.abc import Mapping
from typing import Any

from ragqa import Bm25Index, DenseIndex, Embedder, Hit, Passage, Reranker, Retriever

WIKI = "https://en.wikipedia.org/wiki/Ferret?oldid=7#Food"
PASSAGES = [
    Passage("Ferret#0", "Ferret", "", 0, 48, "A ferret is a small animal that is kept as a pet", WIKI[:-5]),
    Passage("Ferret#1", "Ferret", "Food", 60, 101, "Ferrets eat meat. Sugar makes them ill.", WIKI),
    Passage("Bee#0", "Bee", "", 0, 38, "Bees make honey from nectar in a hive.", "", (), "https://about.example/Bee"),
    Passage("Ferret#2", "Ferret", "Sleep", 110, 150, "Ferrets sleep for most of the day."),
]
QUESTION = "what should a ferret eat?"


def make_retriever() -> Retriever:
    dense = DenseIndex.build(PASSAGES, Embedder.load())
    return Retriever(Bm25Index.build(PASSAGES), Reranker.load(), dense=dense)


def assert_tells(metadata: Mapping[str, Any], hit: Hit) -> None:
    """The metadata hold all that is known of a hit, and nothing that is not."""
    passage = hit.passage
    expected = {
        "title": passage.title,
        "section": passage.section,
        "url": passage.url,
        "about": passage.about,
        "revision": 7 if passage.url else None,
        "start": passage.start,
        "end": passage.end,
        "probability": hit.probability,
        "bm25_score": hit.bm25_score,
        "bm25_rank": hit.bm25_rank,
    }
    assert {name: metadata[name] for name in expected if name in metadata} == {
        name: value for name, value in expected.items() if value not in ("", None)
    }
