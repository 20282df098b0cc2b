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
from zlib import crc32

from ragqa.errors import CorpusError, IndexStoreError, rebuild
from ragqa.storage.files import map_array

if TYPE_CHECKING:
    import numpy as np

VOCABULARY = "vocabulary.json"
ARRAYS = {"starts": "int64", "places": "int32", "weights": "float32", "sums": "uint32"}
NO_WORDS = "no passage holds a word: there is nothing to index"
READ_WHEN_ASKED = ("places.npy", "weights.npy")


@dataclass(frozen=True)
class Postings:
    """The places and scores of term t are `places[starts[t]:starts[t + 1]]`, ascending, and the same span of `weights`."""

    passages: int
    vocabulary: dict[str, int]
    starts: "np.ndarray"  # int64, (terms + 1,)
    places: "np.ndarray"  # int32, (postings,)
    weights: "np.ndarray"  # float32, (postings,)
    unread: "_Unread | None" = None  # the terms whose postings have not been read from the disk yet

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
        """Scores as float32, shape (passages,), zero where no term occurs.

        Raises `IndexStoreError` if what the disk holds of a term is not what was saved.
        """
        import numpy as np

        scores = np.zeros(self.passages, dtype=np.float32)
        for number in map(self.vocabulary.get, terms):
            if number is not None:
                span = slice(self.starts[number], self.starts[number + 1])
                if self.unread is not None:
                    self.unread.check(number, self.places[span], self.weights[span])
                np.add.at(scores, self.places[span], self.weights[span])  # twice as fast as +=
        return scores

    def save(self, folder: Path) -> None:
        """Write the arrays and the vocabulary into an existing folder."""
        import numpy as np

        spans = [slice(*ends) for ends in zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True)]
        sums = np.array([_checksum(self.places[span], self.weights[span]) for span in spans], dtype=np.uint32)
        arrays = {"starts": self.starts, "places": self.places, "weights": self.weights, "sums": sums}
        for name, values in arrays.items():
            np.save(folder / f"{name}.npy", values, allow_pickle=False)
        (folder / VOCABULARY).write_text(json.dumps(list(self.vocabulary), ensure_ascii=False), encoding="utf8")

    @classmethod
    def open(cls, folder: Path, passages: int) -> "Postings":
        """Map the arrays of a saved index of so many passages into memory. Raises `IndexStoreError` if they are damaged.

        What stands in `READ_WHEN_ASKED` is checked term by term, when a question first needs it.
        """
        try:
            vocabulary = json.loads((folder / VOCABULARY).read_text(encoding="utf8"))
            numbers = {term: number for number, term in enumerate(vocabulary)}
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise IndexStoreError(f"{folder / VOCABULARY} is missing or damaged; {rebuild(folder.parent)}") from error
        starts, places, weights, sums = (map_array(folder, f"{name}.npy", kind) for name, kind in ARRAYS.items())
        sizes = (len(starts), len(places), len(weights), len(sums))
        if sizes != (len(numbers) + 1, starts[-1], starts[-1], len(numbers)):
            raise IndexStoreError(f"{folder} holds arrays that do not fit each other; {rebuild(folder.parent)}")
        return cls(passages, numbers, starts, places, weights, _Unread(folder, sums, bytearray(len(numbers))))


@dataclass(frozen=True)
class _Unread:
    """Checks the postings of a term when they are first read: to check all when an index is opened would read all of it."""

    folder: Path
    sums: "np.ndarray"  # uint32, (terms,)
    checked: bytearray  # 1 for terms that need no further look

    def check(self, number: int, places: "np.ndarray", weights: "np.ndarray") -> None:
        if not self.checked[number]:
            if _checksum(places, weights) != self.sums[number]:
                named = " or ".join(str(self.folder / name) for name in READ_WHEN_ASKED)
                raise IndexStoreError(f"{named} is damaged; {rebuild(self.folder.parent)}")
            self.checked[number] = 1


def _checksum(places: "np.ndarray", weights: "np.ndarray") -> int:
    return crc32(weights.data, crc32(places.data))
