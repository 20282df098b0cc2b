"""Outcome of every title that a crawl or an import asks for, and the difference between its pages and earlier ones."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ragqa.records import Page

OUTCOMES = ("fetched", "kept", "folded", "missing", "empty", "skipped", "failed")
PLANNED = "planned"  # outcome, in a dry run, of a title that a real run would ask for

Pages = dict[int | str, Page]  # by page id, or by title if the page has no id


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of one title; `became` is one of `OUTCOMES` or `PLANNED`.

    A kept page was fetched by an earlier crawl and has not changed. A folded title leads to a page that an earlier title has
    led to already, as redirects do. Categories have an outcome only if they failed or were excluded.
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
    """Outcome of every title, in the order in which titles were asked for, and the difference to the earlier pages.

    Pages are compared by their ids. A renamed page, with its old and its new title, may have changed too.
    """

    outcomes: tuple[Outcome, ...]
    added: tuple[str, ...] = ()  # titles of pages, as in `changed` and `deleted`
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()

    def titles(self, became: str) -> tuple[str, ...]:
        """Return the titles with this outcome."""
        return tuple(outcome.title for outcome in self.outcomes if outcome.became == became)

    @property
    def failed(self) -> tuple[str, ...]:
        """The titles that failed, with the reasons: `title: reason`."""
        return tuple(f"{outcome.title}: {outcome.reason}" for outcome in self.outcomes if outcome.became == "failed")


def page_key(page: Page) -> int | str:
    """Return the id of a page, or its title if it has no id."""
    return page.title if page.page_id is None else page.page_id


def by_key(pages: Iterable[Page]) -> Pages:
    """Return pages by their keys; of several with one key, the last."""
    return {page_key(page): page for page in pages}


def outcome_of_page(title: str, became: str, page: Page) -> Outcome:
    """Return the outcome of a title that led to a page."""
    sha1 = hashlib.sha1(page.text.encode(), usedforsecurity=False).hexdigest()
    return Outcome(title, became, page.title, page.revision, len(page.text), sha1)


def compare(outcomes: Iterable[Outcome], before: Pages, after: Pages) -> CrawlReport:
    """Report the outcomes of titles and the difference between the earlier pages and those of now."""
    both = [(before[key], page) for key, page in after.items() if key in before]
    return CrawlReport(
        tuple(outcomes),
        added=_titles_beyond(after, before),
        changed=tuple(new.title for old, new in both if (old.revision, old.text) != (new.revision, new.text)),
        deleted=_titles_beyond(before, after),
        renamed=tuple((old.title, new.title) for old, new in both if old.title != new.title),
    )


def _titles_beyond(pages: Pages, others: Mapping[int | str, Page]) -> tuple[str, ...]:
    return tuple(page.title for key, page in pages.items() if key not in others)
