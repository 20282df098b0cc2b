"""A MediaWiki XML export, page by page: a dump of Wikimedia's, or what `dumpBackup.php` or `Special:Export` of a wiki writes.

mwxml reads it as a stream. A file is not trusted: it cannot declare entities, name other files, or hold a revision that fills
the memory.
"""

import bz2
import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import ParseError

from ragqa.errors import InputError, MissingExtraError
from ragqa.records import LONGEST_LINE
from ragqa.wiki.listing import CATEGORY

FILE = 6  # the namespace
LONGEST_REVISION = LONGEST_LINE  # bytes of XML; a page of Wikipedia's has at most two million
MOST_TAGS = 1 << 16  # of a revision, which has about 20

_HEAD_BYTES = 1 << 12
_HEAD = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml\s([^<>]*)\?>)?(?:\s|<!--(?:(?!-->).)*-->)*<mediawiki[\s>]", re.DOTALL
)
_ENCODING = re.compile(rb"""\bencoding\s*=\s*["'](?!utf-8["'])([^"']*)""", re.IGNORECASE)
_PACKED = {
    b"7z\xbc\xaf": "7z",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zX": "xz",
}  # and not read here


@dataclass(frozen=True, slots=True)
class Site:
    """What a dump says of its wiki: its main page's address, whether titles begin with a capital, its namespaces' names."""

    base: str
    first_letter: bool
    namespaces: dict[int, frozenset[str]]  # in lower case, English names included


@dataclass(frozen=True, slots=True)
class Entry:
    """A page of a dump in its newest revision; `redirect` is the title that the dump says it leads to."""

    title: str
    namespace: int
    page_id: int | None
    redirect: str | None
    revision: int | None
    timestamp: str | None
    model: str
    text: str


@contextmanager
def open_dump(path: Path, advance: Callable[[int], object]) -> Iterator[tuple[Site, Iterator[Entry]]]:
    """Yield what a dump says of its wiki, and its pages in their order; plain, bzip2 (multistream too) or gzip.

    `advance` is told how many bytes of the file have been read since it was last called. Raises `InputError`, now or at a
    page, for what is no such dump, is cut short or damaged, or holds a revision of more than 16 MiB.
    """
    try:
        from mwxml import Dump
        from mwxml.element_iterator import ElementIterator
    except ImportError as error:
        raise MissingExtraError("reading a dump", "dump") from error

    if not path.is_file():
        raise InputError(f"{path} is not a file")
    with path.open("rb") as file:
        source = _Source(path, file, advance)
        with _told(path):
            root = ElementIterator.from_file(source)
            dump = Dump.from_element(root)
            site = _site(dump.site_info)
        yield site, _entries(path, dump, root, source)


class _Source:
    """The bytes of a dump, unpacked, for a parser to read; a mark says that a record ends, and none may be too long."""

    def __init__(self, path: Path, file: IO[bytes], advance: Callable[[int], object]) -> None:
        self._path, self._file, self._advance = path, file, advance
        self._told = 0  # bytes of the file
        self._bytes = self._tags = 0  # since the last mark
        start = file.read(4)
        file.seek(0)
        if start in _PACKED:
            raise InputError(f"{path} is packed with {_PACKED[start]}, which is not read: unpack it first")
        opener = bz2.open if start[:3] == b"BZh" else gzip.open if start[:2] == b"\x1f\x8b" else None
        self._stream: Any = opener(file) if opener else file
        self._head = self._unpack(_HEAD_BYTES)
        self._check_head()

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`, none at the end."""
        if self._head:
            data, self._head = self._head, b""
        else:
            data = self._unpack(size)
        self._bytes += len(data)
        self._tags += data.count(b"<")
        if self._bytes > LONGEST_REVISION or self._tags > MOST_TAGS:
            least = f"{MOST_TAGS:,} tags" if self._tags > MOST_TAGS else f"{LONGEST_REVISION:,} bytes"
            raise InputError(f"{self._path}: a revision of more than {least}, which no wiki writes")
        position = self._file.tell()
        self._advance(position - self._told)
        self._told = position
        return data

    def mark(self) -> None:
        """Say that a record has ended here."""
        self._bytes = self._tags = 0

    def _unpack(self, size: int) -> bytes:
        try:
            data: bytes = self._stream.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"{self._path} is cut short or damaged: {error}") from error
        except OSError as error:
            if error.errno is not None:  # the disk's, not the format's
                raise
            raise InputError(f"{self._path} is cut short or damaged: {error}") from error
        return data

    def _check_head(self) -> None:
        """Raise `InputError` for what does not begin as a dump does, which lets no declaration of entities through."""
        head = _HEAD.match(self._head)
        if not head:
            raise InputError(f"{self._path} is not a MediaWiki XML dump: it does not begin with <mediawiki>")
        if other := _ENCODING.search(head[1] or b""):
            raise InputError(f"{self._path} says that it is in {other[1].decode(errors='replace')}; UTF-8 is needed")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tell what the parser and mwxml raise for what they cannot read as an `InputError`."""
    from mwxml.errors import MalformedXML

    try:
        yield
    except (InputError, GeneratorExit):
        raise
    except ParseError as error:
        raise InputError(f"{path}: not well-formed XML, or cut short: {error}") from error
    except (MalformedXML, LookupError, TypeError, ValueError, AttributeError, AssertionError, OverflowError) as error:
        raise InputError(f"{path}: not as MediaWiki writes a dump: {error or type(error).__name__}") from error


def _site(info: Any) -> Site:
    names = {FILE: {"file", "image"}, CATEGORY: {"category"}}
    for namespace in info.namespaces or ():
        names.setdefault(int(namespace.id), set()).add(namespace.name.lower())
    return Site(info.base or "", info.case != "case-sensitive", {key: frozenset(value) for key, value in names.items()})


def _entries(path: Path, dump: Any, root: Any, source: _Source) -> Iterator[Entry]:
    from mwxml import Page

    with _told(path):
        for item in dump:
            source.mark()
            if isinstance(item, Page):
                entry = _entry(item, source)
                if entry is not None:
                    yield entry
            root.element.clear()  # it would go on holding an empty element for every page
        for _ in root.pointer.etree_events:  # what follows the last page is read too, were it only to be refused
            pass


def _entry(page: Any, source: _Source) -> Entry | None:
    """A page in its newest revision, None for one without any."""
    from mwxml.errors import MalformedXML

    newest = None
    with (
        suppress(MalformedXML) if page.namespace == FILE else nullcontext()
    ):  # of files, uploads may follow the revisions
        for revision in page:
            source.mark()
            if newest is None or (revision.timestamp, revision.id) >= (newest.timestamp, newest.id):
                newest = revision
    if newest is None:
        return None
    main = (newest.slots.contents if newest.slots else {}).get("main")
    return Entry(
        page.title,
        page.namespace,
        page.id,
        page.redirect,
        newest.id,
        newest.timestamp.long_format() if newest.timestamp else None,
        (main and main.model) or "wikitext",
        (main and main.text) or "",
    )
