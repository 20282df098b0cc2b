"""Records in JSON Lines files, plain or gzip: read them, replace a file atomically, or append to a journal."""

import codecs
import gzip
import json
import os
import re
import types
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import MISSING, asdict, fields
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from ragqa.errors import InputError, RecordError
from ragqa.storage.files import replace_file

_BLOCK = 1 << 16  # bytes

LONGEST_LINE = 1 << 24  # bytes; the longest article of Wikipedia has two million

_PLACES = "places"
_OPTIONAL = ("metadata", _PLACES)

_GZIP, _GZIP_MAGIC = ".gz", b"\x1f\x8b"

_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")

Record = TypeVar("Record")  # a frozen dataclass


def read_json_lines(path: str | Path, record: type[Record], *, growing: bool = False) -> Iterator[Record]:
    """Read records from a JSON Lines file or pipe, gzip or plain. Unknown keys are ignored.

    `growing` skips an incomplete last line, which another process is writing or a crash left.

    Raises `RecordError` with file, line and reason at the first line that is not such a record, `InputError` if the file does
    not exist.
    """
    yield from as_records(path, read_rows(path, growing=growing), record)


def as_records(path: str | Path, rows: Iterable[tuple[int, dict[str, Any]]], record: type[Record]) -> Iterator[Record]:
    """Convert numbered rows (`read_rows`) to records. Raises `RecordError` as `read_json_lines` does."""
    for number, row in rows:
        try:
            yield construct(record, row)
        except (TypeError, ValueError) as error:
            raise RecordError(path, number, str(error)) from error


def read_rows(path: str | Path, *, growing: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read the JSON objects of a JSON Lines file with their line numbers, from 1. Empty lines are skipped."""
    for number, line in read_lines(path):
        if line.strip():
            try:
                row = _parse(path, number, line)
            except RecordError:
                if growing and not line.endswith(b"\n"):
                    return
                raise
            yield number, row


def read_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """Read the lines of a file or pipe, gzip or plain, with their numbers, from 1. A byte order mark is removed.

    Raises `RecordError` for a line of more than 16 MiB, because a small gzip file may unpack to a line that fills the memory.
    """
    path = Path(path)
    with open_input(path) as file:
        try:
            for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE + 1), b""), 1):
                if len(line) > LONGEST_LINE:
                    raise RecordError(path, number, f"it has more than {LONGEST_LINE:,} bytes")
                if number == 1 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                    raise RecordError(path, number, "it is UTF-16; save the file as UTF-8")
                yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{path} is not a whole gzip file: {error}") from error


def is_input(path: str | Path) -> bool:
    """Return True for an existing file or pipe, such as `/dev/stdin`."""
    return Path(path).exists() and not Path(path).is_dir()


@contextmanager
def open_input(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a file or pipe to read it once; gzip is unpacked. Raises `InputError` if it does not exist."""
    path = Path(path)
    if not is_input(path):
        raise InputError(f"{path} is not a file")
    with path.open("rb") as file:
        packed = path.suffix == _GZIP or file.peek(2)[:2] == _GZIP_MAGIC
        yield gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[misc]


def write_json_lines(path: str | Path, records: Iterable[Any]) -> int:
    """Replace `path` with records, one JSON object per line, when all are written. Return their number.

    The file is gzip if its name ends in `.gz`. The same records always give the same bytes.
    """
    return write_lines(path, map(json_line, records))


def write_lines(path: str | Path, lines: Iterable[bytes]) -> int:
    """Replace `path` with lines as `write_json_lines` does. Return their number."""
    count = 0
    packed = Path(path).suffix == _GZIP
    with replace_file(path) as whole, _gzip(whole) if packed else nullcontext(whole) as file:
        for line in lines:
            file.write(line)
            count += 1
    return count


def _gzip(file: IO[bytes]) -> gzip.GzipFile:
    return gzip.GzipFile("", "wb", fileobj=file, mtime=0)  # no name or time in the header


def check_appendable(path: str | Path) -> None:
    """Raise `InputError` for a name that ends in `.gz`. Journals are plain files, because gzip would buffer lines."""
    if Path(path).suffix == _GZIP:
        raise InputError(f"{path} is written line by line, so it cannot be gzip; choose a name without {_GZIP}")


def append_json_line(path: str | Path, record: Any) -> None:
    """Append a record to a journal and wait until it is on disk. Missing folders are created."""
    path = Path(path)
    check_appendable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(json_line(record))
        file.flush()
        os.fsync(file.fileno())


def read_journal(path: str | Path, record: type[Record]) -> list[Record]:
    """Read the records of a journal; none if the file does not exist. An unfinished last line is first cut off the file."""
    path = Path(path)
    if not path.exists():
        return []
    cut_unfinished(path)
    return list(read_json_lines(path, record))


def cut_unfinished(path: Path) -> None:
    """Cut everything after the last line end off a journal: a line that a crash left unfinished."""
    with path.open("r+b") as file:
        end = size = file.seek(0, os.SEEK_END)
        newline = -1
        while end and newline < 0:  # block by block from the end, because a journal may be as large as a wiki
            start = max(end - _BLOCK, 0)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            end = start + newline + 1
        if end < size:
            file.truncate(end)


def json_line(record: Any) -> bytes:
    """Return one record as a line of a JSON Lines file. Empty metadata and places of a record are left out."""
    row = record if isinstance(record, dict) else as_row(record)
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def as_row(record: Any) -> dict[str, Any]:
    """Return a record as plain data for JSON, without empty metadata and places: older programs do not know these fields."""
    row = asdict(record)
    return {name: value for name, value in row.items() if value or name not in _OPTIONAL}


def _parse(path: str | Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RecordError(path, number, f"not JSON: {error}") from error
    if not isinstance(row, dict):
        raise RecordError(path, number, f"a JSON object is needed, not {type(row).__name__}")
    if _HALF_PAIR.search(line):
        try:
            json_line(row)
        except UnicodeEncodeError as error:
            raise RecordError(path, number, "half a surrogate pair, which is no character") from error
    return row


def construct(record: type[Record], row: dict[str, Any]) -> Record:
    """Build a record from a JSON object. Raises `InputError`, which names the field, if one is missing or has a wrong type."""
    values: dict[str, Any] = {}
    for name, (kinds, required) in _schema(record).items():
        if name in row:
            value = row[name]
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise InputError(f"{name!r} is {type(value).__name__}, not {' or '.join(k.__name__ for k in kinds)}")
            values[name] = _items(name, value) if isinstance(value, list) else value
        elif required:
            raise InputError(f"{name!r} is missing")
    return record(**values)


def _items(name: str, items: list[Any]) -> tuple[Any, ...]:
    return _places(items) if name == _PLACES else _strings(name, items)


def _places(items: list[Any]) -> tuple[tuple[int, str], ...]:
    """Return pairs of an offset and a URL fragment."""
    for item in items:
        if not (isinstance(item, list) and [type(part) for part in item] == [int, str]):
            raise InputError(f"{_PLACES!r} holds {item!r}, not an offset with a URL fragment, such as [0, 'page=1']")
    return tuple(sorted((offset, place) for offset, place in items))


def _strings(name: str, items: list[Any]) -> tuple[str, ...]:
    if other := next((type(item).__name__ for item in items if not isinstance(item, str)), ""):
        raise InputError(f"{name!r} holds {other}, not only str")
    return tuple(items)


def _schema(record: type[Any]) -> dict[str, tuple[tuple[type, ...], bool]]:
    if record in _SCHEMAS:
        return _SCHEMAS[record]
    hints = get_type_hints(record)
    schema: dict[str, tuple[tuple[type, ...], bool]] = {}
    for field in fields(record):
        hint = hints[field.name]
        kinds = get_args(hint) if get_origin(hint) in (types.UnionType, Union) else (hint,)
        if get_origin(hint) is tuple:
            kinds = (list,)  # a list of strings
        if get_origin(hint) is Mapping:
            kinds = (dict,)
        if float in kinds:
            kinds = (*kinds, int)
        schema[field.name] = (kinds, field.default is MISSING and field.default_factory is MISSING)
    _SCHEMAS[record] = schema
    return schema


_SCHEMAS: dict[type[Any], dict[str, tuple[tuple[type, ...], bool]]] = {}  # built on first use, because it is slow
