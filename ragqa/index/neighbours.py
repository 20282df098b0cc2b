"""The passages around a passage on its page."""

from collections.abc import Iterator

from ragqa.errors import InputError
from ragqa.index.bm25 import Bm25Index
from ragqa.records import Passage


def neighbours(index: Bm25Index, passage: Passage, before: int = 1, after: int = 1) -> list[Passage]:
    """The passages around one on its page, in page order, without itself: at most so many before it and after it.

    They are found by the number in the id (`title#number`), else by their places in the index, where passages of a page
    follow each other; a passage that does not surely stand on the same page, behind or before, is not taken. Raises
    `InputError` if the passage is not in the index.
    """
    earlier = list(_walk(index, passage, -1, before))
    return [*reversed(earlier), *_walk(index, passage, 1, after)]


def _walk(index: Bm25Index, passage: Passage, step: int, count: int) -> Iterator[Passage]:
    place = index.place(passage.id)
    for _ in range(count):
        place = _next(index, passage, place, step)
        if place < 0:
            return
        passage = index.passages[place]
        yield passage


def _next(index: Bm25Index, passage: Passage, place: int, step: int) -> int:
    """The place of the passage that follows (`step` 1) or precedes (-1) the one at `place` on its page, or -1 at its end."""
    beside = place + step
    if 0 <= beside < len(index.passages) and _are_neighbours(passage, index.passages[beside], step):
        return beside  # as `split` leaves them
    name, mark, number = passage.id.rpartition("#")
    if not (mark and number.isdecimal()):
        return -1
    try:
        numbered = index.place(f"{name}#{int(number) + step}")
    except InputError:
        return -1
    return numbered if _are_neighbours(passage, index.passages[numbered], step) else -1


def _are_neighbours(passage: Passage, other: Passage, step: int) -> bool:
    """Whether the other follows (`step` 1) or precedes (-1) on the same page, as far as title, address, ids and offsets tell.

    Numbered ids or offsets must give their order; where there is no title to tell the page, both must.
    """
    if _page(passage) != _page(other):
        return False
    (name, _, number), (other_name, _, other_number) = (p.id.rpartition("#") for p in (passage, other))
    numbered = number.isdecimal() and other_number.isdecimal()
    consecutive = numbered and name == other_name and int(other_number) - int(number) == step
    if passage.title and numbered:
        return consecutive
    first, second = (passage, other) if step > 0 else (other, passage)
    return (consecutive or bool(passage.title)) and first.end <= second.start


def _page(passage: Passage) -> tuple[str, str]:
    return passage.title, passage.url.partition("#")[0]
