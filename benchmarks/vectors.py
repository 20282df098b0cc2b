"""Measure the search for the nearest vectors among ever more passages: all cosines, or those that the signs suggest.

    python benchmarks/vectors.py --pages ../shared/data/wikipedia/pages.jsonl.gz --passages 28920 --embedder bundled
    python benchmarks/vectors.py --pages ../shared/data/wikipedia/pages.jsonl.gz --passages 100000 200000 1000000

"Found" is the share of the 30 and of the 100 nearest passages, by all cosines, that the search by signs finds. Passages beyond
the real ones are made of their sentences (`speed/texts.py`). The two searches take turns on the same questions. "Kept" is the
memory that each process needs for itself; mapped files are shared by all processes.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent / "speed"))

import numpy as np
from texts import some_passages, some_questions

from ragqa.index.bm25 import best
from ragqa.index.dense import COMPARED
from ragqa.index.signs import Signs
from ragqa.models.embedder import FAST
from ragqa.models.named import load_embedder
from ragqa.text.passages import full_text

DEPTHS = (30, 100)  # candidates that are reranked; nearest passages that are fused with those of BM25
BLOCK = 50_000


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=Path, help="pages to take passages from (default: the starter corpus)")
    parser.add_argument("--passages", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--embedder", default=FAST)
    args = parser.parse_args(argv)
    embedder = load_embedder(args.embedder)
    asked = embedder.embed(some_questions(args.pages, args.questions))
    print(
        "| passages | all, ms | by signs, ms | ratio | found of 30 | of 100 | signs made in | kept by all, MB | by signs, MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    most = some_passages(args.pages, max(args.passages))
    blocks = [most[start : start + BLOCK] for start in range(0, len(most), BLOCK)]
    vectors = np.concatenate([embedder.embed([*map(full_text, block)]).astype(np.float16) for block in blocks])
    for count in args.passages:
        print(_row(vectors[:count], asked), flush=True)


def _row(vectors: "np.ndarray", asked: "np.ndarray") -> str:
    start = perf_counter()
    signs = Signs.of(vectors)
    made, every, ranks = perf_counter() - start, vectors.astype(np.float32), np.arange(len(vectors))
    taken: list[tuple[float, float]] = []
    found = dict.fromkeys(DEPTHS, 0)
    for vector in asked:
        began = perf_counter()
        wanted = best(every @ vector, ranks, max(DEPTHS))
        between = perf_counter()
        near = signs.nearest(vector, COMPARED)
        got = near[best(vectors[near].astype(np.float32) @ vector, ranks[near], max(DEPTHS))]
        taken.append((between - began, perf_counter() - between))
        for depth in DEPTHS:
            found[depth] += len(set(wanted[:depth].tolist()) & set(got[:depth].tolist()))
    all_ms, signs_ms = (1000 * median(times) for times in zip(*taken, strict=True))
    ratio = median(one / other for one, other in taken)
    shares = [f"{found[depth] / depth / len(asked):.3f}" for depth in DEPTHS]
    cells = [f"{len(vectors):,}", f"{all_ms:.1f}", f"{signs_ms:.1f}", f"{ratio:.1f}", *shares, f"{made:.1f} s"]
    return f"| {' | '.join(cells)} | {every.nbytes / 1e6:,.0f} | {signs.rotation.nbytes / 1e6:,.1f} |"


if __name__ == "__main__":
    main()
