"""A table's wikitext in, the lines of its rows out."""

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ragqa.text.table_rows import INFOBOX, LINK_BOX, Cell, cell_text, read_span, table_block
from ragqa.text.wikitext_elements import (
    BLOCK_PLACEHOLDER,
    BREAK,
    LIST,
    OMITTED_LINE,
    PLACEHOLDER,
    PREFORMATTED,
    TEMPLATE,
    parse,
)

NO_TEXT = re.compile(r"\s*(?:file|image|category|media)\s*:", re.IGNORECASE)  # links to these show none

_OWN_LINE = re.compile(rf"\n({BLOCK_PLACEHOLDER.pattern}|{PREFORMATTED}{PLACEHOLDER.pattern})\n")
_ATTRIBUTES = re.compile(  # before a "|", or before the text of a template, which gives the "|" in MediaWiki
    rf"""(?:\s*\b(?:colspan|rowspan|style|class|bgcolor|align|valign|width|height|scope|nowrap|data-sort-value)\s*=\s*"""
    rf"""(?:"[^"]*"|[^\s"|{TEMPLATE}]+(?=[\s|{TEMPLATE}])))+\s*[|{TEMPLATE}]""",
    re.IGNORECASE,
)
_BOLD = re.compile(rf"[\s{TEMPLATE}]*'''.*'''\s*", re.DOTALL)


def write_table(wikitext: str, stored: list[str]) -> str:
    """Store the lines of a table, as `table_rows.table_text` makes them, and return their placeholder.

    Boxes of links and tables for layout (`role="presentation"`) show nothing. `wikitext` is one table whose markup is balanced;
    tables in its cells are dropped. `stored` are the texts that placeholders stand for.
    """
    nodes = parse(LIST.sub(BREAK, _OWN_LINE.sub(r"\1", wikitext))).nodes
    table: Any = next((node for node in nodes if _tag(node) == "table"), None)
    if table is None or LINK_BOX.search(_attribute(table, "class")) or _attribute(table, "role") == "presentation":
        return OMITTED_LINE
    rows: list[list[Cell]] = [[]]
    caption = _read_rows(table.contents.nodes, rows, stored) if table.contents else ""
    is_box = bool(INFOBOX.search(_attribute(table, "class")))
    return table_block(caption, filter(None, rows), stored, is_box=is_box)


def one_line(wikicode: Any, stored: Sequence[str], *, is_heading: bool = True) -> str:
    """Return parsed wikitext as one line without markup, templates, tables and blocks of code."""
    return cell_text(_text(wikicode, stored).replace(TEMPLATE, ""), is_heading=is_heading)


def _text(wikicode: Any, stored: Sequence[str]) -> str:
    return re.sub("''+", "", "".join(_node_text(node, stored) for node in wikicode.nodes))


def _read_rows(nodes: Iterable[Any], rows: list[list[Cell]], stored: Sequence[str]) -> str:
    """Append the cells of each row of a table to `rows` and return the table's caption."""
    caption = ""
    for node in nodes:
        tag = _tag(node)
        if tag == "caption" or (tag == "td" and str(node).startswith("|+")):
            caption = caption or one_line(node.contents, stored).removeprefix("+").rpartition("|")[2].strip()
        elif tag in ("th", "td"):
            rows[-1].append(_cell(node, stored))
        elif tag in ("tr", "thead", "tbody", "tfoot") and node.contents is not None:
            rows.append([])
            caption = _read_rows(node.contents.nodes, rows, stored) or caption
    return caption


def _cell(node: Any, stored: Sequence[str]) -> Cell:
    is_heading = _tag(node) == "th"
    text = _text(node.contents, stored) if node.contents is not None else ""
    columns, rows = read_span(_attribute(node, "colspan")), read_span(_attribute(node, "rowspan"))
    if left := _ATTRIBUTES.match(text):
        text = text[left.end() :]
        columns = next(map(read_span, re.findall(r"colspan\s*=\s*\"?(\d{1,3})", left[0])), columns)
    text = cell_text(text.replace(TEMPLATE, ""), is_heading=is_heading)
    return Cell(text, is_heading, columns, rows, is_bold=bool(_BOLD.fullmatch(str(node.contents))))


def _attribute(node: Any, name: str) -> str:
    return next((str(a.value) for a in node.attributes if str(a.name).strip().lower() == name), "")


def _tag(node: Any) -> str:
    return str(node.tag).strip().lower() if type(node).__name__ == "Tag" else ""


def _node_text(node: Any, stored: Sequence[str]) -> str:
    kind = type(node).__name__
    if kind == "Text":
        return PLACEHOLDER.sub(lambda m: stored[int(m[1])], BLOCK_PLACEHOLDER.sub("\n", str(node)))
    if kind == "HTMLEntity":
        return html.unescape(str(node))  # never half of a surrogate pair, which no file can hold
    if kind == "Wikilink":
        return "" if NO_TEXT.match(str(node.title)) else _text(node.text or node.title, stored)
    if kind == "ExternalLink":
        return _text(node.title, stored) if node.title else ""
    if kind == "Tag":
        return f"\n{_text(node.contents, stored)}\n" if node.contents is not None and _tag(node) != "table" else "\n"
    return ""
