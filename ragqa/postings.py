"""Terms of passages into postings: for each term the passages that hold it, with the BM25 score it gives them.

`score = Σ idf · tf · (k1 + 1) / (tf + k1 · (1 - b + b · length / mean length))`, `idf = ln((N + 1) / n)`: BM25 as in ATIRE with
Lucene's never-negative weight. Every term's scores are computed when passages are indexed; a search adds them up. Scoring in
advance is the idea of bm25s (Lù, "BM25S: Orders of magnitude faster lexical search via eager sparse scoring", 2024).
"""

import json
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ragqa.errors import CorpusError, IndexStoreError, rebuild
from ragqa.files import map_array

if TYPE_CHECKING:
    import numpy as np

VOCABULARY = "vocabulary.json"
ARRAYS = ("starts", "places", "weights")
NO_WORDS = "no passage holds a word: there is nothing to index"
POSTINGS_FILES = (VOCABULARY, *(f"{name}.npy" for name in ARRAYS))


@dataclass(frozen=True)
class Postings:
    """The places and scores of term t are `places[starts[t]:starts[t + 1]]`, ascending, and the same span of `weights`."""

    passages: int
    vocabulary: dict[str, int]
    starts: "np.ndarray"  # int64, (terms + 1,)
    places: "np.ndarray"  # int32, (postings,)
    weights: "np.ndarray"  # float32, (postings,)

    @classmethod
    def build(cls, passages: Iterable[Sequence[str]], k1: float, b: float) -> "Postings":
        """Score every term in every passage, given the passages' terms. Raises `CorpusError` if there are none at all."""
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
        terms, places = np.divmod(keys[firsts], count)
        starts = np.searchsorted(terms, np.arange(len(numbers) + 1))
        idf = np.log((count + 1) / np.diff(starts))
        norms = k1 * (1 - b + b * lengths / lengths.mean())
        weights = idf[terms] * tf * (k1 + 1) / (tf + norms[places])
        return cls(count, dict(numbers), starts, places.astype(np.int32), weights.astype(np.float32))

    def scores(self, terms: Iterable[str]) -> "np.ndarray":
        """Scores as float32, shape (passages,), zero where no term occurs."""
        import numpy as np

        scores = np.zeros(self.passages, dtype=np.float32)
        for number in map(self.vocabulary.get, terms):
            if number is not None:
                span = slice(self.starts[number], self.starts[number + 1])
                np.add.at(scores, self.places[span], self.weights[span])  # twice as fast as +=
        return scores

    def save(self, folder: Path) -> None:
        """Write the arrays and the vocabulary into an existing folder."""
        import numpy as np

        for name in ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)
        (folder / VOCABULARY).write_text(json.dumps(list(self.vocabulary), ensure_ascii=False), encoding="utf8")

    @classmethod
    def open(cls, folder: Path, passages: int) -> "Postings":
        """Map the arrays of a saved index of so many passages into memory. Raises `IndexStoreError` if they are damaged."""
        try:
            vocabulary = json.loads((folder / VOCABULARY).read_text(encoding="utf8"))
            numbers = {term: number for number, term in enumerate(vocabulary)}
        except (ValueError, TypeError, RecursionError) as error:
            raise IndexStoreError(f"{folder} holds a damaged file ({error}); {rebuild(folder)}") from error
        starts, places, weights = (map_array(folder, f"{name}.npy") for name in ARRAYS)
        sizes = (starts.shape, places.shape, weights.shape)
        if sizes != ((len(numbers) + 1,), (starts[-1],), (starts[-1],)):
            raise IndexStoreError(f"{folder} holds arrays that do not fit each other; {rebuild(folder)}")
        return cls(passages, numbers, starts, places, weights)
