r"""Measure what each part of the candidate search contributes: fields, abbreviations, expansion, k1 and b, the embedder.

    python benchmarks/candidates.py ../shared/data/mlq_dev starter-graded
    python benchmarks/candidates.py ../shared/data/mlq_dev --aliases benchmarks/mlq_dev_aliases.tsv

Prints a Markdown table for each judged set. "Usual settings" is bm25s as it comes: words of two letters and more (`\w\w+`), no
stemming, no stop words, text alone, k1 1.5, b 0.75.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import bm25s

from ragqa.evaluation.judged import Judged, read_judged
from ragqa.evaluation.metrics import Definition, Search, measure, title
from ragqa.index.bm25 import Bm25Index
from ragqa.index.dense import DenseIndex
from ragqa.index.terms import Fields
from ragqa.models.embedder import Embedder
from ragqa.records import Hit, Passage
from ragqa.search.retriever import Retriever

DEPTH = 100
SHOWN = ("nDCG@10", "RR@10", "R@100")
RELEVANT = Definition(least_grade=1)  # candidates that only help count, too
PLAIN = Fields(title=0, section=0, abbreviations=False, questions=False)
FIELDS = {
    "text": PLAIN,
    "+ title": Fields(title=1, section=0, abbreviations=False, questions=False),
    "+ section": Fields(title=1, section=1, abbreviations=False, questions=False),
    "+ title twice": Fields(title=2, section=1, abbreviations=False, questions=False),
    "+ abbreviations": Fields(title=2, section=1, abbreviations=True, questions=False),
    "+ generated questions (the default)": Fields(),
}
WEIGHTS = ((0.6, 0.4), (1.2, 0.4), (1.2, 0.75), (0.9, 0.2), (0.9, 0.75))  # other k1 and b than the default's


def usual(passages: Sequence[Passage]) -> Search:
    """bm25s with its own tokens and settings."""
    model = bm25s.BM25()
    model.index(bm25s.tokenize([p.text for p in passages], stopwords=None, show_progress=False), show_progress=False)

    def search(question: str) -> list[Hit]:
        tokens = bm25s.tokenize([question], stopwords=None, show_progress=False)
        found, scores = model.retrieve(tokens, k=DEPTH, show_progress=False)
        return [Hit(passages[i], float(s), None, float(s), 1) for i, s in zip(found[0], scores[0], strict=True)]

    return search


def systems(judged: Judged, embedder: Embedder) -> Iterator[tuple[str, Search]]:
    """Name and search of each variant."""

    def of(retriever: Retriever) -> Search:
        return lambda question: retriever.search(question, DEPTH)

    yield "usual settings", usual(judged.passages)
    for name, fields in FIELDS.items():
        yield name, of(Retriever(Bm25Index.build(judged.passages, fields=fields), None))
    for k1, b in WEIGHTS:
        yield f"the default with k1 {k1}, b {b}", of(Retriever(Bm25Index.build(judged.passages, k1=k1, b=b), None))
    index, dense = Bm25Index.build(judged.passages), DenseIndex.build(judged.passages, embedder)
    yield "embedder alone", of(Retriever(index, None, dense=dense, bm25=False))
    yield "BM25 and embedder fused", of(Retriever(index, None, dense=dense))


def read_aliases(path: Path) -> dict[str, tuple[str, ...]]:
    """The aliases of pages by their titles."""
    aliases: dict[str, tuple[str, ...]] = {}
    for line in path.read_text(encoding="utf8").splitlines():
        title, alias = line.split("\t")
        aliases[title] = (*aliases.get(title, ()), alias)
    return aliases


def main() -> None:
    """Read the arguments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judged", nargs="+", help='BEIR folders, "starter" or "starter-graded"')
    parser.add_argument("--embedder", help="folder or hub id; the bundled one if not given")
    parser.add_argument("--aliases", type=Path, help="titles of pages and of their redirects, with a tab between them")
    options = parser.parse_args()
    aliases = read_aliases(options.aliases) if options.aliases else {}
    embedder = Embedder.load(options.embedder)
    for name in options.judged:
        judged = read_judged(name)
        named = tuple(replace(passage, aliases=aliases.get(passage.title, ())) for passage in judged.passages)
        judged = replace(judged, passages=named)
        print(f"\n{judged.name}: {len(judged.questions):,} questions, {len(judged.passages):,} passages\n")
        print(f"| candidates | {' | '.join(title(m, graded=True) for m in SHOWN)} |\n|{'---|' * (len(SHOWN) + 1)}")
        for system, search in systems(judged, embedder):
            means = {m.metric: m.mean for m in measure(search, judged, definition=RELEVANT)}
            print(f"| {system} | {' | '.join(f'{means[m]:.3f}' for m in SHOWN)} |", flush=True)


if __name__ == "__main__":
    main()
