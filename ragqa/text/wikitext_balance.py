"""Wikitext whose markup is balanced: what is never closed is escaped, and tables, divisions and templates are replaced.

mwparserfromhell is slow on pages that open much and close little. After this it finds only links, headings and text, and the
time grows with the length of a page, whatever the page holds.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice

from ragqa.text.wikitext_elements import BLOCK_PLACEHOLDER, BREAK, OMITTED_LINE, TEMPLATE
from ragqa.text.wikitext_tables import write_table
from ragqa.text.wikitext_templates import cell_template_text, is_infobox, template_text, write_infobox

_INLINE = frozenset(
    "abbr b bdi bdo big cite code data del dfn em font i ins kbd mark noinclude onlyinclude poem q rb rp rt rtc ruby s samp "
    "small span strike strong sub sup time tt u var wbr".split()
)
_HEADINGS = frozenset("h1 h2 h3 h4 h5 h6".split())
_LINES = frozenset("br dd dl dt li ol ul".split())
_BLOCKS = frozenset("blockquote center hr p".split())
_TABLE_PARTS = frozenset("caption tbody td th thead tr".split())
_HIDDEN = re.compile(  # attributes of tags whose content shows nothing
    r"""\bclass\s*=[^=]*?\b(?:error|nomobile|noprint|noexcerpt|sortkey|mw-editsection|reference)\b""", re.IGNORECASE
)
_TOKEN = re.compile(
    r"^[ \t:*#]*(?P<table>\{\|)|^[ \t]*(?P<table_end>\|\})(?!\})|(?P<braces>\{\{+|\}\}+)|(?P<link>\[\[|\]\]|"
    r"\[(?=(?:https?:|ftp:)?//|mailto:)|\])|(?P<newline>\n)|"
    r"<(?P<slash>/?)(?P<tag>[a-zA-Z][a-zA-Z0-9]*)(?![a-zA-Z0-9])(?P<attributes>[^<>]*)>|"
    r"<|\{\|",  # a no-break space before {| is the start of a line for mwparserfromhell
    re.MULTILINE,
)
_ESCAPES = str.maketrans({character: f"&#{ord(character)};" for character in "{[<"})
_MOST_BLOCKS = 100  # tables and blocks of code that are kept from a division


def balance(text: str, stored: list[str], render_template: Callable[[str], str] = template_text) -> str:
    """Leave markup only where it is closed in the order in which it was opened, and no tags, tables and templates.

    A table or an infobox becomes a placeholder of its lines, and a division the placeholders of the tables and the code in it.
    Another template becomes what `render_template` returns for the text between its braces.
    """
    balanced = _Balancer(stored, render_template).run(text)
    return balanced.replace(BREAK, "\n").replace(TEMPLATE, "")  # in tables that are never closed


class _Balancer:
    """The text so far in `_pieces`, and a stack of the markup that is open in it."""

    def __init__(self, stored: list[str], render_template: Callable[[str], str]) -> None:
        self._stored, self._render_template = stored, render_template
        self._pieces: list[str] = []
        self._open: list[tuple[str, int]] = []  # kind and index in `_pieces`, innermost last
        self._open_kinds: Counter[str] = Counter()

    def run(self, text: str) -> str:
        position = 0
        for match in _TOKEN.finditer(text):
            self._pieces.append(text[position : match.start()])
            position = match.end()
            self._read(match)
        self._escape_open("")
        return "".join(self._pieces) + text[position:]

    def _read(self, match: re.Match[str]) -> None:
        kind, markup = match.lastgroup, match[0]
        if kind == "newline":
            self._escape_open("[")
            self._pieces.append(markup)
        elif kind == "link" and markup[0] == "[":
            self._push(markup, markup)
        elif kind == "link":
            self._pop("[[" if markup == "]]" and self._is_open("[[") else "[", markup)
        elif kind == "braces":
            self._read_braces(markup)
        elif kind == "attributes":
            self._read_tag(match["slash"], match["tag"].lower(), match["attributes"], markup)
        elif kind == "table":
            self._push("{|", "{|")
        elif kind == "table_end":
            self._replace("{|", markup, self._write_table)
        else:
            self._pieces.append(markup.translate(_ESCAPES))

    def _read_braces(self, markup: str) -> None:
        for braces in _pairs(markup):
            if braces[0] == "{":
                self._push("{{", braces)
            else:
                self._replace("{{", braces, self._write_template)

    def _read_tag(self, slash: str, name: str, attributes: str, tag: str) -> None:
        closes_itself = attributes.endswith("/")
        if name in ("div", "table"):
            if slash:
                self._replace(f"<{name}", "", self._write_table if name == "table" else _keep_blocks)
            elif not closes_itself:
                self._push(f"<{name}", tag)
        elif name in _TABLE_PARTS and self._in_table():
            self._read_table_part(slash, name, tag, closes_itself)
        elif name in _INLINE:
            self._read_inline_tag(slash, name, attributes, closes_itself)
        elif name in _HEADINGS:
            bars = "=" * int(name[1])
            self._pieces.append(f" {bars}\n" if slash else f"\n{bars} ")
        elif name in _LINES:
            self._pieces.append("" if slash else BREAK if self._in_table() else "\n")
        else:
            self._pieces.append(OMITTED_LINE if name in _BLOCKS else tag.translate(_ESCAPES))

    def _read_table_part(self, slash: str, name: str, tag: str, closes_itself: bool) -> None:
        if not slash and not closes_itself:
            self._push(f"<{name}", tag)
        elif slash and self._is_open(f"<{name}"):
            self._pop(f"<{name}", tag)

    def _read_inline_tag(self, slash: str, name: str, attributes: str, closes_itself: bool) -> None:
        """Drop the tag, and all up to its end tag if its class hides it."""
        kind, hides = f"<{name}", bool(_HIDDEN.search(attributes))
        if slash and self._is_open(kind):
            start = self._pop(kind, "")
            if self._pieces[start]:
                del self._pieces[start:]
        elif not slash and not closes_itself and (hides or self._is_open(kind)):
            self._push(kind, "hidden" if hides else "")

    def _write_table(self, opening: str, content: str) -> str:
        return write_table(f"{opening}{content}{'|}' if opening == '{|' else '</table>'}", self._stored)

    def _write_template(self, _: str, call: str) -> str:
        call = call.replace(TEMPLATE, "")
        if is_infobox(call) and (block := write_infobox(call, self._stored)) != OMITTED_LINE:
            return block
        in_table = self._in_table()
        shown = cell_template_text(call) if in_table or self._is_open("{{") else ""
        text = shown or self._render_template(call)
        return TEMPLATE + text.replace("\n", BREAK) if in_table else text  # so that `|{{a}}||` does not become `|||`

    def _in_table(self) -> bool:
        return self._is_open("{|") or self._is_open("<table")

    def _is_open(self, kind: str) -> bool:
        return self._open_kinds[kind] > 0

    def _push(self, kind: str, piece: str) -> None:
        self._open.append((kind, len(self._pieces)))
        self._open_kinds[kind] += 1
        self._pieces.append(piece)

    def _pop(self, kind: str, piece: str) -> int:
        """Close the innermost markup of this kind and return its index in `_pieces`, or -1 if none is open.

        Markup that was opened since then is escaped: it can no longer be closed.
        """
        start = -1
        if self._is_open(kind):
            while self._open[-1][0] != kind:
                self._escape_innermost()
            start = self._open.pop()[1]
            self._open_kinds[kind] -= 1
        self._pieces.append(piece)
        return start

    def _replace(self, kind: str, piece: str, render: Callable[[str, str], str]) -> None:
        """Close markup and replace it by what `render` makes of its opening and its content."""
        start = self._pop(kind, piece)
        if start >= 0:
            opening, *content = self._pieces[start:-1]
            self._pieces[start:] = [render(opening, "".join(content))]

    def _escape_open(self, kind: str) -> None:
        """Escape the innermost open markup as long as it is of this kind, or all if `kind` is empty."""
        while self._open and kind in ("", self._open[-1][0]):
            self._escape_innermost()

    def _escape_innermost(self) -> None:
        kind, index = self._open.pop()
        self._open_kinds[kind] -= 1
        self._pieces[index] = "" if kind[0] == "<" else self._pieces[index].translate(_ESCAPES)


def _keep_blocks(_: str, content: str) -> str:
    """Return the first tables and blocks of code of a division; extracts leave out the rest."""
    blocks = islice(BLOCK_PLACEHOLDER.finditer(content), _MOST_BLOCKS)
    return OMITTED_LINE + "".join(f"{match[0]}\n" for match in blocks)


def _pairs(braces: str) -> Iterator[str]:
    """Yield a run of braces in twos, the last three together if the length is odd."""
    left = len(braces)
    while left:
        taken = left if left <= 3 else 2
        yield braces[:taken]
        left -= taken
