"""Rows of a table in, pages out: CSV, TSV, Parquet, and JSON Lines whose keys are not those of pages."""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ragqa.errors import InputError, MissingExtraError, first_line
from ragqa.records import Page, flaw_of_key, scalar
from ragqa.storage.json_lines import open_input, read_rows
from ragqa.text.characters import unix_newlines
from ragqa.text.document_files import document_format
from ragqa.text.documents import encodable

DELIMITED = (".csv", ".tsv")
PARQUET = ".parquet"
TABLES = (*DELIMITED, PARQUET)

_DELIMITERS = ",;\t"

Row = tuple[str, Mapping[str, Any]]  # its URL fragment and its values


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns that become the title, the text and the URL of pages; all others become metadata.

    None stands for a column of the same name as the field; a title and a URL may then be missing.
    """

    title: str | None = None
    text: str | None = None
    url: str | None = None

    @property
    def are_named(self) -> bool:
        """Return True if any column is named."""
        return any((self.title, self.text, self.url))


USUAL_COLUMNS = Columns()


def read_table(path: Path, columns: Columns) -> Iterator[Page]:
    """Read a page from each row. A page without title is called after its file and row; without URL it is cited by its row.

    Raises `InputError` if a named column or the text is missing, and for files that cannot be read.
    """
    kind = document_format(path)
    if kind == PARQUET:
        rows = _parquet(path)
    elif kind in DELIMITED:
        rows = _delimited(path)
    else:
        rows = ((f"L{number}", row) for number, row in read_rows(path))
    for place, row in rows:
        yield _page(path, place, row, columns, parse=kind in DELIMITED)


def _page(path: Path, place: str, row: Mapping[str, Any], columns: Columns, *, parse: bool) -> Page:
    names = {"title": columns.title or "title", "text": columns.text or "text", "url": columns.url or "url"}
    for field in (field for field in names if getattr(columns, field) or field == "text"):
        if names[field] not in row:
            known = ", ".join(map(str, row))
            raise InputError(
                f"{path}: there is no column {names[field]!r}, only {known}; name one with --{field}-column"
            )
    fields = {field: _text(row.get(name)) for field, name in names.items()}
    others = {key: value for key, value in row.items() if key not in names.values() and not flaw_of_key(key)}
    metadata = {key: _value(scalar(value) if parse else value) for key, value in others.items()}
    return Page(
        fields["title"] or f"{encodable(path.name)}, {place.replace('=', ' ').replace('L', 'line ')}",
        fields["url"] or path.resolve().as_uri(),
        text=fields["text"],
        metadata=metadata,
        places=() if fields["url"] else ((0, place),),
    )


def _text(value: Any) -> str:
    return "" if value is None else unix_newlines(str(value)).strip()


def _value(value: Any) -> Any:
    """Return a value as metadata can hold it: dates and the like as text, nothing for an empty cell."""
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, (list, tuple)):
        return tuple(map(str, value))
    return value if isinstance(value, (str, int, float)) else str(value)


def _delimited(path: Path) -> Iterator[Row]:
    """Yield the rows of a CSV or TSV file. The first row names the columns and counts as row 1 (RFC 7111).

    The delimiter of CSV is the one that the first line has most.
    """
    with open_input(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as lines:
        try:
            first = lines.readline()
            delimiter = "\t" if document_format(path) == ".tsv" else max(_DELIMITERS, key=first.count)
            rows = csv.reader(chain([first], lines), delimiter=delimiter)
            names = next(rows, [])
            for number, cells in enumerate(rows, 2):
                if cells:
                    yield f"row={number}", dict.fromkeys(names, "") | dict(zip(names, cells, strict=False))
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not UTF-8: {error}") from error
        except csv.Error as error:
            raise InputError(f"{path}: not a table that can be read: {error}") from error


def _parquet(path: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet file, counted from 1."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("reading Parquet files", "parquet") from error
    try:
        batches: Iterable[Any] = parquet.ParquetFile(path).iter_batches()
        rows = (row for batch in batches for row in batch.to_pylist())
        for number, row in enumerate(rows, 1):
            yield f"row={number}", row
    except (pyarrow.ArrowException, OSError) as error:  # most damages are OSError
        raise InputError(f"{path}: not a Parquet file that can be read: {first_line(error)}") from error
