"""A file that holds a whole wiki in, its articles as pages out: filtered, in order, and resumable.

The file is read twice: first for the redirects to each page and for the categories, then for the pages. The first reading fills
a temporary SQLite database, so that memory does not grow with the file. A single reading would meet pages before their
redirects. Reading takes far less time than turning markup into text.
"""

import hashlib
import json
import os
import re
import sqlite3
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import quote

from ragqa.errors import FallbackWarning, InputError, locate
from ragqa.records import Page
from ragqa.storage.json_lines import (
    LONGEST_LINE,
    cut_unfinished,
    is_input,
    json_line,
    read_json_lines,
    write_json_lines,
)
from ragqa.text.clean import clean_page
from ragqa.wiki.dump_file import Entry, Site
from ragqa.wiki.links import Links, Names, open_links
from ragqa.wiki.listing import make_filter
from ragqa.wiki.metadata import describe_page
from ragqa.wiki.namespaces import CATEGORY, find_namespaces
from ragqa.wiki.outcomes import CrawlReport, Outcome, outcome_of_page

_SYNC_EVERY_S = 1.0
_WIKIMEDIA = re.compile(
    r"(https?://[^/]+\.(?:wiki(?:pedia|books|news|quote|source|versity|voyage|media|data)|wiktionary|mediawiki)\.org)/wiki/.*"
)
_NOT_QUOTED = ";@$!*(),/~:"  # by MediaWiki in URLs (`wfUrlencode`)


@dataclass(frozen=True, slots=True)
class ImportReport(CrawlReport):
    """Outcome of every title and category that was asked for, and of every page with a flaw.

    `counts` maps each outcome to the number of its pages, over all pages.
    """

    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments of an import that decide which pages come out."""

    categories: tuple[str, ...]
    depth: int
    titles: tuple[str, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    namespaces: tuple[str, ...]
    index_url: str | None

    def fingerprint(self) -> str:
        """Return the same digits for the same arguments."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()


class WikiFile(Protocol):
    """A file that holds a whole wiki, as an import reads it."""

    path: Path
    size: int  # bytes
    noun: str  # for messages about other files
    length: int  # in the unit in which reading advances
    unit: str

    def open(self, advance: Callable[[int], object]) -> AbstractContextManager[tuple[Site, Iterator[Entry]]]:
        """Yield the site and its pages in order. `advance` is called with the progress since its last call."""

    def names(self, site: Site) -> Names:
        """Return the form in which the wiki writes titles, links and categories."""

    def complete(self, entry: Entry) -> Entry:
        """Return an entry with its text, if `open` yields entries without, or with the flaw that keeps it from being read."""

    def reason_to_skip(self, entry: Entry) -> str:
        """Return why an entry is no article, or "" if it is one. Its title does not count."""

    def extract(self, entry: Entry, names: Names) -> str:
        """Return the plain text of an entry. Raises `InputError` if it cannot be read."""


def run_import(source: WikiFile, out: Path, request: Request, progress: bool) -> ImportReport:
    """Write the articles of a file into `out`, and resume an interrupted import (see `dump.import_dump`)."""
    journal = _Journal(out, _Origin(source.path.name, source.size, request.fingerprint()), source.noun)
    with open_links() as links:
        links.know(_read(out), finished=True)
        links.know(_read(journal.path))
        with _bar(source, "redirects", progress) as advance, source.open(advance) as (site, entries):
            _gather(links, source, site, entries, request)
        with _bar(source, "pages", progress) as advance, source.open(advance) as (site, entries):
            work = _Import(source, site, links, request)
            with journal.open() as append:
                for entry in entries:
                    work.take(entry, append)
        new = (page for page in _read(journal.path) if not links.is_finished(page))
        write_json_lines(out, chain(_read(out), new))
    journal.remove()
    return work.report()


def make_request(
    path: Path,
    what: str,
    categories: Iterable[str],
    depth: int,
    titles: Iterable[str],
    include: Iterable[str],
    exclude: Iterable[str],
    namespaces: Iterable[str],
    index_url: str | None,
) -> Request:
    """Return the request of an import of a file. Raises `InputError` before the first reading for what would fail after it."""
    request = Request(
        tuple(categories), depth, tuple(titles), tuple(include), tuple(exclude), tuple(namespaces), index_url
    )
    _check_file(path, what)
    if depth < 0:
        raise InputError(f"depth is {depth}; at least 0 is needed")
    make_filter(request.include, request.exclude)
    return request


def _check_file(path: Path, what: str) -> None:
    """Raise `InputError` if a path names no file that can be read twice."""
    if is_input(path) and not path.is_file():
        raise InputError(f"{path} is a pipe, and {what} is read twice; save it to a file first")
    if not path.is_file():
        raise InputError(f"{path} is not a file")


@dataclass(frozen=True, slots=True)
class _Origin:
    """The import that a journal belongs to: name and size of the file, and the fingerprint of the request."""

    dump: str
    size: int
    asked: str


class _Journal:
    """The pages imported so far, `<out>.partial`, and their origin, `<out>.import`."""

    def __init__(self, out: Path, origin: _Origin, noun: str) -> None:
        """Drop an unfinished last line. Raises `InputError` if there is a journal of another import."""
        self.path, self._origin_path, self._origin = Path(f"{out}.partial"), Path(f"{out}.import"), origin
        if not self.path.exists():
            return
        cut_unfinished(self.path)
        begun = next(read_json_lines(self._origin_path, _Origin), None) if self._origin_path.exists() else None
        if begun != origin:
            raise InputError(
                f"{self.path} is the journal of {_describe(begun, origin, noun)}, not of this import of {origin.dump} "
                f"({origin.size:,} bytes): finish what began it, choose another --out, or remove the journal to start again"
            )

    @contextmanager
    def open(self) -> Iterator[Callable[[bytes], None]]:
        """Yield a function that appends a line. Lines are on disk a second later, and when the block ends for any reason."""
        write_json_lines(self._origin_path, [self._origin])
        synced = time.monotonic()
        with self.path.open("ab") as file:

            def append(line: bytes) -> None:
                nonlocal synced
                file.write(line)
                if time.monotonic() - synced > _SYNC_EVERY_S:
                    _sync(file)
                    synced = time.monotonic()

            try:
                yield append
            finally:
                _sync(file)

    def remove(self) -> None:
        self.path.unlink()
        self._origin_path.unlink()


def _describe(begun: _Origin | None, origin: _Origin, noun: str) -> str:
    if begun is None:
        return "something other than an import"
    if (begun.dump, begun.size) == (origin.dump, origin.size):
        return f"other pages of this {noun}"
    return f"another {noun}, {begun.dump} of {begun.size:,} bytes"


class _Import:
    """One import: the pages that are wanted, and the outcomes so far."""

    def __init__(self, source: WikiFile, site: Site, links: Links, request: Request) -> None:
        self._source, self._links, self._names = source, links, source.names(site)
        self._namespaces = _namespaces(site, request)
        self._filter = replace(make_filter(request.include, request.exclude), namespaces=self._namespaces)
        self._url_prefix, self._language = _url_prefix(site.base, request.index_url), site.language
        self._targets = {title: links.follow(self._names.title(title)) for title in request.titles}
        self._titles = frozenset(self._targets.values())
        self._roots = {name: self._names.category(name) for name in request.categories}
        self._filled: set[str] = set()  # categories that hold something
        self._categories, self._redirected = self._below(request.depth)
        self._everything = not request.titles and not request.categories
        self._outcomes: dict[str, Outcome] = {}  # of requested titles, by the title they lead to, and of failed pages
        self._counts: Counter[str] = Counter()

    def _below(self, depth: int) -> tuple[set[str], set[str]]:
        """Return the requested categories and those below them, and the targets of the redirects in them."""
        level, redirected = set(self._roots.values()), set[str]()
        found = set(level)
        for remaining in range(depth, -1, -1):
            children = set[str]()
            for category in level:
                subcategories, targets = self._members(category, with_subcategories=remaining > 0)
                children |= subcategories
                redirected |= targets
            level = children - found
            found |= level
        return found, redirected

    def _members(self, category: str, with_subcategories: bool) -> tuple[set[str], set[str]]:
        """Return the subcategories in a category that are not excluded, and the targets of the redirects in it."""
        subcategories, targets = set[str](), set[str]()
        for title, namespace in self._links.members(category):
            target = self._links.follow(title)
            if namespace == CATEGORY and with_subcategories:
                self._filled.add(category)
                if not self._filter.reason_to_skip({"title": title, "ns": namespace}):
                    subcategories.add(self._names.category(title))
            elif namespace in self._namespaces and target:
                self._filled.add(category)
                targets.add(target)
        return subcategories, targets

    def take(self, entry: Entry, append: Callable[[bytes], None]) -> None:
        """Import a page if it is wanted. A page that causes an unexpected error is failed, and the error is the reason."""
        try:
            self._take(entry, append)
        except (OSError, sqlite3.Error, MemoryError, Warning):  # they concern the whole import
            raise
        except Exception as error:  # of one page, whose markup is not trusted; the others shall come
            self._note(entry.title, Outcome(entry.title, "failed", reason=f"it cannot be read: {locate(error)}"))

    def _take(self, entry: Entry, append: Callable[[bytes], None]) -> None:
        asked = entry.title in self._titles
        if self._needs_text(entry, asked):
            entry = self._source.complete(entry)
        if entry.flaw:
            wanted = entry.namespace in self._namespaces and (asked or self._is_wanted(entry))
            self._note(entry.title, Outcome(entry.title, "failed" if wanted else "skipped", reason=entry.flaw))
        elif entry.namespace not in self._namespaces:
            if asked:
                self._note(entry.title, Outcome(entry.title, "failed", reason="not an article"))
        elif not self._names.redirect(entry)[0] and (self._is_wanted(entry) or asked):
            self._note(entry.title, self._import(entry, asked, append), asked)

    def _needs_text(self, entry: Entry, asked: bool) -> bool:
        if entry.flaw or entry.redirect or entry.namespace not in self._namespaces:
            return False
        if self._categories:  # the text names them
            return True
        return (asked or self._is_wanted(entry)) and not self._links.knows(entry)

    def _is_wanted(self, entry: Entry) -> bool:
        named = self._names.categories(entry.text, self._categories) if self._categories else set()
        self._filled |= named
        return self._everything or bool(named) or entry.title in self._redirected

    def _note(self, title: str, outcome: Outcome, asked: bool = True) -> None:
        self._counts[outcome.became] += 1
        if asked or outcome.became == "failed":
            self._outcomes.setdefault(title, outcome)

    def _import(self, entry: Entry, asked: bool, append: Callable[[bytes], None]) -> Outcome:
        title = entry.title
        if reason := "" if asked else self._reason_to_skip(entry):
            return Outcome(title, "skipped", reason=reason)
        if self._links.knows(entry):
            return Outcome(title, "kept", title)
        try:
            page = self._page(entry)
        except InputError as error:
            return Outcome(title, "failed", reason=str(error))
        if not page.text:
            return Outcome(title, "empty", title, page.revision)
        line = json_line(page)
        if len(line) > LONGEST_LINE:
            return Outcome(title, "failed", reason=f"it has more than {LONGEST_LINE:,} bytes")
        append(line)
        self._links.know([page])
        return outcome_of_page(title, "fetched", page)

    def _reason_to_skip(self, entry: Entry) -> str:
        by_title = self._filter.reason_to_skip({"title": entry.title, "ns": entry.namespace})
        return by_title or self._source.reason_to_skip(entry)

    def _page(self, entry: Entry) -> Page:
        url = entry.url
        if self._url_prefix:
            url = self._url_prefix + quote(entry.title.replace(" ", "_"), safe=_NOT_QUOTED)
        text = self._source.extract(entry, self._names)
        metadata = describe_page(self._names.categories(entry.text), entry.timestamp, self._language)
        aliases = self._links.aliases(entry.title)
        page = Page(entry.title, url, entry.page_id, entry.revision, entry.timestamp, text, aliases, metadata=metadata)
        return clean_page(page)

    def report(self) -> ImportReport:
        """Return the outcomes of the requested titles and categories, and of the pages that failed or have flaws."""
        empty = [name for name, root in self._roots.items() if root not in self._filled]
        outcomes = [Outcome(name, "failed", reason="no articles in it") for name in empty]
        led_to: set[str] = set()
        for title, target in self._targets.items():
            outcome = replace(self._outcomes.get(target, Outcome(title, "missing")), title=title)
            if not target:
                outcome = Outcome(title, "failed", reason="no title, or a redirect that leads in a circle")
            outcomes.append(replace(outcome, became="folded") if outcome.page and target in led_to else outcome)
            led_to.add(target)
        outcomes += [outcome for title, outcome in self._outcomes.items() if title not in self._titles]
        return ImportReport(tuple(outcomes), counts=dict(self._counts))


def _gather(links: Links, source: WikiFile, site: Site, entries: Iterable[Entry], request: Request) -> None:
    namespaces, names = _namespaces(site, request), source.names(site)
    asked = frozenset(map(names.title, request.titles))  # may be redirects that only the text shows

    def completed() -> Iterator[Entry]:
        for entry in entries:
            needs_text = entry.title in asked or (request.categories and entry.namespace == CATEGORY)
            yield source.complete(entry) if needs_text else entry

    with (
        suppress(InputError),
        warnings.catch_warnings(),
    ):  # the second reading repeats them, after the pages before them
        warnings.simplefilter("ignore", FallbackWarning)
        links.gather(names, completed(), namespaces, members=bool(request.categories))


def _namespaces(site: Site, request: Request) -> frozenset[int]:
    return find_namespaces(request.namespaces, lambda: site.namespaces)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _read(path: Path) -> Iterator[Page]:
    return read_json_lines(path, Page) if path.exists() else iter(())


def _url_prefix(base: str, index_url: str | None) -> str:
    """Return what comes before the title in the URLs of pages."""
    if index_url:
        return f"{index_url}?title="
    if match := _WIKIMEDIA.match(base):
        return f"{match[1]}/w/index.php?title="
    before, script, _ = base.partition("index.php")
    return f"{before}{script}?title=" if script else base[: base.rfind("/") + 1]


@contextmanager
def _bar(source: WikiFile, what: str, progress: bool) -> Iterator[Callable[[int], object]]:
    from tqdm import tqdm

    shown = None if progress else True
    with tqdm(total=source.length, unit=source.unit, unit_scale=True, desc=what, disable=shown) as bar:
        yield bar.update
