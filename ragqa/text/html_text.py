"""HTML in, its title and its text out, block by block: without scripts, styles, navigation and forms."""

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import quote

from ragqa.text.documents import Document, Piece, as_code, as_heading

_SKIPPED = frozenset("script style template noscript svg math nav footer iframe object select button textarea".split())
_SKIPPED_ROLES = frozenset("navigation search banner contentinfo doc-toc".split())
_SKIPPED_CLASSES = frozenset(  # navigation as Sphinx, DocBook, Texinfo, LaTeX2HTML, MkDocs and others write it
    "navigation navbar navheader navfooter nav-panel docnav breadcrumb breadcrumbs toc table-of-contents toctree-wrapper "
    "childlinks".split()
)
_NAVIGATES = frozenset("next prev previous up contents index start".split())  # what a link to another page is there for
_NOTES = frozenset(
    "note tip hint warning caution important danger admonition".split()
)  # boxes with a heading of their own
_LEAST_IN_NOTES = 3  # level of headings in such boxes that begin no section
_LONGEST_WITH_KEY = 40  # characters of a block that navigates because a link in it has a key
_UNCLOSED = frozenset("html body p li dt dd td th tr thead tbody tfoot option colgroup rp rt".split())
_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
_SPACED = frozenset(  # blocks with a blank line before them
    "p div section article main header aside blockquote figure table ul ol dl pre h1 h2 h3 h4 h5 h6 hr address".split()
)
_LINES = frozenset("br li dt dd tr caption figcaption summary details body".split())  # blocks without one
_CELLS = ("td", "th")
_HEADING = re.compile(r"h([1-6])")
_TEXT_FRAGMENT = ":~:text="
_PERMALINK = re.compile(r"\s*[¶#§🔗\u200b]?\s*")  # the text of a link to the heading that it stands in
_SECTION = re.compile(r"<!\[[^][<>]*[][]?>?|\]\]>")  # `<![if …]>`, as Word writes it, and CDATA
_CHARSET = re.compile(rb"""<meta[^>]+charset=["']?\s*([\w-]+)""", re.IGNORECASE)
_HEAD = 4096  # bytes, in which the charset must stand
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_AS_IN_BROWSERS = {  # what some charsets mean in HTML, by the names of Python's codecs
    **dict.fromkeys(("ascii", "iso8859-1"), "cp1252"),
    **dict.fromkeys(("utf-16", "utf-16-le", "utf-16-be", "utf-7", "idna", "punycode"), "utf-8"),
}

Attributes = Mapping[str, str | None]


class _Block(NamedTuple):
    piece: Piece
    level: int = 0  # of a heading
    in_main: bool = False
    is_links: bool = False  # all its words are links


def decode_html(data: bytes) -> str:
    """Decode HTML by its byte order mark or the charset that it names, else as UTF-8. Raises `UnicodeDecodeError`.

    Charsets mean what browsers read them as (https://encoding.spec.whatwg.org): ASCII and Latin-1 are Windows-1252. A charset
    that is named in ASCII letters cannot be UTF-16, so that is UTF-8.
    """
    if encoding := next((encoding for mark, encoding in _MARKS if data.startswith(mark)), ""):
        return data.decode(encoding)
    named = _CHARSET.search(data[:_HEAD])
    return data.decode(_codec(named[1].decode()) if named else "utf-8")


def _codec(charset: str) -> str:
    """Return the name of Python's codec for a charset; that of UTF-8 if there is none."""
    try:
        name = codecs.lookup(charset).name
        "".encode(name)  # fails for codecs such as "base64" and "undefined", which decode no text
    except (LookupError, UnicodeError):
        return "utf-8"
    return _AS_IN_BROWSERS.get(name, name)


def read_html(markup: str, default: str) -> Document:
    """Read HTML as `html_pieces` does. The title is the only `h1`, or the `title`, or the first `h1`, or `default`.

    An `h1` that is the title is no piece.
    """
    reader = _read(markup, None)
    blocks = _shown(reader.blocks)
    headings = [block for block in blocks if block.level == 1]
    named = " ".join("".join(reader.named).split())
    if not headings or (len(headings) > 1 and named):
        return Document(named or default, tuple(_pieces(blocks)))
    title, place = headings[0].piece.text, headings[0].piece.place
    blocks.remove(headings[0])
    own = "" if place.startswith(_TEXT_FRAGMENT) else place  # the title is no place in the page
    pieces = (Piece(piece.text, own if piece.place == place else piece.place) for piece in _pieces(blocks))
    return Document(title, tuple(pieces))


def html_pieces(markup: str, place: str | None = None) -> list[Piece]:
    """Return the pieces of HTML. Headings become `== Heading ==`, and the cells of a table row one line.

    The place of a piece is the last `id` before it, or the text fragment of its heading
    (https://wicg.github.io/scroll-to-text-fragment), unless `place` gives one for all. If the page marks its main content, only
    that is read. Navigation is left out: elements that say so, blocks with a link to the next or the previous page, and blocks
    of links before the first heading.
    """
    return list(_pieces(_shown(_read(markup, place).blocks)))


def _read(markup: str, place: str | None) -> "_Reader":
    reader = _Reader(place)
    reader.feed(_closed(markup))
    reader.close()
    reader.end_block()
    return reader


def _closed(markup: str) -> str:
    """Return HTML without marked sections and without tags and comments that never end.

    html.parser fails at some of the former, and its time grows with the square of the number of the latter.
    """
    markup = _SECTION.sub("", markup)
    for opening, closing in (("<!--", "-->"), ("<", ">")):
        end = markup.rfind(closing) + len(closing) if closing in markup else 0
        markup = markup[:end] + markup[end:].replace(opening, opening.replace("<", "&lt;"))
    return markup


def _shown(blocks: list[_Block]) -> list[_Block]:
    """Return the blocks of the main content, if there is any, without the links before the first heading."""
    if any(block.in_main and block.piece.text for block in blocks):
        blocks = [block for block in blocks if block.in_main]
    first = next((number for number, block in enumerate(blocks) if block.level), 0)
    return [block for number, block in enumerate(blocks) if number >= first or not block.is_links]


def _pieces(blocks: Iterable[_Block]) -> Iterator[Piece]:
    """Yield the pieces of blocks, with headings as lines of a page, and at most one blank line between them."""
    blank = True
    for block in blocks:
        piece = block.piece
        if piece.text or not blank:
            yield Piece(as_heading(block.level, piece.text), piece.place) if block.level else piece
        blank = not piece.text


class _Reader(HTMLParser):
    """The state while HTML is read: the blocks so far, and the text of the block that has not ended yet."""

    def __init__(self, place: str | None) -> None:
        super().__init__()
        self.blocks: list[_Block] = []
        self.named: list[str] = []  # the text of <title>
        self._fixed, self._place = place is not None, place or ""
        self._open: list[tuple[str, str]] = []  # elements that have not ended: their tags and roles
        self._tags: Counter[str] = Counter()  # of open elements
        self._roles: Counter[str] = Counter()
        self._text: list[str] = []
        self._cells: list[str] = []
        self._level = 0  # of the open heading
        self._permalink: int | None = None  # where in `_text` the open link to this page begins
        self._is_new = False  # no block has this place yet
        self._in_cell = self._navigates = self._has_key = self._has_links = self._has_words = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if not self._roles["skipped"]:
            self._start(tag, names)
        if tag not in _VOID:
            role = _role(tag, names)
            self._open.append((tag, role))
            self._tags[tag] += 1
            self._roles[role] += 1

    def _start(self, tag: str, names: Attributes) -> None:
        heading = _HEADING.fullmatch(tag)
        if tag in _CELLS:
            self._end_cell()
            self._in_cell = True
        elif tag in _SPACED or tag in _LINES:
            self._start_block(tag, heading is not None)
        if tag == "a":
            self._start_link(names)
        if heading:
            level = int(heading[1])
            self._level = 0 if self._roles["note"] and level >= _LEAST_IN_NOTES else level
        if not self._fixed and (name := names.get("id") or (names.get("name") if tag == "a" else None)):
            self._place, self._is_new = quote(name), True

    def _start_block(self, tag: str, is_heading: bool) -> None:
        in_line = tag == "br" if self._level else self._in_cell and not is_heading
        if in_line and tag not in ("table", "tr"):
            self._text.append("\n" if self._tags["pre"] else " ")
            return
        self.end_block()
        if tag in _SPACED:
            self._add("")

    def _start_link(self, names: Attributes) -> None:
        relation = (names.get("rel") or "").lower().split()
        self._navigates |= not _NAVIGATES.isdisjoint(relation)
        self._has_key |= "accesskey" in names
        self._permalink = len(self._text) if (names.get("href") or "").startswith("#") else None

    def handle_endtag(self, tag: str) -> None:
        if not self._tags[tag]:
            return
        if tag == "a" and self._permalink is not None and not self._roles["skipped"]:
            self._end_permalink(self._permalink)
        if not self._roles["skipped"]:
            if tag in _CELLS:
                self._end_cell()
            elif tag in ("tr", "table") or (not self._in_cell and (tag in _SPACED or tag in _LINES)):
                self.end_block()
                if tag in _SPACED:
                    self._add("")
        ended = ""
        while ended != tag:  # elements that nothing else ends end with the one around them
            ended, role = self._open.pop()
            self._tags[ended] -= 1
            self._roles[role] -= 1

    def _end_permalink(self, start: int) -> None:
        if _PERMALINK.fullmatch("".join(self._text[start:])):
            del self._text[start:]
        self._permalink = None

    def handle_data(self, data: str) -> None:
        if not self._roles["skipped"] and self._open and self._open[-1][0] == "title":
            self.named.append(data)
        elif not self._roles["skipped"]:
            self._text.append(data)
            if any(map(str.isalnum, data)):
                self._has_links |= self._roles["link"] > 0
                self._has_words |= not self._roles["link"]

    def _end_cell(self) -> None:
        text = " ".join("".join(self._text).split())
        if text:
            self._cells.append(text)
        self._text, self._in_cell = [], False

    def end_block(self) -> None:
        """Add the text since the last block as a block, unless it is navigation."""
        if self._cells:
            self._end_cell()
        self._in_cell = False
        text = " | ".join(self._cells) or "".join(self._text)
        text = as_code(text.strip("\n").rstrip()) if self._tags["pre"] else " ".join(text.split())
        if text and not self._navigates and not (self._has_key and len(text) <= _LONGEST_WITH_KEY):
            if self._level and not self._fixed and not self._is_new:
                self._place = _TEXT_FRAGMENT + quote(text, safe="")
            self._add(text)
            self._is_new = False
        self._level, self._text, self._cells = 0, [], []
        self._navigates = self._has_key = self._has_links = self._has_words = False

    def _add(self, text: str) -> None:
        is_links = self._has_links and not self._has_words
        place = self._place if text else ""
        self.blocks.append(_Block(Piece(text, place), self._level, self._roles["main"] > 0, is_links))


def _role(tag: str, names: Attributes) -> str:
    """Return "skipped", "main", "note" or "link" for an element that is one of these, else ""."""
    if tag in _SKIPPED:
        return "skipped"
    if tag == "a":
        return "link" if names.get("href") else ""
    if tag in _UNCLOSED:  # its end is not known
        return ""
    role, classes = (names.get("role") or "").lower(), (names.get("class") or "").lower().split()
    if role in _SKIPPED_ROLES or not _SKIPPED_CLASSES.isdisjoint(classes):
        return "skipped"
    if tag == "main" or role == "main":
        return "main"
    return "" if _NOTES.isdisjoint(classes) else "note"
