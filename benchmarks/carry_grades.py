"""Carry grades over to passages that were cut anew, after an article, the cleaning or the cutting has changed.

    ragqa passages --pages corpus/starter --out now.jsonl
    python benchmarks/carry_grades.py corpus/starter/grades.jsonl --was was.jsonl --now now.jsonl

`--was` holds the passages that were graded, made with the older files or code (git worktree). A grade goes to the passage of
the same page that has the same text. If there is none, it goes to the passage with the largest overlap, if that is at least
`--least`; otherwise it is dropped. Questions that lose their last answer are dropped too. The overlap of two texts is the
share of common 4-grams of letters and digits, relative to the longer text.
"""

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ragqa.errors import RagqaError
from ragqa.evaluation.grades import read_grades, write_grades
from ragqa.records import Passage
from ragqa.storage.json_lines import read_json_lines

LEAST = 0.7  # below are halves of passages, and lists of links that the cleaning removes


class Counterpart(NamedTuple):
    """The passage of today for a graded one, and the overlap of their texts: 1 only if they are the same."""

    id: str
    overlap: float


def carry(was: Iterable[Passage], now: Iterable[Passage], least: float = LEAST) -> dict[str, Counterpart]:
    """The counterparts by id of the passages that were."""
    pages: dict[str, list[Passage]] = {}
    for passage in now:
        pages.setdefault(passage.title, []).append(passage)
    found = ((passage.id, counterpart(passage, pages.get(passage.title, ()))) for passage in was)
    return {name: own for name, own in found if own and own.overlap >= least}


def counterpart(passage: Passage, page: Sequence[Passage]) -> Counterpart | None:
    """The passage of a page that is most like the given one; of equal texts the nearest one. None for an empty page."""
    same = [other for other in page if other.text == passage.text]
    if same:
        return Counterpart(min(same, key=lambda other: abs(other.start - passage.start)).id, 1.0)
    grams = four_grams(passage.text)
    overlaps = [Counterpart(other.id, overlap(grams, four_grams(other.text))) for other in page]
    return max(overlaps, key=lambda own: own.overlap, default=None)


def four_grams(text: str) -> "Counter[str]":
    """The 4-grams of the letters and digits of a text."""
    bare = re.sub(r"[\W_]+", "", text).casefold()
    return Counter(bare[start : start + 4] for start in range(max(1, len(bare) - 3)))


def overlap(one: "Counter[str]", other: "Counter[str]") -> float:
    """The share of what both have, below 1: white space and symbols differ even if all letters are the same."""
    return min(0.999, (one & other).total() / max(one.total(), other.total()))


def carry_grades(
    grades: Mapping[str, Mapping[str, int]], counterparts: Mapping[str, Counterpart]
) -> dict[str, dict[str, int]]:
    """The grades of the counterparts. If two passages have the same counterpart, the more similar one decides."""
    carried = {}
    for question, own in grades.items():
        kept = sorted(own.keys() & counterparts.keys(), key=lambda name: (counterparts[name].overlap, own[name]))
        mine = {counterparts[name].id: own[name] for name in kept}
        if max(mine.values(), default=0) > 0:
            carried[question] = mine
    return carried


def report(grades: Mapping[str, Mapping[str, int]], counterparts: Mapping[str, Counterpart]) -> list[str]:
    """Lines with the number of passages and grades of each fate."""
    fates: dict[str, Counter[str]] = {}
    for own in grades.values():
        for name in own:
            like = counterparts[name].overlap if name in counterparts else 0.0
            fates.setdefault(fate(like), Counter())[name] += 1
    return [f"{name}: {len(own):,} passages, {own.total():,} grades" for name, own in sorted(fates.items())]


def fate(overlap: float) -> str:
    """What became of a passage."""
    return "same text" if overlap == 1 else "nearly the same text" if overlap else "dropped"


def main() -> None:
    """Read the arguments, replace the file of grades and print what was carried over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grades", type=Path, help="file of grades, which is replaced")
    parser.add_argument("--was", type=Path, required=True, help="passages that were graded")
    parser.add_argument("--now", type=Path, required=True, help="passages of today")
    parser.add_argument("--least", type=float, default=LEAST, help=f"smallest overlap, 0 to 1 (default: {LEAST})")
    options = parser.parse_args()
    try:
        was, now = (list(read_json_lines(path, Passage)) for path in (options.was, options.now))
        grades = read_grades(options.grades, was)
        graded = {name for own in grades.values() for name in own}
        counterparts = carry((passage for passage in was if passage.id in graded), now, options.least)
        carried = carry_grades(grades, counterparts)
        write_grades(options.grades, carried, now)
    except RagqaError as error:
        raise SystemExit(f"carry_grades: {error}") from error
    print(*report(grades, counterparts), sep="\n")
    print(f"questions: {len(carried):,} of {len(grades):,} kept")


if __name__ == "__main__":
    main()
