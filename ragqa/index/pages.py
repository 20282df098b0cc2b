"""An index in, its pages out: their titles and revisions, and the passages of one page."""

import json
from contextlib import suppress

from ragqa.errors import InputError
from ragqa.index.folder import PAGES, group_by_page, revision
from ragqa.index.interface import Index
from ragqa.index.neighbours import neighbours
from ragqa.records import Passage


def read_pages(index: Index) -> dict[str, int | None]:
    """Return the pages as title to revision, from their own file if there is one: reading all passages is slow."""
    with suppress(OSError, ValueError, TypeError):
        if index.generation is not None:
            return dict(json.loads((index.generation / PAGES).read_bytes()))
    return {title: revision(own[0]) for title, own in group_by_page(index.passages).items()}


def passages_of(index: Index, title: str) -> list[Passage]:
    """Return the passages of a page, in order."""
    try:
        first = index.passages[index.position(f"{title}#0")]
    except InputError:  # ids of another kind
        return [passage for passage in index.passages if passage.title == title]
    return [first, *neighbours(index, first, 0, len(index.passages))]
