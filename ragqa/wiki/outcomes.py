"""What becomes of the titles that a crawl or an import asks for, and how its pages differ from those before."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ragqa.records import Page

FATES = ("fetched", "kept", "folded", "missing", "empty", "skipped", "failed")
PLANNED = "planned"  # what a dry run says of titles that would be asked for

Pages = dict[int | str, Page]  # by page id, or by title where there is none


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a title, one of `FATES`; kept are pages that an earlier crawl fetched and that are as they were.

    A folded title led to a page that an earlier one had led to already, as redirects do. Of categories only those that failed
    or were excluded have a fate.
    """

    title: str
    became: str
    page: str = ""  # the title of the page it led to
    revision: int | None = None
    length: int = 0  # characters of the page's text
    sha1: str = ""  # of that text in UTF-8, in hexadecimal digits
    reason: str = ""  # why it was skipped or failed
    is_category: bool = False  # whose members were asked for


@dataclass(frozen=True, slots=True)
class CrawlReport:
    """What became of each title, in the order they were asked for, and how the pages differ from those before.

    Pages are told apart by their ids: a renamed one, with its old and new title, may have changed too.
    """

    fates: tuple[Fate, ...]
    added: tuple[str, ...] = ()  # titles of pages, as in the next two
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()

    def titles(self, became: str) -> tuple[str, ...]:
        """The titles that this became of."""
        return tuple(fate.title for fate in self.fates if fate.became == became)

    @property
    def failed(self) -> tuple[str, ...]:
        """The titles that failed, with the reasons: `title: reason`."""
        return tuple(f"{fate.title}: {fate.reason}" for fate in self.fates if fate.became == "failed")


def page_key(page: Page) -> int | str:
    """What a page is known by."""
    return page.title if page.page_id is None else page.page_id


def by_key(pages: Iterable[Page]) -> Pages:
    """Pages by what they are known by, the last of each."""
    return {page_key(page): page for page in pages}


def tell(title: str, became: str, page: Page) -> Fate:
    """The fate of a title that led to a page."""
    sha1 = hashlib.sha1(page.text.encode(), usedforsecurity=False).hexdigest()
    return Fate(title, became, page.title, page.revision, len(page.text), sha1)


def compare(fates: Iterable[Fate], before: Pages, after: Pages) -> CrawlReport:
    """Report what became of titles and what became of pages."""
    both = [(before[key], page) for key, page in after.items() if key in before]
    return CrawlReport(
        tuple(fates),
        added=_titles_beyond(after, before),
        changed=tuple(new.title for old, new in both if (old.revision, old.text) != (new.revision, new.text)),
        deleted=_titles_beyond(before, after),
        renamed=tuple((old.title, new.title) for old, new in both if old.title != new.title),
    )


def _titles_beyond(pages: Pages, others: Mapping[int | str, Page]) -> tuple[str, ...]:
    return tuple(page.title for key, page in pages.items() if key not in others)
