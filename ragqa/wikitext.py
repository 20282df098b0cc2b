r"""Wikitext as plain text, laid out like the plain-text extracts of MediaWiki's API (its extension TextExtracts).

mwparserfromhell takes the markup apart. It is kept from what it would be slow at, pages that open much and close little: what
shows nothing or is no wikitext (comments, references, `<nowiki>`, formulas) is taken out before, and whatever has no partner
is made harmless, so that the time grows with the length of a page whatever is in it.
"""

import html
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ragqa.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from mwparserfromhell.wikicode import Wikicode

HIDDEN = frozenset({"category", "file", "image"})  # namespaces whose links show no text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # none of them can stand in XML; some mark places below
_KEPT, _KEPT_END = "\x01", "\x02"  # around the number of a text that is put back last
_ITEM, _TERM = "\x03", "\x04"  # at the start of a line: an item of a list, a term of a definition list
_GONE = "\x05"  # a block that shows nothing
_BLANK = f"\n{_GONE}\n"
_BLOCK = "\x06"  # at the start of a line: lines that stand as they are

_VERBATIM = frozenset("nowiki pre math chem ce syntaxhighlight source".split())
_INVISIBLE = frozenset(
    "ref references gallery timeline score graph imagemap inputbox templatedata templatestyles categorytree mapframe maplink "
    "hiero section indicator includeonly style script".split()
)
_OPENING = re.compile(rf"<!--|<({'|'.join(_VERBATIM | _INVISIBLE)})(?=[\s/>])([^<>]*)>", re.IGNORECASE)
_CLOSING = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in _VERBATIM | _INVISIBLE} | {
    "": re.compile("-->")
}
_REST_OF_LINE = re.compile(r"[ \t]*\n")
_INLINE = frozenset(
    "abbr b bdi bdo big cite code data del dfn em font i ins kbd mark noinclude onlyinclude poem q rb rp rt rtc ruby s samp "
    "small span strike strong sub sup time tt u var wbr".split()
)
_HEADINGS = frozenset("h1 h2 h3 h4 h5 h6".split())
_LINES = frozenset("br dd dl dt li ol ul".split())
_BLOCKS = frozenset("blockquote center hr p".split())
_SWALLOWING = frozenset("div table".split())  # TextExtracts drops them with all that is in them
_SWALLOWED = re.compile(
    r"""\bclass\s*=[^=]*?\b(?:error|nomobile|noprint|noexcerpt|sortkey|mw-editsection|reference)\b""", re.IGNORECASE
)
_TOKEN = re.compile(
    r"^[ \t:*#]*(\{\|)|^[ \t]*(\|\})(?!\})|\{\{+|\}\}+|\[\[|\]\]|\[(?=(?:https?:|ftp:)?//|mailto:)|\]|\n|"
    r"<(/?)([a-zA-Z][a-zA-Z0-9]*)([^<>]*)>|<",
    re.MULTILINE,
)
_LIST = re.compile(r"^[*#:;]+", re.MULTILINE)
_HARMLESS = str.maketrans({character: f"&#{ord(character)};" for character in "{[<"})
_SWITCH = re.compile(
    r"__(?:NO|FORCE)?TOC__|__NOEDITSECTION__|__(?:NO)?NEWSECTIONLINK__|__NOGALLERY__|__HIDDENCAT__|__(?:NO)?INDEX__|"
    r"__EXPECTUNUSED(?:CATEGORY|TEMPLATE)__|__NO(?:CONTENTCONVERT|CC|TITLECONVERT|TC)__|__STATICREDIRECT__|__DISAMBIG__"
)
_TEXT_OF = {
    "em": 1,
    "lang": 2,
    "math": 1,
    "mvar": 1,
    "nobr": 1,
    "nowrap": 1,
}  # template: which of its arguments is the text
_QUOTES = re.compile(r"'{2,}")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_LANGUAGE = re.compile(r"(?!doi|rfc)[a-z]{2,3}|simple|zh-[a-z-]+|be-x-old|be-tarask|roa-rup|roa-tara|map-bms|nds-nl")
_FORMULA_BREAKS = re.compile(r"\\.|[{}]", re.DOTALL)
_HEADING = re.compile(r"={1,6} .* ={1,6}")
_WIDE = re.compile(r"[ \t]{40,}")


def plain_text(wikitext: str, hidden: Collection[str] = HIDDEN) -> str:
    r"""The text that a reader sees, less what no sentence needs: templates, tables, boxes, files, references, block code.

    Headings are lines `== Heading ==`, items of lists are lines, and formulas are `{\displaystyle …}` as in Wikipedia's
    extracts: `clean.clean_text` makes both alike. `hidden` are the namespaces, in lower case, whose links show nothing.
    """
    kept: list[str] = []
    text = _take_out(_CONTROL.sub("", wikitext.replace("\r\n", "\n")), kept)
    text = _LIST.sub(lambda m: _TERM if m[0][-1] == ";" else _ITEM, _balance(text))
    pieces: list[str] = []
    _write(_parse(_SWITCH.sub("", text)), pieces, hidden)
    lines = map(_drop_quotes, "".join(pieces).split("\n"))
    text = re.sub(f"{_KEPT}(\\d+){_KEPT_END}", lambda m: kept[int(m[1])], _lay_out(lines))
    return _WIDE.sub(" ", _ENTITY.sub(lambda m: html.unescape(m[0]), text))


def without_comments(wikitext: str) -> str:
    """Wikitext without what is no wikitext or shows nothing: comments, `<nowiki>`, references and the like."""
    return _take_out(wikitext, [])


def _parse(text: str) -> "Wikicode":
    try:
        import mwparserfromhell
    except ImportError as error:
        raise MissingExtraError("reading wikitext", "dump") from error
    try:
        return mwparserfromhell.parse(text, skip_style_tags=True)
    except mwparserfromhell.parser.ParserError as error:
        raise InputError(f"wikitext that mwparserfromhell cannot read: {error}") from error


def _take_out(text: str, kept: list[str]) -> str:
    """Cut comments and the elements of extensions out; where they show text, a mark stands for what is added to `kept`."""
    pieces: list[str] = []
    never_closed: set[str] = set()
    position, at_line_start = 0, True
    while match := _OPENING.search(text, position):
        before, name = text[position : match.start()], (match[1] or "").lower()
        closing = (
            None if name in never_closed or (match[2] or "").endswith("/") else _CLOSING[name].search(text, match.end())
        )
        if not name:
            indent = before.rpartition("\n")[2]
            alone = not indent.strip(" \t") and (at_line_start or "\n" in before)
            position, at_line_start = _skip_comment(text, closing, alone)
            pieces.append(before[: len(before) - len(indent)] if at_line_start else before)
            continue
        at_line_start = False
        pieces.append(before)
        position = closing.end() if closing else match.end()
        if closing is None and not match[2].endswith("/"):  # then it is text like any other
            never_closed.add(name)
            pieces.append("&lt;" + match[0][1:])
        else:
            pieces.append(_show(name, match[2], text[match.end() : closing.start()] if closing else "", kept))
    return "".join(pieces) + text[position:]


def _skip_comment(text: str, closing: re.Match[str] | None, alone: bool) -> tuple[int, bool]:
    """Where the text goes on after a comment, and whether the whole line went with it, as it does where it fills the line."""
    if closing is None:
        return len(text), False
    newline = _REST_OF_LINE.match(text, closing.end()) if alone else None
    return (newline.end(), True) if newline else (closing.end(), False)


def _show(name: str, attributes: str, content: str, kept: list[str]) -> str:
    """What stands for an element of an extension."""
    block = name == "pre"
    if name in ("math", "chem", "ce"):
        content = _formula(content)
    elif name in ("syntaxhighlight", "source") and "inline" not in attributes:
        return _BLANK
    elif name in _INVISIBLE or not content:
        return _BLANK if name == "gallery" else ""
    kept.append(_WIDE.sub(" ", content.strip("\n") if block else content))
    mark = f"{_KEPT}{len(kept) - 1}{_KEPT_END}"
    return f"\n{_BLOCK}{mark}\n" if block else mark


def _formula(tex: str) -> str:
    tex = " ".join(tex.split())
    depth = 0
    for match in _FORMULA_BREAKS.finditer(tex):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth < 0:
            break
    return f"{{\\displaystyle {tex}}}" if depth == 0 else tex


def _balance(text: str) -> str:
    """Leave markup only where it is closed in the order in which it was opened, and of tags only those that swallow text."""
    open_markup = _OpenMarkup()
    pieces = open_markup.pieces
    position = 0
    for match in _TOKEN.finditer(text):
        pieces.append(text[position : match.start()])
        position, mark = match.end(), match[0]
        if match[1]:
            open_markup.open("{|", "{|")
        elif match[2]:
            open_markup.swallow("{|", mark, lambda _: _BLANK)
        elif mark[0] in "{}":
            for braces in _pairs(mark):
                if mark[0] == "{":
                    open_markup.open("{{", braces)
                else:
                    open_markup.swallow("{{", braces, _show_template)
        elif mark in ("[[", "["):
            open_markup.open(mark, mark)
        elif mark in ("]]", "]"):
            open_markup.close("[[" if mark == "]]" and open_markup.waits("[[") else "[", mark)
        elif mark == "\n":
            open_markup.give_up("[")
            pieces.append(mark)
        elif match[4]:
            _balance_tag(match[3], match[4].lower(), match[5], mark, open_markup)
        else:
            pieces.append("&lt;")
    open_markup.give_up("")
    return "".join(pieces) + text[position:]


class _OpenMarkup:
    """Text in `pieces`, and what has been opened in it and not been closed yet."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._open: list[tuple[str, int]] = []  # innermost last; with its place in `pieces`
        self._waiting: Counter[str] = Counter()

    def waits(self, what: str) -> bool:
        """Whether such markup is open."""
        return self._waiting[what] > 0

    def open(self, what: str, piece: str) -> None:
        self._open.append((what, len(self.pieces)))
        self._waiting[what] += 1
        self.pieces.append(piece)

    def close(self, what: str, piece: str) -> int:
        """Close the innermost such markup and return its place, if any is open; what was opened since then never will be."""
        place = -1
        if self.waits(what):
            while self._open[-1][0] != what:
                self._disarm()
            place = self._open.pop()[1]
            self._waiting[what] -= 1
        self.pieces.append(piece)
        return place

    def swallow(self, what: str, piece: str, show: Callable[[str], str]) -> None:
        """Close such markup and put in its place what is shown of all that is in it."""
        place = self.close(what, piece)
        if place >= 0 and self.pieces[place]:
            self.pieces[place:] = [show("".join(self.pieces[place + 1 : -1]))]

    def give_up(self, what: str) -> None:
        """Disarm such markup, or any, as long as it is the innermost that is open."""
        while self._open and what in ("", self._open[-1][0]):
            self._disarm()

    def _disarm(self) -> None:
        what, place = self._open.pop()
        self._waiting[what] -= 1
        self.pieces[place] = "" if what[0] == "<" else _as_text(self.pieces[place])


def _balance_tag(slash: str, name: str, attributes: str, tag: str, open_markup: _OpenMarkup) -> None:
    """Drop a tag; with its partner and all between them where that shows nothing."""
    if name in _SWALLOWING or name in _INLINE:
        swallows = name in _SWALLOWING or bool(_SWALLOWED.search(attributes))
        if slash and open_markup.waits(f"<{name}"):
            open_markup.swallow(f"<{name}", "", lambda _: _BLANK if name in _SWALLOWING else "")
        elif not slash and not attributes.endswith("/") and (swallows or open_markup.waits(f"<{name}")):
            open_markup.open(f"<{name}", tag if swallows else "")
    elif name in _HEADINGS:
        bars = "=" * int(name[1])
        open_markup.pieces.append(f" {bars}\n" if slash else f"\n{bars} ")
    elif name in _LINES:
        open_markup.pieces.append("" if slash else "\n")
    elif name in _BLOCKS:
        open_markup.pieces.append(_BLANK)
    else:
        open_markup.pieces.append(_as_text(tag))


def _pairs(braces: str) -> Iterator[str]:
    """A run of braces in twos, and three where that leaves none alone; a single one is given as it is."""
    left = len(braces)
    while left:
        taken = left if left <= 3 else 2
        yield braces[:taken]
        left -= taken


def _show_template(call: str) -> str:
    """What is shown of a template: nothing, but for a few that mark a piece of text up and are the same on most Wikipedias."""
    name, *arguments = call.split("|", _TEXT_OF.get(call.partition("|")[0].strip().lower(), 0))
    text = arguments[-1] if arguments and name.strip().lower() in _TEXT_OF else ""
    return text.removeprefix("1=").strip()


def _as_text(markup: str) -> str:
    """Markup as text that no parser takes for markup."""
    return markup.translate(_HARMLESS)


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
            pieces.append(_BLANK)


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
    if mark == _GONE:
        return "gone", ""
    if mark == _BLOCK:
        return "block", rest
    if mark == _ITEM:
        return "item", rest
    if mark == _TERM:
        return "item", "\n".join(part.strip() for part in rest.split(":", 1))
    if mark == " ":
        return "code", line[1:].rstrip()
    return ("heading" if _HEADING.fullmatch(line.strip()) else "text"), line.strip()
