r"""An article's HTML as MediaWiki writes it in, plain text out, laid out like the extracts of MediaWiki's API.

The text is the same as that of `wikitext.extract_text` as far as HTML shows it. It is read from the page itself, from
Parsoid's HTML, and from the forms in which MWoffliner stores both in a ZIM file: sections may be `<section>` or `<details>`,
headings may stand in a `<div>` or a `<summary>`, and a formula may be MathML or only an image with its TeX.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from ragqa.errors import InputError
from ragqa.text.layout import ITEM, lay_out
from ragqa.text.table_rows import INFOBOX, LINK_BOX, Cell, cell_text, read_span, table_block
from ragqa.text.wikitext_elements import (
    BLOCK_PLACEHOLDER,
    CONTROL,
    FORMULA_START,
    OMITTED_LINE,
    PLACEHOLDER,
    make_formula,
    store_code,
    store_preformatted,
)

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_CONTENT = (  # where the text of an article is, the innermost first
    ".mw-parser-output",
    "#mw-content-text",
    "#bodyContent",
    "body",
)
_DROPPED = (  # what extracts leave out, and what MWoffliner and the interface add
    ".mw-editsection, .pcs-edit-section-link-container, sup.reference, .mw-ref, .reference-link, .mw-references-wrap, "
    "ol.references, .mw-cite-backlink, a.autonumber, .error, .nomobile, .noprint, .noexcerpt, .sortkey, .navbox, .navbar, "
    ".hatnote, .dablink, .metadata, .ambox, .infobox-image, .infobox-caption, .sidebar, .shortdescription, .catlinks, "
    ".mwo-catlinks, #toc, .toc, ul.gallery, .thumb, .mw-indicators, .printfooter, .subpages, #contentSub, #titleHeading, "
    '#firstHeading, [role=navigation], [role=note], [style*="display:none"], [style*="display: none"]'
)
_NO_TEXT = frozenset(
    "-comment audio button figure footer head header iframe input link map meta nav noscript object script style svg "
    "template title video".split()
)
_HEADINGS = {f"h{level}": "=" * level for level in range(1, 7)}
_AROUND = {  # what comes before and after the content of an element
    **dict.fromkeys("blockquote center hr".split(), (OMITTED_LINE, OMITTED_LINE)),
    **dict.fromkeys("li dt dd".split(), (f"\n{ITEM}", "\n")),
    **dict.fromkeys("p br ul ol dl details summary section main article".split(), ("\n", "\n")),
}
_WRAPPER = re.compile(  # classes and ids of divisions that hold the article; the extracts leave out all others
    r"mw-heading|mw-content|mw-parser-output|mw-body|bodyContent|mf-section-\d|section_\d|pcs-|content|"
    r"mw-collapsible-content|mw-page|vector-"
)
_FORMULA_STYLE = re.compile(r"\{\s*\\(?:display|text|script|scriptscript)style\b")
_ITEM_START = re.compile(rf"{ITEM}\s+(?=[^\s\x01-\x08=])")  # an item that begins with a paragraph
_BLANKS = re.compile(r"[ \t\f\u200b]+")
_OLDID = re.compile(r"[?&]oldid=(\d{1,18})(?!\d)")
_DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b")
_REFRESH = re.compile(r"url\s*=\s*(?:(['\"])(.*)\1|(.+))", re.IGNORECASE | re.DOTALL)  # a title may hold apostrophes

_MOST_TAGS_UNCHECKED = 1000
_DEEPEST = 1000  # elements in each other; the parser's time grows with the square of the depth
_NESTED = re.compile(
    r"<(/?)(?!(?:area|base|br|col|embed|hr|img|input|link|meta|p|li|dd|dt|td|th|tr|source|track|wbr)\b)[a-zA-Z][^<>]*(?<!/)>"
)


@dataclass(frozen=True, slots=True)
class Revision:
    """What a page says of its revision: its number, and the day of the edit (`2024-05-06`), if known."""

    number: int | None = None
    day: str | None = None


class Article:
    """The HTML of an article."""

    def __init__(self, html: str) -> None:
        """Parse the HTML. Raises `InputError` if its elements are nested too deeply to be read."""
        from selectolax.lexbor import LexborHTMLParser

        if _is_too_deep(html):
            raise InputError(f"its HTML has more than {_DEEPEST:,} elements inside each other")
        self._tree = LexborHTMLParser(CONTROL.sub("", html.replace("\r\n", "\n")))

    def text(self) -> str:
        r"""Return the text that a reader sees, without boxes, files, references and edit links, or "" if there is none.

        Headings are lines `== Heading ==`, items of lists are lines, and formulas are `{\displaystyle …}`. The rows
        of tables and infoboxes, and blocks of code, are lines too, as in `wikitext.extract_text`.
        """
        stored: list[str] = []
        found = (self._tree.css_first(selector) for selector in _CONTENT)
        root = next((node for node in found if node is not None), None)
        if root is None:  # a page of frames
            return ""
        dropped = {node.mem_id for node in self._tree.css(_DROPPED)}
        text = _BLANKS.sub(" ", "".join(_Writer(dropped, stored, self._around_sections()).write(root)))
        text = lay_out(line.strip(" ") for line in _ITEM_START.sub(ITEM, text).split("\n"))
        if not BLOCK_PLACEHOLDER.sub("", text).strip():
            return ""
        text = BLOCK_PLACEHOLDER.sub(lambda m: stored[int(m[1])], text)
        return PLACEHOLDER.sub(lambda m: stored[int(m[1])], text)

    def _around_sections(self) -> set[int]:
        """Return the ids of the elements that headings or sections are in."""
        found: set[int] = set()
        for node in self._tree.css("h2, h3, h4, h5, h6, section, details"):
            above = node.parent
            while above is not None and above.mem_id not in found:
                found.add(above.mem_id)
                above = above.parent
        return found

    def categories(self) -> Iterator[str]:
        """Yield the names of the categories that the page is in, without their namespace."""
        for link in self._tree.css('link[rel="mw:PageProp/Category"]'):
            yield _target(link.attributes.get("href") or "").partition(":")[2]
        for item in self._tree.css(".catlinks li, .mwo-catlinks li"):
            yield item.text().strip()

    def is_disambiguation(self) -> bool:
        """Return True if the page has the mark of a disambiguation page, or the box of such pages."""
        marks = 'meta[property="mw:PageProp/disambiguation"], #disambigbox, #disambig, .dmbox-disambig, .disambigbox'
        return self._tree.css_first(marks) is not None

    def redirect(self) -> str:
        """Return the page that this one sends its readers to at once, with the section after `#`, or ""."""
        for meta in self._tree.css("head > meta[http-equiv]"):
            if (meta.attributes.get("http-equiv") or "").lower() == "refresh":
                found = _REFRESH.search(meta.attributes.get("content") or "")
                return _target(found[2] or found[3] or "") if found else ""
        return ""

    def namespace(self) -> int | None:
        """Return the number of the page's namespace if the page states it."""
        body = self._tree.body
        classes = (body.attributes.get("class") or "").split() if body is not None else []
        return next((int(name[3:]) for name in classes if re.fullmatch(r"ns-\d{1,9}", name)), None)

    def address(self) -> str:
        """Return the address that the page states as its own, or ""."""
        link = self._tree.css_first('link[rel="canonical"]')
        address = (link.attributes.get("href") or "") if link is not None else ""
        return address if address.startswith(("https://", "http://")) else ""

    def revision(self, title: str) -> Revision:
        """Return the revision that the link to the original at the end of the page names. It is a link to this title."""
        for link in reversed(self._tree.css('a[href*="oldid="]')):
            href = link.attributes.get("href") or ""
            if _names(href, title) and (number := _OLDID.search(href)):
                day = _DATE.search(link.attributes.get("title") or "")
                return Revision(int(number[1]), day and day[0])
        return Revision()


class _Writer:
    """Turns elements into marked lines for `layout.lay_out`. In a cell, divisions are kept and tables are dropped."""

    def __init__(
        self, dropped: set[int], stored: list[str], around_sections: set[int], *, in_cell: bool = False
    ) -> None:
        self._dropped, self._stored, self._around_sections = dropped, stored, around_sections
        self._in_cell = in_cell
        self._renderers: dict[str, Callable[[LexborNode], str]] = {
            **dict.fromkeys(_NO_TEXT, lambda _: ""),
            **dict.fromkeys(_HEADINGS, self._heading),
            "img": self._formula_image,
            "math": self._formula,
            "pre": self._preformatted,
            "table": self._table,
        }

    def write(self, root: "LexborNode") -> list[str]:
        """Return the pieces of the lines. Elements are kept in a stack, since they may be nested deeply."""
        pieces: list[str] = []
        waiting: list[LexborNode | str] = [*reversed(list(root.iter(include_text=True)))]
        while waiting:
            node = waiting.pop()
            starts_line = bool(pieces) and pieces[-1].endswith("\n")
            if isinstance(node, str):
                pieces += _without_newline(node, starts_line)
            elif node.is_text_node:
                text = CONTROL.sub("", node.text_content or "")  # entities are characters by now
                pieces += [] if starts_line and text.isspace() else [text]  # white space between blocks
            elif node.mem_id not in self._dropped:
                text, end = self._open(node)
                pieces += _without_newline(text, starts_line)
                if end is not None:
                    waiting += [end, *reversed(list(node.iter(include_text=True)))]
        return pieces

    def _open(self, node: "LexborNode") -> tuple[str, str | None]:
        """Return what an element begins with, and what follows its content, or None if the content shows nothing."""
        tag = node.tag or ""
        if tag in _AROUND:
            return _AROUND[tag]
        if tag == "div":
            return self._open_division(node)
        if tag == "span" and "mwe-math-element" in _classes(node):
            tag = "math"
        render = self._renderers.get(tag)
        return ("", "") if render is None else (render(node), None)

    def _open_division(self, node: "LexborNode") -> tuple[str, str | None]:
        name = f"{_classes(node)} {node.id or ''}"
        if "mwe-math-element" in name:
            return f"\n{self._formula(node)}\n", None
        if self._in_cell or _WRAPPER.search(name) or node.mem_id in self._around_sections:
            return "\n", "\n"
        return OMITTED_LINE + "".join(self._blocks(node)), None

    def _blocks(self, division: "LexborNode") -> Iterator[str]:
        """Yield the tables and the code in a division that is left out. Takes time linear in the size of the division."""
        waiting = [(division, False)]  # elements, and whether they are highlighted code
        while waiting:
            node, is_code = waiting.pop()
            if node.mem_id in self._dropped:
                continue
            if node.tag == "table":
                yield self._table(node)
            elif node.tag == "pre" and is_code:
                yield self._preformatted(node)
            else:
                is_code = is_code or "mw-highlight" in _classes(node).split()
                waiting += [(child, is_code) for child in reversed(list(node.iter()))]

    def _formula(self, node: "LexborNode") -> str:
        """Return the TeX of a formula, of the image in its place if it has no MathML, or nothing."""
        annotation = node.css_first('annotation[encoding="application/x-tex"]')
        math = node if node.tag == "math" else node.css_first("math")
        tex = annotation.text() if annotation is not None else ""
        if not tex.strip() and math is not None:
            tex = math.attributes.get("alttext") or ""
        image = node.css_first("img") if not tex.strip() else None
        return _tex(tex if image is None else image.attributes.get("alt") or "")

    def _heading(self, node: "LexborNode") -> str:
        bars, heading = _HEADINGS[node.tag or ""], self._line(node)
        return f"\n{bars} {heading} {bars}\n" if heading else ""

    def _formula_image(self, node: "LexborNode") -> str:
        """Return the TeX of an image that is a formula; other images show nothing."""
        if not re.search(r"\bmwe-math-|\btex\b", _classes(node)):
            return ""
        return _tex(node.attributes.get("alt") or "")

    def _table(self, node: "LexborNode") -> str:
        classes = _classes(node)
        if self._in_cell or LINK_BOX.search(classes) or node.attributes.get("role") == "presentation":
            return OMITTED_LINE
        parts = [*_parts_of_table(node)]
        caption = next((self._line(part) for part in parts if part.tag == "caption"), "")
        rows = [[*self._cells(part)] for part in parts if part.tag == "tr"]
        return table_block(caption, rows, self._stored, is_box=bool(INFOBOX.search(classes)))

    def _cells(self, row: "LexborNode") -> Iterator[Cell]:
        for node in row.iter():
            if node.tag in ("td", "th") and node.mem_id not in self._dropped:
                is_heading = node.tag == "th"
                text = self._line(node, is_heading=is_heading)
                bold = node.css_first("b, strong")
                is_bold = bold is not None and bold.text().strip() == node.text().strip()
                columns, rows = (read_span(node.attributes.get(name) or "") for name in ("colspan", "rowspan"))
                yield Cell(text, is_heading, columns, rows, is_bold)

    def _preformatted(self, node: "LexborNode") -> str:
        parent = node.parent
        is_code = "mw-highlight" in _classes(node) or (parent is not None and "mw-highlight" in _classes(parent))
        content = CONTROL.sub("", node.text())
        if is_code:
            return store_code(content, self._stored) or OMITTED_LINE
        return store_preformatted(content, self._stored)

    def _line(self, node: "LexborNode", *, is_heading: bool = True) -> str:
        """Return the text of an element as one line, without what is dropped."""
        own: list[str] = []
        text = "".join(_Writer(self._dropped, own, self._around_sections, in_cell=True).write(node))
        text = PLACEHOLDER.sub("", BLOCK_PLACEHOLDER.sub("\n", text))
        return cell_text(text, is_heading=is_heading)


def _without_newline(text: str, starts_line: bool) -> list[str]:
    """Return a piece of text that begins a new line, unless one has begun already; nothing if nothing is left."""
    text = text.removeprefix("\n") if starts_line else text
    return [text] if text else []


def _tex(tex: str) -> str:
    r"""Return TeX as a formula of one line: `{\displaystyle …}`."""
    tex = " ".join(CONTROL.sub("", tex).split())
    if not tex:
        return ""
    return tex if _FORMULA_STYLE.match(tex) else make_formula(tex.removeprefix(FORMULA_START))


def _classes(node: "LexborNode") -> str:
    return node.attributes.get("class") or ""


def _parts_of_table(table: "LexborNode") -> Iterator["LexborNode"]:
    """Yield the caption and the rows of a table, without those of tables in its cells."""
    for node in table.iter():
        if node.tag in ("thead", "tbody", "tfoot"):
            yield from node.iter()
        else:
            yield node


def _target(href: str) -> str:
    """Return the title that a relative link leads to, with the section after `#`."""
    return unquote(re.sub(r"^(?:\.{0,2}/)+", "", href)).replace("_", " ").strip()


def _names(href: str, title: str) -> bool:
    """Return True if an address of a wiki's page is that of this title."""
    try:
        parts = urlsplit(href)
    except ValueError:
        return False
    if asked := parse_qs(parts.query).get("title"):
        return asked[0].replace("_", " ") == title
    return unquote(parts.path).replace("_", " ").endswith(f"/{title}")


def _is_too_deep(html: str) -> bool:
    if html.count("<") < _MOST_TAGS_UNCHECKED:
        return False
    depth = 0
    for match in _NESTED.finditer(html):
        depth = max(0, depth - 1) if match[1] else depth + 1
        if depth > _DEEPEST:
            return True
    return False
