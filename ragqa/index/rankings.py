"""The passages with the highest scores for a question, as rankings: `ragqa.index.interface.Ranking` describes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class FullRanking:
    """The positions of the best passages, best first, and the scores of all: float32, shape (passages,)."""

    positions: list[int]
    every: "np.ndarray"

    def scores(self, positions: Sequence[int]) -> "np.ndarray":
        """Return the scores of these passages."""
        found: np.ndarray = self.every[list(positions)]
        return found

    def rank(self, position: int) -> int:
        """Return the rank of a passage, from 1; if it is not one of the best, one more than the number of higher scores."""
        if position in self.positions:
            return self.positions.index(position) + 1
        return int((self.every > self.every[position]).sum()) + 1


class FetchedRanking:
    """The best passages of a question. The scores of others are read when they are asked for."""

    def __init__(self, positions: list[int], read: "Callable[[Sequence[int]], np.ndarray]") -> None:
        """`read` returns the scores of passages."""
        self.positions, self._read = positions, read

    def scores(self, positions: Sequence[int]) -> "np.ndarray":
        """Return the scores of these passages: float32, shape (positions,)."""
        return self._read(positions)

    def rank(self, position: int) -> int:
        """Return the rank of a passage, from 1. If it is not one of the best, it is the next after these."""
        return (self.positions.index(position) if position in self.positions else len(self.positions)) + 1
