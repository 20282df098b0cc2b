"""A PDF file in, its title and text out, page by page, with the headings that its outline names."""

import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ragqa.errors import InputError, check_extra, first_line
from ragqa.text.documents import Document, Piece, as_heading

if TYPE_CHECKING:
    from pypdf import PdfReader

_NO_TITLES = frozenset(("", "untitled", "(anonymous)", "(unspecified)"))  # what programs write without one
_FULL_LINE = 0.7  # a line that is shorter than this fraction of the usual line ends a paragraph
_REPEATED = 3  # least number of pages with the same first or last line, which is then no text
_LARGEST = 1 << 24  # characters
_BULLET = re.compile(r"[•▪‣◦–*-] |\(?\d{1,3}[.)] ")
_PAGE_NUMBER = re.compile(r"(?:page |[-–] )?\d+(?: ?(?:/|of) ?\d+)?(?: [-–])?", re.IGNORECASE)
_HYPHENATED = re.compile(r"[^\W\d_]-$")

Headings = dict[str, int]  # level by normalized text


def read_pdf(path: Path, data: bytes) -> Document:
    """Read a PDF file. The title is that of its metadata, or else the name of the file. The place of a piece is `page=N`.

    Lines are joined to paragraphs, words that a line end divides become whole, and headers and footers are dropped. Raises
    `InputError` for a file that is encrypted, damaged, too large, or holds no text.
    """
    check_extra("reading PDF files", "documents")
    import logging

    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns of every small flaw of a file
    try:
        reader = PdfReader(io.BytesIO(data))
        _check_open(path, reader)
        texts, headings = _texts(path, reader), _headings(reader)
        title = str((reader.metadata.title if reader.metadata else "") or "").strip()
    except InputError:
        raise
    except Exception as error:  # pypdf raises errors of many kinds for damaged files
        raise InputError(f"{path}: not a PDF file that can be read: {first_line(error)}") from error
    if not any(texts):
        raise InputError(
            f"{path}: its {len(texts)} pages hold no text; if it is scanned, recognize its text first (OCR)"
        )
    pieces = [
        Piece(line, f"page={number}")
        for number, lines in enumerate(_without_repeated(texts), 1)
        for line in _paragraphs(lines, headings.get(number, {}))
    ]
    return Document(path.stem if title.lower() in _NO_TITLES else title, tuple(pieces))


def _check_open(path: Path, reader: "PdfReader") -> None:
    """Raise `InputError` if the file needs a password to be read; many encrypted files need none."""
    from pypdf.errors import DependencyError

    try:
        is_open = not reader.is_encrypted or reader.decrypt("")
    except DependencyError:  # AES needs the package cryptography
        is_open = False
    if not is_open:
        raise InputError(f"{path}: it is encrypted; save it without a password")


def _texts(path: Path, reader: "PdfReader") -> list[list[str]]:
    """Return the lines of every page, without blank ones at its ends."""
    texts: list[list[str]] = []
    size = 0
    for page in reader.pages:
        text = page.extract_text().replace("\0", "").strip()
        size += len(text)
        if size > _LARGEST:
            raise InputError(f"{path}: it has more than {_LARGEST:,} characters, which are the most that are read")
        texts.append([" ".join(line.split()) for line in text.split("\n")] if text else [])
    return texts


def _headings(reader: "PdfReader") -> dict[int, Headings]:
    """Return the entries of the outline by page, from 1."""
    found: dict[int, Headings] = {}

    def collect(entries: list[object], level: int) -> None:
        for entry in entries:
            if isinstance(entry, list):
                collect(entry, level + 1)
                continue
            page = reader.get_destination_page_number(entry)
            if page is not None and (title := _normalize(str(getattr(entry, "title", "")))):
                found.setdefault(page + 1, {}).setdefault(title, level)

    collect(reader.outline, 2)
    return found


def _normalize(text: str) -> str:
    """Return the letters and digits of a heading, without its number."""
    return re.sub(r"[\W_]", "", re.sub(r"^[\d.]+\s", "", text)).casefold()


def _without_repeated(texts: list[list[str]]) -> Iterator[list[str]]:
    """Yield the lines of every page without headers and footers: page numbers, and first or last lines that are repeated.

    Lines that differ only in their digits count as the same.
    """
    ends = Counter(_digitless(line) for lines in texts for line in {*lines[:1], *lines[-1:]})
    repeated = {line for line, count in ends.items() if count >= max(_REPEATED, len(texts) // 2)}
    for lines in texts:
        start = bool(lines) and _is_margin(lines[0], repeated)
        end = len(lines) > start and _is_margin(lines[-1], repeated)
        yield lines[start : len(lines) - end]


def _is_margin(line: str, repeated: set[str]) -> bool:
    return _digitless(line) in repeated or _PAGE_NUMBER.fullmatch(line) is not None


def _digitless(line: str) -> str:
    return re.sub(r"\d+", "0", line)


def _paragraphs(lines: list[str], headings: Headings) -> Iterator[str]:
    """Join the lines of a page to paragraphs. A paragraph ends with a short line, and before a heading or a list item."""
    width = sorted(map(len, lines))[int(0.9 * len(lines))] if lines else 0
    text = ""
    for line in lines:
        level = headings.get(_normalize(line))
        if text and (level or not line or _BULLET.match(line)):
            yield text
            text = ""
        if level:
            yield from ("", as_heading(level, line))
            continue
        text = _joined(text, line)
        if text and len(line) < _FULL_LINE * width:
            yield text
            text = ""
    if text:
        yield text


def _joined(text: str, line: str) -> str:
    if _HYPHENATED.search(text) and line[:1].islower():
        return text[:-1] + line
    return f"{text} {line}" if text else line
