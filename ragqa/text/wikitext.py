r"""Wikitext in, plain text out, laid out like the plain-text extracts of MediaWiki's API (its extension TextExtracts).

mwparserfromhell takes the markup apart. Before that, `wikitext_elements` cuts out what is no wikitext (comments, references,
`<nowiki>`, formulas, code), and `wikitext_balance` replaces tables, divisions and templates. Table notes and code stay in the
text as placeholders, so that they come out where they were.
"""

import html
import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ragqa.text.wikitext_balance import balance
from ragqa.text.wikitext_elements import (
    BLOCK_PLACEHOLDER,
    CODE,
    CONTROL,
    LIST,
    NOTE,
    OMITTED,
    OMITTED_LINE,
    PLACEHOLDER,
    PREFORMATTED,
    parse,
    replace_elements,
)

if TYPE_CHECKING:
    from mwparserfromhell.wikicode import Wikicode

HIDDEN = frozenset({"category", "file", "image"})  # namespaces whose links show no text

_ITEM, _TERM = "\x03", "\x04"  # at the start of a line: an item of a list, a term of a definition list
_SWITCH = re.compile(
    r"__(?:NO|FORCE)?TOC__|__NOEDITSECTION__|__(?:NO)?NEWSECTIONLINK__|__NOGALLERY__|__HIDDENCAT__|__(?:NO)?INDEX__|"
    r"__EXPECTUNUSED(?:CATEGORY|TEMPLATE)__|__NO(?:CONTENTCONVERT|CC|TITLECONVERT|TC)__|__STATICREDIRECT__|__DISAMBIG__"
)
_QUOTES = re.compile(r"'{2,}")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_LANGUAGE = re.compile(r"(?!doi|rfc)[a-z]{2,3}|simple|zh-[a-z-]+|be-x-old|be-tarask|roa-rup|roa-tara|map-bms|nds-nl")
_HEADING = re.compile(r"={1,6} .* ={1,6}")
_KINDS = {NOTE: "note", CODE: "listing", OMITTED: "omitted", PREFORMATTED: "block", _ITEM: "item"}
_WIDE = re.compile(r"[ \t]{40,}")
_INLINE_PLACEHOLDER = re.compile(f"(?<![{NOTE}{CODE}]){PLACEHOLDER.pattern}")


def extract_text(wikitext: str, hidden: Collection[str] = HIDDEN) -> str:
    r"""Return the text that a reader sees, without templates, boxes, files and references, or "" if there is none.

    Headings are lines `== Heading ==`, items of lists are lines, and formulas are `{\displaystyle …}` as in Wikipedia's
    extracts: `clean.clean_text` makes both alike. Tables become notes, and blocks of code lines of their own, as
    `omissions.restore_omissions` describes them; a page of nothing else has no text. Links to the namespaces `hidden`, in lower
    case, show nothing. Raises `InputError` if mwparserfromhell cannot read the wikitext.
    """
    stored: list[str] = []
    text = replace_elements(CONTROL.sub("", wikitext.replace("\r\n", "\n")), stored)
    text = LIST.sub(lambda m: _TERM if m[0][-1] == ";" else _ITEM, balance(text, stored))
    pieces: list[str] = []
    _write(parse(_SWITCH.sub("", text)), pieces, hidden)
    text = BLOCK_PLACEHOLDER.sub(r"\n\g<0>\n", "".join(pieces))
    text = _lay_out(map(_drop_quotes, text.split("\n")))
    if not BLOCK_PLACEHOLDER.sub("", text).strip():
        return ""
    text = _INLINE_PLACEHOLDER.sub(lambda m: stored[int(m[1])], text)
    text = _WIDE.sub(" ", _ENTITY.sub(lambda m: html.unescape(m[0]), text))
    return BLOCK_PLACEHOLDER.sub(lambda m: stored[int(m[1])], text)  # last: code holds no entities


def without_comments(wikitext: str) -> str:
    """Return wikitext without comments, references, `<nowiki>` and other extension elements."""
    return replace_elements(wikitext, [])


def _write(code: "Wikicode", pieces: list[str], hidden: Collection[str]) -> None:
    """Append the visible text of parsed wikitext to `pieces`."""
    from mwparserfromhell import nodes

    for node in code.nodes:
        if isinstance(node, nodes.Text):
            pieces.append(node.value)
        elif isinstance(node, nodes.HTMLEntity):
            pieces.append(str(node))
        elif isinstance(node, nodes.Wikilink):
            _write_link(node, pieces, hidden)
        elif isinstance(node, nodes.ExternalLink):
            if node.title is not None:
                _write(node.title, pieces, hidden)
            elif not node.brackets:
                _write(node.url, pieces, hidden)
        elif isinstance(node, nodes.Heading):
            title: list[str] = []
            _write(node.title, title, hidden)
            pieces.append(f"{'=' * node.level} {''.join(title).strip()} {'=' * node.level}")
        elif isinstance(node, nodes.Tag):  # a horizontal rule; no other tags are left
            pieces.append(OMITTED_LINE)


def _write_link(link: Any, pieces: list[str], hidden: Collection[str]) -> None:
    title = str(link.title).strip()
    namespace = title.partition(":")[0].strip().replace("_", " ") if ":" in title else ""
    if namespace and (namespace.lower() in hidden or _LANGUAGE.fullmatch(namespace)):
        while pieces and pieces[-1].rstrip(" ").endswith("\n"):  # a hidden link that fills a line leaves no empty line
            pieces[-1] = pieces[-1].rstrip()
    elif link.text is not None:
        _write(link.text, pieces, hidden)
    else:
        pieces.append(title.removeprefix(":"))


def _drop_quotes(line: str) -> str:
    """Drop the quotes that make text bold or italic, as MediaWiki reads them: `l''''idée'''` keeps one apostrophe."""
    if "''" not in line:
        return line
    runs = [len(run) for run in _QUOTES.findall(line)]
    bold = sum(run in (3, 4) or run >= 5 for run in runs)
    italic = sum(run == 2 or run >= 5 for run in runs)
    apostrophe = _stray_apostrophe(line) if bold % 2 and italic % 2 else -1
    return _QUOTES.sub(lambda m: "'" * (m.start() == apostrophe or (len(m[0]) == 4) or max(len(m[0]) - 5, 0)), line)


def _stray_apostrophe(line: str) -> int:
    """Return the offset of the bold mark that is an apostrophe and an italic mark, as in `l'''idée''`; -1 if there is none."""
    marks = [m.start() for m in _QUOTES.finditer(line) if len(m[0]) == 3]

    def rank(mark: int) -> int:
        if line[mark - 1 : mark] == " ":
            return 2
        return 0 if line[max(mark - 2, 0) : mark - 1] == " " else 1

    return min(marks, key=rank, default=-1)


def _lay_out(lines: Iterable[str]) -> str:
    """Join lines with as many newlines as MediaWiki leaves when its tags are taken away."""
    layout = _Layout()
    for line in lines:
        layout.add(line)
    return layout.text()


class _Layout:
    """The lines laid out so far, and the table notes and the code that wait for the first line of their section."""

    def __init__(self) -> None:
        self._pieces: list[str] = [""]
        self._kind, self._blank_lines = "", 0  # of the last line; number of blank lines after it
        self._last = 0  # index in `_pieces` of the last line that shows something
        self._waiting: list[str] = []
        self._in_text = False  # whether the section has a line of text already

    def add(self, line: str) -> None:
        if not line.strip():
            self._blank_lines += 1
            return
        kind, text = _read_line(line)
        if kind in ("note", "listing"):
            self._add_block(text)
            self._append("omitted", "")  # a paragraph ends here
        elif kind == "heading":
            self._end_section()
            self._append(kind, text)
        elif kind == "omitted":
            self._append(kind, "")
        else:
            self._append(kind, text, before=_before_first_line(self._waiting))
            self._waiting, self._in_text = [], True

    def text(self) -> str:
        self._end_section()
        return re.sub(r"\n{3,}", "\n\n", "".join(self._pieces)).strip()

    def _add_block(self, block: str) -> None:
        """Add a note to the end of the section's last line, or code below it, or keep it for the section's first line."""
        if not self._in_text:
            self._waiting.append(block)
            return
        own_line = block.startswith(CODE) or self._pieces[self._last].startswith(CODE)
        self._pieces[self._last + 1 :] = ["\n" if own_line else " ", block]
        self._last += 2

    def _end_section(self) -> None:
        if self._waiting:  # the section has no other text
            self._pieces[self._last + 1 :] = ["\n", "\n\n".join(self._waiting)]
        self._waiting, self._in_text = [], False

    def _append(self, kind: str, text: str, before: str = "") -> None:
        apart = (
            kind == "heading"
            or (kind != self._kind and self._kind in ("text", "code", "block"))
            or (self._blank_lines > 1 and self._kind != "heading")
        )
        self._pieces += ["\n\n" if apart else "\n", before, text]
        self._kind, self._blank_lines = kind, 0
        if text:
            self._last = len(self._pieces) - 1


def _before_first_line(blocks: Sequence[str]) -> str:
    """Return what comes before the first line of a section: notes on the same line, code as paragraphs."""
    pieces: list[str] = []
    for previous, block in zip(("", *blocks), blocks, strict=False):
        if block.startswith(CODE):
            pieces += ["\n" if previous.startswith(NOTE) else "", block, "\n\n"]
        else:
            pieces += [block, " "]
    return "".join(pieces)


def _read_line(line: str) -> tuple[str, str]:
    """Return the kind of a line and its text."""
    mark, rest = line[0], line[1:].strip()
    if kind := _KINDS.get(mark):
        return kind, line.strip() if mark in (NOTE, CODE) else rest
    if mark == _TERM:
        return "item", "\n".join(part.strip() for part in rest.split(":", 1))
    if mark == " ":
        return "code", line[1:].rstrip()
    return ("heading" if _HEADING.fullmatch(line.strip()) else "text"), line.strip()
