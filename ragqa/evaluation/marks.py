"""Questions with marked answers, in a file: which sentences of which passages answer. Reading fails if a text has changed.

The file is JSON Lines. It begins with a line for each page, as in `ragqa.evaluation.grades`. A line for each question follows,
`{"question": …, "marks": {title: {number: [[start, end, grade], …]}}}`, with the passages that were read for it. `start` and
`end` are offsets in the passage. What is not marked was read and has grade 0. The file holds no text of pages.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragqa.errors import InputError
from ragqa.evaluation.grades import read_by_passage, write_by_passage
from ragqa.records import Passage

BEST, ANSWERS, PARTLY, WRONG = 3, 2, 1, 0  # grades: the best answer, another answer, a part of one, none

_COVERED, _SHARED = 0.9, 0.5  # shares of characters from which a quote holds a marked answer, or is like one


@dataclass(frozen=True, slots=True)
class Mark:
    """One to three adjoining sentences, at `passage.text[start:end]`, with a grade from 0 to 3."""

    start: int
    end: int
    grade: int

    def __post_init__(self) -> None:
        if not all(type(value) is int for value in (self.start, self.end, self.grade)):
            raise InputError("a mark is [start, end, grade], all whole numbers")
        if not (0 <= self.start < self.end and WRONG <= self.grade <= BEST):
            raise InputError(
                f"the mark [{self.start}, {self.end}, {self.grade}] is empty or has a grade outside 0 to 3"
            )


def is_like(start: int, end: int, marked: tuple[int, int]) -> bool:
    """Return True if the characters from `start` to `end` hold nearly all of a marked answer, or share half with it.

    Nearly all is 90 % of the marked characters. Half is that of the characters in either.
    """
    shared = min(end, marked[1]) - max(start, marked[0])
    either = max(end, marked[1]) - min(start, marked[0])
    return shared > 0 and (shared >= _COVERED * (marked[1] - marked[0]) or shared >= _SHARED * either)


def answers(start: int, end: int, marks: Iterable[Mark]) -> bool:
    """Return True if the characters from `start` to `end` are like a marked answer (`is_like`), a whole one."""
    return any(mark.grade >= ANSWERS and is_like(start, end, (mark.start, mark.end)) for mark in marks)


Marks = Mapping[str, Mapping[str, tuple[Mark, ...]]]  # by question and passage id


def read_marks(path: str | Path, passages: Iterable[Passage]) -> Marks:
    """Read marks, by question and id of each passage that was read.

    Raises `RecordError`, which names the question and the page, if a text is not among the passages.
    """
    return read_by_passage(path, passages, "marks", _read)


def _read(value: Any, passage: Passage) -> tuple[Mark, ...]:
    marks = tuple(Mark(*mark) for mark in value)
    if any(mark.end > len(passage.text) for mark in marks):
        raise InputError(f"a mark is longer than the passage {passage.id!r}")
    return marks


def write_marks(path: str | Path, marks: Marks, passages: Iterable[Passage]) -> None:
    """Write marks, with the hashes of the passages that were read."""
    plain = {
        question: {name: [[m.start, m.end, m.grade] for m in own] for name, own in read.items()}
        for question, read in marks.items()
    }
    write_by_passage(path, plain, passages, "marks")
