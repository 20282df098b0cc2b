"""Word and EPUB files: headings, tables, chapters, and what cannot be read."""

from collections.abc import Callable
from pathlib import Path

import pytest
from written_documents import archive, bomb, docx, epub, save

from ragqa.errors import InputError
from ragqa.text.document_files import read_document
from ragqa.text.passages import split

CHAPTERS = [
    "<h1>Soil</h1><p>Soil is old.</p>",
    "<h1>Beds</h1><p>A bed is <i>raised</i>.</p><h2>Edges</h2><p>Of wood.</p>",
]


def test_chapters_are_read_in_order_and_cited(tmp_path: Path) -> None:
    page = read_document(save(tmp_path / "book.epub", epub(CHAPTERS, "The garden")))
    assert page.title == "The garden"
    assert page.text.split() == "== Soil == Soil is old. == Beds == A bed is raised. == Edges == Of wood.".split()
    passages = split(page)
    assert [page.text[p.start : p.end] for p in passages] == [p.text for p in passages]
    assert [(p.section, p.url) for p in passages] == [
        ("Soil", f"{page.url}#epubcfi(/6/4!)"),
        ("Beds", f"{page.url}#epubcfi(/6/6!)"),
        ("Edges", f"{page.url}#epubcfi(/6/6!)"),
    ]


def test_word_files_keep_headings_and_the_rows_of_tables(tmp_path: Path) -> None:
    pytest.importorskip("mammoth", reason="pip install mammoth")
    blocks = [(1, "Compost"), (0, "It is rotten & good."), (2, "Use"), (0, "In beds.")]
    page = read_document(save(tmp_path / "a.docx", docx(blocks, [["Bed", "Use"], ["Roses", "yes"]])))
    assert (page.title, page.text.replace("\n\n", "\n")) == (
        "Compost",
        "It is rotten & good.\n== Use ==\nIn beds.\nBed | Use\nRoses | yes",
    )
    assert [(p.section, p.url) for p in split(page)] == [("", page.url), ("Use", f"{page.url}#Use")]
    assert read_document(save(tmp_path / "no heading.docx", docx([(0, "Text.")]))).title == "no heading"


ENCRYPTED = b'<encryption><CipherReference URI="OPS/chapter 1.xhtml"/></encryption>'


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.epub", lambda: b"no zip", "damaged, or not a file of its format"),
        ("a.epub", lambda: epub(CHAPTERS)[:-30], "damaged, or not a file of its format"),
        ("a.epub", lambda: archive({"a.txt": b"x"}), "not an EPUB file that can be read"),
        ("a.epub", lambda: archive({"META-INF/container.xml": b"<a"}), "not an EPUB file that can be read"),
        ("a.epub", lambda: epub(CHAPTERS, more={"META-INF/encryption.xml": ENCRYPTED}), r"its text is encrypted \(DRM\)"),
        ("a.epub", lambda: bomb("OPS/book.opf"), "its text unpacks to 100,000,000 bytes; at most 33,554,432 are read"),
        ("a.epub", lambda: epub(["<img src='a.png'/>"]), "it holds no text"),
        ("a.docx", lambda: bomb("word/document.xml"), "its text unpacks to 100,000,000 bytes; at most 33,554,432"),
        ("a.docx", lambda: b"\xd0\xcf\x11\xe0 old", "it is encrypted or an old .doc file; save it as .docx"),
        ("a.docx", lambda: archive({"a.txt": b"x"}), "not a DOCX file that can be read"),
        ("a.docx", lambda: docx([]), "it holds no text"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, data: Callable[[], bytes], reason: str) -> None:
    if name.endswith("docx"):
        pytest.importorskip("mammoth", reason="pip install mammoth")
    with pytest.raises(InputError, match=rf"{name}: {reason}"):
        read_document(save(tmp_path / name, data()))
