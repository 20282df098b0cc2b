"""The cells of a table in, lines of text out: one line for each row, such as `Name: Sigmoid; Range: 0 to 1.`"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ragqa.text.wikitext_elements import BOX, BREAK, CONTROL, FORMULA_START, LINES, NOTE, OMITTED_LINE, store

TABLE_NOTE = re.compile(r"\[A table was here(?:: [^\[\]\n]*)?\]")
LINK_BOX = re.compile(r"navbox|metadata|sidebar|[atfci]mbox|\btoc\b|noprint", re.IGNORECASE)  # classes
INFOBOX = re.compile("infobox", re.IGNORECASE)

MOST_CHARS = 20_000  # of the lines of a table; the rows after that are left out
LONGEST_LINE = 300  # characters; a longer row becomes several lines if its table has headings
_LONGEST_KEY = 100  # characters of a first cell that is repeated in each line of a row
_LONGEST_LABEL = 150  # characters
_MOST_COLUMNS = 100
_MOST_ROWS = 1000  # that one cell may cover
_MOST_HEADINGS = 3  # columns that are named for a cell that covers several

_MARKS = {**dict.fromkeys("✓✔☑✅", "yes"), **dict.fromkeys("✗✘☒❌", "no")}
_GOES_ON = re.compile(
    r"\b(?:and|or|of|the|an?|in|on|for|to|with|by|from|as|per)$|&$"
)  # a line that ends so is not a list's
_ROW = re.compile(r"([^:;.!?\n]{1,80}): [^\n]*?; ([^:;\n]{1,80}): ")
_CLAUSE = re.compile(  # in what stands before a colon in prose
    r"\b(?:there|it|they|we|you|this|these|those|is|are|was|were|has|have|had|can|may|must|will|following)\b|"
    r"^(?:also|and|but|or|so|thus|then|hence|finally|next|another|others?|for (?:example|instance)|that is|namely|in [a-z ]+)$"
)
_BOX_LINE = re.compile(r"[^:;.!?\n]{1,40}: [^;\n]{1,200}[.!?…]")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: its text on one line, and how many columns and rows it covers."""

    text: str
    is_heading: bool = False
    columns: int = 1
    rows: int = 1
    is_bold: bool = False


def table_block(caption: str, rows: Iterable[Sequence[Cell]], stored: list[str], *, is_box: bool = False) -> str:
    """Store the text of a table and return its placeholder, between line ends.

    Return `OMITTED_LINE` for an infobox without rows.
    """
    text = table_text(caption, rows, is_box=is_box)
    if not TABLE_NOTE.fullmatch(text):
        return f"\n{BOX if is_box else LINES}{store(text, stored)}\n"
    return OMITTED_LINE if is_box else f"\n{NOTE}{store(text, stored)}\n"


def table_text(caption: str, rows: Iterable[Sequence[Cell]], *, is_box: bool = False) -> str:
    """Return the caption of a table and a line for each of its rows.

    A row is `Column: value; Column: value.` Without column headings it is `Heading: value, value.` if its first cell is a
    heading, otherwise `value, value.` A heading across the whole table is its caption if it comes first, otherwise it stands
    before each row below it. Cells that cover several rows or columns count in each of them. Cells without letters and digits
    are left out. In a table with headings, a row of more than `LONGEST_LINE` characters becomes several lines that begin with
    its first cell; a long cell makes a longer line. The rows after `MOST_CHARS` characters become a note. A table whose rows
    say nothing becomes a note with its caption or headings.
    """
    table = _Table(_clean(caption), _with_bold_headings([*_expand(rows)]))
    lines: list[str] = []
    size = left_out = 0
    for row in table.rows():
        size += sum(map(len, row))
        left_out += size > MOST_CHARS
        lines += row if size <= MOST_CHARS else ()
    if not lines:
        return make_note(table.caption or ", ".join(table.headings))
    if table.caption:
        lines.insert(0, f"Name: {table.caption}." if is_box else f"{table.caption}:")
    if left_out:
        lines.append(make_note("1 more row" if left_out == 1 else f"{left_out:,} more rows"))
    return "\n".join(lines)


def make_note(label: str) -> str:
    """Return the note for what is left out of a table: its caption, its headings, or a number of rows."""
    if len(label) > _LONGEST_LABEL:
        label = label[:_LONGEST_LABEL].rsplit(" ", 1)[0] + " …"
    label = label.replace("[", "(").replace("]", ")").rstrip(" .,;:!?")
    return f"[A table was here: {label}]" if label else "[A table was here]"


def cell_text(text: str, *, is_heading: bool = False) -> str:
    """Return the text of a cell on one line. Lines of data are joined by commas, those of headings by spaces."""
    joined = ""
    lines = CONTROL.sub(" ", text.replace(BREAK, "\n")).split("\n")
    for line in (" ".join(line.split()) for line in lines):
        if joined and line:
            apart = is_heading or joined[-1] in ",;:.–-(/" or line[0] in "(–-/,;" or _GOES_ON.search(joined[-8:])
            joined += " " if apart else ", "
        joined += line
    return joined


def read_span(attribute: str) -> int:
    """Return how many columns or rows a cell covers, from the value of its `colspan` or `rowspan`: 1 if that is none."""
    value = attribute.strip()
    return max(1, int(value)) if value.isdecimal() and len(value) < 6 else 1


def is_table_row(line: str) -> bool:
    """Return True if a line reads like a row of a table: `Column: value; Column: value.` Column headings are no clauses."""
    row = _ROW.match(line)
    return row is not None and not any(map(_CLAUSE.search, row.groups()))


def only_rows(text: str) -> bool:
    """Return True if all lines of a text read like rows of tables, their captions, or lines of an infobox."""
    lines = [line.strip() for line in TABLE_NOTE.sub("", text).split("\n")]
    rows = [line for line in lines if line and not line.endswith(":")]
    return bool(rows) and all(is_table_row(line) or _BOX_LINE.fullmatch(line) for line in rows)


class _Table:
    """Reads the rows of a table one after the other: headings that it has met hold for the rows below them."""

    def __init__(self, caption: str, grid: Sequence[Sequence[Cell]]) -> None:
        self.caption = caption
        self.headings: list[str] = []  # of the first row of headings
        self._grid = grid
        self._width = max(map(len, grid), default=0)
        self._labels: list[str] = []
        self._group = ""

    def rows(self) -> Iterator[list[str]]:
        """Yield the lines of each row that says something."""
        after_headings = started = False
        for slots in self._grid:
            cells = _distinct(slots)
            if self._is_title(cells):
                self._read_title(_clean(cells[0].text), started=started)
                after_headings = False
            elif self._is_heading_row(cells):
                self._read_headings(slots, below=after_headings)
                after_headings = started = True
            elif lines := self._lines(slots):
                yield lines
                after_headings, started = False, True

    def _is_title(self, cells: Sequence[Cell]) -> bool:
        return len(cells) == 1 and cells[0].is_heading and self._width > 1

    def _is_heading_row(self, cells: Sequence[Cell]) -> bool:
        named = [cell for cell in cells if cell.text]
        return all(cell.is_heading for cell in named) and (len(named) > 1 or all(c.is_heading for c in cells))

    def _read_title(self, title: str, *, started: bool) -> None:
        if started or self.caption:
            self._group = title
        else:
            self.caption = title

    def _read_headings(self, slots: Sequence[Cell], *, below: bool) -> None:
        above = self._labels if below else []
        labels = [_clean(cell.text) for cell in slots]
        above = above + [""] * (len(labels) - len(above))
        self._labels = [
            label if not name or name == label or name.endswith(f", {label}") else f"{name}, {label}".rstrip(", ")
            for name, label in zip(above, labels, strict=False)
        ]
        if not self.headings:
            self.headings = [label for label in dict.fromkeys(labels) if label and FORMULA_START not in label]

    def _lines(self, slots: Sequence[Cell]) -> list[str]:
        parts = [*self._parts(slots)]
        if not parts or (len(parts) == 1 and slots[0].is_heading and len(slots) > 1):
            return []
        group = f"{self._group} – " if self._group and len(parts) > 1 else ""
        if any(self._labels):
            return [_sentence(group + line) for line in _fold(parts)]
        heading = f"{parts[0]}: " if slots[0].is_heading and len(parts) > 1 else ""
        return [_sentence(group + heading + ", ".join(parts[1:] if heading else parts))]

    def _parts(self, slots: Sequence[Cell]) -> Iterator[str]:
        """Yield the cells of a row that say something, each with the headings of its columns.

        Neighbours below the same heading are one part.
        """
        said: list[tuple[str, list[str]]] = []
        start = 0
        while start < len(slots):
            cell, end = slots[start], start + 1
            while end < len(slots) and slots[end] is cell:
                end += 1
            if value := _value(cell.text):
                label = self._label(start, end)
                if said and label and said[-1][0] == label:
                    said[-1][1].append(value)
                else:
                    said.append((label, [value]))
            start = end
        for label, values in said:
            yield f"{label}: {', '.join(values)}" if label else values[0]

    def _label(self, start: int, end: int) -> str:
        labels = [label for label in dict.fromkeys(self._labels[start:end]) if label]
        return ", ".join(labels) if len(labels) <= _MOST_HEADINGS else ""


def _expand(rows: Iterable[Sequence[Cell]]) -> Iterator[list[Cell]]:
    """Yield the cells of each row by column, those that cover several rows or columns in each of these."""
    covering: dict[int, tuple[Cell, int]] = {}  # by column: a cell from above, and how many rows it still covers
    for row in rows:
        slots: list[Cell] = []
        for cell in row:
            _fill(slots, covering)
            for _ in range(min(cell.columns, _MOST_COLUMNS - len(slots))):
                if cell.rows > 1:
                    covering[len(slots)] = cell, min(cell.rows, _MOST_ROWS) - 1
                slots.append(cell)
        last = max(covering, default=-1)
        while len(slots) <= last:
            _fill(slots, covering)
            slots += [Cell("")] if len(slots) <= last else []
        yield slots


def _fill(slots: list[Cell], covering: dict[int, tuple[Cell, int]]) -> None:
    """Append the cells from above that cover the next columns."""
    while found := covering.get(len(slots)):
        cell, left = found
        if left > 1:
            covering[len(slots)] = cell, left - 1
        else:
            del covering[len(slots)]
        slots.append(cell)


def _with_bold_headings(grid: list[list[Cell]]) -> list[list[Cell]]:
    """Take a first row of bold cells for headings if the table has no others."""
    if len(grid) < 2 or any(cell.is_heading for row in grid for cell in row):
        return grid
    first = [cell for cell in grid[0] if cell.text]
    if len(first) > 1 and all(cell.is_bold for cell in first):
        return [[replace(cell, is_heading=True) for cell in grid[0]], *grid[1:]]
    return grid


def _distinct(slots: Sequence[Cell]) -> list[Cell]:
    return [cell for cell, before in zip(slots, (None, *slots), strict=False) if cell is not before]


def _fold(parts: Sequence[str]) -> list[str]:
    """Join the parts of a row to one line, or to several that begin with its first part."""
    key = parts[0] if len(parts[0]) <= _LONGEST_KEY else parts[0][:_LONGEST_KEY].rsplit(" ", 1)[0] + " …"
    lines = [parts[0]]
    for number, part in enumerate(parts[1:]):
        if number and len(lines[-1]) + len(part) > LONGEST_LINE:
            lines.append(f"{key}; {part}")
        else:
            lines[-1] += f"; {part}"
    return lines


def _value(text: str) -> str:
    """Return what a cell says, or nothing if it holds no letter or digit."""
    mark = _MARKS.get(text.strip(" \ufe0f"), text)
    return mark.rstrip(" .;,") if any(character.isalnum() for character in mark) else ""


def _clean(label: str) -> str:
    return label.strip().rstrip(" .:;,") if any(character.isalnum() for character in label) else ""


def _sentence(line: str) -> str:
    return line if line.endswith((".", "!", "?", "…")) else f"{line}."
