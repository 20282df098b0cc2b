"""Files and folders in, pages out: JSON Lines, tables, documents such as Markdown or PDF, and folders of documents."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from ragqa.errors import CorpusError, InputError
from ragqa.records import Page, with_text
from ragqa.storage.json_lines import read_json_lines
from ragqa.text.characters import unix_newlines
from ragqa.text.document_files import document_format, is_document, read_article, read_document
from ragqa.text.document_folders import Report, Titles, read_folder
from ragqa.text.tables import TABLES, USUAL_COLUMNS, Columns, read_table

__all__ = ["READABLE", "read_article", "read_pages", "starter_folder"]

READABLE = (
    "give JSON Lines (.jsonl, .jsonl.gz), Markdown (.md), text (.txt), HTML, notebooks (.ipynb), PDF, DOCX, EPUB, CSV or "
    "Parquet, or turn a dump into pages: ragqa import-dump"
)

_OTHER_FORMATS = frozenset(".doc .odt .rtf .rst .tex .xlsx .xml .bz2 .7z .zip .tar .tgz .zst".split())

_LOG = logging.getLogger(__name__)


def starter_folder() -> Path:
    """Return the folder of the bundled starter corpus, in the installed package or in the source tree."""
    package = Path(__file__).parents[1]
    installed = package / "assets" / "starter"
    return installed if installed.is_dir() else package.parent / "corpus" / "starter"


def log_skipped(reason: str) -> None:
    """Log a file that is skipped, as a warning of one line, even if its name has line ends."""
    _LOG.warning("skipped %s", "".join(char if char.isprintable() else repr(char)[1:-1] for char in reason))


def read_pages(
    path: str | Path,
    report: Report = log_skipped,
    columns: Columns = USUAL_COLUMNS,
    *,
    titles: Titles | None = None,
) -> Iterator[Page]:
    """Read pages from a JSON Lines file or pipe, a table, a document, or the documents of a folder and its subfolders.

    Line ends become line feeds; offsets of passages refer to these pages. `report` is called with the path and the reason of
    every file of a folder that gives no page. `columns` name the columns of a table, or the keys of JSON Lines. `titles` are
    those of documents read before; a document with one of them gets another title (`Titles`).

    Raises `CorpusError` if `path` does not exist or holds no page, `InputError` for files of other formats and for documents
    and tables that cannot be read, and `RecordError` at the first invalid page.
    """
    path = Path(path)
    if not path.exists():
        raise CorpusError(f"{path} does not exist; make it with: ragqa crawl --titles titles.txt --out {path}")
    empty = True
    for page in _pages(path, report, columns, Titles() if titles is None else titles):
        empty = False
        yield with_text(page, unix_newlines(page.text))
    if empty:
        raise CorpusError(f"{path} holds no pages" + (f"; {READABLE}" if path.is_dir() else ""))


def _pages(path: Path, report: Report, columns: Columns, titles: Titles) -> Iterable[Page]:
    if path.is_dir():
        is_starter = path.resolve() == starter_folder().resolve()  # its other files belong to it
        return read_folder(path, (lambda _: None) if is_starter else report, titles=titles)
    if is_document(path):
        return [titles.distinct(read_document(path), path, path.parent)]
    if (kind := document_format(path)) in _OTHER_FORMATS:
        raise InputError(f"{path}: ragqa cannot read pages from {kind} files; {READABLE}")
    if kind in TABLES or columns.are_named:
        return read_table(path, columns)
    return read_json_lines(path, Page)
