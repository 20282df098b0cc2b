"""A table's wikitext in, the note that stands for the table out."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ragqa.text.wikitext_elements import BLOCK_PLACEHOLDER, CONTROL, FORMULA_START, LIST, PLACEHOLDER, parse

TABLE_NOTE = re.compile(r"\[A table was here(?:: [^\[\]\n]*)?\]")
BOX = re.compile(
    r"infobox|navbox|metadata|sidebar|[atfci]mbox|\btoc\b|noprint", re.IGNORECASE
)  # classes of boxes of links
NO_TEXT = re.compile(r"\s*(?:file|image|category|media)\s*:", re.IGNORECASE)  # links to these show none

_LONGEST_LABEL = 150  # characters


def note_table(wikitext: str, stored: Sequence[str] = ()) -> str:
    """Return `[A table was here: …]` with the table's caption or, without one, its first row of column headings.

    Return an empty string for infoboxes and boxes of links. `wikitext` is one table whose markup is balanced; tables in its
    cells do not count. `stored` are the texts that placeholders stand for.
    """
    nodes = parse(LIST.sub(" ", wikitext)).nodes
    table: Any = next((node for node in nodes if _tag(node) == "table"), None)
    if table is None or any(BOX.search(str(a.value)) for a in table.attributes if a.name == "class"):
        return ""
    rows: list[list[str]] = [[]]
    caption = _read_rows(table.contents.nodes, rows, stored) if table.contents else ""
    return make_note(caption or ", ".join(next((row for row in rows if row), [])))


def make_note(label: str) -> str:
    """Return the note for a table with this caption or these headings."""
    if len(label) > _LONGEST_LABEL:
        label = label[:_LONGEST_LABEL].rsplit(" ", 1)[0] + " …"
    label = label.replace("[", "(").replace("]", ")").rstrip(" .,;:!?")
    return f"[A table was here: {label}]" if label else "[A table was here]"


def one_line(wikicode: Any, stored: Sequence[str] = ()) -> str:
    """Return parsed wikitext as one line without markup, templates, formulas and blocks of code."""
    text = re.sub("''+", "", "".join(_node_text(node, stored) for node in wikicode.nodes))
    return " ".join(CONTROL.sub(" ", text).split())


def _read_rows(nodes: Iterable[Any], rows: list[list[str]], stored: Sequence[str]) -> str:
    """Append the headings of each row of a table to `rows` and return the table's caption."""
    caption = ""
    for node in nodes:
        tag = _tag(node)
        if tag == "caption" or (tag == "td" and str(node).startswith("|+")):
            caption = caption or one_line(node.contents, stored).removeprefix("+").rpartition("|")[2].strip()
        elif tag == "th":
            rows[-1] += [heading] if (heading := one_line(node.contents, stored)) else []
        elif tag in ("tr", "thead", "tbody") and node.contents is not None:
            rows.append([])
            caption = _read_rows(node.contents.nodes, rows, stored) or caption
    return caption


def _tag(node: Any) -> str:
    return str(node.tag).strip().lower() if type(node).__name__ == "Tag" else ""


def _node_text(node: Any, stored: Sequence[str]) -> str:
    kind = type(node).__name__
    if kind == "Text":
        return PLACEHOLDER.sub(lambda m: _inline(stored, int(m[1])), BLOCK_PLACEHOLDER.sub(" ", str(node)))
    if kind == "HTMLEntity":
        return str(node.normalize())
    if kind == "Wikilink":
        return "" if NO_TEXT.match(str(node.title)) else one_line(node.text or node.title, stored)
    if kind == "ExternalLink":
        return one_line(node.title, stored) if node.title else ""
    if kind == "Tag":
        return f" {one_line(node.contents, stored)} " if node.contents is not None and _tag(node) != "table" else " "
    return ""


def _inline(stored: Sequence[str], index: int) -> str:
    return "" if stored[index].startswith(FORMULA_START) else stored[index]
