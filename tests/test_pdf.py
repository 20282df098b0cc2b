"""PDF files: paragraphs, headings of the outline, and citations by page."""

import io
import subprocess
import sys
import time
from pathlib import Path

import pytest
from written_documents import pdf, save

from ragqa.errors import InputError
from ragqa.text.document_files import read_document
from ragqa.text.document_folders import read_folder
from ragqa.text.passages import split
from ragqa.text.pdf import _LEADER, _paragraphs

pypdf = pytest.importorskip("pypdf", reason="pip install pypdf")
pytest.importorskip("pypdfium2", reason="pip install pypdfium2")

PAGES = (
    "Garden notes 1|Compost is made of leaves and of what a kit-|chen leaves over. It takes about a year until|it is ripe.",
    "Garden notes 2|1.2 Using it|Ripe compost is dark and smells of a forest.|- on beds|- on lawns",
    "Garden notes 3|The end of these notes is here.",
)
LINES = [page.split("|") for page in PAGES]


def with_outline(data: bytes, password: str = "") -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    writer.add_outline_item(title="Using it", page_number=1)
    if password:
        writer.encrypt(user_password=password, algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_a_pdf_is_cited_by_page_under_the_headings_of_its_outline(tmp_path: Path) -> None:
    page = read_document(save(tmp_path / "a.pdf", with_outline(pdf(LINES, "Garden"))))
    assert page.title == "Garden"
    assert page.text.split("\n") == [
        "Compost is made of leaves and of what a kitchen leaves over. It takes about a year until it is ripe.",
        *(
            "",
            "== 1.2 Using it ==",
            "Ripe compost is dark and smells of a forest.",
            "- on beds",
            "- on lawns",
        ),
        "The end of these notes is here.",
    ]
    passages = split(page, 130)
    assert [page.text[p.start : p.end] for p in passages] == [p.text for p in passages]
    assert [(p.section, p.url.rpartition("#")[2]) for p in passages] == [
        ("", "page=1"), ("1.2 Using it", "page=2"),
    ]  # fmt: skip
    assert split(page, 40)[-1].url == f"{(tmp_path / 'a.pdf').as_uri()}#page=3"


def test_a_pdf_without_title_is_titled_by_its_name(tmp_path: Path) -> None:
    for title in ("", "untitled"):
        assert read_document(save(tmp_path / "my notes.pdf", pdf([["Text."]], title))).title == "my notes"


def test_page_numbers_are_no_text(tmp_path: Path) -> None:
    page = read_document(save(tmp_path / "a.pdf", pdf([["Text of one.", "Page 1 of 2"], ["Text of two.", "- 2 -"]])))
    assert page.text == "Text of one.\nText of two."


def test_running_titles_and_tables_of_contents_are_no_text(tmp_path: Path) -> None:
    titles = ["Notes i", "Notes ii", *[f"Soil {page}" for page in range(3, 6)], *["Beds"] * 7]
    texts = [f"{'These are the words of a page. ' * 2}{chr(65 + number)}" for number in range(len(titles))]
    pages = [[title, text] for title, text in zip(titles, texts, strict=True)]
    pages[0][1:] = ["Soil . . . . . . . . 12", "Beds......14", texts[0]]
    lines = read_document(save(tmp_path / "a.pdf", pdf(pages))).text.split("\n")
    assert lines == ["Notes i", texts[0], "Notes ii", texts[1], "Soil 3", *texts[2:]]


def test_a_pdf_whose_fonts_name_no_letters_is_not_read(tmp_path: Path) -> None:
    shown = b"/ToUnicode 9 0 R /Subtype /Type1"
    data = pdf([["abc abc abc"]]).replace(b"/Subtype /Type1", shown)
    names = b"begincmap 1 begincodespacerange <00> <ff> endcodespacerange 1 beginbfrange <61> <63> <2701> endbfrange endcmap"
    stream = b"9 0 obj\n<< /Length %d >>\nstream\n%s\nendstream\nendobj\n" % (len(names), names)
    with pytest.raises(InputError, match=r"a\.pdf: its fonts do not say which letters they show"):
        read_document(save(tmp_path / "a.pdf", data.replace(b"xref\n", stream + b"xref\n", 1)))


def test_dots_and_long_paragraphs_take_time_that_grows_with_their_length() -> None:
    start = time.process_time()
    assert _LEADER.search("." * 20_000 + " and more words") is None
    assert len(list(_paragraphs(["word " * 6] * 6_000, {}))) == 1
    assert time.process_time() - start < 3


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_a_pdf_that_opens_without_password_is_read(tmp_path: Path, algorithm: str) -> None:
    if algorithm.startswith("AES"):
        pytest.importorskip("cryptography", reason="pip install cryptography")
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(LINES)))
    writer.encrypt(user_password="", owner_password="owner", algorithm=algorithm)
    writer.write(tmp_path / "a.pdf")
    assert "It takes about a year" in read_document(tmp_path / "a.pdf").text


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (with_outline(pdf(LINES), "secret"), "it is encrypted; save it without a password"),
        (pdf([[], []]), r"its 2 pages hold no text; if it is scanned, recognize its text first \(OCR\)"),
        (b"%PDF", "not a PDF file that can be read"),
        (b"no PDF", "not a PDF file that can be read"),
        (pdf(LINES)[:300], "not a PDF file that can be read"),
    ],
)
def test_what_cannot_be_read_is_named_and_loses_nothing_else(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=rf"a\.pdf: {reason}"):
        read_document(save(tmp_path / "a.pdf", data))
    save(tmp_path / "b.pdf", pdf(LINES))
    reports: list[str] = []
    assert [page.title for page in read_folder(tmp_path, reports.append)] == ["b"]
    assert len(reports) == 1


def test_what_reads_pdf_is_loaded_only_for_them(tmp_path: Path) -> None:
    save(tmp_path / "a.html", b"<p>Text.")
    code = (
        "import sys\nfrom ragqa.text.pages import read_pages\n"
        f"list(read_pages({str(tmp_path)!r}))\nprint(sorted({{'pypdfium2'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
