import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.records import Page
from ragqa.text import table_rows
from ragqa.text.passages import split
from ragqa.text.table_rows import TABLE_NOTE, Cell, cell_text, is_table_row, only_rows, table_text


def head(*texts: str) -> list[Cell]:
    return [Cell(text, is_heading=True) for text in texts]


def row(*texts: str) -> list[Cell]:
    return [Cell(text) for text in texts]


NAMES = head("Name", "Range", "Year")


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ([NAMES, row("Tanh", "-1 to 1", "1990")], ["Name: Tanh; Range: -1 to 1; Year: 1990."]),
        ([NAMES, row("Tanh", "—", "?")], ["Name: Tanh."]),
        ([NAMES, row("Tanh", "✓", "✗")], ["Name: Tanh; Range: yes; Year: no."]),
        ([NAMES, row("Tanh.", "It ends.", "Why?")], ["Name: Tanh; Range: It ends; Year: Why?"]),
        ([NAMES, row("Tanh", "a", "b", "c")], ["Name: Tanh; Range: a; Year: b; c."]),
        ([head("", "Range"), row("Tanh", "a")], ["Tanh; Range: a."]),
        ([NAMES, [Cell("Tanh", is_heading=True), *row("", "")]], []),
        ([NAMES, row("A", "1", "2"), NAMES, row("B", "3", "4")],
         ["Name: A; Range: 1; Year: 2.", "Name: B; Range: 3; Year: 4."]),
        ([NAMES, row("A", "1", "2"), head("Name", "Cost"), row("B", "3")],
         ["Name: A; Range: 1; Year: 2.", "Name: B; Cost: 3."]),
        ([row("a", "b"), row("c", "")], ["a, b.", "c."]),
        ([[*head("Born"), *row("1909", "Berlin")]], ["Born: 1909, Berlin."]),
        ([head("Born", "Died"), row("1909", "1980")], ["Born: 1909; Died: 1980."]),
        ([head("Words"), row("one"), row("two")], ["Words: one.", "Words: two."]),
        ([[Cell("A", is_bold=True), Cell("B", is_bold=True)], row("1", "2")], ["A: 1; B: 2."]),
        ([[Cell("A", is_bold=True), Cell("B")], row("1", "2")], ["A, B.", "1, 2."]),
    ],
)  # fmt: skip
def test_a_row_is_a_line(rows: list[list[Cell]], lines: list[str]) -> None:
    text = table_text("", rows)
    assert text == "\n".join(lines) or (not lines and TABLE_NOTE.fullmatch(text))


def test_cells_count_in_all_rows_and_columns_that_they_cover() -> None:
    rows = [
        [Cell("Name", True, rows=2), Cell("Error", True, columns=2), Cell("Cost", True, rows=2)],
        head("Top 1", "Top 5"),
        [Cell("A", rows=2), *row("10", "2"), Cell("low", rows=3)],
        row("9", "1"),
        [Cell("B"), Cell("none", columns=2)],
        [Cell("C"), Cell("all", columns=9, rows=9)],
        row(),
    ]
    assert table_text("", rows).split("\n") == [
        "Name: A; Error, Top 1: 10; Error, Top 5: 2; Cost: low.",
        "Name: A; Error, Top 1: 9; Error, Top 5: 1; Cost: low.",
        "Name: B; Error, Top 1, Error, Top 5: none; Cost: low.",
        "Name: C; Error, Top 1, Error, Top 5, Cost: all.",
        "Error, Top 1, Error, Top 5, Cost: all.",
    ]


def test_a_heading_across_the_table_is_its_caption_or_stands_before_its_rows() -> None:
    group = [Cell("Deep", is_heading=True, columns=3)]
    rows = [group, NAMES, row("A", "1", "2"), [Cell("Old", is_heading=True, columns=3)], row("B", "3", "4")]
    first, second = "Name: A; Range: 1; Year: 2.", "Old – Name: B; Range: 3; Year: 4."
    assert table_text("", rows).split("\n") == ["Deep:", first, second]
    assert table_text("Networks", rows).split("\n") == ["Networks:", f"Deep – {first}", second]
    assert table_text("", [group, [*head("Born"), *row("1909")]], is_box=True) == "Name: Deep.\nBorn: 1909."


def test_a_table_that_says_nothing_becomes_a_note() -> None:
    assert table_text("", []) == "[A table was here]"
    assert table_text("Sizes [sic].", [NAMES]) == "[A table was here: Sizes (sic)]"
    assert table_text("", [head("Name", "", "{\\displaystyle x}"), row("—", "")]) == "[A table was here: Name]"


def test_the_end_of_a_long_table_becomes_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [NAMES, *(row(f"Network {number}", "0 to 1", "1990") for number in range(2000))]
    *lines, note = table_text("All", rows).split("\n")
    assert lines[0] == "All:"
    assert lines[-1] == f"Name: Network {len(lines) - 2}; Range: 0 to 1; Year: 1990."
    assert 0.99 * table_rows.MOST_CHARS < sum(map(len, lines[1:])) <= table_rows.MOST_CHARS
    assert note == f"[A table was here: {2001 - len(lines):,} more rows]"
    monkeypatch.setattr(table_rows, "MOST_CHARS", 50)
    assert table_text("", rows[:3]).split("\n")[1:] == ["[A table was here: 1 more row]"]
    monkeypatch.setattr(table_rows, "MOST_CHARS", 0)
    assert table_text("", rows) == "[A table was here: Name, Range, Year]"


def test_a_long_row_is_cut_into_lines_that_begin_with_its_first_cell() -> None:
    columns = [f"Column {number}" for number in range(40)]
    lines = table_text("", [head("Name", *columns), row("Net", *(f"value {number}" for number in range(40)))]).split(
        "\n"
    )
    assert len(lines) > 2
    assert all(line.startswith("Name: Net; Column ") and len(line) <= table_rows.LONGEST_LINE + 30 for line in lines)
    assert [word for line in lines for word in line.split("; ")[1:]] == [
        f"Column {n}: value {n}" + ("." if any(line.endswith(f" {n}.") for line in lines) else "") for n in range(40)
    ]


def test_passages_end_where_rows_end() -> None:
    rows = [head("Name", "Meaning"), *(row(f"Term {n}", "what it means, in some words. And more") for n in range(60))]
    page = Page("A", text=f"There are these:\n{table_text('', rows)}\n\nThe end.")
    passages = split(page)
    assert len(passages) > 5
    assert all(page.text[p.start : p.end] == p.text for p in passages)
    assert all(p.text.startswith(("Name: Term", "There")) and p.text.endswith("And more.") for p in passages[:-1])


@pytest.mark.parametrize(
    ("text", "data", "heading"),
    [
        ("one\ntwo\n\n three ", "one, two, three", "one two three"),
        ("10\x0f(in 1990)", "10 (in 1990)", "10 (in 1990)"),
        ("here and\nthere,\nor:\nnot", "here and there, or: not", "here and there, or: not"),
        ("\x03item\n\x03item", "item, item", "item item"),
        ("\n\n", "", ""),
    ],
)
def test_lines_in_a_cell_are_joined(text: str, data: str, heading: str) -> None:
    assert (cell_text(text), cell_text(text, is_heading=True)) == (data, heading)


@pytest.mark.parametrize(
    ("line", "is_row"),
    [
        ("Name: Tanh; Range: -1 to 1.", True),
        ("Deep – Name: Tanh; 5; Range: -1 to 1.", True),
        ("kernel: a function of two points.", False),
        ("There are two kinds: linear kernels; others are not linear.", False),
        ("It is small. The other is large; here: 5.", False),
        ("There are two kinds: lasso, which is sparse; also: ridge.", False),
        ("Two kinds exist: lasso, which is sparse; also: ridge.", False),
        ("The method has two steps: sampling; the second step is this: fitting.", False),
        ("mean: 5; standard deviation: 2.", True),
        ("Name: Tanh; Is smooth: yes; Others: It is so.", True),
    ],
)
def test_rows_are_told_from_prose(line: str, is_row: bool) -> None:
    assert is_table_row(line) == is_row
    assert only_rows(f"Kinds of networks:\nBorn: 1909.\n{line}\n[A table was here: x]") == (
        is_row or line[:6] == "kernel"
    )


CELLS = st.builds(
    Cell,
    st.sampled_from(["", "—", "word", "two words", "a; b: c.", "{\\displaystyle x}"]),
    st.booleans(),
    st.integers(0, 120),
    st.integers(0, 3),
)


@given(st.lists(st.lists(CELLS, max_size=5), max_size=8), st.sampled_from(["", "A caption"]), st.booleans())
def test_every_table_can_be_written(rows: list[list[Cell]], caption: str, is_box: bool) -> None:
    text = table_text(caption, rows, is_box=is_box)
    assert text
    assert text == text.strip()
    assert "\n\n" not in text


@pytest.mark.parametrize("cell", [Cell("a", columns=99_999), Cell("a", rows=99_999), Cell("a", True, 1000, 1000)])
def test_cells_that_claim_to_cover_all_take_no_time(cell: Cell) -> None:
    start = time.process_time()
    table_text("", [[cell, Cell("b")]] * 2000)
    assert time.process_time() - start < 5
