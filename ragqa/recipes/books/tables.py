"""Read CSV files, plain or gzipped, row by row. Errors name file and line."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from ragqa.errors import InputError, RecordError

Row = dict[str, str]


def find_table(folder: Path, *stems: str) -> Path | None:
    """Return the first file that exists of `stem` and `stem.gz`, in the order of the stems, or None."""
    names = (name for stem in stems for name in (stem, f"{stem}.gz"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def need_table(folder: Path, *stems: str) -> Path:
    """Return what `find_table` finds. Raises `InputError` if there is none."""
    found = find_table(folder, *stems)
    if found is None:
        others = "".join(f", no {stem}" for stem in stems[1:])
        raise InputError(f"{folder} holds no {stems[0]}{others} (nor .gz); download goodbooks-10k into it")
    return found


def read_table(path: Path, columns: Iterable[str]) -> Iterator[tuple[int, Row]]:
    """Yield each row with the number of its last line. Raises `RecordError` for a missing column or a row of another length."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as binary, io.TextIOWrapper(binary, "utf-8-sig", newline="") as text:
        reader = csv.reader(text, strict=True)
        try:
            header = next(reader, [])
            if missing := [column for column in columns if column not in header]:
                raise RecordError(path, 1, f"there is no column {missing[0]!r}")
            for cells in reader:
                if len(cells) != len(header):
                    raise RecordError(path, reader.line_num, f"{len(cells)} cells, not {len(header)}")
                yield reader.line_num, dict(zip(header, cells, strict=True))
        except UnicodeDecodeError as error:
            raise RecordError(path, reader.line_num + 1, f"not UTF-8: {error}") from error
        except csv.Error as error:
            raise RecordError(path, reader.line_num, f"not CSV: {error}") from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{path} is not a whole gzip file: {error}") from error


def whole_number(path: Path, line: int, row: Row, column: str) -> int:
    """Return the number in a cell, at least 0. Raises `RecordError` for anything else."""
    if not row[column].isdecimal():
        raise RecordError(path, line, f"{column} is {row[column]!r:.40}, not a whole number")
    return int(row[column])
