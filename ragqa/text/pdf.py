"""A PDF file in, its title and text out, page by page, with the headings that its outline names."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from ragqa.errors import InputError, check_extra, first_line
from ragqa.text.documents import Document, Piece, as_heading, stem

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

_NO_TITLES = frozenset(("", "untitled", "(anonymous)", "(unspecified)"))  # what programs write without one
_FULL_LINE = 0.7  # a line that is shorter than this fraction of the usual line ends a paragraph
_REPEATED = 3  # least number of pages with the same first or last line, which is then no text
_LARGEST = 1 << 24  # characters
_BULLET = re.compile(r"[•▪‣◦–*-] |\(?\d{1,3}[.)] ")
_PAGE_NUMBER = re.compile(r"(?:page |[-–] )?\d+(?: ?(?:/|of) ?\d+)?(?: [-–])?", re.IGNORECASE)
_NUMBER = re.compile(r"\d+|\b[ivxl]+$")  # numbers of pages may be Roman
_LEADER = re.compile(
    r"(?<!\.)(?<!\. )(?: ?\.){5,} ?\S{0,9}$"
)  # the dots before the page numbers in a table of contents or an index
_NO_LETTERS = re.compile("[\u2700-\u27bf\ue000-\uf8ff\ufffd]")  # what fonts without names of characters give
_MOST_UNREADABLE = 0.2  # fraction of such characters
_HYPHEN = "\x02"  # PDFium writes it for a hyphen at the end of a line, and the line break with it
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ufffe\uffff\ufeff]")
_HYPHENATED = re.compile(r"[^\W\d_]-")

Headings = dict[str, int]  # level by normalized text


def read_pdf(path: Path, data: bytes) -> Document:
    """Read a PDF file. The title is that of its metadata, or else the name of the file. The place of a piece is `page=N`.

    Lines are joined to paragraphs, words that a line end divides become whole, and headers and footers are dropped. Raises
    `InputError` for a file that is encrypted, damaged, too large, or holds no text.
    """
    check_extra("reading PDF files", "documents")
    import pypdfium2

    try:
        with pypdfium2.PdfDocument(data) as pdf:
            texts, headings = _texts(path, pdf), _headings(pdf)
            title = pdf.get_metadata_value("Title").strip()
    except pypdfium2.PdfiumError as error:
        if error.err_code == pypdfium2.raw.FPDF_ERR_PASSWORD:
            raise InputError(f"{path}: it is encrypted; save it without a password") from error
        raise InputError(f"{path}: not a PDF file that can be read: {first_line(error)}") from error
    if not any(texts):
        raise InputError(
            f"{path}: its {len(texts)} pages hold no text; if it is scanned, recognize its text first (OCR)"
        )
    if _is_unreadable(texts):
        raise InputError(f"{path}: its fonts do not say which letters they show; recognize its text first (OCR)")
    pieces = [
        Piece(line, f"page={number}")
        for number, lines in enumerate(_without_repeated(texts), 1)
        for line in _paragraphs(lines, headings.get(number, {}))
    ]
    return Document(stem(path) if title.lower() in _NO_TITLES else title, tuple(pieces))


def _texts(path: Path, pdf: "PdfDocument") -> list[list[str]]:
    """Return the lines of every page, without blank ones at its ends."""
    texts: list[list[str]] = []
    size = 0
    for page in pdf:
        text = _CONTROL.sub("", page.get_textpage().get_text_bounded().replace(_HYPHEN, "-\n")).strip()
        page.close()  # PDFium keeps the contents of pages that are open
        size += len(text)
        if size > _LARGEST:
            raise InputError(f"{path}: it has more than {_LARGEST:,} characters, which are the most that are read")
        lines = (" ".join(line.split()) for line in text.splitlines())
        texts.append([line for line in lines if not _LEADER.search(line)] if text else [])
    return texts


def _is_unreadable(texts: list[list[str]]) -> bool:
    text = "".join(chain.from_iterable(texts))
    return len(_NO_LETTERS.findall(text)) > _MOST_UNREADABLE * len(text)


def _headings(pdf: "PdfDocument") -> dict[int, Headings]:
    """Return the entries of the outline by page, from 1."""
    found: dict[int, Headings] = {}
    for entry in pdf.get_toc():
        target = entry.get_dest()
        page = None if target is None else target.get_index()
        if page is not None and (title := _normalize(entry.get_title())):
            found.setdefault(page + 1, {}).setdefault(title, entry.level + 2)
    return found


def _normalize(text: str) -> str:
    """Return the letters and digits of a heading, without its number."""
    return re.sub(r"[\W_]", "", re.sub(r"^[\d.]+\s", "", text)).casefold()


def _without_repeated(texts: list[list[str]]) -> Iterator[list[str]]:
    """Yield the lines of every page without headers and footers: page numbers, and first or last lines that are repeated.

    A line that fewer than half of the pages have stays on the first of them, because it may be a heading. Lines that differ
    only in their numbers count as the same.
    """
    ends = Counter(_numberless(line) for lines in texts for line in {*lines[:1], *lines[-1:]})
    most = max(_REPEATED, len(texts) // 2)
    dropped = {line for line, count in ends.items() if count >= most}
    repeated = {line for line, count in ends.items() if count >= _REPEATED}
    for lines in texts:
        start = bool(lines) and _is_margin(lines[0], dropped)
        end = len(lines) > start and _is_margin(lines[-1], dropped)
        dropped |= repeated.intersection(map(_numberless, (*lines[:1], *lines[-1:])))
        yield lines[start : len(lines) - end]


def _is_margin(line: str, dropped: set[str]) -> bool:
    return _numberless(line) in dropped or _PAGE_NUMBER.fullmatch(line) is not None


def _numberless(line: str) -> str:
    return _NUMBER.sub("0", line)


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
    if _HYPHENATED.fullmatch(text, max(len(text) - 2, 0)) and line[:1].islower():
        return text[:-1] + line
    return f"{text} {line}" if text else line
