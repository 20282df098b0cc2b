"""A ZIM file of a wiki in, its pages out one by one: the offline copies that Kiwix offers, made by MWoffliner.

libzim reads the file. Pages come in the order of their paths. A page that cannot be read is yielded with its flaw, and reading
goes on with the next page.
"""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ragqa.errors import InputError, check_extra, first_line, locate
from ragqa.text.wiki_html import Article
from ragqa.wiki.dump_file import LONGEST_TEXT, Entry, Site
from ragqa.wiki.links import Names
from ragqa.wiki.namespaces import ARTICLE, CATEGORY, ENGLISH, fold

_MOST_CACHED = 16 << 20  # bytes of unpacked clusters that libzim keeps
_HTML = "text/html"
_OLD_ARTICLES = "A/"  # before the paths of articles in older files
_WIKIMEDIA_NAME = re.compile(
    r"(wiki(?:pedia|books|news|quote|source|versity|voyage)|wiktionary)_([a-z]{2,3}(?:-[a-z]+)*|simple)(?:_|$)"
)
_WIKIMEDIA_HOST = re.compile(
    r"(?:https?://)?([a-z-]+\.(?:wiki(?:pedia|books|news|quote|source|versity|voyage)|wiktionary)\.org)(?:/.*)?"
)


class ZimFile:
    """A ZIM file as an import reads it (`importer.WikiFile`)."""

    noun, unit = "file", " entries"

    def __init__(self, path: Path) -> None:
        """Open a ZIM file. Raises `InputError` if it is none, or if it is cut short."""
        check_extra("reading a ZIM file", "zim")
        from libzim.reader import Archive, set_cluster_cache_max_size

        self.path = path
        set_cluster_cache_max_size(_MOST_CACHED)
        try:
            self._archive = Archive(path)
            self.size, self.length = self._archive.filesize, self._archive.entry_count
            self._metadata = {name: self._read_metadata(name) for name in ("Name", "Source", "Date")}
            main = self._archive.main_entry.get_item().path if self._archive.has_main_entry else ""
        except RuntimeError as error:
            raise InputError(f"{path} is no ZIM file, or it is cut short or damaged: {first_line(error)}") from error
        is_old = not self._archive.has_new_namespace_scheme or main.startswith(_OLD_ARTICLES)
        self._prefix = _OLD_ARTICLES if is_old else ""
        self.has_category_pages = False  # among the entries read so far

    def site(self) -> Site:
        """Return what the metadata tell about the wiki. Its `base` is empty if they do not name a wiki of Wikimedia."""
        host = _WIKIMEDIA_HOST.fullmatch(self._metadata["Source"])
        name = _WIKIMEDIA_NAME.match(self._metadata["Name"])
        server = host[1] if host else f"{name[2]}.{name[1]}.org" if name else ""
        namespaces = {ARTICLE: frozenset({""})} | {key: frozenset({fold(name)}) for key, name in ENGLISH.items()}
        first_letter = "wiktionary" not in server
        return Site(f"https://{server}/wiki/" if server else "", first_letter, namespaces, ENGLISH)

    @contextmanager
    def open(self, advance: Callable[[int], object]) -> Iterator[tuple[Site, Iterator[Entry]]]:
        """Yield the site and its pages, without their texts: `complete` reads these."""
        yield self.site(), self._entries(advance)

    def names(self, site: Site) -> Names:
        """Return the form in which HTML names categories and redirects."""
        return _HtmlNames(site)

    def complete(self, entry: Entry) -> Entry:
        """Return an entry with its text, revision and time, or with the flaw that keeps it from being read."""
        try:
            html = self._read(entry)
            article = _parse(html)
        except (RuntimeError, UnicodeDecodeError, InputError) as error:
            return replace(entry, flaw=f"it cannot be read: {first_line(error)}")
        try:
            return self._with_text(entry, html, article)
        except Exception as error:  # the HTML is not trusted; the other pages shall come
            return replace(entry, flaw=f"it cannot be read: {locate(error)}")

    def _with_text(self, entry: Entry, html: str, article: Article) -> Entry:
        if redirect := article.redirect():
            return replace(entry, redirect=redirect)
        revision, stated = article.revision(entry.title), article.namespace()
        return replace(
            entry,
            namespace=entry.namespace if stated is None else stated,
            revision=revision.number,
            timestamp=revision.day or self._metadata["Date"] or None,
            text=html,
            url=article.address(),
        )

    def reason_to_skip(self, entry: Entry) -> str:
        """Return why an entry is no article, or "" if it is one."""
        is_disambiguation = entry.text and _parse(entry.text).is_disambiguation()
        return "a disambiguation page, by its HTML" if is_disambiguation else ""

    def extract(self, entry: Entry, names: Names) -> str:
        """Return the plain text of an entry."""
        return _parse(entry.text).text()

    def has_categories(self, among: int) -> bool:
        """Return True if any of the first articles, at most `among`, names a category."""
        articles = (
            e for e in self._entries(lambda _: None) if e.namespace == ARTICLE and not e.redirect and not e.flaw
        )
        some = (self.complete(entry).text for entry, _ in zip(articles, range(among), strict=False))
        return any(next(_parse(html).categories(), "") for html in some if html)

    def _entries(self, advance: Callable[[int], object]) -> Iterator[Entry]:
        for number in range(self.length):
            advance(1)
            try:
                entry = self._entry(self._archive._get_entry_by_id(number), number)
            except (RuntimeError, UnicodeDecodeError) as error:
                flaw = f"it cannot be read: {first_line(error)}"
                entry = Entry(f"(entry {number})", ARTICLE, None, None, None, None, _HTML, "", flaw)
            if entry is not None:
                self.has_category_pages |= entry.namespace == CATEGORY
                yield entry

    def _entry(self, found: Any, number: int) -> Entry | None:
        """Return an entry without its text, or None if it is neither an article nor a redirect."""
        if not found.path.startswith(self._prefix):
            return None
        redirect = None
        if found.is_redirect:
            redirect = self._title(found.get_redirect_entry())
        elif not found.get_item().mimetype.startswith(_HTML):
            return None
        title = self._title(found)
        prefix = fold(title.partition(":")[0]) if ":" in title else ""
        namespace = next((key for key, called in ENGLISH.items() if fold(called) == prefix), ARTICLE)
        return Entry(title, namespace, None, redirect, None, None, _HTML, "", position=number)

    def _title(self, found: Any) -> str:
        """Return the title of an entry from its path; the title that the file states may be one for display."""
        name = found.path.removeprefix(self._prefix)
        if name.endswith(".html") and not found.title.endswith(".html"):  # files before 2018
            name = name.removesuffix(".html")
        return str(name.replace("_", " "))

    def _read(self, entry: Entry) -> str:
        item = self._archive._get_entry_by_id(entry.position).get_item()
        if item.size > LONGEST_TEXT:
            raise InputError(f"its text has more than {LONGEST_TEXT:,} bytes")
        return bytes(item.content).decode()

    def _read_metadata(self, name: str) -> str:
        found = name in self._archive.metadata_keys
        return self._archive.get_metadata(name).decode(errors="replace").strip() if found else ""


class _HtmlNames(Names):
    """The form in which a ZIM file names titles, and its HTML names categories."""

    def categories(self, wikitext: str, among: Collection[str] | None = None) -> set[str]:
        """Return the categories that HTML names, only those in `among` if it is given."""
        named = _parse(wikitext).categories() if wikitext else ()
        found = set(map(self.title, named))
        return found if among is None else found.intersection(among)

    def redirect(self, entry: Entry) -> tuple[str, bool]:
        """Return the target of a redirect, "" for other pages, and whether it is a section."""
        title, _, section = (entry.redirect or "").partition("#")
        return self.title(title), bool(section)


@lru_cache(maxsize=1)
def _parse(html: str) -> Article:
    return Article(html)  # each step of an import asks for the same article
