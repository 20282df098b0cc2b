"""A file that is one document in, a page out: Markdown, text, HTML, Jupyter notebooks, PDF, DOCX, EPUB."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

from ragqa.errors import InputError, RecordError
from ragqa.records import Page
from ragqa.storage.json_lines import open_input
from ragqa.text.characters import unix_newlines
from ragqa.text.documents import Document, Piece, as_page, checked, stem

MARKDOWN = (".md", ".markdown")
_LARGEST_TEXT = 1 << 24  # bytes; more is a log or data, and one page of it would be slow to cut
_LARGEST_MARKUP = 1 << 26  # bytes; pictures in it take most of them
_LARGEST_BOOK = 1 << 28  # bytes


def document_format(path: Path) -> str:
    """Return the extension of a file's name in lower case, without `.gz`."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def is_document(path: Path) -> bool:
    """Return True if `read_document` reads files of this name."""
    return document_format(path) in _READERS


def read_document(path: Path) -> Page:
    """Read a file as a page. Its URL is the one that the file names, or else that of the file; then it has places.

    Raises `InputError`, which names the file and the reason, for a file that is too large or empty, or cannot be read, and
    `MissingExtraError` if a package is missing.
    """
    try:
        page = as_page(_READERS[document_format(path)](path), path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return page


def read_article(path: Path) -> Page:
    """Read a Markdown article (`ragqa.text.markdown.read_markdown`), without the address and places of its file."""
    return as_page(_markdown(path))


def _markdown(path: Path) -> Document:
    from ragqa.text.markdown import read_markdown

    return read_markdown(path, _lines(path))


def _plain_text(path: Path) -> Document:
    from ragqa.text.markdown import with_underlined_headings

    lines = [Piece(line.replace("\f", ""), f"L{number}") for number, line in enumerate(_lines(path), 1)]
    return Document(stem(path), tuple(with_underlined_headings(lines)))


def _html(path: Path) -> Document:
    from ragqa.text.html_text import decode_html, read_html

    try:
        markup = decode_html(read_bytes(path, _LARGEST_MARKUP))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not {error.encoding}: {error}") from error
    return checked(read_html(markup, stem(path)), path)


def _notebook(path: Path) -> Document:
    from ragqa.text.notebooks import read_notebook

    return read_notebook(path, _decode(path, read_bytes(path, _LARGEST_MARKUP)))


def _pdf(path: Path) -> Document:
    from ragqa.text.pdf import read_pdf

    return read_pdf(path, read_bytes(path, _LARGEST_BOOK))


def _docx(path: Path) -> Document:
    from ragqa.text.archives import read_docx

    return read_docx(path, read_bytes(path, _LARGEST_BOOK))


def _epub(path: Path) -> Document:
    from ragqa.text.archives import read_epub

    return read_epub(path, read_bytes(path, _LARGEST_BOOK))


def _lines(path: Path) -> list[str]:
    return unix_newlines(_decode(path, read_bytes(path, _LARGEST_TEXT))).split("\n")


def _decode(path: Path, data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RecordError(path, 1, "it is UTF-16; save the file as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(path, 1, f"not UTF-8: {error}") from error
    if "\0" in text:
        raise InputError(f"{path}: it holds NUL characters, so it is no text")
    return text


def read_bytes(path: Path, most: int) -> bytes:
    """Read a file, unpacked if it is gzip. Raises `InputError` if it has more than `most` bytes, or none but white space."""
    size = path.stat().st_size
    if size > most:
        raise InputError(f"{path}: it has {size:,} bytes; at most {most:,} are read")
    with open_input(path) as file:
        try:
            data = file.read(most + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{path}: not a whole gzip file: {error}") from error
    if len(data) > most:
        raise InputError(f"{path}: it unpacks to more than {most:,} bytes, which are the most that are read")
    if not data.strip():
        raise InputError(f"{path}: it is empty")
    return data


_READERS: dict[str, Callable[[Path], Document]] = {
    **dict.fromkeys(MARKDOWN, _markdown),
    **dict.fromkeys((".txt", ".text"), _plain_text),
    **dict.fromkeys((".html", ".htm", ".xhtml"), _html),
    ".ipynb": _notebook,
    ".pdf": _pdf,
    ".docx": _docx,
    ".epub": _epub,
}
