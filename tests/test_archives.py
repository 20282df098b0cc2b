"""Word and EPUB files: headings, tables, chapters, and what cannot be read."""

import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from written_documents import archive, bomb, docx, epub, save

from ragqa.errors import InputError
from ragqa.text.document_files import read_document
from ragqa.text.passages import split
from ragqa.text.zip_files import ZipFile

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


def test_a_chapter_that_is_not_listed_loses_no_other(tmp_path: Path) -> None:
    package = b"""<package><manifest><item id="a" href="a.xhtml#x" media-type="application/xhtml+xml"/></manifest>
<spine><itemref idref="gone"/><itemref/><itemref idref="a"/></spine></package>"""
    book = epub([], more={"OPS/book.opf": package, "OPS/a.xhtml": b"<p>Text.</p>"})
    assert read_document(save(tmp_path / "a.epub", book)).text == "Text."


def test_word_files_keep_headings_and_the_rows_of_tables(tmp_path: Path) -> None:
    blocks = [(1, "Compost"), (0, "It is rotten & good."), (2, "Use"), (0, "In beds.")]
    page = read_document(save(tmp_path / "a.docx", docx(blocks, [["Bed", "Use"], ["Roses", "yes"]])))
    assert (page.title, page.text.replace("\n\n", "\n")) == (
        "Compost",
        "It is rotten & good.\n== Use ==\nIn beds.\nBed | Use\nRoses | yes",
    )
    assert [(p.section, p.url) for p in split(page)] == [("", page.url), ("Use", f"{page.url}#Use")]
    assert read_document(save(tmp_path / "no heading.docx", docx([(0, "Text.")]))).title == "no heading"


def test_word_files_give_the_words_that_a_reader_sees(tmp_path: Path) -> None:
    run = "<w:r><w:t>{}</w:t></w:r>"
    box = f"<w:r><w:txbxContent><w:p>{run.format('In a box.')}</w:p></w:txbxContent></w:r>"
    body = (
        f'<w:p><w:pPr><w:pStyle w:val="Titel"/></w:pPr>{run.format("My report")}</w:p>'
        f'<w:p><w:pPr><w:pStyle w:val="berschrift1"/></w:pPr>{run.format("Soil")}</w:p>'
        f"<w:p>{run.format('Half a wo')}{run.format('rd')}<w:r><w:br/><w:t>and </w:t></w:r><w:ins>{run.format('new')}</w:ins>"
        f"<w:del><w:r><w:delText>old</w:delText></w:r></w:del><w:moveFrom>{run.format('moved')}</w:moveFrom>.{box}</w:p>"
        f'<w:p><w:pPr><w:pStyle w:val="Mine"/></w:pPr>{run.format("Beds")}</w:p>'
        f"<w:tbl><w:tr><w:tc><w:p>{run.format('Bed')}</w:p></w:tc><w:sdt><w:sdtContent><w:tc><w:p>{run.format('Use')}</w:p>"
        "</w:tc></w:sdtContent></w:sdt></w:tr></w:tbl>"
    )
    styles = (
        '<w:style w:styleId="Titel"><w:name w:val="Title"/></w:style>'
        '<w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>'
        '<w:style w:styleId="Mine"><w:name w:val="Mine"/><w:basedOn w:val="berschrift1"/></w:style>'
    )
    notes = f"<w:footnote><w:p>{run.format('A note.')}</w:p></w:footnote>"
    page = read_document(save(tmp_path / "a.docx", docx([], body=body, styles=styles, footnotes=notes)))
    assert page.title == "My report"
    assert [line for line in page.text.split("\n") if line] == [
        *("== Soil ==", "Half a word and new", "In a box.", "== Beds ==", "Bed | Use", "== Notes ==", "A note."),
    ]


def test_text_boxes_of_old_word_files_are_read(tmp_path: Path) -> None:
    run = "<w:r>{}</w:r>"
    box = "<w:pict><w:txbxContent><w:p><w:r><w:t>In a box.</w:t></w:r></w:p></w:txbxContent></w:pict>"
    page = read_document(save(tmp_path / "a.docx", docx([(0, "Text.")], body=f"<w:p>{run.format(box)}</w:p>")))
    assert page.text.split("\n") == ["Text.", "", "In a box."]


def test_footnotes_have_a_section_of_their_own(tmp_path: Path) -> None:
    blocks = [(1, "Soil"), (2, "Beds"), (0, "In beds. " * 50)]
    notes = f"<w:footnote><w:p><w:r><w:t>{'A note. ' * 50}</w:t></w:r></w:p></w:footnote>"
    passages = split(read_document(save(tmp_path / "a.docx", docx(blocks, footnotes=notes))))
    assert [passage.url.rpartition("#")[2] for passage in passages][:1] == ["Beds"]
    assert passages[-1].text.startswith("A note.")
    assert (passages[0].section, passages[-1].section) == ("Beds", "Notes")
    assert "#" not in passages[-1].url


def test_a_word_file_with_one_heading_of_level_1_is_titled_by_it(tmp_path: Path) -> None:
    chapters = [(1, "Soil"), (0, "Old."), (1, "Beds"), (0, "New.")]
    page = read_document(save(tmp_path / "a.docx", docx(chapters)))
    assert (page.title, [p.section for p in split(page)]) == ("a", ["Soil", "Beds"])


def test_an_archive_is_unpacked_up_to_a_limit_in_all(tmp_path: Path) -> None:
    chapter = f"<p>{'Text. ' * 3_000_000}"
    with pytest.raises(InputError, match=r"a\.epub: its text unpacks to [\d,]+ bytes; at most 33,554,432"):
        read_document(save(tmp_path / "a.epub", epub([chapter, chapter])))
    data = epub(["<p>Text."], more={"OPS/big.bin": bytes(100_000_000)}).replace(b"chapter%200.xhtml", b"big.bin")
    assert read_document(save(tmp_path / "b.epub", data)).text == "Text."
    lying = bytearray(bomb("word/document.xml"))
    for sign, place in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        start = lying.index(sign) + place
        lying[start : start + 4] = (1000).to_bytes(4, "little")
    with pytest.raises(InputError, match=r"c\.docx: not a DOCX file that can be read"):
        read_document(save(tmp_path / "c.docx", bytes(lying)))


def test_a_member_that_states_a_false_size_is_unpacked_only_that_far(tmp_path: Path) -> None:
    lying = bytearray(bomb("word/document.xml"))
    start = lying.index(b"PK\1\2") + 24
    lying[start : start + 4] = (1000).to_bytes(4, "little")
    tracemalloc.start()
    try:
        with pytest.raises(zipfile.BadZipFile):
            ZipFile(tmp_path / "a.docx", bytes(lying)).read("word/document.xml")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.docx", "w", method) as packed:
        packed.writestr("word/document.xml", "<a/>")
    with pytest.raises(InputError, match=rf"a\.docx: its compression is method {method}; only deflate is read"):
        read_document(tmp_path / "a.docx")


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
        ("a.docx", lambda: docx([], body=f"<w:p>{'<w:r>' * 9999}{'</w:r>' * 9999}</w:p>"), "not a DOCX file that can be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, data: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(InputError, match=rf"{name}: {reason}"):
        read_document(save(tmp_path / name, data()))
