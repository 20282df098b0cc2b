"""Comments and extension elements of wikitext (`<ref>`, `<math>`, `<syntaxhighlight>`), cut out before the rest is parsed.

Text that must survive parsing unchanged is stored in a list. A placeholder with its index takes its place.
"""

import re
from typing import TYPE_CHECKING

from ragqa.errors import InputError
from ragqa.text.documents import as_code

if TYPE_CHECKING:
    from mwparserfromhell.wikicode import Wikicode

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # not allowed in XML; the characters below are among them
_START, _END = "\x01", "\x02"  # around the index in a placeholder
OMITTED = "\x05"  # marks the line of a block that shows nothing
OMITTED_LINE = f"\n{OMITTED}\n"
PREFORMATTED = "\x06"  # before the placeholder of a `<pre>` block
NOTE = "\x07"  # before the placeholder of a table note
LINES = "\x08"  # before the placeholder of a block of lines: code, or the rows of a table
BREAK = "\x0f"  # the end of a line inside a cell, where a newline could end the cell
TEMPLATE = "\x10"  # before the text of a template in a table
BOX = "\x0e"  # before the placeholder of the rows of an infobox

PLACEHOLDER = re.compile(f"{_START}(\\d+){_END}")
BLOCK_PLACEHOLDER = re.compile(f"[{NOTE}{LINES}{BOX}]{PLACEHOLDER.pattern}")
LIST = re.compile(r"^[*#:;]+", re.MULTILINE)
FORMULA_START = r"{\displaystyle "

CODE_ELEMENTS = frozenset({"syntaxhighlight", "source"})
FORMULA_ELEMENTS = frozenset({"math", "chem", "ce"})
_LITERAL = frozenset({"nowiki", "pre"}) | CODE_ELEMENTS | FORMULA_ELEMENTS  # whose content is no wikitext
_INVISIBLE = frozenset(
    "ref references gallery timeline score graph imagemap inputbox templatedata templatestyles categorytree mapframe maplink "
    "hiero section indicator includeonly style script".split()
)
_OPENING = re.compile(rf"<!--|<({'|'.join(sorted(_LITERAL | _INVISIBLE))})(?=[\s/>])([^<>]*)>", re.IGNORECASE)
_CLOSING = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in _LITERAL | _INVISIBLE}
_COMMENT_END = re.compile("-->")
_REST_OF_LINE = re.compile(r"[ \t]*\n")
_FORMULA_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)


def parse(text: str) -> "Wikicode":
    """Parse wikitext without list markup. Raises `InputError` if mwparserfromhell cannot read it."""
    import mwparserfromhell

    try:
        return mwparserfromhell.parse(text, skip_style_tags=True)
    except mwparserfromhell.parser.ParserError as error:
        raise InputError(f"mwparserfromhell cannot read this wikitext: {error}") from error


def store(text: str, stored: list[str]) -> str:
    """Append a text to `stored` and return its placeholder."""
    stored.append(text)
    return f"{_START}{len(stored) - 1}{_END}"


def store_code(content: str, stored: list[str]) -> str:
    """Store a block of code and return its placeholder, or nothing if it is empty.

    Lines that look like headings are indented by a space.
    """
    code = as_code(content.strip("\n").rstrip())
    return f"\n{LINES}{store(code, stored)}\n" if code else ""


def store_preformatted(content: str, stored: list[str]) -> str:
    """Store the content of a `<pre>` block and return its placeholder, or nothing if it is blank."""
    return f"\n{PREFORMATTED}{store(content.strip(chr(10)), stored)}\n" if content.strip() else ""


def render_element(name: str, attributes: str, content: str, stored: list[str]) -> str:
    """Return what replaces an extension element in wikitext that becomes plain text."""
    if name in CODE_ELEMENTS and "inline" not in attributes:
        return store_code(content, stored) or OMITTED_LINE
    if name in _INVISIBLE or not content:
        return OMITTED_LINE if name == "gallery" else ""
    if name == "pre":
        return store_preformatted(content, stored)
    return store(make_formula(content) if name in FORMULA_ELEMENTS else content, stored)


def replace_elements(text: str, stored: list[str]) -> str:
    """Drop comments and replace extension elements by what `render_element` returns for each.

    An element that is never closed is text like any other. Takes time linear in the length of the text.
    """
    return _Scanner(text, stored).run()


class _Scanner:
    """One pass through wikitext, from one comment or extension element to the next."""

    def __init__(self, text: str, stored: list[str]) -> None:
        self._text, self._stored = text, stored
        self._pieces: list[str] = []
        self._position, self._at_line_start = 0, True
        self._never_closed: set[str] = set()  # element names, so that no end is searched for twice

    def run(self) -> str:
        while match := _OPENING.search(self._text, self._position):
            before = self._text[self._position : match.start()]
            if match[1] is None:
                self._skip_comment(before, match.end())
            else:
                self._pieces.append(before)
                self._at_line_start = False
                self._replace(match, match[1].lower())
        return "".join(self._pieces) + self._text[self._position :]

    def _skip_comment(self, before: str, start: int) -> None:
        """Skip a comment; if it fills its line, skip the whole line, as MediaWiki does."""
        text, closing = self._text, _COMMENT_END.search(self._text, start)
        indent = before.rpartition("\n")[2]
        alone = not indent.strip(" \t") and (self._at_line_start or "\n" in before)
        newline = _REST_OF_LINE.match(text, closing.end()) if closing and alone else None
        self._pieces.append(before[: len(before) - len(indent)] if newline else before)
        self._position = newline.end() if newline else closing.end() if closing else len(text)
        self._at_line_start = newline is not None

    def _replace(self, match: re.Match[str], name: str) -> None:
        attributes, self._position = match[2], match.end()
        if attributes.endswith("/"):
            self._pieces.append(render_element(name, attributes.lower(), "", self._stored))
            return
        closing = None if name in self._never_closed else _CLOSING[name].search(self._text, match.end())
        if closing is None:
            self._never_closed.add(name)
            self._pieces.append("&lt;" + match[0][1:])
            return
        content = self._text[match.end() : closing.start()]
        self._position = closing.end()
        self._pieces.append(render_element(name, attributes.lower(), content, self._stored))


def make_formula(tex: str) -> str:
    """Return TeX as `{\\displaystyle …}`, or as it is if its braces are unbalanced."""
    tex = " ".join(tex.split())
    depth = 0
    for match in _FORMULA_BRACES.finditer(tex):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth < 0:
            break
    return f"{FORMULA_START}{tex}}}" if depth == 0 else tex
