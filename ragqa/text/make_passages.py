"""Files of pages in, a file of passages out: what `ragqa passages` does."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ragqa.errors import CorpusError, InputError
from ragqa.progress import bar
from ragqa.records import Page, Passage
from ragqa.storage.json_lines import write_json_lines
from ragqa.text.document_folders import Report, Titles
from ragqa.text.pages import log_skipped, read_pages, starter_folder
from ragqa.text.passages import MAX_CHARS, is_debris, split, split_windows
from ragqa.text.tables import USUAL_COLUMNS, Columns

STYLES = ("sentences", "reference")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassagesConfig:
    """Which pages are cut, how, and where the passages are written.

    `pages` are files and folders as `read_all_pages` takes them; `columns` name the columns of tables. A passage has at most
    `max_chars` characters. The style "reference" cuts windows as the published reference model did. Raises `InputError` for
    another style.
    """

    pages: tuple[str, ...]
    out: str | Path
    max_chars: int = MAX_CHARS
    style: str = STYLES[0]
    columns: Columns = USUAL_COLUMNS

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise InputError(f"style is {self.style!r}; it must be one of {', '.join(STYLES)}")


@dataclass(frozen=True, slots=True)
class PassagesReport:
    """The number of passages, of pages that have passages, and of passages that are list debris (`is_debris`).

    `skipped` is the number of files of folders that gave no page.
    """

    passages: int
    pages: int
    debris: int
    skipped: int = 0


def make_passages(config: PassagesConfig) -> PassagesReport:
    """Cut pages into passages and write them to `config.out`.

    Pages without text, pages whose title was read before, and files of a folder that cannot be read are skipped and logged as
    warnings. Raises `CorpusError` if no page holds text; an old file at `out` is then kept.
    """
    counts: Counter[str] = Counter()
    pages = bar(read_all_pages(config.pages, _counted(counts), config.columns), "pages")
    write_json_lines(config.out, _cut(config, pages, counts))
    return PassagesReport(counts["passages"], counts["pages"], counts["debris"], counts["skipped"])


def _counted(counts: Counter[str]) -> Report:
    def report(reason: str) -> None:
        counts.update(skipped=1)
        log_skipped(reason)

    return report


def _cut(config: PassagesConfig, pages: Iterable[Page], counts: Counter[str]) -> Iterator[Passage]:
    cut: Callable[[Page, int], list[Passage]] = split_windows if config.style == "reference" else split
    for passages in cut_pages(pages, lambda page: cut(page, config.max_chars)):
        counts.update(pages=1, passages=len(passages), debris=sum(map(is_debris, passages)))
        yield from passages
    if not counts["passages"]:
        raise CorpusError(f"{', '.join(config.pages)}: no page holds text")


def cut_pages(pages: Iterable[Page], cut: Callable[[Page], list[Passage]] = split) -> Iterator[list[Passage]]:
    """Yield the passages of each page. Pages without text, and pages whose title was read before, are skipped and logged."""
    for page in _unique(pages):
        if passages := cut(page):
            yield passages
        else:
            _LOG.warning("page %r holds no text", page.title)


def _unique(pages: Iterable[Page]) -> Iterator[Page]:
    titles: set[str] = set()
    for page in pages:
        if page.title in titles:
            _LOG.warning("page %r appears twice; the second one is skipped", page.title)
            continue
        titles.add(page.title)
        yield page


def read_all_pages(
    paths: Iterable[str], report: Report = log_skipped, columns: Columns = USUAL_COLUMNS
) -> Iterator[Page]:
    """Yield the pages of files and folders as `read_pages` does; "starter" is the starter corpus.

    Documents have different titles, even in different folders.
    """
    titles = Titles()
    for path in paths:
        yield from read_pages(starter_folder() if path == "starter" else path, report, columns, titles=titles)
