r"""Wikitext as plain text, laid out like the plain-text extracts of MediaWiki's API (its extension TextExtracts).

mwparserfromhell takes the markup apart. It is kept from what it would be slow at, pages that open much and close little: what
shows nothing or is no wikitext (comments, references, `<nowiki>`, formulas) is taken out before, and whatever has no partner
is made harmless, so that the time grows with the length of a page whatever is in it.
"""

import html
import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from ragqa.errors import InputError
from ragqa.text.wikitext_blocks import BLANK, BLOCK, CONTROL, GONE, LIST, MARK, balance, take_out

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
_WIDE = re.compile(r"[ \t]{40,}")


def plain_text(wikitext: str, hidden: Collection[str] = HIDDEN) -> str:
    r"""The text that a reader sees, less what no sentence needs: templates, tables, boxes, files, references, block code.

    Headings are lines `== Heading ==`, items of lists are lines, and formulas are `{\displaystyle …}` as in Wikipedia's
    extracts: `clean.clean_text` makes both alike. `hidden` are the namespaces, in lower case, whose links show nothing.
    """
    kept: list[str] = []
    text = take_out(CONTROL.sub("", wikitext.replace("\r\n", "\n")), kept)
    text = LIST.sub(lambda m: _TERM if m[0][-1] == ";" else _ITEM, balance(text))
    pieces: list[str] = []
    _write(_parse(_SWITCH.sub("", text)), pieces, hidden)
    lines = map(_drop_quotes, "".join(pieces).split("\n"))
    text = MARK.sub(lambda m: kept[int(m[1])], _lay_out(lines))
    return _WIDE.sub(" ", _ENTITY.sub(lambda m: html.unescape(m[0]), text))


def without_comments(wikitext: str) -> str:
    """Wikitext without what is no wikitext or shows nothing: comments, `<nowiki>`, references and the like."""
    return take_out(wikitext, [])


def _parse(text: str) -> "Wikicode":
    import mwparserfromhell

    try:
        return mwparserfromhell.parse(text, skip_style_tags=True)
    except mwparserfromhell.parser.ParserError as error:
        raise InputError(f"wikitext that mwparserfromhell cannot read: {error}") from error


def _write(code: "Wikicode", pieces: list[str], hidden: Collection[str]) -> None:
    """Add what is seen of parsed wikitext to `pieces`."""
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
        elif isinstance(node, nodes.Tag):  # a rule: no others are left
            pieces.append(BLANK)


def _write_link(link: Any, pieces: list[str], hidden: Collection[str]) -> None:
    title = str(link.title).strip()
    namespace = title.partition(":")[0].strip().replace("_", " ") if ":" in title else ""
    if namespace and (namespace.lower() in hidden or _LANGUAGE.fullmatch(namespace)):
        while pieces and pieces[-1].rstrip(" ").endswith("\n"):  # what fills a line leaves no empty one behind
            pieces[-1] = pieces[-1].rstrip()
    elif link.text is not None:
        _write(link.text, pieces, hidden)
    else:
        pieces.append(title.removeprefix(":"))


def _drop_quotes(line: str) -> str:
    """A line without the quotes that make text bold or italic, as MediaWiki reads them: `l''''idée'''` has one of its own."""
    if "''" not in line:
        return line
    runs = [len(run) for run in _QUOTES.findall(line)]
    bold = sum(run in (3, 4) or run >= 5 for run in runs)
    italic = sum(run == 2 or run >= 5 for run in runs)
    apostrophe = _stray_apostrophe(line) if bold % 2 and italic % 2 else -1
    return _QUOTES.sub(lambda m: "'" * (m.start() == apostrophe or (len(m[0]) == 4) or max(len(m[0]) - 5, 0)), line)


def _stray_apostrophe(line: str) -> int:
    """Which bold mark is an apostrophe and an italic mark, as after `l` in `l'''idée''`; -1 if there is none."""
    marks = [m.start() for m in _QUOTES.finditer(line) if len(m[0]) == 3]

    def rank(mark: int) -> int:
        if line[mark - 1 : mark] == " ":
            return 2
        return 0 if line[max(mark - 2, 0) : mark - 1] == " " else 1

    return min(marks, key=rank, default=-1)


def _lay_out(lines: Iterable[str]) -> str:
    """Lines with as many newlines between them as MediaWiki leaves when its tags are taken away."""
    pieces: list[str] = []
    before, blank = "", 0
    for line in lines:
        if not line.strip():
            blank += 1
            continue
        kind, text = _read_line(line)
        apart = (
            kind == "heading"
            or (kind != before and before in ("text", "code", "block"))
            or (blank > 1 and before != "heading")
        )
        pieces += ["\n\n" if apart else "\n", text]
        before, blank = kind, 0
    return re.sub(r"\n{3,}", "\n\n", "".join(pieces)).strip()


def _read_line(line: str) -> tuple[str, str]:
    """What a line is, and its text."""
    mark, rest = line[0], line[1:].strip()
    if mark == GONE:
        return "gone", ""
    if mark == BLOCK:
        return "block", rest
    if mark == _ITEM:
        return "item", rest
    if mark == _TERM:
        return "item", "\n".join(part.strip() for part in rest.split(":", 1))
    if mark == " ":
        return "code", line[1:].rstrip()
    return ("heading" if _HEADING.fullmatch(line.strip()) else "text"), line.strip()
