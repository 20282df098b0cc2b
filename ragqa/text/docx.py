"""The parts of a Word file in, its title and text out, block by block: paragraphs, headings, tables and footnotes."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from xml.etree.ElementTree import Element, fromstring

from ragqa.text.documents import Document, Piece, as_heading, stem
from ragqa.text.zip_files import ZipFile

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STRICT = (
    b"http://purl.oclc.org/ooxml/wordprocessingml/main"  # the name of the same elements in files of "Strict Open XML"
)
_MAIN = "officeDocument"  # the ends of the types of relationships
_NOTES = ("footnotes", "endnotes")
_NOTES_HEADING = "Notes"  # or they would belong to the last section
_DROPPED = frozenset(  # text that was moved away, the older copy of a drawing, fields, and headings of other programs
    ("moveFrom", "Fallback", "instrText", "delText", "sdtPr", "rPr")
)
_SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_TITLE = 0  # the level of the style Title
_DEEPEST = 9  # level of headings in Word
_USUAL = {f"Heading{level}": level for level in range(1, _DEEPEST + 1)}  # by the id of the style


class _Block(NamedTuple):
    text: str
    level: int | None = None  # of a heading
    is_line: bool = False  # an item of a list, or a row of a table: no blank line follows


def read_parts(archive: ZipFile, path: Path) -> Document:
    """Read a Word file. The title is its only heading of level 1, or the paragraph of the style Title, or the name of the file.

    The place of a piece is its heading. Footnotes follow under a heading of their own, which is no place in the file. Deleted
    and moved text, comments, headers and pictures are left out. Raises `KeyError` or `ElementTree.ParseError` for a file that
    lacks a part or is damaged.
    """
    main, others = _parts(archive)
    levels = _levels(_root(archive, others["styles"])) if "styles" in others else _USUAL
    blocks = list(_blocks(_root(archive, main)[0], levels))
    notes = [block for name in _NOTES if name in others for block in _blocks(_root(archive, others[name]), {})]
    title, blocks = _take_title([block for block in blocks if block.text])
    told = [*_pieces(block for block in notes if block.text)]
    section = [Piece(""), Piece(as_heading(2, _NOTES_HEADING))] if told and any(block.level for block in blocks) else []
    return Document(title or stem(path), (*_pieces(blocks), *section, *told))


def _parts(archive: ZipFile) -> tuple[str, dict[str, str]]:
    """Return the name of the main part, and the names of the other parts by the type of their relationship."""
    main = _related(archive, "")[_MAIN]
    return main, _related(archive, main)


def _related(archive: ZipFile, part: str) -> dict[str, str]:
    folder, _, name = part.rpartition("/")
    relations = f"{folder}/_rels/{name}.rels".lstrip("/")
    if part and relations not in archive:
        return {}
    found: dict[str, str] = {}
    for relation in fromstring(archive.read(relations)):  # noqa: S314  # expat limits the expansion of entities
        target = relation.get("Target", "")
        absolute = target[1:] if target.startswith("/") else f"{folder}/{target}".lstrip("/")
        found.setdefault(relation.get("Type", "").rpartition("/")[2], absolute)
    return {kind: target for kind, target in found.items() if target in archive}


def _root(archive: ZipFile, name: str) -> Element:
    return fromstring(archive.read(name).replace(_STRICT, _W[1:-1].encode()))  # noqa: S314


def _levels(styles: Element) -> dict[str, int]:
    """Return the level of headings by the id of their style; styles inherit the level."""
    levels = dict(_USUAL)
    parents: dict[str, str] = {}
    for style in styles.iter(f"{_W}style"):
        name, own = _value(style.find(f"{_W}name")).lower(), style.get(f"{_W}styleId", "")
        outline = _value(style.find(f"{_W}pPr/{_W}outlineLvl"))
        if name == "title":
            levels[own] = _TITLE
        elif name.startswith("heading ") and name[8:].isdecimal():
            levels[own] = int(name[8:])
        elif outline.isdecimal():
            levels[own] = int(outline) + 1
        parents[own] = _value(style.find(f"{_W}basedOn"))
    return _USUAL | {own: level for own in parents if (level := _inherited(own, levels, parents)) is not None}


def _inherited(style: str, levels: dict[str, int], parents: dict[str, str]) -> int | None:
    for _ in range(len(parents)):  # styles may be based on each other
        if style in levels or style not in parents:
            break
        style = parents[style]
    return levels.get(style)


def _value(element: Element | None) -> str:
    return "" if element is None else element.get(f"{_W}val", "")


def _blocks(root: Element, levels: dict[str, int]) -> Iterator[_Block]:
    """Yield the paragraphs and the rows of tables below an element, in order. Boxes inside a paragraph follow it."""
    waiting = [*reversed(root)]
    while waiting:
        element = waiting.pop()
        tag = local_name(element)
        if tag == "p":
            boxes: list[Element] = []
            text = " ".join("".join(_text(element, boxes)).split())
            yield _Block(text, _level(element, levels), element.find(f"{_W}pPr/{_W}numPr") is not None)
            waiting += reversed(boxes)
        elif tag == "tr":
            cells = (" ".join(block.text for block in _blocks(cell, {}) if block.text) for cell in _cells(element))
            yield _Block(" | ".join(cell for cell in cells if cell), is_line=True)
        elif tag not in _DROPPED:
            waiting += reversed(element)


def _cells(row: Element) -> Iterator[Element]:
    for child in row:
        if child.tag == f"{_W}tc":
            yield child
        else:  # a cell may stand in a content control
            yield from _cells(child)


def _level(paragraph: Element, levels: dict[str, int]) -> int | None:
    own = _value(paragraph.find(f"{_W}pPr/{_W}outlineLvl"))
    level = int(own) + 1 if own.isdecimal() else levels.get(_value(paragraph.find(f"{_W}pPr/{_W}pStyle")))
    return None if level is None or level > _DEEPEST else level


def _text(element: Element, boxes: list[Element]) -> Iterator[str]:
    """Yield the text of a paragraph. The boxes in it, which hold paragraphs of their own, are added to `boxes`."""
    for child in element:
        tag = local_name(child)
        if tag == "t":
            yield child.text or ""
        elif tag in _SIGNS:
            yield _SIGNS[tag]
        elif tag == "txbxContent":
            boxes.append(child)
        elif tag not in _DROPPED:
            yield from _text(child, boxes)


def local_name(element: Element) -> str:
    """Return the tag of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def _take_title(blocks: list[_Block]) -> tuple[str, list[_Block]]:
    for level in (1, _TITLE):
        found = [number for number, block in enumerate(blocks) if block.level == level]
        if len(found) == 1 or (found and level == _TITLE):
            return blocks[found[0]].text, [*blocks[: found[0]], *blocks[found[0] + 1 :]]
    return "", blocks


def _pieces(blocks: Iterable[_Block]) -> Iterator[Piece]:
    place, is_line = "", False
    for block in blocks:
        if block.level is not None or not (block.is_line and is_line):
            yield Piece("")
        is_line = block.is_line
        if block.level is not None:
            place = quote(block.text.replace(" ", "_"), safe="")
            yield Piece(as_heading(max(block.level, 1), block.text), place)
        else:
            yield Piece(block.text, place)
