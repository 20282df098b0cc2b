"""Marked lines in, a page's text out, laid out like the plain-text extracts of MediaWiki's API."""

import re
from collections.abc import Iterable, Sequence

from ragqa.text.wikitext_elements import BOX, LINES, NOTE, OMITTED, PREFORMATTED

ITEM, TERM = "\x03", "\x04"  # at the start of a line: an item of a list, a term of a definition list

_HEADING = re.compile(r"={1,6} .* ={1,6}")
_KINDS = {NOTE: "note", LINES: "lines", BOX: "box", OMITTED: "omitted", PREFORMATTED: "block", ITEM: "item"}


def lay_out(lines: Iterable[str]) -> str:
    """Join lines with as many newlines as MediaWiki leaves when its tags are taken away.

    A line may begin with a mark: `ITEM`, `TERM`, and those of `wikitext_elements` before placeholders.
    """
    layout = _Layout()
    for line in lines:
        layout.add(line)
    return layout.text()


class _Layout:
    """The lines laid out so far, and the blocks that wait for the first line or for the end of their section."""

    def __init__(self) -> None:
        self._pieces: list[str] = [""]
        self._kind, self._blank_lines = "", 0  # of the last line; number of blank lines after it
        self._last = 0  # index in `_pieces` of the last line that shows something
        self._waiting: list[str] = []
        self._boxes: list[str] = []
        self._in_text = False  # whether the section has a line of text already

    def add(self, line: str) -> None:
        if not line.strip():
            self._blank_lines += 1
            return
        kind, text = _read_line(line)
        if kind == "box":
            self._boxes.append(text)
            self._append("omitted", "")
        elif kind in ("note", "lines"):
            self._add_block(text)
            self._append("omitted", "")  # a paragraph ends here
        elif kind == "heading":
            self._end_section()
            self._append(kind, text)
        elif kind == "omitted":
            self._append(kind, "")
        else:
            self._append(kind, text, before=_before_first_line(self._waiting))
            self._waiting, self._in_text = [], True

    def text(self) -> str:
        self._end_section()
        return re.sub(r"\n{3,}", "\n\n", "".join(self._pieces)).strip()

    def _add_block(self, block: str) -> None:
        """Add a note to the end of the section's last line, or lines below it, or keep it for the section's first line."""
        if not self._in_text:
            self._waiting.append(block)
            return
        own_line = block.startswith(LINES) or self._pieces[self._last].startswith(LINES)
        self._pieces[self._last + 1 :] = ["\n" if own_line else " ", block]
        self._last += 2

    def _end_section(self) -> None:
        if self._waiting:  # the section has no other text
            self._pieces[self._last + 1 :] = ["\n", "\n\n".join(self._waiting)]
            self._last += 2
        if self._boxes:
            self._pieces[self._last + 1 :] = ["\n\n", "\n\n".join(self._boxes)]
        self._waiting, self._boxes, self._in_text = [], [], False

    def _append(self, kind: str, text: str, before: str = "") -> None:
        apart = (
            kind == "heading"
            or (kind != self._kind and self._kind in ("text", "code", "block"))
            or (self._blank_lines > 1 and self._kind != "heading")
        )
        self._pieces += ["\n\n" if apart else "\n", before, text]
        self._kind, self._blank_lines = kind, 0
        if text:
            self._last = len(self._pieces) - 1


def _before_first_line(blocks: Sequence[str]) -> str:
    """Return what comes before the first line of a section: notes on the same line, other blocks as paragraphs."""
    pieces: list[str] = []
    for previous, block in zip(("", *blocks), blocks, strict=False):
        if block.startswith(LINES):
            pieces += ["\n" if previous.startswith(NOTE) else "", block, "\n\n"]
        else:
            pieces += [block, " "]
    return "".join(pieces)


def _read_line(line: str) -> tuple[str, str]:
    """Return the kind of a line and its text."""
    mark, rest = line[0], line[1:].strip()
    if kind := _KINDS.get(mark):
        return kind, line.strip() if mark in (NOTE, LINES, BOX) else rest
    if mark == TERM:
        return "item", "\n".join(part.strip() for part in rest.split(":", 1))
    if mark == " ":
        return "code", line[1:].rstrip()
    return ("heading" if _HEADING.fullmatch(line.strip()) else "text"), line.strip()
