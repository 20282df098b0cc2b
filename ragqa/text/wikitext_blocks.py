"""Wikitext made ready for its parser: what shows nothing is taken out, and what is never closed is made harmless.

Both take one way through the text, in the order in which MediaWiki reads it.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

KEPT, KEPT_END = "\x01", "\x02"  # around the number of a text that was taken out
GONE = "\x05"  # a line where a block was that shows nothing
BLANK = f"\n{GONE}\n"
BLOCK = "\x06"  # at the start of a line: what was taken out stands as it is, with its own line ends

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # none of them can stand in XML; some mark places
MARK = re.compile(f"{KEPT}(\\d+){KEPT_END}")
LIST = re.compile(r"^[*#:;]+", re.MULTILINE)

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
_OF_TABLES = frozenset("caption div table tbody td th thead tr".split())
_SWALLOWED = re.compile(
    r"""\bclass\s*=[^=]*?\b(?:error|nomobile|noprint|noexcerpt|sortkey|mw-editsection|reference)\b""", re.IGNORECASE
)
_TOKEN = re.compile(
    r"^[ \t:*#]*(\{\|)|^[ \t]*(\|\})(?!\})|\{\{+|\{\||\}\}+|\[\[|\]\]|\[(?=(?:https?:|ftp:)?//|mailto:)|\]|\n|"
    r"<(/?)([a-zA-Z][a-zA-Z0-9]*)(?![a-zA-Z0-9])([^<>]*)>|<",
    re.MULTILINE,
)
_HARMLESS = str.maketrans({character: f"&#{ord(character)};" for character in "{[<"})
_BLANK = str.maketrans(dict.fromkeys("{[<", " "))
_TEXT_OF = {
    "em": 1,
    "lang": 2,
    "math": 1,
    "mvar": 1,
    "nobr": 1,
    "nowrap": 1,
}  # which argument of a template is its text
_FORMULA_BREAKS = re.compile(r"\\.|[{}]", re.DOTALL)


Show = Callable[[str, str, str, list[str]], str]


def show(name: str, attributes: str, content: str, kept: list[str]) -> str:
    """What stands for an element of an extension where its text is wanted."""
    block = name == "pre"
    if name in ("math", "chem", "ce"):
        content = _formula(content)
    elif name in ("syntaxhighlight", "source") and "inline" not in attributes:
        return BLANK
    elif name in _INVISIBLE or not content:
        return BLANK if name == "gallery" else ""
    mark = keep(content.strip("\n") if block else content, kept)
    return f"\n{BLOCK}{mark}\n" if block else mark


def keep(content: str, kept: list[str]) -> str:
    """Add a text to those that were taken out, and return the mark that stands for it."""
    kept.append(content)
    return f"{KEPT}{len(kept) - 1}{KEPT_END}"


def take_out(text: str, kept: list[str], show: Show = show) -> str:
    """Cut comments and the elements of extensions out; `show` says what stands for one, which may be a mark for `kept`."""
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
            pieces.append(show(name, match[2].lower(), text[match.end() : closing.start()] if closing else "", kept))
    return "".join(pieces) + text[position:]


def _skip_comment(text: str, closing: re.Match[str] | None, alone: bool) -> tuple[int, bool]:
    """Where the text goes on after a comment, and whether the whole line went with it, as it does where it fills the line."""
    if closing is None:
        return len(text), False
    newline = _REST_OF_LINE.match(text, closing.end()) if alone else None
    return (newline.end(), True) if newline else (closing.end(), False)


def _formula(tex: str) -> str:
    tex = " ".join(tex.split())
    depth = 0
    for match in _FORMULA_BREAKS.finditer(tex):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth < 0:
            break
    return f"{{\\displaystyle {tex}}}" if depth == 0 else tex


def balance(text: str) -> str:
    """Leave markup only where it is closed in the order in which it was opened, and of tags only those that swallow text.

    Tables, divisions and templates are gone then.
    """
    return _balance(text, _OpenMarkup(_HARMLESS))


def balance_tables(text: str, template: str) -> str:
    """Leave markup only where it is closed in the order in which it was opened, and of tags only those of tables and `<div>`.

    `template` stands for each template; what has no partner is blank.
    """
    return _balance(text, _OpenMarkup(_BLANK, template))


def _balance(text: str, open_markup: "_OpenMarkup") -> str:
    pieces = open_markup.pieces
    position = 0
    for match in _TOKEN.finditer(text):
        pieces.append(text[position : match.start()])
        position, mark = match.end(), match[0]
        if match[1]:
            open_markup.open("{|", mark if open_markup.keeps_tables else "{|")
        elif match[2]:
            open_markup.close_table("{|", mark, BLANK)
        elif mark[0] in "{}" and mark != "{|":
            for braces in _pairs(mark):
                if mark[0] == "{":
                    open_markup.open("{{", braces)
                else:
                    open_markup.swallow("{{", braces, open_markup.show_template)
        elif mark in ("[[", "["):
            open_markup.open(mark, mark)
        elif mark in ("]]", "]"):
            open_markup.close("[[" if mark == "]]" and open_markup.waits("[[") else "[", mark)
        elif mark == "\n":
            open_markup.give_up("[")
            pieces.append(mark)
        elif match[4]:
            _balance_tag(match[3], match[4].lower(), match[5], mark, open_markup)
        else:  # "<", or "{|" behind a no-break space, which mwparserfromhell takes for the start of a line
            pieces.append(open_markup.as_text(mark))
    open_markup.give_up("")
    return "".join(pieces) + text[position:]


class _OpenMarkup:
    """Text in `pieces`, and what has been opened in it and not been closed yet."""

    def __init__(self, harmless: Mapping[int, str], template: str | None = None) -> None:
        """`harmless`: what characters of markup without a partner become. Tables stay if a `template` is given."""
        self._harmless, self._template = harmless, template
        self.keeps_tables = template is not None
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

    def close_table(self, what: str, piece: str, shown: str) -> None:
        """Close a table or a division: keep it, or put in its place what is shown of it."""
        if not self.keeps_tables:
            self.swallow(what, piece, lambda _: shown)
        elif self.close(what, piece) < 0:
            self.pieces[-1] = " "

    def show_template(self, call: str) -> str:
        """What is shown of a template."""
        return _show_template(call) if self._template is None else self._template

    def as_text(self, markup: str) -> str:
        """Markup as text that no parser takes for markup."""
        return markup.translate(self._harmless)

    def give_up(self, what: str) -> None:
        """Disarm such markup, or any, as long as it is the innermost that is open."""
        while self._open and what in ("", self._open[-1][0]):
            self._disarm()

    def _disarm(self) -> None:
        what, place = self._open.pop()
        self._waiting[what] -= 1
        self.pieces[place] = "" if what[0] == "<" else self.as_text(self.pieces[place])


def _balance_tag(slash: str, name: str, attributes: str, tag: str, open_markup: _OpenMarkup) -> None:
    """Drop a tag; with its partner and all between them where that shows nothing."""
    if open_markup.keeps_tables and name in _OF_TABLES:
        if slash:
            open_markup.close_table(f"<{name}", tag, "")
        elif not attributes.endswith("/"):
            open_markup.open(f"<{name}", tag)
    elif name in _SWALLOWING or name in _INLINE:
        swallows = name in _SWALLOWING or bool(_SWALLOWED.search(attributes))
        if slash and open_markup.waits(f"<{name}"):
            open_markup.swallow(f"<{name}", "", lambda _: BLANK if name in _SWALLOWING else "")
        elif not slash and not attributes.endswith("/") and (swallows or open_markup.waits(f"<{name}")):
            open_markup.open(f"<{name}", tag if swallows else "")
    elif name in _HEADINGS:
        bars = "=" * int(name[1])
        open_markup.pieces.append(f" {bars}\n" if slash else f"\n{bars} ")
    elif name in _LINES:
        open_markup.pieces.append("" if slash else "\n")
    elif name in _BLOCKS:
        open_markup.pieces.append(BLANK)
    else:
        open_markup.pieces.append(open_markup.as_text(tag))


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
