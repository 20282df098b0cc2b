"""What a retriever needs of an index, wherever its passages are: in a folder, in memory (`ragqa.index.bm25`) or in a database.

Positions number the passages of an index from 0.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

    from ragqa.index.filters import Where
    from ragqa.models.embedder import Embedder
    from ragqa.records import Passage
    from ragqa.text.analyzer import Analyzer
    from ragqa.text.language import Language


class Selection(Protocol):
    """The passages that meet a filter: a mask, or a condition that a database checks."""

    def any(self) -> Any:
        """Return whether a passage meets the filter."""

    def __getitem__(self, position: int, /) -> Any:
        """Return whether the passage at a position meets it."""


class Ranking(Protocol):
    """The passages with the highest scores for a question, and the score of any other passage."""

    @property
    def positions(self) -> Sequence[int]:
        """The best passages, best first, ties by passage id."""

    def scores(self, positions: Sequence[int]) -> "np.ndarray":
        """Return the scores of these passages: float32, shape (positions,)."""

    def rank(self, position: int) -> int:
        """Return the rank of a passage, from 1. It may be too low if the passage is not one of the best."""


class Index(Protocol):
    """Passages that are searched by their words. `ragqa.index.bm25.Bm25Index` describes the members."""

    @property
    def passages(self) -> "Sequence[Passage]":
        """All passages, by position."""

    @property
    def ranks(self) -> "np.ndarray":
        """The rank of each passage when all are sorted by id: int32, shape (passages,). It breaks ties."""

    @property
    def analyzer(self) -> "Analyzer":
        """Makes terms of texts."""

    @property
    def vocabulary(self) -> Mapping[str, object]:
        """The terms of all passages, as keys."""

    @property
    def language(self) -> "Language":
        """What the passages are mostly written in."""

    @property
    def generation(self) -> Path | None:
        """The folder that the index was opened from; None if it is elsewhere."""

    def read(self, positions: Sequence[int]) -> "list[Passage]":
        """Return the passages at these positions, read together."""

    def question_terms(self, question: str) -> list[str]:
        """Return the distinct terms that a question is searched by."""

    def positions_of(self, term: str) -> "np.ndarray":
        """Return the positions of the passages that hold a term, ascending: int32."""

    def position(self, passage_id: str) -> int:
        """Return the position of the passage with this id."""

    def term_scores(self, question: str, position: int) -> dict[str, float]:
        """Return what each term of the question adds to the score of a passage."""

    def mask(self, where: "Where | None") -> "Selection | None":
        """Return the passages that meet a filter; None without conditions."""

    def rank(self, question: str, depth: int, selection: Any = None) -> Ranking:
        """Return the `depth` best passages of a selection that share a term with the question."""

    def search(self, question: str, k: int = 100, *, where: "Where | None" = None) -> "list[tuple[Passage, float]]":
        """Return at most `k` passages that share a term with the question, with scores, best first."""


class Vectors(Protocol):
    """Passages that are searched by their vectors, those of an index."""

    @property
    def embedder(self) -> "Embedder":
        """The model that made the vectors."""

    def rank(self, question: str, index: Index, depth: int, selection: Any = None) -> Ranking:
        """Return the `depth` passages of a selection with the highest cosines."""
