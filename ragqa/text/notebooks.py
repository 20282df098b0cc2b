"""A Jupyter notebook in, its title and the text of its cells out: Markdown and code, without outputs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ragqa.errors import InputError
from ragqa.text.documents import Document, Piece, stem
from ragqa.text.markdown import take_title, with_headings, without_markup

_BACKTICKS = re.compile("`+")


def read_notebook(path: Path, text: str) -> Document:
    """Read a notebook of format 3 or 4. The title is the first `#` heading, or else the name of the file.

    The place of a piece is `cell=N`, counted from 1. Outputs are left out. Raises `InputError` for other JSON.
    """
    try:
        notebook = json.loads(text)
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
        pieces = list(without_markup(list(_pieces(cells))))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not a Jupyter notebook of format 3 or 4") from error
    title, pieces = take_title(pieces, stem(path))
    return Document(title, tuple(with_headings(pieces)))


def _fence(lines: list[str]) -> str:
    """Return a fence that is longer than each run of backticks in the code."""
    return "`" * max(3, *(len(run) + 1 for line in lines for run in _BACKTICKS.findall(line)), 3)


def _pieces(cells: list[dict[str, Any]]) -> Iterator[Piece]:
    """Yield the lines of the cells; code is fenced, so that its comments are no headings."""
    for number, cell in enumerate(cells, 1):
        source = cell.get("source", cell.get("input", ""))
        lines = (source if isinstance(source, str) else "".join(source)).strip("\n").split("\n")
        if lines == [""]:
            continue
        if cell["cell_type"] == "heading":  # format 3
            lines = [f"{'#' * cell['level']} {lines[0]}"]
        fence = [_fence(lines)] if cell["cell_type"] == "code" else []
        for line in ("", *fence, *lines, *fence):
            yield Piece(line, f"cell={number}")
