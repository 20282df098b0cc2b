"""Measure the final score: how many candidates are reranked, and the weights of BM25's score and the cosine beside the logit.

    python benchmarks/fusion.py --data ../shared/data

Prints nDCG@10 on questions to choose by: `mlq_dev`, the starter questions that calibrate, and SQuAD questions of the articles
that checkpoints were chosen by. `--reranker` and `--embedder` name other models than the bundled ones.
"""

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from shipped_models import SQUAD_PARTS

from ragqa.evaluation.judged import Judged, keep, read_beir, read_judged, read_starter_graded, starter_part
from ragqa.evaluation.metrics import MAIN_METRIC, measure, sample
from ragqa.index.bm25 import Bm25Index
from ragqa.index.dense import DenseIndex
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import Reranker
from ragqa.records import Hit
from ragqa.search.retriever import Retriever
from ragqa.text.passages import full_text
from ragqa.training.dataset import PairConfig, split_of

DEPTHS = (30, 50)
BM25_WEIGHTS = (0.0, 0.03, 0.05, 0.08)
COSINE_WEIGHTS = (0.0, 4.0, 6.0, 8.0)

Candidates = dict[str, tuple[list[Hit], np.ndarray]]  # by question: hits of both sources fused, and their cosines
Logits = dict[str, np.ndarray]  # by question, in the order of its hits


def main() -> None:
    """Read the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--reranker")
    parser.add_argument("--embedder")
    options = parser.parse_args()
    reranker, embedder = Reranker.load(options.reranker), Embedder.load(options.embedder)
    sets = {judged.name: judged for judged in judged_sets(options.data)}
    found = {name: candidates(judged, embedder, DEPTHS[-1]) for name, judged in sets.items()}
    logits = {name: score(reranker, found[name]) for name in sets}
    print(f"| candidates | BM25 | cosine | {' | '.join(sets)} |\n|{'---|' * (3 + len(sets))}")
    for depth, bm25, cosine in product(DEPTHS, BM25_WEIGHTS, COSINE_WEIGHTS):
        values = [ndcg(sets[name], found[name], logits[name], depth, bm25, cosine) for name in sets]
        print(f"| {depth} | {bm25} | {cosine} | {' | '.join(f'{value:.3f}' for value in values)} |", flush=True)


def judged_sets(data: Path) -> Iterator[Judged]:
    """The sets to choose by."""
    yield read_judged(data / "mlq_dev")
    yield starter_part(read_starter_graded(), 2)
    squad = read_beir(data / "squad_dev")
    by_id = {passage.id: passage for passage in squad.passages}
    config = PairConfig(parts=SQUAD_PARTS)
    chosen = [key for key, own in squad.relevance.items() if split_of(by_id[min(own)], config) == "eval"]
    yield sample(keep(squad, chosen), 60)


def candidates(judged: Judged, embedder: Embedder, depth: int) -> Candidates:
    """What both sources find for each question."""
    dense = DenseIndex.build(judged.passages, embedder)
    retriever = Retriever(Bm25Index.build(judged.passages), None, dense=dense, candidates=depth)
    place = {passage.id: number for number, passage in enumerate(judged.passages)}
    found = {}
    for question in judged.questions.values():
        hits = retriever.search(question, depth)
        found[question] = hits, dense.scores(question)[[place[hit.passage.id] for hit in hits]]
    return found


def score(reranker: Reranker, found: Candidates) -> Logits:
    """The reranker's logits of all candidates."""
    return {q: reranker.score(q, [full_text(hit.passage) for hit in hits]) for q, (hits, _) in found.items()}


def ndcg(
    judged: Judged, found: Candidates, logits: Logits, depth: int, bm25: float = 0.0, cosine: float = 0.0
) -> float:
    """The mean nDCG@10 where the first `depth` candidates are ordered by logit and weighted scores of the sources."""

    def search(question: str) -> list[Hit]:
        hits, cosines = found[question]
        lexical = np.array([hit.bm25_score for hit in hits])
        order = np.argsort(-(logits[question] + bm25 * lexical + cosine * cosines)[:depth], kind="stable")
        return [hits[i] for i in order]

    return next(m.mean for m in measure(search, judged) if m.metric == MAIN_METRIC)


if __name__ == "__main__":
    main()
