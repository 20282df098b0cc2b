r"""Wikitext in, plain text out, laid out like the plain-text extracts of MediaWiki's API (its extension TextExtracts).

mwparserfromhell takes the markup apart. Before that, `wikitext_elements` cuts out what is no wikitext (comments, references,
`<nowiki>`, formulas, code), and `wikitext_balance` replaces tables, divisions and templates. The lines of tables and code
stay in the text as placeholders, so that they come out where they were.
"""

import html
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from ragqa.text.layout import ITEM, TERM, lay_out
from ragqa.text.wikitext_balance import balance
from ragqa.text.wikitext_elements import (
    BLOCK_PLACEHOLDER,
    BOX,
    CONTROL,
    LINES,
    LIST,
    NOTE,
    OMITTED_LINE,
    PLACEHOLDER,
    parse,
    replace_elements,
)

if TYPE_CHECKING:
    from mwparserfromhell.wikicode import Wikicode

HIDDEN = frozenset({"category", "file", "image"})  # namespaces whose links show no text

_SWITCH = re.compile(
    r"__(?:NO|FORCE)?TOC__|__NOEDITSECTION__|__(?:NO)?NEWSECTIONLINK__|__NOGALLERY__|__HIDDENCAT__|__(?:NO)?INDEX__|"
    r"__EXPECTUNUSED(?:CATEGORY|TEMPLATE)__|__NO(?:CONTENTCONVERT|CC|TITLECONVERT|TC)__|__STATICREDIRECT__|__DISAMBIG__"
)
_QUOTES = re.compile(r"'{2,}")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_LANGUAGE = re.compile(r"(?!doi|rfc)[a-z]{2,3}|simple|zh-[a-z-]+|be-x-old|be-tarask|roa-rup|roa-tara|map-bms|nds-nl")
_WIDE = re.compile(r"[ \t]{40,}")
_INLINE_PLACEHOLDER = re.compile(f"(?<![{NOTE}{LINES}{BOX}]){PLACEHOLDER.pattern}")


def extract_text(wikitext: str, hidden: Collection[str] = HIDDEN) -> str:
    r"""Return the text that a reader sees, without templates, boxes, files and references, or "" if there is none.

    Headings are lines `== Heading ==`, items of lists are lines, and formulas are `{\displaystyle …}` as in Wikipedia's
    extracts: `clean.clean_text` makes both alike. The rows of tables and blocks of code become lines of their own, as
    `omissions.restore_omissions` describes them; a page of nothing else has no text. Links to the namespaces `hidden`, in lower
    case, show nothing. Raises `InputError` if mwparserfromhell cannot read the wikitext.
    """
    stored: list[str] = []
    text = replace_elements(CONTROL.sub("", wikitext.replace("\r\n", "\n")), stored)
    text = LIST.sub(lambda m: TERM if m[0][-1] == ";" else ITEM, balance(text, stored))
    pieces: list[str] = []
    _write(parse(_SWITCH.sub("", text)), pieces, hidden)
    text = BLOCK_PLACEHOLDER.sub(r"\n\g<0>\n", "".join(pieces))
    text = lay_out(map(_drop_quotes, text.split("\n")))
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
