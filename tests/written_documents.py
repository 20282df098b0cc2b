"""PDF, DOCX and EPUB files that the tests write byte by byte."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
_MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"


def pdf(pages: Sequence[Sequence[str]], title: str = "") -> bytes:
    """A PDF file with these lines on its pages."""
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>"
    numbers = range(4, 4 + 2 * len(pages), 2)
    kids = " ".join(f"{number} 0 R" for number in numbers)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        font,
    ]
    for number, lines in zip(numbers, pages, strict=True):
        shown = "".join(f"({line.replace('(', '[').replace(')', ']')}) Tj T*\n" for line in lines)
        stream = f"BT /F1 10 Tf 14 TL 40 800 Td\n{shown}ET".encode("latin-1")
        page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {number + 1} 0 R"
        objects += [
            f"{page} /Resources << /Font << /F1 3 0 R >> >> >>".encode(),
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        ]
    objects.append(f"<< /Title ({title}) >>".encode())
    return _numbered(objects)


def _numbered(objects: Sequence[bytes]) -> bytes:
    """A PDF file of objects; the last one is its metadata."""
    data = b"%PDF-1.4\n"
    offsets: list[int] = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(objects) + 1
    head = b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table)
    trailer = b"trailer << /Size %d /Root 1 0 R /Info %d 0 R >>" % (count, count - 1)
    return data + head + trailer + b"\nstartxref\n%d\n%%%%EOF\n" % len(data)


def docx(
    blocks: Sequence[tuple[int, str]],
    rows: Sequence[Sequence[str]] = (),
    *,
    body: str = "",
    styles: str = "",
    footnotes: str = "",
) -> bytes:
    """A Word file with paragraphs, each with the level of its heading (0 for text), and then a table and `body`."""
    text = "".join(_paragraph(level, text) for level, text in blocks)
    cells = ("".join(f"<w:tc>{_paragraph(0, cell)}</w:tc>" for cell in row) for row in rows)
    table = "".join(f"<w:tr>{row}</w:tr>" for row in cells)
    text += (f"<w:tbl>{table}</w:tbl>" if rows else "") + body
    types = (
        f'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        f'<Override PartName="/word/document.xml" ContentType="{_MAIN}"/></Types>'
    )
    relation = f'<Relationship Id="r" Type="{_OFFICE}" Target="word/document.xml"/>'
    relations = f'<Relationships xmlns="{_RELATIONS}">{relation}</Relationships>'
    document = f'<w:document xmlns:w="{_WORD}"><w:body>{text}</w:body></w:document>'
    names = {"[Content_Types].xml": types, "_rels/.rels": relations, "word/document.xml": document}
    kind = _OFFICE.removesuffix("officeDocument")
    others = {"styles": styles, "footnotes": footnotes}
    names |= {f"word/{name}.xml": f'<w:x xmlns:w="{_WORD}">{part}</w:x>' for name, part in others.items() if part}
    related = "".join(f'<Relationship Id="{name}" Type="{kind}{name}" Target="{name}.xml"/>' for name in others)
    names["word/_rels/document.xml.rels"] = f'<Relationships xmlns="{_RELATIONS}">{related}</Relationships>'
    return archive({name: part.encode() for name, part in names.items()})


def _paragraph(level: int, text: str) -> str:
    style = f'<w:pPr><w:pStyle w:val="Heading{level}"/></w:pPr>' if level else ""
    return f"<w:p>{style}<w:r><w:t>{escape(text)}</w:t></w:r></w:p>"


def epub(chapters: Sequence[str], title: str = "A book", more: dict[str, bytes] | None = None) -> bytes:
    """An EPUB file whose chapters are these bodies in HTML, after a table of contents."""
    container = '<container><rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>'
    items = "".join(
        f'<item id="c{n}" href="chapter%20{n}.xhtml" media-type="application/xhtml+xml"/>' for n in range(len(chapters))
    )
    order = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    package = (
        f'<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>{title}</dc:title></metadata>'
        f'<manifest><item id="nav" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>{items}</manifest>'
        f'<spine><itemref idref="nav"/>{order}</spine></package>'
    )
    files = {"META-INF/container.xml": container, "OPS/book.opf": package, "OPS/nav.xhtml": "<p>Contents</p>"}
    files |= {f"OPS/chapter {n}.xhtml": f"<html><body>{body}</body></html>" for n, body in enumerate(chapters)}
    return archive({name: text.encode() for name, text in files.items()} | (more or {}))


def archive(files: dict[str, bytes]) -> bytes:
    """A zip archive of these files."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return data.getvalue()


def bomb(name: str) -> bytes:
    """A small zip archive with a file that unpacks to 100 MB."""
    return archive({name: bytes(100_000_000)})


def save(path: Path, data: bytes) -> Path:
    """Write a file and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
