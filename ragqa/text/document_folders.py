"""A folder of documents in, its pages out; every file that gives no page is reported with the reason."""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from ragqa.errors import InputError, MissingExtraError
from ragqa.records import Page
from ragqa.text.document_files import document_format, is_document, read_document
from ragqa.text.documents import encodable
from ragqa.text.tables import TABLES

Report = Callable[[str], None]  # takes the path and the reason of a file that is skipped

_LEFT_OUT = frozenset(("node_modules", "__pycache__"))
_HIDDEN = (".", "~$")  # beginnings of names; the second one is that of lock files of Word
_NAMED = 5  # most hidden files and folders that the line names
_ROWS = (".jsonl", ".ndjson", *TABLES)

_LOG = logging.getLogger(__name__)


class Titles:
    """The titles of all documents that are read together. No two files have the same one."""

    def __init__(self) -> None:
        self._by_file: dict[str, str] = {}
        self._folders: dict[str, Path] = {}  # by title

    def distinct(self, page: Page, path: Path, folder: Path) -> Page:
        """Return the page of a file with a title of its own.

        A title that another file has is followed by the path of the file in its folder. If that file lies in another folder,
        the path begins with the name of the folder. A file that is read twice keeps its title.
        """
        file = path.resolve().as_posix()
        if file not in self._by_file:
            self._by_file[file] = title = self._free(page.title, path.relative_to(folder), folder, file)
            self._folders[title] = folder
        return page if page.title == self._by_file[file] else replace(page, title=self._by_file[file])

    def _free(self, title: str, path: Path, folder: Path, file: str) -> str:
        if title not in self._folders:
            return title
        path = path if self._folders[title] == folder else folder.resolve().name / path
        named = encodable(f"{title} ({path.as_posix()})")
        return named if named not in self._folders else encodable(f"{title} ({file})")


def read_folder(
    folder: Path,
    report: Report,
    *,
    log: Report = _LOG.warning,
    read: Callable[[Path], Page] = read_document,
    titles: "Titles | None" = None,
) -> Iterator[Page]:
    """Yield the pages of a folder and its subfolders, by path.

    Hidden files and folders are left out; `log` is called with one line that names some of them.
    A title that an earlier page has is followed by the path of its file, in parentheses (`Titles`); `titles` are those of other
    folders. `report` is called for every other file that is not read. Links to folders are not followed.
    """
    titles = Titles() if titles is None else titles
    for path in document_paths(folder, report, log):
        try:
            page = read(path)
        except MissingExtraError as error:
            report(f"{path}: {error}")
        except InputError as error:
            report(str(error))
        else:
            yield titles.distinct(page, path, folder)


def document_paths(folder: Path, report: Report, log: Report) -> list[Path]:
    """Return the paths of the documents in a folder and its subfolders, sorted. Report files that are no documents."""
    found: list[Path] = []
    hidden: list[str] = []

    def fail(error: OSError) -> None:
        report(f"{error.filename}: {error.strerror}")

    for root, folders, files in os.walk(folder, onerror=fail):
        hidden += sorted(filter(_is_hidden, [*folders, *files]))
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        for name in folders:
            if (Path(root) / name).is_symlink():
                report(f"{Path(root) / name}: a link to a folder; name that folder too")
        for path in (Path(root) / name for name in sorted(files) if not _is_hidden(name)):
            if reason := _flaw(path):
                report(f"{path}: {reason}")
            else:
                found.append(path)
    if hidden:
        names = ", ".join(list(dict.fromkeys(hidden))[:_NAMED])
        more = ", …" if len(set(hidden)) > _NAMED else ""
        log(f"{folder}: {len(hidden)} hidden files and folders are left out: {names}{more}")
    return sorted(found)


def _is_hidden(name: str) -> bool:
    return name.startswith(_HIDDEN) or name in _LEFT_OUT


def _flaw(path: Path) -> str:
    """Return why a file is no document; an empty text if it may be one. The file is not opened."""
    kind = document_format(path)
    if not path.exists():
        return "a link to a file that is gone"
    if not path.is_file():
        return "not a regular file"
    if kind in _ROWS:
        return f"{kind} files hold many pages; name this file by itself"
    if not is_document(path):
        return f"pages are not read from {kind} files" if kind else "its name has no extension"
    return ""
