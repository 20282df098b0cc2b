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
from ragqa.text.pages import read_pages, starter_folder
from ragqa.text.passages import MAX_CHARS, is_debris, split, split_windows

STYLES = ("sentences", "reference")

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassagesConfig:
    """Which pages are cut, how, and where the passages are written.

    `pages` are files and folders as `read_all_pages` takes them. A passage has at most `max_chars` characters. The style
    "reference" cuts windows as the published reference model did. Raises `InputError` for another style.
    """

    pages: tuple[str, ...]
    out: str | Path
    max_chars: int = MAX_CHARS
    style: str = STYLES[0]

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise InputError(f"style is {self.style!r}; it must be one of {', '.join(STYLES)}")


@dataclass(frozen=True, slots=True)
class PassagesReport:
    """The number of passages, of pages that have passages, and of passages that are list debris (`is_debris`)."""

    passages: int
    pages: int
    debris: int


def make_passages(config: PassagesConfig) -> PassagesReport:
    """Cut pages into passages and write them to `config.out`.

    Pages without text and pages whose title was read before are skipped and logged as warnings. Raises `CorpusError` if no
    page holds text; an old file at `out` is then kept.
    """
    counts: Counter[str] = Counter()
    write_json_lines(config.out, _cut(config, counts))
    return PassagesReport(counts["passages"], counts["pages"], counts["debris"])


def _cut(config: PassagesConfig, counts: Counter[str]) -> Iterator[Passage]:
    cut: Callable[[Page, int], list[Passage]] = split_windows if config.style == "reference" else split
    for page in _unique(bar(read_all_pages(config.pages), "pages")):
        passages = cut(page, config.max_chars)
        if not passages:
            _LOG.warning("page %r holds no text", page.title)
            continue
        counts.update(pages=1, passages=len(passages), debris=sum(map(is_debris, passages)))
        yield from passages
    if not counts["passages"]:
        raise CorpusError(f"{', '.join(config.pages)}: no page holds text")


def _unique(pages: Iterable[Page]) -> Iterator[Page]:
    titles: set[str] = set()
    for page in pages:
        if page.title in titles:
            _LOG.warning("page %r appears twice; the second one is skipped", page.title)
            continue
        titles.add(page.title)
        yield page


def read_all_pages(paths: Iterable[str]) -> Iterator[Page]:
    """Yield the pages of files and folders; "starter" is the starter corpus."""
    for path in paths:
        yield from read_pages(starter_folder() if path == "starter" else path)
