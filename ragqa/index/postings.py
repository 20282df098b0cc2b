"""Postings: for each term the positions of the passages that hold it, and the BM25 score of the term in each of them.

`score = Σ idf · tf · (k1 + 1) / (tf + k1 · (1 - b + b · length / mean length))`, `idf = ln((N + 1) / n)`: BM25 as in ATIRE,
with the idf of Lucene, which is never negative. The scores are computed at indexing time; a search only adds them up.
The idea is from bm25s (Lù, "BM25S: Orders of magnitude faster lexical search via eager sparse scoring", 2024).
"""

import json
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from ragqa.errors import CorpusError, IndexStoreError, rebuild
from ragqa.storage.files import map_array

if TYPE_CHECKING:
    import numpy as np

VOCABULARY = "vocabulary.json"
ARRAYS = {
    "starts": "int64",
    "places": "int32",
    "weights": "float32",
    "sums": "uint32",
}  # files; `places` holds positions
NO_WORDS = "no passage holds a word: there is nothing to index"
CHECKED_LATER = ("places.npy", "weights.npy")


@dataclass(frozen=True)
class Postings:
    """Term t occurs at `positions[starts[t]:starts[t + 1]]`, ascending; the same slice of `weights` holds its scores there."""

    passages: int
    vocabulary: dict[str, int]
    starts: "np.ndarray"  # int64, (terms + 1,)
    positions: "np.ndarray"  # int32, (postings,)
    weights: "np.ndarray"  # float32, (postings,)
    unread: "_Unread | None" = None  # checks the postings of opened indexes

    @classmethod
    def build(cls, passages: Iterable[Sequence[str]], k1: float, b: float) -> "Postings":
        """Score every term of every passage, given the terms of each passage. Raises `CorpusError` if there are no terms."""
        import numpy as np

        numbers: defaultdict[str, int] = defaultdict()
        numbers.default_factory = numbers.__len__
        flat, ends = array("i"), array("q", [0])
        for own in passages:
            flat.extend([numbers[term] for term in own])
            ends.append(len(flat))
        if not flat:
            raise CorpusError(NO_WORDS)
        lengths = np.asarray(ends[1:]) - np.asarray(ends[:-1])
        count = len(lengths)
        keys = np.frombuffer(flat, dtype=np.int32).astype(np.int64) * count
        keys += np.repeat(np.arange(count), lengths)
        keys.sort()  # by term, then by passage
        firsts = np.flatnonzero(np.diff(keys, prepend=-1))
        tf = np.diff(firsts, append=len(keys)).astype(np.int32)
        terms, positions = np.divmod(keys[firsts], count)
        starts = np.searchsorted(terms, np.arange(len(numbers) + 1))
        idf = np.log((count + 1) / np.diff(starts))
        norms = k1 * (1 - b + b * lengths / lengths.mean())
        weights = idf[terms] * tf * (k1 + 1) / (tf + norms[positions])
        return cls(count, dict(numbers), starts, positions.astype(np.int32), weights.astype(np.float32))

    def scores(self, terms: Iterable[str]) -> "np.ndarray":
        """Return scores as float32, shape (passages,): 0 for passages without any of the terms.

        Raises `IndexStoreError` if the saved postings of a term are damaged.
        """
        import numpy as np

        scores = np.zeros(self.passages, dtype=np.float32)
        for term in terms:
            span = self._span(term)
            np.add.at(scores, self.positions[span], self.weights[span])  # twice as fast as +=
        return scores

    def positions_of(self, term: str) -> "np.ndarray":
        """Return the positions of the passages that hold a term, ascending: int32. Raises as `scores` does."""
        return self.positions[self._span(term)]

    def by_passage(self) -> "Callable[[int], tuple[np.ndarray, np.ndarray]]":
        """Return a function that gives the terms of a passage, ascending, and their weights. It sorts all postings once."""
        import numpy as np

        order = np.argsort(self.positions, kind="stable")
        ends = np.searchsorted(self.positions[order], np.arange(self.passages + 1))
        terms = np.repeat(np.arange(len(self.vocabulary), dtype=np.int32), np.diff(self.starts))

        def own(position: int) -> "tuple[np.ndarray, np.ndarray]":
            span = order[ends[position] : ends[position + 1]]
            return terms[span], self.weights[span]

        return own

    def _span(self, term: str) -> slice:
        """The postings of a term, checked; an empty slice if no passage holds it."""
        number = self.vocabulary.get(term)
        if number is None:
            return slice(0, 0)
        span = slice(self.starts[number], self.starts[number + 1])
        if self.unread is not None:
            self.unread.check(number, self.positions[span], self.weights[span])
        return span

    def save(self, folder: Path) -> None:
        """Write the arrays and the vocabulary into an existing folder."""
        import numpy as np

        spans = [slice(*ends) for ends in zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True)]
        sums = np.array([_checksum(self.positions[span], self.weights[span]) for span in spans], dtype=np.uint32)
        for name, values in zip(ARRAYS, (self.starts, self.positions, self.weights, sums), strict=True):
            np.save(folder / f"{name}.npy", values, allow_pickle=False)
        (folder / VOCABULARY).write_text(json.dumps(list(self.vocabulary), ensure_ascii=False), encoding="utf8")

    @classmethod
    def open(cls, folder: Path, passages: int) -> "Postings":
        """Map the arrays of a saved index into memory; `passages` is the number of its passages.

        Raises `IndexStoreError` if a file is missing or damaged. The files in `CHECKED_LATER` are checked term by term, when
        a question first needs the term.
        """
        try:
            vocabulary = json.loads((folder / VOCABULARY).read_text(encoding="utf8"))
            numbers = {term: number for number, term in enumerate(vocabulary)}
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise IndexStoreError(f"{folder / VOCABULARY} is missing or damaged; {rebuild(folder.parent)}") from error
        starts, positions, weights, sums = (map_array(folder, f"{name}.npy", kind) for name, kind in ARRAYS.items())
        sizes = (len(starts), len(positions), len(weights), len(sums))
        if sizes != (len(numbers) + 1, starts[-1], starts[-1], len(numbers)):
            raise IndexStoreError(f"{folder} holds arrays that do not fit each other; {rebuild(folder.parent)}")
        return cls(passages, numbers, starts, positions, weights, _Unread(folder, sums, bytearray(len(numbers))))


@dataclass(frozen=True)
class _Unread:
    """Checks the postings of a term on first use, because checking all of them on opening would read the whole index."""

    folder: Path
    sums: "np.ndarray"  # uint32, (terms,)
    checked: bytearray  # 1 for terms whose postings have been checked

    def check(self, number: int, positions: "np.ndarray", weights: "np.ndarray") -> None:
        if not self.checked[number]:
            if _checksum(positions, weights) != self.sums[number]:
                named = " or ".join(str(self.folder / name) for name in CHECKED_LATER)
                raise IndexStoreError(f"{named} is damaged; {rebuild(self.folder.parent)}")
            self.checked[number] = 1


def _checksum(positions: "np.ndarray", weights: "np.ndarray") -> int:
    return crc32(weights.data, crc32(positions.data))
