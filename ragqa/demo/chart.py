"""How reranking has moved the passages, as a drawing: one line for each, from its rank by BM25 to its final rank.

A line rises if the passage has risen: ranks that both sides show stand at one height, lower ones follow in their order.
"""

from collections.abc import Sequence

from ragqa.records import Hit

_ROW, _TOP, _WIDTH = 20, 20, 300
_LEFT, _RIGHT = 78, 222  # where the lines begin and end


def draw_movement(hits: Sequence[Hit]) -> str:
    """An SVG of the hits' ranks, with the same told in words."""
    rows = find_rows(hits)
    lines = [_draw_line(hit, rank, row) for rank, (hit, row) in enumerate(zip(hits, rows, strict=True), 1)]
    height = _TOP + _ROW * max(rows)
    return (
        f'<svg class="movement" viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="movement-words">'
        f'<title id="movement-words">{describe_movement(hits)}</title>'
        f'<text class="axis" x="{_LEFT - 10}" y="12" text-anchor="end">BM25</text>'
        f'<text class="axis" x="{_RIGHT + 10}" y="12">reranked</text>{"".join(lines)}</svg>'
    )


def find_rows(hits: Sequence[Hit]) -> list[int]:
    """The row, from 1, of each hit's rank by BM25: that rank, if there are so many hits, else one further down."""
    below = sorted(
        (not hit.bm25_score, hit.bm25_rank, i) for i, hit in enumerate(hits) if not _is_shown(hit, len(hits))
    )
    further = {i: len(hits) + number for number, (_, _, i) in enumerate(below, 1)}
    return [further.get(i, hit.bm25_rank) for i, hit in enumerate(hits)]


def _is_shown(hit: Hit, count: int) -> bool:
    return bool(hit.bm25_score) and hit.bm25_rank <= count


def describe_movement(hits: Sequence[Hit]) -> str:
    """The drawing in words."""
    moves = (f"{from_rank(hit)} to {rank}" for rank, hit in enumerate(hits, 1))
    return f"Ranks by BM25 and after reranking: {', '.join(moves)}."


def from_rank(hit: Hit) -> str:
    """A hit's rank by BM25, if BM25 found it at all."""
    return f"#{hit.bm25_rank}" if hit.bm25_score else "none"


def direction(hit: Hit, rank: int) -> str:
    """Where reranking has moved a hit: up, down or nowhere."""
    if not hit.bm25_score or hit.bm25_rank > rank:
        return "up"
    return "down" if hit.bm25_rank < rank else "same"


def _draw_line(hit: Hit, rank: int, row: int) -> str:
    left, right = (_TOP + _ROW * row - _ROW // 2 for row in (row, rank))
    middle = (_LEFT + _RIGHT) // 2
    return (
        f'<g class="{direction(hit, rank)}">'
        f'<path d="M{_LEFT} {left}C{middle} {left} {middle} {right} {_RIGHT} {right}"/>'
        f'<circle cx="{_LEFT}" cy="{left}" r="3"/><circle cx="{_RIGHT}" cy="{right}" r="3"/>'
        f'<text x="{_LEFT - 10}" y="{left + 4}" text-anchor="end">{from_rank(hit) if hit.bm25_score else "–"}</text>'
        f'<text x="{_RIGHT + 10}" y="{right + 4}">#{rank}</text></g>'
    )
