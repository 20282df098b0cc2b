"""A DOCX or EPUB file in, its title and text out. Both are zip archives of XML."""

import posixpath
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from ragqa.errors import InputError, first_line
from ragqa.text.documents import Document, Piece, checked, stem
from ragqa.text.docx import local_name, read_parts
from ragqa.text.html_text import decode_html, html_pieces
from ragqa.text.zip_files import DAMAGES, ZipFile

_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"


def read_docx(path: Path, data: bytes) -> Document:
    """Read a Word file (`ragqa.text.docx.read_parts`).

    Raises `InputError` for a file that is encrypted, damaged, too large, or holds no text.
    """
    if data.startswith(_OLD_OFFICE):
        raise InputError(f"{path}: it is encrypted or an old .doc file; save it as .docx without a password")
    return _read(path, data, "a DOCX file", read_parts)


def read_epub(path: Path, data: bytes) -> Document:
    """Read the chapters of an EPUB file in reading order. The title is that of its metadata, or else the name of the file.

    The place of a piece is the canonical fragment of its chapter (https://idpf.org/epub/linking/cfi). Raises `InputError` for
    a file that is encrypted, damaged, too large, or holds no text.
    """
    return _read(path, data, "an EPUB file", _book)


def _read(path: Path, data: bytes, kind: str, read: Callable[[ZipFile, Path], Document]) -> Document:
    archive = ZipFile(path, data)
    try:
        document = read(archive, path)
    except InputError:
        raise
    except (*DAMAGES, StopIteration, RecursionError, ElementTree.ParseError) as error:
        raise InputError(f"{path}: not {kind} that can be read: {first_line(error)}") from error
    return checked(document, path)


def _book(archive: ZipFile, path: Path) -> Document:
    container = ElementTree.fromstring(archive.read(_CONTAINER))  # noqa: S314  # expat limits the expansion of entities
    name = next(element.attrib["full-path"] for element in container.iter() if local_name(element) == "rootfile")
    package = ElementTree.fromstring(archive.read(name))  # noqa: S314
    title = next(("".join(e.itertext()).strip() for e in package.iter() if local_name(e) == "title"), "")
    pieces = tuple(_chapters(path, archive, package, posixpath.dirname(name)))
    return Document(title or stem(path), pieces)


def _chapters(path: Path, archive: ZipFile, package: ElementTree.Element, folder: str) -> Iterator[Piece]:
    """Yield the pieces of all chapters. Navigation is left out, because it repeats the headings."""
    items = {e.attrib["id"]: e.attrib for e in package.iter() if local_name(e) == "item"}
    step, spine = next((2 * n, e) for n, e in enumerate(package, 1) if local_name(e) == "spine")
    locked = archive.read(_ENCRYPTION).decode("utf-8", "replace") if _ENCRYPTION in archive else ""
    for number, reference in enumerate(spine, 1):
        item = items.get(reference.get("idref", ""))
        if item is None:  # a chapter that the book does not list; the others can be read
            continue
        if "nav" in item.get("properties", "").split() or "html" not in item["media-type"]:
            continue
        name = posixpath.normpath(posixpath.join(folder, unquote(item["href"].partition("#")[0])))
        if name in locked:
            raise InputError(f"{path}: its text is encrypted (DRM)")
        yield from html_pieces(decode_html(archive.read(name)), f"epubcfi(/{step}/{2 * number}!)")
        yield Piece("")
