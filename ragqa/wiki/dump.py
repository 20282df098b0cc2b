"""A wiki's articles from a MediaWiki XML dump, as pages.

The dump is read twice: first for the redirects to each page and for the categories, then for the pages. The first reading fills
a temporary SQLite database, so that memory does not grow with the dump. A single reading would meet pages before their
redirects. Reading takes far less time than turning wikitext into text.
"""

import hashlib
import json
import os
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import IO
from urllib.parse import quote

from ragqa.errors import FallbackWarning, InputError
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
from ragqa.text.wikitext import extract_text
from ragqa.wiki.dump_file import Entry, Site, open_dump
from ragqa.wiki.links import Links, Names, open_links
from ragqa.wiki.listing import Filter, make_filter
from ragqa.wiki.namespaces import CATEGORY, find_namespaces
from ragqa.wiki.outcomes import CrawlReport, Outcome, outcome_of_page

_SYNC_EVERY_S = 1.0
_WIKIMEDIA = re.compile(
    r"(https?://[^/]+\.(?:wiki(?:pedia|books|news|quote|source|versity|voyage|media|data)|wiktionary|mediawiki)\.org)/wiki/.*"
)
_NOT_QUOTED = ";@$!*(),/~:"  # by MediaWiki in URLs (`wfUrlencode`)
_DISAMBIGUATION = re.compile(
    r"__DISAMBIG__|\{\{\s*(?:disambig(?:uation)?(?: page)?|(?:human|place) name disambiguation|dab|hndis|geodis|"
    r"begriffsklärung|homonymie|desambiguación|disambigua|dp)\s*[|}]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class DumpReport(CrawlReport):
    """Outcome of every title and category that was asked for, and of every page with a flaw.

    `counts` maps each outcome to the number of its pages, over all pages.
    """

    counts: Mapping[str, int] = field(default_factory=dict)


def import_dump(
    dump: str | Path,
    out: str | Path,
    *,
    categories: Iterable[str] = (),
    depth: int = 0,
    titles: Iterable[str] = (),
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    namespaces: Iterable[str] = (),
    index_url: str | None = None,
    progress: bool = True,
) -> DumpReport:
    """Write the articles of a dump into `out`, in the dump's order: all, or the given titles and members of categories.

    The newest revision of a page counts. Titles may be redirects. The members of a category are the pages whose wikitext names
    it, or a category at most `depth` levels below it; redirects may name it for their article. Categories set by templates are
    not seen. Lists, disambiguation pages and pages that `include` and `exclude` reject (see `crawl`) are skipped, unless a
    title asks for them. `namespaces` are numbers or names (default: articles). A page that cannot be read, or whose text has
    more than 16 MiB, is failed if it is wanted, else skipped; the report names it. The pages of an existing `out` stay first
    and are not imported again. Page URLs begin with `index_url`, the wiki's `index.php`, or with a guess from the dump.

    Pages are appended to a journal, `<out>.partial`, which is on disk every second; `<out>.import` holds what it belongs to. A
    rerun with the same dump and the same arguments resumes from it, and `out` is then what an uninterrupted import writes.
    Raises `InputError` if the file is no dump or is cut short or damaged, or if the journal belongs to another import. The
    journal then keeps all pages that have been read.
    """
    dump, out = Path(dump), Path(out)
    request = _Request(
        tuple(categories), depth, tuple(titles), tuple(include), tuple(exclude), tuple(namespaces), index_url
    )
    _check(dump, request)
    journal = _Journal(out, _Origin(dump.name, dump.stat().st_size, request.fingerprint()))
    with open_links() as links:
        links.know(_read(out), finished=True)
        links.know(_read(journal.path))
        with _bar(dump, "redirects", progress) as advance, open_dump(dump, advance) as (site, entries):
            _gather(links, site, entries, request)
        with _bar(dump, "pages", progress) as advance, open_dump(dump, advance) as (site, entries):
            work = _Import(site, links, request)
            with journal.open() as append:
                for entry in entries:
                    work.take(entry, append)
        new = (page for page in _read(journal.path) if not links.is_finished(page))
        write_json_lines(out, chain(_read(out), new))
    journal.remove()
    return work.report()


@dataclass(frozen=True, slots=True)
class _Request:
    """The arguments of an import that decide which pages come out."""

    categories: tuple[str, ...]
    depth: int
    titles: tuple[str, ...]
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    namespaces: tuple[str, ...]
    index_url: str | None

    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Origin:
    """The import that a journal belongs to: name and size of the dump, and the fingerprint of the request."""

    dump: str
    size: int
    asked: str


class _Journal:
    """The pages imported so far, `<out>.partial`, and their origin, `<out>.import`."""

    def __init__(self, out: Path, origin: _Origin) -> None:
        """Drop an unfinished last line. Raises `InputError` if there is a journal of another import."""
        self.path, self._origin_path, self._origin = Path(f"{out}.partial"), Path(f"{out}.import"), origin
        if not self.path.exists():
            return
        cut_unfinished(self.path)
        begun = next(read_json_lines(self._origin_path, _Origin), None) if self._origin_path.exists() else None
        if begun != origin:
            raise InputError(
                f"{self.path} is the journal of {_describe(begun, origin)}, not of this import of {origin.dump} "
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


def _describe(begun: _Origin | None, origin: _Origin) -> str:
    if begun is None:
        return "something other than an import"
    if (begun.dump, begun.size) == (origin.dump, origin.size):
        return "other pages of this dump"
    return f"another dump, {begun.dump} of {begun.size:,} bytes"


class _Import:
    """One import: the pages that are wanted, and the outcomes so far."""

    def __init__(self, site: Site, links: Links, request: _Request) -> None:
        self._links, self._names = links, Names(site)
        self._namespaces = _namespaces(site, request)
        self._filter = replace(make_filter(request.include, request.exclude), namespaces=self._namespaces)
        self._url_prefix = _url_prefix(site.base, request.index_url)
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
        """Import a page if it is wanted."""
        asked = entry.title in self._titles
        if entry.flaw:
            wanted = entry.namespace in self._namespaces and (asked or self._is_wanted(entry))
            self._note(entry.title, Outcome(entry.title, "failed" if wanted else "skipped", reason=entry.flaw))
        elif entry.namespace not in self._namespaces:
            if asked:
                self._note(entry.title, Outcome(entry.title, "failed", reason="not an article"))
        elif not self._names.redirect(entry)[0] and (self._is_wanted(entry) or asked):
            self._note(entry.title, self._import(entry, asked, append), asked)

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
        if reason := "" if asked else _reason_to_skip(entry, self._filter):
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

    def _page(self, entry: Entry) -> Page:
        url = self._url_prefix and self._url_prefix + quote(entry.title.replace(" ", "_"), safe=_NOT_QUOTED)
        text = extract_text(entry.text, self._names.hidden)
        page = Page(entry.title, url, entry.page_id, entry.revision, entry.timestamp, text)
        return replace(clean_page(page), aliases=self._links.aliases(entry.title))

    def report(self) -> DumpReport:
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
        return DumpReport(tuple(outcomes), counts=dict(self._counts))


def _check(dump: Path, request: _Request) -> None:
    """Raise `InputError` before the first reading for what would fail after it."""
    if is_input(dump) and not dump.is_file():
        raise InputError(f"{dump} is a pipe, and a dump is read twice; save it to a file first")
    if not dump.is_file():
        raise InputError(f"{dump} is not a file")
    if request.depth < 0:
        raise InputError(f"depth is {request.depth}; at least 0 is needed")
    make_filter(request.include, request.exclude)


def _gather(links: Links, site: Site, entries: Iterable[Entry], request: _Request) -> None:
    namespaces = _namespaces(site, request)
    with (
        suppress(InputError),
        warnings.catch_warnings(),
    ):  # the second reading repeats them, after the pages before them
        warnings.simplefilter("ignore", FallbackWarning)
        links.gather(site, entries, namespaces, members=bool(request.categories))


def _namespaces(site: Site, request: _Request) -> frozenset[int]:
    return find_namespaces(request.namespaces, lambda: site.namespaces)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _read(path: Path) -> Iterator[Page]:
    return read_json_lines(path, Page) if path.exists() else iter(())


def _reason_to_skip(entry: Entry, wanted: Filter) -> str:
    if entry.model != "wikitext":
        return f"content model {entry.model}"
    if reason := wanted.reason_to_skip({"title": entry.title, "ns": entry.namespace}):
        return reason
    return "a disambiguation page, by its wikitext" if _DISAMBIGUATION.search(entry.text) else ""


def _url_prefix(base: str, index_url: str | None) -> str:
    """Return what comes before the title in the URLs of pages."""
    if index_url:
        return f"{index_url}?title="
    if match := _WIKIMEDIA.match(base):
        return f"{match[1]}/w/index.php?title="
    before, script, _ = base.partition("index.php")
    return f"{before}{script}?title=" if script else base[: base.rfind("/") + 1]


@contextmanager
def _bar(dump: Path, what: str, progress: bool) -> Iterator[Callable[[int], object]]:
    from tqdm import tqdm

    size = dump.stat().st_size
    with tqdm(total=size, unit="B", unit_scale=True, desc=what, disable=None if progress else True) as bar:
        yield bar.update
