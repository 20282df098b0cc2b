"""Measure what cleaning leaves of list debris and of formula markup in the passages of pages.

    python benchmarks/debris.py --pages ../shared/data/wikipedia/pages.jsonl.gz

Prints a Markdown table: all pages, then those with `"ml": true`, as they come and cleaned. Token runs are three short lines in
a row that are deeply indented, as the first copy of a formula has; unpaired braces include those of passages about code.
"""

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ragqa.records import Page, Passage
from ragqa.storage.json_lines import read_rows
from ragqa.text.clean import clean_page
from ragqa.text.passages import is_debris, split

STYLE = re.compile(r"\\(?:display|text|script|scriptscript)style|displaystyle")
TOKEN_RUN = re.compile(r"(?:^[ \t]{4,}\S{1,3}\s*\n){3}", re.MULTILINE)
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
COUNTS = ("list debris", "`displaystyle`", "token runs", "unpaired braces")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", required=True, metavar="FILE", help="JSON Lines, gzip too: title, text, ml")
    rows = [row for _, row in read_rows(parser.parse_args().pages)]
    print(f"| pages | passages | {' | '.join(COUNTS)} |\n|---|---|{'---|' * len(COUNTS)}")
    for name, chosen in (("all", rows), ("on machine learning", [row for row in rows if row.get("ml")])):
        pages = [Page(row["title"], text=row["text"]) for row in chosen]
        print(table_row(f"{name}, as they come", pages))
        print(table_row(f"{name}, cleaned", [clean_page(page) for page in pages]))


def table_row(name: str, pages: Sequence[Page]) -> str:
    passages = [passage for page in pages for passage in split(page)]
    found = count(passages)
    share = 100 * found[COUNTS[0]] / max(1, len(passages))
    cells: list[Any] = [f"{len(pages)} {name}", f"{len(passages):,}", f"{found[COUNTS[0]]} ({share:.2f} %)"]
    return f"| {' | '.join(map(str, cells + [found[kind] for kind in COUNTS[1:]]))} |"


def count(passages: Iterable[Passage]) -> Counter[str]:
    found: Counter[str] = Counter()
    for passage in passages:
        flaws = (is_debris(passage), STYLE.search(passage.text), TOKEN_RUN.search(passage.text), unpaired(passage.text))
        found.update(kind for kind, flaw in zip(COUNTS, flaws, strict=True) if flaw)
    return found


def unpaired(text: str) -> bool:
    depth = 0
    for match in BRACE.finditer(text):
        depth += (match[0] == "{") - (match[0] == "}")
        if depth < 0:
            return True
    return depth > 0


if __name__ == "__main__":
    main()
