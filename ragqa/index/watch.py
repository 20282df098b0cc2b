"""Folders of documents in, an index that follows them out: it is updated whenever a document changes."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from ragqa.errors import CorpusError, InputError, RagqaError
from ragqa.index.folder import IndexReport, group_by_page, update_index
from ragqa.models.embedder import Embedder
from ragqa.records import Page, Passage
from ragqa.text.document_files import read_document
from ragqa.text.document_folders import Titles, document_paths, read_folder
from ragqa.text.make_passages import cut_pages
from ragqa.text.pages import log_skipped

_POLL_S = 1.0  # polling also sees changes on network drives and in containers, where the system reports none
_POLL_SHARE = 0.1  # largest fraction of the time that polling takes; many files are looked at less often
_RETRY_S = 30.0  # after an update that failed, such as when another process writes the index

Stamp = tuple[int, int]  # time of the last change in nanoseconds, size
Stamps = dict[Path, Stamp]

_LOG = logging.getLogger(__name__)


class Watcher:
    """Reads folders again and again. Only files that have changed are opened, and what is skipped is said once."""

    def __init__(self, folders: Iterable[str | Path]) -> None:
        self._folders = [Path(folder) for folder in folders]
        if other := next((folder for folder in self._folders if not folder.is_dir()), None):
            raise InputError(f"{other} is not a folder; only folders can be watched")
        self._read: dict[Path, tuple[Stamp, Page | InputError]] = {}
        self._said: set[str] = set()
        self._pages: dict[str, list[Passage]] = {}  # passages by title, as the index holds them
        self._pause_s = _POLL_S
        self._full: set[Path] = set()  # folders that have given pages

    def read(self) -> tuple[Passage, ...]:
        """Return the passages of all documents. They count as those that the index holds."""
        self._pages = self._current()
        return tuple(chain.from_iterable(self._pages.values()))

    def update(self, index: str | Path, embedder: Embedder | None) -> IndexReport | None:
        """Bring the index up to date with the folders; return None if no passage has changed.

        Raises as `update_index` does, and `CorpusError` if a folder that had pages gives none any more. The index is then as
        before, and the next call tries again.
        """
        pages = self._current()
        changed = [passage for title, own in pages.items() if self._pages.get(title) != own for passage in own]
        removed = [title for title in self._pages if title not in pages]
        if not changed and not removed:
            return None
        report = update_index(index, changed, removed, embedder=embedder)
        self._pages = pages
        return report

    def watch(self, index: str | Path, embedder: Embedder | None, say: Callable[[IndexReport], None]) -> None:
        """Update the index after every change, until Ctrl-C. Files are read when nothing has changed for a second.

        An update that fails is logged once, and tried again every half minute.
        """
        try:
            for _ in self._changes():
                while not self._succeeds(index, embedder, say):
                    time.sleep(_RETRY_S)
        except KeyboardInterrupt:
            _LOG.info("stopped watching")

    def _succeeds(self, index: str | Path, embedder: Embedder | None, say: Callable[[IndexReport], None]) -> bool:
        try:
            report = self.update(index, embedder)
        except (RagqaError, OSError) as error:
            self._log(str(error))
            return False
        if report is not None:
            say(report)
        return True

    def _changes(self) -> Iterator[None]:
        """Yield whenever the files have changed and then stayed the same for one poll. The first time is at once."""
        read: Stamps | None = None
        while True:
            stamps = self._stamps()
            if stamps != read:
                time.sleep(self._pause_s if read is not None else 0)
                if stamps == self._stamps():
                    read = stamps
                    yield
            else:
                time.sleep(self._pause_s)

    def _stamps(self) -> Stamps:
        start = time.monotonic()
        paths = chain.from_iterable(document_paths(folder, _ignore, _ignore) for folder in self._folders)
        stamps = {path: stamp for path in paths if (stamp := _stamp(path))}
        self._pause_s = pause_s(time.monotonic() - start)
        return stamps

    def _current(self) -> dict[str, list[Passage]]:
        titles = Titles()
        pages = chain.from_iterable([self._pages_of(folder, titles) for folder in self._folders])
        return group_by_page(chain.from_iterable(cut_pages(pages)))

    def _pages_of(self, folder: Path, titles: Titles) -> list[Page]:
        pages = [*read_folder(folder, self._report, log=self._log, read=self._read_once, titles=titles)]
        if pages:
            self._full.add(folder)
        elif folder in self._full:  # maybe a drive that is not mounted
            raise CorpusError(f"{folder}: there is no document that can be read; the index stays as it is")
        return pages

    def _read_once(self, path: Path) -> Page:
        """Return the page of a file, or raise its error again; the file is opened only if it has changed.

        A file that cannot be read any more keeps its last page, and is reported: it may be half written.
        """
        stamp = _stamp(path) or (0, 0)
        known, result = self._read.get(path, (None, None))
        if result is None or known != stamp:
            try:
                result = read_document(path)
            except InputError as error:
                if isinstance(result, Page):
                    self._report(f"{error}; its last page stays in the index")
                else:
                    result = error
            self._read[path] = stamp, result
        if isinstance(result, InputError):
            raise result
        return result

    def _report(self, reason: str) -> None:
        if reason not in self._said:
            log_skipped(reason)
        self._said.add(reason)

    def _log(self, line: str) -> None:
        if line not in self._said:
            _LOG.warning("%s", line)
        self._said.add(line)


def pause_s(poll_s: float) -> float:
    """Return the seconds between two polls: a second, or more if a poll takes so long that it would take much of the time."""
    return max(_POLL_S, poll_s / _POLL_SHARE)


def _ignore(_: str) -> None:
    pass


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:  # removed meanwhile
        return None
    return status.st_mtime_ns, status.st_size
