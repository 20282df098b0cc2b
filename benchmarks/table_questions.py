"""Measure what the rows of tables are worth: questions whose answer stands in a table or an infobox of a wiki page.

    python benchmarks/table_questions.py [--show]

The 40 questions of `table_questions.jsonl` are asked about the 14 pages in `table_pages/`, among the passages of these pages
and of the starter corpus. The pages are read twice from their wikitext: with a note in place of each table, and with its rows.
A passage or a quote holds the answer if it is from the page of the question, and one line of it has all words of the answer.
The last column shows how many of 12 questions for a definition are answered with prose.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ragqa import Bm25Index, Page, Retriever, split
from ragqa.index.dense import DenseIndex
from ragqa.storage.json_lines import read_rows
from ragqa.text import table_rows
from ragqa.text.clean import clean_text
from ragqa.text.passages import full_text
from ragqa.text.wikitext import extract_text

FOLDER = Path(__file__).parent
K = 10


class Asked(NamedTuple):
    """A question, the page that answers it, and what a line must have to be the answer."""

    question: str
    page: str
    answer: tuple[str, ...]

    def is_in(self, title: str, text: str) -> bool:
        lines = text.split("\n") if title == self.page else []
        return any(all(part in line for part in self.answer) for line in lines)


DEFINITIONS = (  # questions that prose answers, about the same pages
    ("What is TensorFlow?", "TensorFlow"),
    ("What is scikit-learn?", "Scikit-learn"),
    ("Who was Frank Rosenblatt?", "Frank Rosenblatt"),
    ("Who is Vladimir Vapnik?", "Vladimir Vapnik"),
    ("What are transformer language models?", "Transformer language models"),
    ("What are gradient boosting libraries?", "Gradient boosting libraries"),
    ("What are image classification datasets?", "Image classification datasets"),
    ("What is the kernel of a support vector machine?", "Support vector kernels"),
    ("What is an activation function?", "Activation functions compared"),
    ("What are measures of binary classification?", "Measures of binary classification"),
    ("What do clustering algorithms do?", "Comparison of clustering algorithms"),
    ("What is a deep learning framework?", "Comparison of deep learning software"),
)


def read_pages(*, rows: bool) -> list[Page]:
    """Read the pages with the rows of their tables, or with a note in place of each table."""
    most, table_rows.MOST_CHARS = table_rows.MOST_CHARS, table_rows.MOST_CHARS if rows else 0
    try:
        paths = sorted((FOLDER / "table_pages").glob("*.wiki"))
        return [Page(path.stem, text=clean_text(extract_text(path.read_text(encoding="utf8")))) for path in paths]
    finally:
        table_rows.MOST_CHARS = most


def with_pages(starter: Retriever, pages: Sequence[Page]) -> Retriever:
    """Return a retriever over the passages of the starter corpus and of these pages."""
    added = [passage for page in pages for passage in split(page)]
    passages = [*starter.index.passages, *added]
    assert isinstance(starter.dense, DenseIndex)  # the starter corpus has vectors
    known = dict(zip(map(full_text, starter.index.passages), starter.dense.vectors, strict=True))
    dense = DenseIndex.build(passages, starter.dense.embedder, known=known)
    return Retriever(Bm25Index.build(passages), starter.reranker, dense=dense)


def print_row(name: str, retriever: Retriever, asked: Sequence[Asked], show: bool) -> None:
    """Print how many questions find their answer first, among ten hits, and quoted."""
    counts = [0, 0, 0]
    for one in asked:
        found = retriever.ask(one.question, k=K)
        held = [one.is_in(hit.passage.title, hit.passage.text) for hit in found.hits]
        quoted = any(one.is_in(found.hits[quote.hit].passage.title, quote.text) for quote in found.quotes)
        counts = [count + more for count, more in zip(counts, (held[0], any(held), quoted), strict=True)]
        if show and not (held[0] and quoted):
            rank = held.index(True) + 1 if any(held) else "-"
            print(f"{name}: {one.question}  rank {rank}  quoted: {' / '.join(q.text for q in found.quotes)!r}")
    prose = sum(is_prose(retriever, question, show=show) for question, _ in DEFINITIONS)
    cells = [f"{count} ({100 * count / len(asked):.0f} %)" for count in counts]
    passages = len(retriever.index.passages)
    print(f"| {name} | {passages:,} | {' | '.join(cells)} | {prose} of {len(DEFINITIONS)} |", flush=True)


def is_prose(retriever: Retriever, question: str, *, show: bool) -> bool:
    """Whether the quoted answer to a question for a definition holds no row of a table."""
    quotes = [quote.text for quote in retriever.ask(question, k=K).quotes]
    rows = [line for text in quotes for line in text.split("\n") if table_rows.only_rows(line)]
    if show:
        print(f"{question} {' / '.join(quotes)!r}")
    return not rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--show", action="store_true", help="print the questions without an answer in the first hit or quote"
    )
    show = parser.parse_args().show
    asked = [
        Asked(row["question"], row["page"], tuple(row["answer"]))
        for _, row in read_rows(FOLDER / "table_questions.jsonl")
    ]
    starter = Retriever.open()
    print("| tables of the pages | passages | answer in hit 1 | in 10 hits | quoted | prose quoted for definitions |")
    print("|---|---|---|---|---|---|")
    print_row("as notes", with_pages(starter, read_pages(rows=False)), asked, show=False)
    print_row("as rows", with_pages(starter, read_pages(rows=True)), asked, show)


if __name__ == "__main__":
    main()
