"""A wiki's articles from a MediaWiki XML dump, as pages.

The dump is read twice: first for what a page does not say itself, which titles lead to it and what is below a category, then
for the pages. That goes into a temporary SQLite database, so that memory does not grow with the dump; one reading alone would
leave the pages before their redirects, and reading costs a small part of what turning wikitext into text does.
"""

import hashlib
import html
import json
import os
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from ragqa.clean import clean_page
from ragqa.crawl import CrawlReport, Fate
from ragqa.errors import InputError
from ragqa.records import LONGEST_LINE, Page, json_line, read_json_lines, write_json_lines
from ragqa.wikitext import HIDDEN, plain_text, without_comments
from ragqa.xmldump import ARTICLE, CATEGORY, FILE, Entry, Site, open_dump

_SYNCED_EVERY_S = 1.0
_BLOCK = 1 << 16
_WIKIMEDIA = re.compile(
    r"(https?://[^/]+\.(?:wiki(?:pedia|books|news|quote|source|versity|voyage|media|data)|wiktionary|mediawiki)\.org)/wiki/.*"
)
_KEPT_BY_MEDIAWIKI = ";@$!*(),/~:"  # `wfUrlencode`
_LIST = re.compile(r"^(Lists? of|Index of|Outline of|Timeline of) |\(disambiguation\)$", re.IGNORECASE)  # as in `crawl`
_DISAMBIGUATION = re.compile(
    r"__DISAMBIG__|\{\{\s*(?:disambig(?:uation)?(?: page)?|(?:human|place) name disambiguation|dab|hndis|geodis|"
    r"begriffsklärung|homonymie|desambiguación|disambigua|dp)\s*[|}]",
    re.IGNORECASE,
)
_REDIRECT = re.compile(r"\s*#redirect\s*:?\s*\[\[", re.IGNORECASE)
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


@dataclass(frozen=True, slots=True)
class DumpReport(CrawlReport):
    """What became of what was asked for by name and of pages that failed; of all others only how many: `counts`, by fate."""

    counts: Mapping[str, int]


def import_dump(
    dump: str | Path,
    out: str | Path,
    *,
    categories: Iterable[str] = (),
    depth: int = 0,
    titles: Iterable[str] = (),
    index_url: str | None = None,
    progress: bool = True,
) -> DumpReport:
    """Write the articles of a dump into `out`, in the dump's order: all, or the titles and members of categories asked for.

    Of several revisions of a page the newest counts. Titles may be redirects. Members of a category are what the wikitext puts
    into it, redirects to an article too, or into a category that is at most `depth` levels below it; what templates put there
    is not seen. But for titles asked for, lists and disambiguation pages are skipped. The pages of an existing `out` stay, in
    front, and are not imported again. Pages are cited at `index_url`, the wiki's `index.php`, or what the dump lets guess.

    Pages go to a journal, `<out>.partial`, which is on disk every second; what it is of stands in `<out>.import`. A rerun with
    the same dump and the same arguments resumes from it, and `out` is then what it would have been. Raises `InputError` for
    what is no dump, is cut short or damaged, or where the journal is of another import; the journal then stays, with all that
    has been read.
    """
    dump, out = Path(dump), Path(out)
    journal, ledger = Path(f"{out}.partial"), Path(f"{out}.import")
    asked = _Asked(tuple(categories), depth, tuple(titles), index_url)
    _check(dump, asked)
    _resume(journal, ledger, _Origin(dump.name, dump.stat().st_size, asked.fingerprint()))
    with closing(_Facts()) as facts:
        facts.know(_read(out), finished=True)
        facts.know(_read(journal))
        with (
            _bar(dump, "redirects", progress) as advance,
            open_dump(dump, advance) as (site, entries),
            suppress(InputError),
        ):
            facts.gather(
                site, entries, bool(asked.categories)
            )  # what cannot be read is met again below, after what can
        with _bar(dump, "pages", progress) as advance, open_dump(dump, advance) as (site, entries):
            work = _Import(site, facts, asked)
            with _append(journal) as append:
                for entry in entries:
                    work.take(entry, append)
        write_json_lines(out, chain(_read(out), (page for page in _read(journal) if not facts.is_finished(page))))
    journal.unlink()
    ledger.unlink()
    return work.report()


@dataclass(frozen=True, slots=True)
class _Asked:
    categories: tuple[str, ...]
    depth: int
    titles: tuple[str, ...]
    index_url: str | None

    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Origin:
    """What a journal is of."""

    dump: str
    size: int
    asked: str


class _Facts:
    """What has to be known of a whole dump, and which pages there are already; in a database that vanishes with the process."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # a temporary file without a name
        self._database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_TABLES}")

    def close(self) -> None:
        self._database.close()

    def know(self, pages: Iterable[Page], finished: bool = False) -> None:
        """Remember pages; those of a finished file apart from those of a journal."""
        rows = ((_key(page.page_id, page.title), finished) for page in pages)
        self._database.executemany("INSERT OR IGNORE INTO known VALUES (?, ?)", rows)

    def knows(self, entry: Entry) -> bool:
        return bool(self._one("SELECT 1 FROM known WHERE key = ?", _key(entry.page_id, entry.title)))

    def is_finished(self, page: Page) -> bool:
        return bool(self._one("SELECT 1 FROM known WHERE key = ? AND finished", _key(page.page_id, page.title)))

    def gather(self, site: Site, entries: Iterable[Entry], members: bool) -> None:
        """Note where redirects lead and, with `members`, which categories they and categories are in."""
        names = _Names(site)
        for entry in entries:
            target, section = names.redirect(entry) if entry.namespace == ARTICLE else ("", False)
            if target:
                self._database.execute(
                    "INSERT OR IGNORE INTO redirect VALUES (?, ?, ?)", (entry.title, target, section)
                )
            if members and (target or entry.namespace == CATEGORY):
                rows = ((name, entry.title, entry.namespace) for name in names.categories(entry.text))
                self._database.executemany("INSERT INTO member VALUES (?, ?, ?)", rows)

    def members(self, category: str) -> list[tuple[str, int]]:
        """The redirects and categories in a category, with their namespaces."""
        return self._database.execute("SELECT title, namespace FROM member WHERE category = ?", (category,)).fetchall()

    def follow(self, title: str) -> str:
        """The title that a redirect leads to in the end, or the title itself; nothing where it leads in a circle."""
        seen = {title}
        while row := self._one("SELECT target FROM redirect WHERE title = ?", title):
            (title,) = row
            if title in seen:
                return ""
            seen.add(title)
        return title

    def aliases(self, title: str) -> tuple[str, ...]:
        """The titles that redirect to a page, through others too, sorted, but not those that lead to a section of a page."""
        return tuple(alias for (alias,) in self._database.execute(_ALIASES, (title,)))

    def _one(self, query: str, value: str) -> Any:
        return self._database.execute(query, (value,)).fetchone()


class _Names:
    """How a wiki writes titles, links and addresses."""

    def __init__(self, site: Site) -> None:
        self._first_letter = site.first_letter
        self._prefix = re.compile(rf"\s*:?\s*(?:{_either(site.namespaces[CATEGORY])})\s*:", re.IGNORECASE)
        self._category = re.compile(
            rf"\[\[\s*(?:{_either(site.namespaces[CATEGORY])})\s*:([^\[\]|{{}}<>#\n]+)", re.IGNORECASE
        )
        self.hidden = HIDDEN | site.namespaces[CATEGORY] | site.namespaces[FILE]

    def title(self, text: str) -> str:
        """A title as the wiki writes it: single spaces, a capital first where all titles have one."""
        text = " ".join(text.replace("_", " ").split())
        return text[:1].upper() + text[1:] if self._first_letter and len(text[:1].upper()) == 1 else text

    def category(self, name: str) -> str:
        """The name of a category, without its namespace."""
        return self.title(self._prefix.sub("", name, count=1))

    def categories(self, wikitext: str, among: Collection[str] | None = None) -> set[str]:
        """The categories that wikitext names, of those that count."""
        named = self._find(wikitext, among)  # a page that is in none need not be read with care
        return self._find(without_comments(wikitext), among) if named else named

    def _find(self, wikitext: str, among: Collection[str] | None) -> set[str]:
        found = {self.title(html.unescape(match[1])) for match in self._category.finditer(wikitext)}
        return found if among is None else found.intersection(among)

    def redirect(self, entry: Entry) -> tuple[str, bool]:
        """Where a page redirects to, nothing if it does not, and whether to a section."""
        if not entry.redirect and not _REDIRECT.match(entry.text):
            return "", False
        link = _FIRST_LINK.search(entry.text)
        target = entry.redirect or (html.unescape(link[1]) if link else "")
        return self.title(target.lstrip(": ")), bool(link and (link[2] or "").strip("# "))


class _Import:
    """One import: what is wanted of a dump, what became of it."""

    def __init__(self, site: Site, facts: _Facts, asked: _Asked) -> None:
        self._facts, self._names = facts, _Names(site)
        self._address = _address(site.base, asked.index_url)
        self._targets = {title: facts.follow(self._names.title(title)) for title in asked.titles}
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
                for title, namespace in self._facts.members(category):
                    target = self._facts.follow(title)
                    if namespace == CATEGORY and remaining:
                        children.add(self._names.category(title))
                        self._filled.add(category)
                    elif namespace == ARTICLE and target:
                        redirected.add(target)
                        self._filled.add(category)
            level = children - found
            found |= level
        return found, redirected

    def take(self, entry: Entry, append: Callable[[bytes], None]) -> None:
        """Import a page if it is wanted."""
        asked = entry.title in self._titles
        if entry.namespace != ARTICLE:
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
        if reason := "" if asked else _reason_to_skip(entry):
            return Fate(title, "skipped", reason=reason)
        if self._facts.knows(entry):
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
        self._facts.know([page])
        sha1 = hashlib.sha1(page.text.encode(), usedforsecurity=False).hexdigest()
        return Fate(title, "fetched", title, page.revision, len(page.text), sha1)

    def _page(self, entry: Entry) -> Page:
        url = self._address and self._address + quote(entry.title.replace(" ", "_"), safe=_KEPT_BY_MEDIAWIKI)
        text = plain_text(entry.text, self._names.hidden)
        page = Page(entry.title, url, entry.page_id, entry.revision, entry.timestamp, text)
        return replace(clean_page(page), aliases=self._facts.aliases(entry.title))

    def report(self) -> DumpReport:
        """What became of what was asked for, and of the pages that failed."""
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
        return DumpReport(tuple(fates), dict(self._counts))


def _check(dump: Path, asked: _Asked) -> None:
    if not dump.is_file():
        raise InputError(f"{dump} is not a file")
    if asked.depth < 0:
        raise InputError(f"depth is {asked.depth}; at least 0 is needed")


def _resume(journal: Path, ledger: Path, origin: _Origin) -> None:
    """See to it that the journal, if there is one, is of this import and ends with a whole line; else begin one."""
    _cut_last_line(journal)
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
    write_json_lines(ledger, [origin])


def _cut_last_line(journal: Path) -> None:
    """Cut off a last line that a crash left unfinished."""
    if not journal.exists():
        return
    with journal.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(end - _BLOCK, 0)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            end = start + newline + 1
            if newline >= 0:
                break
        file.truncate(end)


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


def _key(page_id: int | None, title: str) -> str:
    return f":{title}" if page_id is None else str(page_id)


def _either(names: Iterable[str]) -> str:
    return "|".join(re.escape(name).replace(r"\ ", "[ _]+") for name in sorted(names))


def _reason_to_skip(entry: Entry) -> str:
    if entry.model != "wikitext":
        return f"content model {entry.model}"
    if _LIST.search(entry.title):
        return "a list or disambiguation page, by its title"
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
