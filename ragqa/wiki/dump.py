"""A wiki's articles from a MediaWiki XML dump, as pages.

The dump is read twice: first for what a page does not say itself, which titles lead to it and what is below a category, then
for the pages. That goes into a temporary SQLite database, so that memory does not grow with the dump; one reading alone would
leave the pages before their redirects, and reading costs a small part of what turning wikitext into text does.
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
from ragqa.wiki.outcomes import CrawlReport, Fate, tell

_SYNCED_EVERY_S = 1.0
_WIKIMEDIA = re.compile(
    r"(https?://[^/]+\.(?:wiki(?:pedia|books|news|quote|source|versity|voyage|media|data)|wiktionary|mediawiki)\.org)/wiki/.*"
)
_KEPT_BY_MEDIAWIKI = ";@$!*(),/~:"  # `wfUrlencode`
_DISAMBIGUATION = re.compile(
    r"__DISAMBIG__|\{\{\s*(?:disambig(?:uation)?(?: page)?|(?:human|place) name disambiguation|dab|hndis|geodis|"
    r"begriffsklärung|homonymie|desambiguación|disambigua|dp)\s*[|}]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class DumpReport(CrawlReport):
    """Outcome of every title and category asked for by name, and of every page with a flaw.

    `counts` holds the number of all pages by fate.
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
    """Write the articles of a dump into `out`, in the dump's order: all, or the titles and members of categories asked for.

    Of several revisions of a page the newest counts. Titles may be redirects. Members of a category are what the wikitext puts
    into it, redirects to an article too, or into a category that is at most `depth` levels below it; what templates put there
    is not seen. Lists, disambiguation pages and what `include` and `exclude` do not want (see `crawl`) are skipped where they
    are not asked for by title. `namespaces`, numbers or names, are those that pages are taken from: articles (0) if none is
    given. A page that cannot be read, or whose text has more than 16 MiB, is failed if it is wanted, else skipped, and the
    report names it. The pages of an existing `out` stay, in front, and are not imported again. Pages are cited at
    `index_url`, the wiki's `index.php`, or what the dump lets guess.

    Pages go to a journal, `<out>.partial`, which is on disk every second; what it is of stands in `<out>.import`. A rerun with
    the same dump and the same arguments resumes from it, and `out` is then what it would have been. Raises `InputError` for
    what is no dump, is cut short or damaged, or where the journal is of another import; the journal then stays, with all that
    has been read.
    """
    dump, out = Path(dump), Path(out)
    journal, ledger = Path(f"{out}.partial"), Path(f"{out}.import")
    asked = _Asked(
        tuple(categories), depth, tuple(titles), tuple(include), tuple(exclude), tuple(namespaces), index_url
    )
    _check(dump, asked)
    origin = _Origin(dump.name, dump.stat().st_size, asked.fingerprint())
    _check_journal(journal, ledger, origin)
    with open_links() as links:
        links.know(_read(out), finished=True)
        links.know(_read(journal))
        with _bar(dump, "redirects", progress) as advance, open_dump(dump, advance) as (site, entries):
            _gather(links, site, entries, asked)
        with _bar(dump, "pages", progress) as advance, open_dump(dump, advance) as (site, entries):
            work = _Import(site, links, asked)
            write_json_lines(ledger, [origin])
            with _append(journal) as append:
                for entry in entries:
                    work.take(entry, append)
        write_json_lines(out, chain(_read(out), (page for page in _read(journal) if not links.is_finished(page))))
    journal.unlink()
    ledger.unlink()
    return work.report()


@dataclass(frozen=True, slots=True)
class _Asked:
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
    """What a journal is of."""

    dump: str
    size: int
    asked: str


class _Import:
    """One import: what is wanted of a dump, what became of it."""

    def __init__(self, site: Site, links: Links, asked: _Asked) -> None:
        self._links, self._names = links, Names(site)
        self._namespaces = _namespaces(site, asked)
        self._filter = replace(make_filter(asked.include, asked.exclude), namespaces=self._namespaces)
        self._address = _address(site.base, asked.index_url)
        self._targets = {title: links.follow(self._names.title(title)) for title in asked.titles}
        self._titles = frozenset(self._targets.values())
        self._roots = {name: self._names.category(name) for name in asked.categories}
        self._filled: set[str] = set()  # categories that there is something in
        self._categories, self._redirected = self._below(asked.depth)
        self._everything = not asked.titles and not asked.categories
        self._fates: dict[str, Fate] = {}  # of titles asked for, by the title they lead to, and of pages that failed
        self._counts: Counter[str] = Counter()

    def _below(self, depth: int) -> tuple[set[str], set[str]]:
        """The categories asked for and those below them, and where the redirects in them lead."""
        level, redirected = set(self._roots.values()), set()
        found = set(level)
        for remaining in range(depth, -1, -1):
            children = set()
            for category in level:
                for title, namespace in self._links.members(category):
                    target = self._links.follow(title)
                    if namespace == CATEGORY and remaining:
                        self._filled.add(category)
                        if not self._filter.reason_to_skip({"title": title, "ns": namespace}):
                            children.add(self._names.category(title))
                    elif namespace in self._namespaces and target:
                        redirected.add(target)
                        self._filled.add(category)
            level = children - found
            found |= level
        return found, redirected

    def take(self, entry: Entry, append: Callable[[bytes], None]) -> None:
        """Import a page if it is wanted."""
        asked = entry.title in self._titles
        if entry.flaw:
            wanted = entry.namespace in self._namespaces and (asked or self._is_wanted(entry))
            self._tell(entry.title, Fate(entry.title, "failed" if wanted else "skipped", reason=entry.flaw))
        elif entry.namespace not in self._namespaces:
            if asked:
                self._tell(entry.title, Fate(entry.title, "failed", reason="not an article"))
        elif not self._names.redirect(entry)[0] and (self._is_wanted(entry) or asked):
            self._tell(entry.title, self._import(entry, asked, append), asked)

    def _is_wanted(self, entry: Entry) -> bool:
        named = self._names.categories(entry.text, self._categories) if self._categories else set()
        self._filled |= named
        return self._everything or bool(named) or entry.title in self._redirected

    def _tell(self, title: str, fate: Fate, asked: bool = True) -> None:
        self._counts[fate.became] += 1
        if asked or fate.became == "failed":
            self._fates.setdefault(title, fate)

    def _import(self, entry: Entry, asked: bool, append: Callable[[bytes], None]) -> Fate:
        title = entry.title
        if reason := "" if asked else _reason_to_skip(entry, self._filter):
            return Fate(title, "skipped", reason=reason)
        if self._links.knows(entry):
            return Fate(title, "kept", title)
        try:
            page = self._page(entry)
        except InputError as error:
            return Fate(title, "failed", reason=str(error))
        if not page.text:
            return Fate(title, "empty", title, page.revision)
        line = json_line(page)
        if len(line) > LONGEST_LINE:
            return Fate(title, "failed", reason=f"it has more than {LONGEST_LINE:,} bytes")
        append(line)
        self._links.know([page])
        return tell(title, "fetched", page)

    def _page(self, entry: Entry) -> Page:
        url = self._address and self._address + quote(entry.title.replace(" ", "_"), safe=_KEPT_BY_MEDIAWIKI)
        text = extract_text(entry.text, self._names.hidden)
        page = Page(entry.title, url, entry.page_id, entry.revision, entry.timestamp, text)
        return replace(clean_page(page), aliases=self._links.aliases(entry.title))

    def report(self) -> DumpReport:
        """What became of what was asked for, and of the pages that failed or have flaws."""
        fates = [
            Fate(name, "failed", reason="no articles in it")
            for name, root in self._roots.items()
            if root not in self._filled
        ]
        led_to: set[str] = set()
        for title, target in self._targets.items():
            fate = replace(self._fates.get(target, Fate(title, "missing")), title=title)
            if not target:
                fate = Fate(title, "failed", reason="no title, or a redirect that leads in a circle")
            fates.append(replace(fate, became="folded") if fate.page and target in led_to else fate)
            led_to.add(target)
        fates += [fate for title, fate in self._fates.items() if title not in self._titles]
        return DumpReport(tuple(fates), counts=dict(self._counts))


def _check(dump: Path, asked: _Asked) -> None:
    """Raise now what would else be raised after the first reading."""
    if is_input(dump) and not dump.is_file():
        raise InputError(f"{dump} is a pipe, and a dump is read twice; save it to a file first")
    if not dump.is_file():
        raise InputError(f"{dump} is not a file")
    if asked.depth < 0:
        raise InputError(f"depth is {asked.depth}; at least 0 is needed")
    make_filter(asked.include, asked.exclude)


def _gather(links: Links, site: Site, entries: Iterable[Entry], asked: _Asked) -> None:
    namespaces = _namespaces(site, asked)
    with (
        suppress(InputError),
        warnings.catch_warnings(),
    ):  # both come again at the second reading, after the pages before
        warnings.simplefilter("ignore", FallbackWarning)
        links.gather(site, entries, namespaces, members=bool(asked.categories))


def _namespaces(site: Site, asked: _Asked) -> frozenset[int]:
    return find_namespaces(asked.namespaces, lambda: site.namespaces)


def _check_journal(journal: Path, ledger: Path, origin: _Origin) -> None:
    """See to it that the journal, if there is one, is of this import and ends with a whole line."""
    if journal.exists():
        cut_unfinished(journal)
    begun = next(read_json_lines(ledger, _Origin), None) if ledger.exists() else None
    if journal.exists() and begun != origin:
        was = "something else than an import"
        if begun:
            of_it = (begun.dump, begun.size) == (origin.dump, origin.size)
            was = "other pages of this dump" if of_it else f"another dump, {begun.dump} of {begun.size:,} bytes"
        raise InputError(
            f"{journal} is of {was}, not of what is asked of {origin.dump} ({origin.size:,} bytes): finish what began it, "
            "choose another --out, or remove it to begin anew"
        )


@contextmanager
def _append(journal: Path) -> Iterator[Callable[[bytes], None]]:
    """Yield what appends a line to a journal; lines are on disk a second later, and at the end whatever ends it."""
    synced = time.monotonic()
    with journal.open("ab") as file:

        def append(line: bytes) -> None:
            nonlocal synced
            file.write(line)
            if time.monotonic() - synced > _SYNCED_EVERY_S:
                _sync(file)
                synced = time.monotonic()

        try:
            yield append
        finally:
            _sync(file)


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


def _address(base: str, index_url: str | None) -> str:
    """What the addresses of pages begin with: up to the title."""
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
