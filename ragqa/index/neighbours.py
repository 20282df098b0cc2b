"""The passages before and after a passage on its page."""

from collections.abc import Iterator

from ragqa.errors import InputError
from ragqa.index.interface import Index
from ragqa.records import Passage


def neighbours(index: Index, passage: Passage, before: int = 1, after: int = 1) -> list[Passage]:
    """Return the passages around `passage` on its page, in page order: at most `before` before it, `after` after it.

    A neighbour is the next passage in the index, where passages of a page follow each other, or the one with the next number
    in its id (`title#number`). It is left out unless it is certain to be on the same page and in this order. Raises
    `InputError` if `passage` is not in the index.
    """
    earlier = list(_walk(index, passage, -1, before))
    return [*reversed(earlier), *_walk(index, passage, 1, after)]


def _walk(index: Index, passage: Passage, step: int, count: int) -> Iterator[Passage]:
    position = index.position(passage.id)
    for _ in range(count):
        position = _next(index, passage, position, step)
        if position < 0:
            return
        passage = index.passages[position]
        yield passage


def _next(index: Index, passage: Passage, position: int, step: int) -> int:
    """The position of the passage after (`step` 1) or before (-1) the one at `position` on its page, -1 if there is none."""
    adjacent = position + step
    if 0 <= adjacent < len(index.passages) and _are_neighbours(passage, index.passages[adjacent], step):
        return adjacent  # the order that `split` gives
    name, mark, number = passage.id.rpartition("#")
    if not (mark and number.isdecimal()):
        return -1
    try:
        numbered = index.position(f"{name}#{int(number) + step}")
    except InputError:
        return -1
    return numbered if _are_neighbours(passage, index.passages[numbered], step) else -1


def _are_neighbours(passage: Passage, other: Passage, step: int) -> bool:
    """Return True if `other` follows (`step` 1) or precedes (-1) `passage` on the same page.

    Title and URL must be equal, and the numbers in the ids or the offsets must give this order. Passages without a title need
    both.
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
