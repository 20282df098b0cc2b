"""HTML in, its title and its text out, block by block: without scripts, styles, navigation and forms."""

import codecs
import re
from html.parser import HTMLParser
from urllib.parse import quote

from ragqa.text.documents import Document, Piece, as_heading

_SKIPPED = frozenset("script style template noscript svg math nav footer iframe object select button textarea".split())
_SPACED = frozenset(  # blocks with a blank line before them
    "p div section article main header aside blockquote figure table ul ol dl pre h1 h2 h3 h4 h5 h6 hr address".split()
)
_LINES = frozenset("br li dt dd tr caption figcaption summary details body".split())  # blocks without one
_CELLS = ("td", "th")
_HEADING = re.compile(r"h([1-6])")
_CHARSET = re.compile(rb"""<meta[^>]+charset=["']?\s*([\w-]+)""", re.IGNORECASE)
_HEAD = 4096  # bytes, in which the charset must stand
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def decode_html(data: bytes) -> str:
    """Decode HTML by its byte order mark or the charset that it names, else as UTF-8. Raises `UnicodeDecodeError`."""
    if encoding := next((encoding for mark, encoding in _MARKS if data.startswith(mark)), ""):
        return data.decode(encoding)
    named = _CHARSET.search(data[:_HEAD])
    try:
        return data.decode(codecs.lookup(named[1].decode()).name if named else "utf-8")
    except LookupError:
        return data.decode("utf-8")


def read_html(markup: str, default: str, place: str | None = None) -> Document:
    """Read HTML as `html_pieces` does. The title is the first `h1`, which is then no piece, or the `title`, or `default`."""
    reader = _read(markup, place, takes_title=True)
    title = reader.heading or " ".join("".join(reader.named).split()) or default
    return Document(title, tuple(reader.pieces))


def html_pieces(markup: str, place: str | None = None) -> list[Piece]:
    """Return the pieces of HTML. Headings become `== Heading ==`, and the cells of a table row one line.

    The place of a piece is the last `id` before it, or the text fragment of its heading
    (https://wicg.github.io/scroll-to-text-fragment), unless `place` gives one for all.
    """
    return _read(markup, place, takes_title=False).pieces


def _read(markup: str, place: str | None, *, takes_title: bool) -> "_Reader":
    reader = _Reader(place, takes_title=takes_title)
    reader.feed(markup)
    reader.close()
    reader.end_block()
    return reader


class _Reader(HTMLParser):
    """The state while HTML is read: the pieces so far, and the text of the block that has not ended yet."""

    def __init__(self, place: str | None, *, takes_title: bool) -> None:
        super().__init__()
        self.pieces: list[Piece] = []
        self.heading = ""  # the first h1, with `takes_title`
        self._takes_title = takes_title
        self.named: list[str] = []  # the text of <title>
        self._fixed, self._place = place is not None, place or ""
        self._text: list[str] = []
        self._cells: list[str] = []
        self._level = 0  # of the open heading
        self._skipped = self._preformatted = 0  # depths
        self._is_new = False  # no piece has this place yet
        self._in_title = self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SKIPPED:
            self._skipped += 1
        if self._skipped:
            return
        heading = _HEADING.fullmatch(tag)
        if tag in _CELLS:
            self._end_cell()
            self._in_cell = True
        elif tag in _SPACED or tag in _LINES:
            self._start_block(tag, heading is not None)
        self._in_title = tag == "title"
        self._level = int(heading[1]) if heading else self._level
        self._preformatted += tag == "pre"
        names = dict(attrs)
        if not self._fixed and (name := names.get("id") or (names.get("name") if tag == "a" else None)):
            self._place, self._is_new = quote(name), True

    def _start_block(self, tag: str, is_heading: bool) -> None:
        if self._in_cell and not is_heading and tag not in ("table", "tr"):
            self._text.append("\n" if self._preformatted else " ")
            return
        self.end_block()
        if tag in _SPACED and self.pieces and self.pieces[-1].text:
            self.pieces.append(Piece(""))

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIPPED:
            self._skipped = max(self._skipped - 1, 0)
        elif not self._skipped:
            self._in_title = self._in_title and tag != "title"
            if tag in _CELLS:
                self._end_cell()
            elif tag in ("tr", "table") or (not self._in_cell and (tag in _SPACED or tag in _LINES)):
                self.end_block()
                if tag in _SPACED and self.pieces and self.pieces[-1].text:
                    self.pieces.append(Piece(""))
            if tag == "pre":
                self._preformatted = max(self._preformatted - 1, 0)

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.named.append(data)
        elif not self._skipped:
            self._text.append(data)

    def _end_cell(self) -> None:
        text = " ".join("".join(self._text).split())
        if text:
            self._cells.append(text)
        self._text, self._in_cell = [], False

    def end_block(self) -> None:
        """Add the text since the last block as a piece."""
        if self._cells:
            self._end_cell()
        self._in_cell = False
        text = " | ".join(self._cells) or "".join(self._text)
        text = text.strip("\n").rstrip() if self._preformatted else " ".join(text.split())
        level, self._level, self._text, self._cells = self._level, 0, [], []
        if level == 1 and text and self._takes_title and not self.heading:
            self.heading = text
        elif level and text:
            if not self._fixed and not self._is_new:
                self._place = f":~:text={quote(text, safe='')}"
            self._add(as_heading(level, text))
        elif text:
            self._add(text)

    def _add(self, text: str) -> None:
        self.pieces.append(Piece(text, self._place))
        self._is_new = False
