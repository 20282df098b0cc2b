"""Files of judgments, as BEIR and TREC have them.

Ids in TREC files cannot contain white space. ragqa writes it percent-encoded, a space as %20.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from urllib.parse import quote

from ragqa.errors import InputError, RecordError
from ragqa.storage.json_lines import read_lines, write_lines

MOST_GRADE = 1_000_000  # pytrec-eval reserves memory for as many grades as the highest one

_GRADE_COLUMNS = frozenset(
    "score grade relevance rel label judgment judgement".split()
)  # names of the grade column in headers
_NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?")
_WHITE = " \t\n\r\v\f"
_SPACES = re.compile(f"[{_WHITE}]+")
_ENCODED = re.compile(f"[{_WHITE}%]")


def read_qrels(path: str | Path) -> Iterator[tuple[str, str, int]]:
    """Yield question id, passage id and grade from each line of a file, which may begin with a header.

    Lines have three columns separated by tabs, as in BEIR, or four separated by white space, as in TREC. A grade may be
    written as `1.0`. Raises `RecordError` for any other line.
    """
    for number, line in read_lines(path):
        text = decode(path, number, line)
        fields = text.split("\t")
        if len(fields) != 3 and len(trec := split_columns(text)) == 4:
            fields = [trec[0], *trec[2:]]
        if not text.strip() or (number == 1 and fields[-1].strip().casefold() in _GRADE_COLUMNS):
            continue
        if len(fields) != 3 or not _NUMBER.fullmatch(fields[2].strip()):
            raise RecordError(
                path,
                number,
                "question id, passage id and grade are needed, separated by tabs, or TREC's four columns: question id, 0, "
                "passage id, grade",
            )
        yield fields[0], fields[1], _grade(path, number, fields[2].strip())


def decode(path: str | Path, number: int, line: bytes) -> str:
    """Return a line as text, without its end. Raises `RecordError` if it is not UTF-8."""
    try:
        return line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise RecordError(path, number, "it is not UTF-8") from error


def split_columns(line: str) -> list[str]:
    """Split a line of a TREC file at white space. Other spaces than those of ASCII belong to the ids."""
    return _SPACES.split(line.strip(_WHITE)) if line.strip(_WHITE) else []


def _grade(path: str | Path, number: int, text: str) -> int:
    grade = float(text)
    if not grade.is_integer():
        raise RecordError(path, number, f"the grade {text} is not a whole number; grades are 0, 1, 2, …")
    if grade > MOST_GRADE:
        raise RecordError(path, number, f"the grade {text} is too high; at most {MOST_GRADE:,} is possible")
    return int(grade)


def write_qrels(path: str | Path, relevance: Mapping[str, Mapping[str, int]], rejected: Mapping[str, Set[str]]) -> int:
    """Replace `path` with judgments in TREC's four columns. Return their number.

    `relevance` has the grades of passages by question id, `rejected` the passages of grade 0.
    """
    grades = {
        question: dict(relevant) | dict.fromkeys(sorted(rejected.get(question, ())), 0)
        for question, relevant in relevance.items()
    }
    questions = trec_ids(grades)
    passages = trec_ids(passage for own in grades.values() for passage in own)
    return write_lines(
        path,
        (
            f"{questions[question]} 0 {passages[passage]} {grade}\n".encode()
            for question, own in grades.items()
            for passage, grade in own.items()
        ),
    )


def trec_ids(ids: Iterable[str]) -> Mapping[str, str]:
    """Return the ids as TREC files hold them. Raises `InputError` if two become the same, or if one is empty."""
    names = {name: trec_id(name) for name in ids}
    if "" in names:
        raise InputError("an id is empty, so it cannot be written to a TREC file")
    if len(set(names.values())) < len(names):
        same = next(name for name, written in names.items() if name != written and written in names)
        raise InputError(f"the ids {same!r} and {names[same]!r} would be the same in a TREC file; rename one of them")
    return names


def trec_id(name: str) -> str:
    """Return an id as TREC files hold it: percent-encoded if it contains white space, else as it is."""
    return _ENCODED.sub(lambda found: quote(found[0]), name) if _SPACES.search(name) else name
