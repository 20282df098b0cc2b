"""Measure filters: the time to find candidates at several selectivities, relative to no filter, and whether they are exact.

    python benchmarks/filters.py

The corpus is the starter corpus, repeated under other ids (`COPIES`). The reranker is left out, since a filter does not change
its work. A filter is exact if the hits are the first ones of the full BM25 ranking that meet it.
"""

from dataclasses import replace
from statistics import median
from time import perf_counter

from ragqa import Bm25Index, DenseIndex, Retriever
from ragqa.index.interface import Index

COPIES = 40
SHARES = (1, 10, 50)  # percent of the passages that meet the filter
ROUNDS = 30
QUESTIONS = ("why does dropout help?", "what is a support vector machine?", "how do I choose the learning rate?")


def build() -> Retriever:
    """Return a retriever without reranker; passage i has the metadata `slot`, i modulo 100 in a fixed shuffled order."""
    import numpy as np

    starter = Retriever.open(reranker=None)
    assert isinstance(starter.dense, DenseIndex)
    own = [replace(p, id=f"{n}-{p.id}") for n in range(COPIES) for p in starter.index.passages]
    slots = np.random.default_rng(0).permutation(len(own)) % 100
    passages = [replace(p, metadata={"slot": int(slot)}) for p, slot in zip(own, slots, strict=True)]
    vectors = np.tile(starter.dense.vectors, (COPIES, 1))
    return Retriever(Bm25Index.build(passages), None, dense=DenseIndex(vectors, starter.dense.embedder), correct=False)


def milliseconds(retriever: Retriever, where: dict[str, int] | None) -> float:
    """Return the median time of `Retriever.find`."""
    times = []
    for question in QUESTIONS * ROUNDS:
        start = perf_counter()
        retriever.find(question, where=where)
        times.append(1000 * (perf_counter() - start))
    return median(times)


def is_exact(index: Index, where: dict[str, int], share: int) -> bool:
    """Return True if BM25 with the filter gives the first 100 passages of the full ranking that meet it."""
    for question in QUESTIONS:
        full = index.search(question, len(index.passages))
        met = [pair for pair in full if int(pair[0].metadata["slot"]) < share][:100]
        if index.search(question, 100, where=where) != met:
            return False
    return True


def main() -> None:
    """Print a table in Markdown."""
    retriever = build()
    start = perf_counter()
    retriever.index.mask({"slot": 0})
    print(f"{len(retriever.index.passages):,} passages; the first filter takes {perf_counter() - start:.2f} s\n")
    plain = milliseconds(retriever, None)
    print(
        f"| passages that meet the filter | ms | relative | exact |\n|---|---|---|---|\n| all, no filter | {plain:.1f} | 1 | |"
    )
    for share in SHARES:
        where = {"slot<": share}
        took, exact = milliseconds(retriever, where), is_exact(retriever.index, where, share)
        print(f"| {share} % | {took:.1f} | {took / plain:.2f} | {'yes' if exact else 'no'} |")


if __name__ == "__main__":
    main()
