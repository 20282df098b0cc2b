"""How reranking moved the passages: each hit's rank by BM25 next to its final rank, for the drawing and in words."""

from collections.abc import Sequence

from ragqa.records import Hit


def find_rows(hits: Sequence[Hit]) -> list[int]:
    """Return the row, from 1, at which each hit's line starts in the drawing.

    The row is the hit's rank by BM25 if that rank is on both sides of the drawing. Other hits follow below, in BM25's order.
    """
    below = sorted((not hit.bm25_score, hit.bm25_rank, i) for i, hit in enumerate(hits) if not _fits(hit, len(hits)))
    rows = {i: len(hits) + number for number, (_, _, i) in enumerate(below, 1)}
    return [rows.get(i, hit.bm25_rank) for i, hit in enumerate(hits)]


def _fits(hit: Hit, count: int) -> bool:
    return bool(hit.bm25_score) and hit.bm25_rank <= count


def describe_movement(hits: Sequence[Hit]) -> str:
    """Return the drawing in words."""
    moves = (f"{f'#{hit.bm25_rank}' if hit.bm25_score else 'none'} to {rank}" for rank, hit in enumerate(hits, start=1))
    return f"Ranks by BM25 and after reranking: {', '.join(moves)}."


def direction(hit: Hit, rank: int) -> str:
    """Return where reranking moved a hit: "up", "down" or "same". A hit that BM25 did not find moved up."""
    if not hit.bm25_score or hit.bm25_rank > rank:
        return "up"
    return "down" if hit.bm25_rank < rank else "same"
