"""A MediaWiki XML export in, its pages out one by one: Wikimedia's dumps, and exports by `dumpBackup.php` or `Special:Export`.

mwxml reads the file as a stream. The file is not trusted: it cannot declare entities, name other files, or hold a revision that
fills the memory. A page that cannot be read is yielded with its flaw, and reading goes on with the next page.
"""

import bz2
import gzip
import re
import secrets
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any
from xml.etree.ElementTree import Element, ParseError, iterparse

from ragqa.errors import InputError, check_extra, warn_of_fallback
from ragqa.storage.json_lines import LONGEST_LINE
from ragqa.wiki.namespaces import ARTICLE, CATEGORY, fold

FILE = 6  # the namespace
LONGEST_TEXT = LONGEST_LINE  # bytes of XML; pages of Wikipedia have at most two million
MOST_BYTES = 2 * LONGEST_TEXT  # of a revision, without the part of its text that is cut off
MOST_TAGS = 1 << 16  # of a revision; usual are 20

_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"  # the attribute `xml:lang`
_LONGEST_TITLE = 255  # bytes
_LONGEST_ENTITY = 12  # bytes
_READ = {  # elements to read, by their parent
    "mediawiki": frozenset({"siteinfo", "page"}),
    "page": frozenset({"title", "ns", "id", "redirect", "revision"}),
    "revision": frozenset({"id", "timestamp", "model", "format", "text", "content"}),
    "content": frozenset({"role", "origin", "model", "format", "text"}),
}
_NOT_NEEDED = frozenset(  # elements that MediaWiki and its extensions write too
    "logitem restrictions upload discussionthreadinginfo DiscussionThreading contributor comment minor parentid origin sha1 "
    "bytes".split()
)

_HEAD_BYTES = 1 << 12
_HEAD = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml\s([^<>]*)\?>)?(?:\s|<!--(?:(?!-->).)*-->)*<mediawiki[\s>]", re.DOTALL
)
_ENCODING = re.compile(rb"""\bencoding\s*=\s*["'](?!utf-8["'])([^"']*)""", re.IGNORECASE)
_OTHER_FORMATS = {  # by their first four bytes
    b"7z\xbc\xaf": "7z",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zX": "xz",
}


@dataclass(frozen=True, slots=True)
class Site:
    """A dump's data about its wiki: URL of the main page, whether titles begin with a capital, and names of namespaces.

    `language` is the code of its language, such as "en", if the file states it.
    """

    base: str
    first_letter: bool
    namespaces: dict[int, frozenset[str]]  # names in lower case, with the English ones
    names: dict[int, str] = field(default_factory=dict)  # prefixes of titles, by namespace
    language: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A page of a dump in its newest revision. `redirect` is the title that the dump gives as its target.

    `flaw` says why the page cannot be used; its text is then cut off or missing.
    """

    title: str
    namespace: int
    page_id: int | None
    redirect: str | None
    revision: int | None
    timestamp: str | None
    model: str
    text: str
    flaw: str = ""
    url: str = ""  # if the file states it
    position: int = -1  # among the pages of the file, if these can be read in any order


@contextmanager
def open_dump(path: Path, advance: Callable[[int], object]) -> Iterator[tuple[Site, Iterator[Entry]]]:
    """Yield the site of a dump and its pages in order. The file is plain XML, bzip2 (multistream too) or gzip.

    `advance` is called with the number of bytes read since its last call. A page has a flaw if its text has more than 16 MiB
    or if MediaWiki would not write it so. Unknown elements are skipped, with one warning. Raises `InputError`, at once or at a
    page, if the file is no dump or is cut short or damaged.
    """
    check_extra("reading a dump", "dump")
    from mwxml.element_iterator import ElementIterator, EventPointer

    if not path.is_file():
        raise InputError(f"{path} is not a file")
    with path.open("rb") as file:
        source = _Source(path, file, advance)
        events = _Events(source)
        with _parser_errors(path):
            pointer = EventPointer(iter(events))
            root = ElementIterator(next(pointer)[1], pointer)
            children = iter(root)
            site = _read_site(next(children, None), root.element.get(_LANGUAGE, ""))
        yield site, _entries(path, site, root, children, events)


class _Source:
    """The decompressed bytes of a dump, for a parser to read, with a limit on the size of each revision."""

    def __init__(self, path: Path, file: IO[bytes], advance: Callable[[int], object]) -> None:
        self._path, self._file, self._advance = path, file, advance
        self._reported = 0  # bytes of the file
        self._bytes = self._tags = 0  # since the last `reset`
        self._texts = _Texts()
        start = file.read(4)
        file.seek(0)
        if start in _OTHER_FORMATS:
            raise InputError(
                f"{path} is compressed with {_OTHER_FORMATS[start]}, which cannot be read: decompress it first"
            )
        opener = bz2.open if start[:3] == b"BZh" else gzip.open if start[:2] == b"\x1f\x8b" else None
        self._stream: Any = opener(file) if opener else file
        self._head = self._unpack(_HEAD_BYTES)
        self._check_head()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, about `size` at most, or none at the end."""
        data, self._head = self._head, b""
        kept = b""
        while not kept and (data := data or self._unpack(size)):  # no bytes would mean the end
            kept, data = self._texts.shorten(data), b""
        self._bytes += len(kept)
        self._tags += kept.count(b"<")
        if self._bytes > MOST_BYTES or self._tags > MOST_TAGS:
            least = f"{MOST_TAGS:,} tags" if self._tags > MOST_TAGS else f"{MOST_BYTES:,} bytes"
            raise InputError(f"{self._path}: a revision of more than {least}, which no wiki writes")
        position = self._file.tell()
        self._advance(position - self._reported)
        self._reported = position
        return kept

    def uncut(self, text: str) -> tuple[str, bool]:
        """Return a text without the mark of `_Texts`, and whether it was cut off."""
        return text.removesuffix(self._texts.mark), text.endswith(self._texts.mark)

    def reset(self) -> None:
        """Start counting for the next revision."""
        self._bytes = self._tags = 0

    def _unpack(self, size: int) -> bytes:
        try:
            data: bytes = self._stream.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"{self._path} is cut short or damaged: {error}") from error
        except OSError as error:
            if error.errno is not None:  # of the disk, not of the format
                raise
            raise InputError(f"{self._path} is cut short or damaged: {error}") from error
        return data

    def _check_head(self) -> None:
        """Raise `InputError` if the file does not begin like a dump. This keeps out declarations of entities."""
        head = _HEAD.match(self._head)
        if not head:
            raise InputError(f"{self._path} is not a MediaWiki XML dump: it does not begin with <mediawiki>")
        if other := _ENCODING.search(head[1] or b""):
            raise InputError(f"{self._path} says that it is in {other[1].decode(errors='replace')}; UTF-8 is needed")


class _Texts:
    """Cuts off text between two tags that is too long, and ends it with a random mark that no dump can contain."""

    def __init__(self) -> None:
        self.mark = secrets.token_hex(16)
        self._in_tag, self._is_cut = False, False
        self._length, self._last = 0, b""  # of the text so far; its last bytes

    def shorten(self, data: bytes) -> bytes:
        """Return the next bytes without text that is too long."""
        end = data.find(b"<") if b"<" in data else len(data)
        kept = data if self._in_tag else self._shorten_text(data[:end]) + data[end:]
        tag = data.rfind(b"<")
        close = data.find(b">", max(tag, 0))
        if tag >= 0 or (self._in_tag and close >= 0):
            self._in_tag, self._is_cut = close < 0, False
            self._length, self._last = (len(data) - close - 1 if close >= 0 else 0), data[-_LONGEST_ENTITY:]
        elif not self._in_tag:
            self._length, self._last = self._length + len(data), (self._last + data)[-_LONGEST_ENTITY:]
        return kept

    def _shorten_text(self, text: bytes) -> bytes:
        if self._is_cut:
            return b""
        if self._length + len(text) <= LONGEST_TEXT:
            return text
        for end in range(max(0, LONGEST_TEXT - self._length), len(text)):
            before = (self._last + text[:end])[-_LONGEST_ENTITY:]
            if before.endswith(b";") or (b"&" not in before and text[end] & 0xC0 != 0x80):
                self._is_cut = True
                return text[:end] + self.mark.encode()
        return text


class _Events:
    """The parser events of a dump, without those of elements that are not read. These elements are dropped at once."""

    def __init__(self, source: _Source) -> None:
        self.source = source
        self.unknown: Counter[str] = Counter()  # elements that MediaWiki does not write, by name
        self.title = ""  # of the last page

    def __iter__(self) -> Iterator[tuple[str, Element]]:
        reading: list[Element] = []
        dropped: Element | None = None
        depth = 0  # within the dropped element
        for event, element in iterparse(self.source, events=("start", "end")):  # noqa: S314  no declarations get here
            if dropped is None and event == "start" and self._is_read(element, reading):
                reading.append(element)
                yield event, element
            elif event == "start":
                dropped, depth = dropped if dropped is not None else element, depth + 1
            elif dropped is None:
                self.title = element.text or "" if _name(element) == "title" else self.title
                yield event, reading.pop()
            else:
                depth -= 1
                dropped.clear()
                if not depth:
                    with suppress(ValueError):  # the root was cleared in the meantime
                        reading[-1].remove(dropped)
                    dropped = None

    def _is_read(self, element: Element, reading: list[Element]) -> bool:
        name, inside = _name(element), _name(reading[-1]) if reading else ""
        if inside in ("", "siteinfo", "namespaces") or name in _READ.get(inside, ()):
            return True
        if name not in _NOT_NEEDED:
            self.unknown[name] += 1
        return False


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


@contextmanager
def _parser_errors(path: Path) -> Iterator[None]:
    """Raise `InputError` for what the parser and mwxml raise when they cannot read the file."""
    try:
        yield
    except InputError:
        raise
    except ParseError as error:
        raise InputError(f"{path}: not well-formed XML, or cut short: {error}") from error
    except _wrong() as error:
        raise InputError(f"{path}: not as MediaWiki writes a dump: {error or type(error).__name__}") from error


def _wrong() -> tuple[type[Exception], ...]:
    """Return the exceptions of mwxml for XML that MediaWiki does not write."""
    from mwxml.errors import MalformedXML

    return MalformedXML, LookupError, TypeError, ValueError, AttributeError, AssertionError, OverflowError


def _read_site(element: Any, language: str) -> Site:
    from mwxml.iteration.site_info import SiteInfo

    if element is None or element.tag != "siteinfo":
        raise ValueError("<siteinfo> is missing")
    info = SiteInfo.from_element(element)
    names = {ARTICLE: {""}, FILE: {"file", "image"}, CATEGORY: {"category"}}
    for namespace in info.namespaces or ():
        names.setdefault(int(namespace.id), set()).add(namespace.name.lower())
    called = {int(namespace.id): namespace.name for namespace in info.namespaces or ()}
    first_letter = info.case != "case-sensitive"
    return Site(
        info.base or "", first_letter, {key: frozenset(value) for key, value in names.items()}, called, language
    )


def _entries(path: Path, site: Site, root: Any, children: Iterator[Any], events: _Events) -> Iterator[Entry]:
    with _parser_errors(path):
        for element in children:
            events.source.reset()
            if element.tag == "page" and (entry := _read_page(element, site, events)) is not None:
                yield entry
            root.element.clear()  # else it keeps an empty element for every page
        for _ in root.pointer.etree_events:  # read the rest too, so that damage in it is found
            pass
    if events.unknown:
        named = ", ".join(f"<{name}> ({count:,})" for name, count in events.unknown.most_common(5))
        warn_of_fallback(f"{path}: skipped elements that MediaWiki does not write: {named}")


def _read_page(element: Any, site: Site, events: _Events) -> Entry | None:
    """Return a page in its newest revision, or None if it has no revision."""
    events.title = ""
    try:
        return _check_title(_read_revisions(element, site, events.source))
    except (ParseError, InputError):  # they concern the whole dump
        raise
    except _wrong() as error:
        reason = f"not as MediaWiki writes a page: {str(error)[:200] or type(error).__name__}"
        title = events.source.uncut(events.title)[0].replace("_", " ")
        return _check_title(Entry(title or "(no title)", ARTICLE, None, None, None, None, "wikitext", "", reason))


def _check_title(entry: Entry | None) -> Entry | None:
    if entry is None or len(entry.title.encode()) <= _LONGEST_TITLE:
        return entry
    return replace(entry, title=f"{entry.title[:60]}…", flaw=f"its title has more than {_LONGEST_TITLE} bytes")


def _read_revisions(element: Any, site: Site, source: _Source) -> Entry | None:
    from mwxml import Page

    page = Page.from_element(element, {name: SimpleNamespace(id=number) for number, name in site.names.items()})
    title, name = page.title, site.names.get(page.namespace)
    if name and fold(title.partition(":")[0]) not in site.namespaces[page.namespace]:
        title = f"{name}:{title}"  # mwxml drops the prefix if <ns> is missing
    newest = None
    for revision in page:
        source.reset()
        if newest is None or (revision.timestamp, revision.id) >= (newest.timestamp, newest.id):
            newest = revision
    if newest is None:
        return None
    main = (newest.slots.contents if newest.slots else {}).get("main")
    text, is_cut = source.uncut((main and main.text) or "")
    return Entry(
        title,
        page.namespace,
        page.id,
        page.redirect,
        newest.id,
        newest.timestamp.long_format() if newest.timestamp else None,
        (main and main.model) or "wikitext",
        text,
        f"its text has more than {LONGEST_TEXT:,} bytes" if is_cut else "",
    )
