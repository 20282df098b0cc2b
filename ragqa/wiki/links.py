"""Redirects and category members of a dump, kept in a temporary database."""

import html
import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from ragqa.records import Page
from ragqa.text.wikitext import HIDDEN, without_comments
from ragqa.wiki.dump_file import FILE, Entry, Site
from ragqa.wiki.listing import capitalize, normalize
from ragqa.wiki.namespaces import CATEGORY, fold
from ragqa.wiki.outcomes import page_key

_REDIRECT = re.compile(r"\s*#redirect\s*(?::\s*)?\[\[", re.IGNORECASE)
_MOST_REDIRECTS = 20  # in a chain; MediaWiki itself follows fewer
_FIRST_LINK = re.compile(r"\[\[([^\[\]|#]*)(#[^\[\]|]*)?")
_TABLES = """
CREATE TABLE redirect (title TEXT PRIMARY KEY, target TEXT, section INTEGER) WITHOUT ROWID;
CREATE INDEX redirects ON redirect (target);
CREATE TABLE member (category TEXT, title TEXT, namespace INTEGER);
CREATE INDEX members ON member (category);
CREATE TABLE known (key TEXT PRIMARY KEY, finished INTEGER) WITHOUT ROWID;
"""
_ALIASES = """
WITH RECURSIVE alias (title) AS (
    SELECT title FROM redirect WHERE target = ? AND NOT section
    UNION SELECT redirect.title FROM redirect JOIN alias ON redirect.target = alias.title WHERE NOT redirect.section
) SELECT title FROM alias ORDER BY title
"""


class Names:
    """The form in which a wiki writes titles and links."""

    def __init__(self, site: Site) -> None:
        self._first_letter = site.first_letter
        self._spaces = {called: site.names.get(key, "") for key, names in site.namespaces.items() for called in names}
        self._prefix = re.compile(rf"\s*(?::\s*)?(?:{_either(site.namespaces[CATEGORY])})\s*:", re.IGNORECASE)
        self._category = re.compile(
            rf"\[\[\s*(?:{_either(site.namespaces[CATEGORY])})\s*:([^\[\]|{{}}<>#\n]+)", re.IGNORECASE
        )
        self.hidden = HIDDEN | site.namespaces[CATEGORY] | site.namespaces[FILE]

    def title(self, text: str) -> str:
        """Return a title as the wiki writes it: single spaces, and a first capital if the wiki's titles have one."""
        text = normalize(text)
        prefix, colon, bare = text.partition(":")
        if colon and (space := self._spaces.get(fold(prefix))):
            return f"{space}:{self._capitalize(bare.strip())}"
        return self._capitalize(text)

    def _capitalize(self, text: str) -> str:
        return capitalize(text) if self._first_letter else text

    def category(self, name: str) -> str:
        """Return the name of a category without its namespace."""
        prefix = self._prefix.match(name)
        return self.title(name[prefix.end() :] if prefix else name)

    def categories(self, wikitext: str, among: Collection[str] | None = None) -> set[str]:
        """Return the categories that wikitext names, only those in `among` if it is given."""
        named = self._find(wikitext, among)  # most pages are in none and need no second look
        return self._find(without_comments(wikitext), among) if named else named

    def _find(self, wikitext: str, among: Collection[str] | None) -> set[str]:
        found = {self.title(html.unescape(match[1])) for match in self._category.finditer(wikitext)}
        return found if among is None else found.intersection(among)

    def redirect(self, entry: Entry) -> tuple[str, bool]:
        """Return the target of a redirect, "" for other pages, and whether it is a section."""
        if not entry.redirect and not _REDIRECT.match(entry.text):
            return "", False
        link = _FIRST_LINK.search(entry.text)
        target = entry.redirect or (html.unescape(link[1]) if link else "")
        return self.title(target.lstrip(": ")), bool(link and (link[2] or "").strip("# "))


@contextmanager
def open_links() -> Iterator["Links"]:
    """Yield an empty `Links`, on disk until the block ends. Raises `OSError` if the disk is full."""
    try:
        with closing(sqlite3.connect("")) as database:  # a temporary file without a name
            yield Links(database)
    except sqlite3.Error as error:
        raise OSError(f"{error}: links are kept in a temporary file, in the folder that SQLITE_TMPDIR names") from error


class Links:
    """Redirects and category members of a whole dump, and the pages that exist already, in a temporary database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_TABLES}")

    def know(self, pages: Iterable[Page], finished: bool = False) -> None:
        """Remember that pages exist, in the finished file or in a journal."""
        rows = ((repr(page_key(page)), finished) for page in pages)
        self._database.executemany("INSERT OR IGNORE INTO known VALUES (?, ?)", rows)

    def knows(self, entry: Entry) -> bool:
        """Return True if this page exists already."""
        return bool(self._one("SELECT 1 FROM known WHERE key = ?", _key(entry)))

    def is_finished(self, page: Page) -> bool:
        """Return True if a page is in the finished file."""
        return bool(self._one("SELECT 1 FROM known WHERE key = ? AND finished", repr(page_key(page))))

    def gather(self, names: Names, entries: Iterable[Entry], namespaces: Collection[int], members: bool) -> None:
        """Store the targets of redirects in these namespaces.

        With `members`, store the categories that redirects and categories are in, too.
        """
        for entry in entries:
            target, section = names.redirect(entry) if entry.namespace in namespaces else ("", False)
            if target:
                self._database.execute(
                    "INSERT OR IGNORE INTO redirect VALUES (?, ?, ?)", (entry.title, target, section)
                )
            if members and (target or entry.namespace == CATEGORY):
                text = _FIRST_LINK.sub("", entry.text, count=1) if target else entry.text
                rows = ((name, entry.title, entry.namespace) for name in names.categories(text))
                self._database.executemany("INSERT INTO member VALUES (?, ?, ?)", rows)

    def members(self, category: str) -> list[tuple[str, int]]:
        """Return the redirects and categories in a category, with their namespaces."""
        return self._database.execute("SELECT title, namespace FROM member WHERE category = ?", (category,)).fetchall()

    def follow(self, title: str) -> str:
        """Return the final target of a redirect, or the title itself if it is none.

        Return "" for redirects in a circle or in a chain of more than 20.
        """
        for _ in range(_MOST_REDIRECTS + 1):
            row = self._one("SELECT target FROM redirect WHERE title = ?", title)
            if not row:
                return title
            (title,) = row
        return ""

    def aliases(self, title: str) -> tuple[str, ...]:
        """Return the titles that redirect to a page, directly or through others, sorted. Redirects to sections do not count."""
        return tuple(alias for (alias,) in self._database.execute(_ALIASES, (title,)))

    def _one(self, query: str, value: str) -> Any:
        return self._database.execute(query, (value,)).fetchone()


def _key(entry: Entry) -> str:
    return repr(page_key(Page(entry.title, page_id=entry.page_id)))


def _either(names: Iterable[str]) -> str:
    return "|".join(re.escape(name).replace(r"\ ", "[ _]+") for name in sorted(names))
