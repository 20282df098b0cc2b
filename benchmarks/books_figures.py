"""Print each figure that docs/books.md states and the same figure measured now.

    python benchmarks/books_figures.py                            # what needs no data
    python benchmarks/books_figures.py --data ../shared/data      # all; 9 minutes

It works like `figures.py`.
"""

import re
import sys
from pathlib import Path

from figures import EXACT, ROOT, Document, Source, Stated, Values, main, rows, run_script

from ragqa.recipes.books.library import read_books, starter_file

METRICS = ("MAP", "MRR@10", "nDCG@10")
SYSTEMS = {  # the names in docs/books.md by those that the benchmark prints
    "recommender with reranker": "recommender",
    "popularity on Goodreads": "popularity",
    "collaborative filtering": "collaborative filtering from the training readers",
    "reranker": "reranker alone",
}
STATED = (
    Stated("counts", r"bundled library holds (\d+) well-known books", ("books",), EXACT),
    *(
        Stated(
            "books",
            rf"\| {system} \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|",
            tuple(f"{system} {metric}" for metric in METRICS),
        )
        for system in SYSTEMS.values()
    ),
)
UNMEASURED = {r"The aims were .* nDCG@10 is 0\.880": "aims, and `benchmarks/books.py --candidates 12`, 16 and 20"}


def counts(_: Path) -> Values:
    """Count what is in the repository."""
    return {"books": len(read_books(starter_file()))}


def books(data: Path) -> Values:
    """Measure the sets `library`, 50 candidates each."""
    model = ROOT / "ragqa" / "recipes" / "books" / "reranker"
    arguments = ["--data", data / "goodbooks", "--set", "test-library", "--model", model, "--quick"]
    return read_books_table(run_script("books.py", *arguments))


def read_books_table(printed: str) -> Values:
    """Return the metrics of the systems that docs/books.md names."""
    found: dict[str, float] = {}
    for name, *cells in rows(printed):
        if name in SYSTEMS and re.match(r"\d\.\d+ \(", cells[0]):
            means = (float(cell.split()[0]) for cell in cells[:3])
            found |= {f"{SYSTEMS[name]} {metric}": mean for metric, mean in zip(METRICS, means, strict=True)}
    return found


SOURCES = {
    "counts": Source(counts, "python benchmarks/books_figures.py --only counts"),
    "books": Source(books, "python benchmarks/books.py --data DATA/goodbooks --set test-library", needs_data=True),
}
DOCUMENT = Document(ROOT / "docs" / "books.md", STATED, UNMEASURED, SOURCES)

if __name__ == "__main__":
    sys.exit(main(document=DOCUMENT))
