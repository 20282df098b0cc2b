"""Questions with graded passages, in a file. Reading fails if a graded text has changed.

The file is JSON Lines. It begins with a line for each page, `{"page": title, "passages": [[start, end, hash], …]}`. A line for
each question follows, `{"question": …, "grades": {title: {number: grade}}}`. A number counts from 0 in the page's list of
passages. A grade is 2 if the passage answers, 1 if it helps, else 0. The hash is `files.text_hash` of the passage. The file
holds no text of pages.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, TypeVar

from ragqa.errors import InputError, RecordError
from ragqa.records import Passage
from ragqa.storage.files import text_hash
from ragqa.storage.json_lines import read_rows, write_json_lines

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Span:
    """Position of a graded passage in its page, in characters, and the hash of its text."""

    start: int
    end: int
    hash: str

    def __post_init__(self) -> None:
        if type(self.start) is not int or type(self.end) is not int or not isinstance(self.hash, str):
            raise InputError("a passage is [start, end, hash]")


def read_grades(path: str | Path, passages: Iterable[Passage]) -> dict[str, dict[str, int]]:
    """Read grades, by question and id of the passage.

    A graded passage is found by its title and text, so it may have moved within its page. Raises `RecordError`, which names the
    question and the page, if a graded text is not among the passages.
    """
    return read_by_passage(path, passages, "grades", _read_grade)


def _read_grade(grade: Any, _: Passage) -> int:
    if type(grade) is not int:
        raise InputError(f"the grade {grade!r} is not a whole number")
    return grade


def write_grades(path: str | Path, grades: Mapping[str, Mapping[str, int]], passages: Iterable[Passage]) -> None:
    """Write grades, given by question and passage id, with the hashes of the graded texts."""
    write_by_passage(path, grades, passages, "grades")


def read_by_passage(
    path: str | Path, passages: Iterable[Passage], field: str, read: Callable[[Any, Passage], T]
) -> dict[str, dict[str, T]]:
    """Read a file of this form: what `read` makes of each value, by question and id of the passage.

    `field` names the values in a question's line. Raises `RecordError` as `read_grades` does.
    """
    by_text = _group_by_text(passages)
    pages: dict[str, dict[str, Span]] = {}
    found: dict[str, dict[str, T]] = {}
    for number, row in read_rows(path):
        try:
            if "page" in row:
                pages[row["page"]] = {str(number): Span(*span) for number, span in enumerate(row["passages"])}
            else:
                own = _resolve(row["question"], row[field], pages, by_text)
                found[str(row["question"])] = {passage.id: read(value, passage) for passage, value in own}
        except InputError as error:
            raise RecordError(path, number, str(error)) from error
        except (KeyError, TypeError, AttributeError) as error:
            reason = f"'page' and 'passages', or 'question' and '{field}' by title and number are needed"
            raise RecordError(path, number, reason) from error
    return found


def write_by_passage(
    path: str | Path, values: Mapping[str, Mapping[str, Any]], passages: Iterable[Passage], field: str
) -> None:
    """Write a file of this form: values by question and passage id, with the hashes of the passages."""
    by_id = {passage.id: passage for passage in passages}
    named = {name for own in values.values() for name in own}
    if missing := named - by_id.keys():
        raise InputError(f"the graded passage {min(missing)!r} is not among the passages")
    pages: dict[str, list[Span]] = {}
    numbers: dict[str, tuple[str, str]] = {}  # title and number by passage id
    for passage in sorted((by_id[name] for name in named), key=lambda p: (p.title, p.start, p.id)):
        spans = pages.setdefault(passage.title, [])
        numbers[passage.id] = passage.title, str(len(spans))
        spans.append(Span(passage.start, passage.end, text_hash(passage.text)))
    rows: list[dict[str, Any]] = [{"page": title, "passages": list(map(astuple, s))} for title, s in pages.items()]
    for question, own in values.items():
        by_page: dict[str, dict[str, Any]] = {}
        for name in sorted(own, key=lambda name: numbers[name]):
            title, number = numbers[name]
            by_page.setdefault(title, {})[number] = own[name]
        rows.append({"question": question, field: by_page})
    write_json_lines(path, rows)


_ByText = Mapping[str, Mapping[str, list[Passage]]]  # by title and hash


def _group_by_text(passages: Iterable[Passage]) -> _ByText:
    pages: dict[str, dict[str, list[Passage]]] = {}
    for passage in passages:
        pages.setdefault(passage.title, {}).setdefault(text_hash(passage.text), []).append(passage)
    return pages


def _resolve(
    question: str,
    values: Mapping[str, Mapping[str, Any]],
    pages: Mapping[str, Mapping[str, Span]],
    by_text: _ByText,
) -> list[tuple[Passage, Any]]:
    """Return the passages of one question with their values."""
    found = []
    for title, own in values.items():
        if title not in pages:
            raise InputError(f"the passages of the page {title!r} are not listed above")
        for number, value in own.items():
            found.append((_find(question, title, pages[title][number], by_text), value))
    return found


def _find(question: str, title: str, span: Span, by_text: _ByText) -> Passage:
    if title not in by_text:
        raise InputError(f"the question {question!r} has a grade for the page {title!r}, which is missing")
    found = by_text[title].get(span.hash)
    if not found:
        raise InputError(
            f"the question {question!r} has a grade for characters {span.start} to {span.end} of the page {title!r}, and "
            "this text has changed: grade it again, or use benchmarks/carry_grades.py"
        )
    return min(found, key=lambda passage: abs(passage.start - span.start))  # a text may occur twice in a page
