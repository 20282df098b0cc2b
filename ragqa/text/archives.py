"""A DOCX or EPUB file in, its title and text out. Both are zip archives of XML, and are unpacked only up to a limit."""

import io
import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from ragqa.errors import InputError, check_extra, first_line
from ragqa.text.documents import Document, Piece
from ragqa.text.html_text import decode_html, html_pieces, read_html

_LARGEST = 1 << 25  # bytes of XML and HTML in an archive; a parsed tree takes many times as much memory
_MARKUP = (".xml", ".rels", ".opf", ".ncx", ".xhtml", ".html", ".htm")
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"


def read_docx(path: Path, data: bytes) -> Document:
    """Read a Word file. The title is its first heading of level 1, or else the name of the file. Pieces have no place.

    Raises `InputError` for a file that is encrypted, damaged, too large, or holds no text.
    """
    check_extra("reading DOCX files", "documents")
    import mammoth

    if data.startswith(_OLD_OFFICE):
        raise InputError(f"{path}: it is encrypted or an old .doc file; save it as .docx without a password")
    _check_archive(path, data)
    try:
        markup = mammoth.convert_to_html(io.BytesIO(data), convert_image=mammoth.images.img_element(_no_image)).value
    except Exception as error:  # mammoth raises whatever zipfile, minidom and its own code meet
        raise InputError(f"{path}: not a DOCX file that can be read: {first_line(error)}") from error
    document = read_html(markup, path.stem, "")
    return _checked(path, document)


def _no_image(_: Any) -> dict[str, str]:
    return {}


def read_epub(path: Path, data: bytes) -> Document:
    """Read the chapters of an EPUB file in reading order. The title is that of its metadata, or else the name of the file.

    The place of a piece is the canonical fragment of its chapter (https://idpf.org/epub/linking/cfi). Raises `InputError` for
    a file that is encrypted, damaged, too large, or holds no text.
    """
    _check_archive(path, data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            document = _book(path, archive)
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        LookupError,
        ElementTree.ParseError,
        ValueError,
        OSError,
    ) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not an EPUB file that can be read: {first_line(error)}") from error
    return _checked(path, document)


def _check_archive(path: Path, data: bytes) -> None:
    """Raise `InputError` unless the data are a zip archive of which the markup unpacks to at most `_LARGEST` bytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise InputError(f"{path}: damaged, or not a file of its format: {first_line(error)}") from error
    if any(member.flag_bits & 1 for member in members):
        raise InputError(f"{path}: it is encrypted; save it without a password")
    size = sum(member.file_size for member in members if member.filename.lower().endswith(_MARKUP))
    if size > _LARGEST:
        raise InputError(f"{path}: its text unpacks to {size:,} bytes; at most {_LARGEST:,} are read")


def _checked(path: Path, document: Document) -> Document:
    if not any(piece.text for piece in document.pieces):
        raise InputError(f"{path}: it holds no text")
    return document


def _book(path: Path, archive: zipfile.ZipFile) -> Document:
    container = ElementTree.fromstring(archive.read(_CONTAINER))  # noqa: S314  # expat limits the expansion of entities
    name = next(element.attrib["full-path"] for element in container.iter() if _tag(element) == "rootfile")
    package = ElementTree.fromstring(archive.read(name))  # noqa: S314
    title = next(("".join(e.itertext()).strip() for e in package.iter() if _tag(e) == "title"), "")
    pieces = tuple(_chapters(path, archive, package, posixpath.dirname(name)))
    return Document(title or path.stem, pieces)


def _chapters(path: Path, archive: zipfile.ZipFile, package: ElementTree.Element, folder: str) -> Iterator[Piece]:
    """Yield the pieces of all chapters. Navigation is left out, because it repeats the headings."""
    items = {e.attrib["id"]: e.attrib for e in package.iter() if _tag(e) == "item"}
    step, spine = next((2 * n, e) for n, e in enumerate(package, 1) if _tag(e) == "spine")
    locked = archive.read(_ENCRYPTION).decode("utf-8", "replace") if _ENCRYPTION in archive.namelist() else ""
    for number, reference in enumerate(spine, 1):
        item = items[reference.attrib["idref"]]
        if "nav" in item.get("properties", "").split() or "html" not in item["media-type"]:
            continue
        name = posixpath.normpath(posixpath.join(folder, unquote(item["href"])))
        if name in locked:
            raise InputError(f"{path}: its text is encrypted (DRM)")
        yield from html_pieces(decode_html(archive.read(name)), f"epubcfi(/{step}/{2 * number}!)")
        yield Piece("")


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
