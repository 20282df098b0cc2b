"""Rows of tables become pages with metadata, and are cited by their row."""

import gzip
from pathlib import Path

import pytest

from ragqa.cli import main
from ragqa.errors import InputError, RecordError
from ragqa.records import Page, Passage
from ragqa.storage.json_lines import read_json_lines, write_json_lines
from ragqa.text.pages import read_pages
from ragqa.text.tables import Columns

COLUMNS = Columns("question", "reply")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_rows_of_csv_become_pages_with_metadata(tmp_path: Path, delimiter: str) -> None:
    rows = ["question,reply,year,draft,id,empty", '"How?","In a\nbed.",2024,false,7,', "2024,true,,,,", ""]
    path = tmp_path / ("faq.tsv" if delimiter == "\t" else "faq.csv")
    path.write_bytes("\ufeff".encode() + "\r\n".join(rows).replace(",", delimiter).encode())
    assert list(read_pages(path, columns=COLUMNS)) == [
        Page("How?", path.as_uri(), text="In a\nbed.", metadata={"year": 2024, "draft": False}, places=((0, "row=2"),)),
        Page("2024", path.as_uri(), text="true", places=((0, "row=3"),)),
    ]


def test_tsv_has_tabs_whatever_its_first_line_holds(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("title\ttext, of, several, words\nSoil\tOld.\n")
    (page,) = read_pages(tmp_path / "a.tsv", columns=Columns(text="text, of, several, words"))
    assert (page.title, page.text) == ("Soil", "Old.")


def test_the_name_of_a_column_may_have_several_lines(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'title,"the\ntext"\r\nSoil,Old.\r\n')
    (page,) = read_pages(tmp_path / "a.csv", columns=Columns(text="the\ntext"))
    assert (page.title, page.text, page.places) == ("Soil", "Old.", ((0, "row=2"),))


def test_a_cell_with_line_ends_of_windows_keeps_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'title,text\r\nSoil,"Old.\r\nDeep."\r\n')
    (page,) = read_pages(tmp_path / "a.csv")
    assert (page.text, page.places) == ("Old.\nDeep.", ((0, "row=2"),))


def test_a_row_without_title_is_called_after_its_file_and_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,url\nOne.,https://a.org\nTwo.,\n")
    assert list(read_pages(tmp_path / "a.csv")) == [
        Page("a.csv, row 2", "https://a.org", text="One."),
        Page("a.csv, row 3", (tmp_path / "a.csv").as_uri(), text="Two.", places=((0, "row=3"),)),
    ]


def test_rows_with_missing_and_surplus_cells_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\ufefftitle;text;n\r\nA\r\nB;Two;1;x;y\r\n", encoding="utf8")
    pages = list(read_pages(tmp_path / "a.csv"))
    assert [(page.title, page.text, page.metadata) for page in pages] == [("A", "", {}), ("B", "Two", {"n": 1})]


def test_keys_of_json_lines_are_named(tmp_path: Path) -> None:
    rows = [
        {"question": "How?", "reply": "In a bed.", "year": "2024", "tags": ["a", 1], "more": {"a": 1}},
        {"reply": None},
    ]
    path = tmp_path / "faq.jsonl.gz"
    write_json_lines(path, rows)
    metadata = {"year": "2024", "tags": ("a", "1"), "more": "{'a': 1}"}
    (page, other) = read_pages(path, columns=Columns(text="reply", title=None))
    assert page.text == "In a bed."
    assert (page.metadata, page.places) == ({"question": "How?", **metadata}, ((0, "L1"),))
    assert (other.title, other.text) == ("faq.jsonl.gz, line 2", "")


def test_rows_of_parquet_become_pages(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pip install pyarrow")
    from pyarrow import parquet

    rows = [{"question": "How?", "reply": "In a bed.", "score": 0.5, "tags": ["a"], "none": None}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    (page,) = read_pages(tmp_path / "a.parquet", columns=COLUMNS)
    assert (page.title, page.text, page.places) == ("How?", "In a bed.", ((0, "row=1"),))
    assert page.metadata == {"score": 0.5, "tags": ("a",)}
    whole = (tmp_path / "a.parquet").read_bytes()
    for damaged in (b"no parquet", whole[:4] + bytes(100) + whole[104:]):
        (tmp_path / "a.parquet").write_bytes(damaged)
        with pytest.raises(InputError, match=r"a\.parquet: not a Parquet file that can be read"):
            list(read_pages(tmp_path / "a.parquet", columns=COLUMNS))


@pytest.mark.parametrize(
    ("data", "columns", "reason"),
    [
        (b"a,b\n1,2\n", Columns(), "there is no column 'text', only a, b; name one with --text-column"),
        (b"a,text\n1,2\n", Columns("b"), "there is no column 'b', only a, text; name one with --title-column"),
        (b"a,text\n1,\xe9\n", Columns(), "not UTF-8"),
        (b"a,text\n1," + bytes(10) + b"x" * 200_000, Columns(), "not a table that can be read"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, data: bytes, columns: Columns, reason: str) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(InputError, match=rf"a\.csv: {reason}"):
        list(read_pages(tmp_path / "a.csv", columns=columns))


def test_a_line_that_is_no_object_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"reply": "a", "question": "b"}\n[]\n')
    with pytest.raises(RecordError, match=r"a\.jsonl, line 2: a JSON object is needed"):
        list(read_pages(tmp_path / "a.jsonl", columns=COLUMNS))


def test_passages_takes_the_columns_as_options(tmp_path: Path) -> None:
    (tmp_path / "faq.csv.gz").write_bytes(gzip.compress(b"Q,A,U\nHow?,In a bed.,https://a.org\n"))
    named = ["--title-column", "Q", "--text-column", "A", "--url-column", "U"]
    out = tmp_path / "out.jsonl"
    assert main(["passages", str(tmp_path / "faq.csv.gz"), *named, "--out", str(out)]) == 0
    assert list(read_json_lines(out, Passage)) == [
        Passage("How?#0", "How?", end=9, text="In a bed.", url="https://a.org")
    ]
