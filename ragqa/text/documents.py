"""The pieces of a document, with their places in its file, in; a page that cites these places out."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragqa.errors import InputError
from ragqa.records import Page
from ragqa.text.characters import unix_newlines
from ragqa.text.clean import HEADING

Place = tuple[int, str]

_SURROGATE = re.compile("[\ud800-\udfff]")
_HIDDEN = re.compile("[\u00ad\ufeff]")  # soft hyphens, which divide words, and byte order marks


@dataclass(frozen=True, slots=True)
class Piece:
    """A line, a block or a page of a document. `place` is the URL fragment that opens it, such as `L12` or `page=3`."""

    text: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A file as it was read. Headings are pieces `== Heading ==`. `url` and `about` are set if the file names them."""

    title: str
    pieces: tuple[Piece, ...]
    url: str = ""
    about: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


def stem(path: Path) -> str:
    """Return the name of a file without its extension and `.gz`."""
    return Path(re.sub(r"\.gz$", "", path.name, flags=re.IGNORECASE)).stem


def checked(document: Document, path: Path) -> Document:
    """Return a document. Raises `InputError` if it holds no text."""
    if not any(piece.text for piece in document.pieces):
        raise InputError(f"{path}: it holds no text")
    return document


def encodable(text: str) -> str:
    """Return a text that can be encoded as UTF-8: bytes of file names that are not UTF-8 become U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def as_page(document: Document, path: Path | None = None) -> Page:
    """Return a document as a page. Pieces become lines; blank lines at both ends and soft hyphens are dropped.

    With `path` a document that names no address gets that of its file, and its places.
    """
    pieces = [Piece(encodable(_HIDDEN.sub("", unix_newlines(piece.text))), piece.place) for piece in document.pieces]
    text = "\n".join(piece.text for piece in pieces)
    own = path is not None and not document.url and not document.about
    return Page(
        encodable(document.title),
        path.resolve().as_uri() if path is not None and own else document.url,
        text=text.strip(),
        about=document.about,
        metadata=document.metadata,
        places=_places(pieces, len(text) - len(text.lstrip())) if own else (),
    )


def _places(pieces: Iterable[Piece], cut: int) -> tuple[Place, ...]:
    """Return the places of a text whose first `cut` characters are dropped; none if no piece has a place."""
    places: list[Place] = []
    offset = -cut
    for piece in pieces:
        if piece.text.strip() and (not places or places[-1][1] != piece.place):
            places.append((max(offset, 0), piece.place))
        offset += len(piece.text) + 1
    return tuple(places) if any(place for _, place in places) else ()


def as_code(text: str) -> str:
    """Return lines of code as lines of a page. Lines that look like headings are indented by a space."""
    return HEADING.sub(r" \g<0>", text)


def as_heading(level: int, text: str) -> str:
    """Return a heading as a line of a page: `== Use ==` for levels 1 and 2, with one more `=` for each level below."""
    signs = "=" * min(max(2, level), 6)  # level 1 is the title of a page
    return f"{signs} {text} {signs}"
