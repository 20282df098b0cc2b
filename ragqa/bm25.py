"""Passages into an index that finds candidates: build, search, save, open, verify.

The scores are BM25 as in ATIRE with Lucene's never-negative document frequency weight,
`idf = ln((N + 1) / n)`, `score = Σ idf · tf · (k1 + 1) / (tf + k1 · (1 - b + b · length / mean length))`,
which both bm25s ("bm25+" with delta 0) and rank-bm25 (`BM25Plus` with delta 0) compute: the first, sparse and fast, is the
default engine, the second the reference that it is checked against. What a passage is matched by: `ragqa.terms`.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ragqa.analyzer import Analyzer
from ragqa.errors import CorpusError, IndexStoreError, InputError
from ragqa.files import replace_folder, sha256
from ragqa.records import Passage, json_line, read_json_lines, write_json_lines
from ragqa.terms import Abbreviations, Fields, find_abbreviations, passage_terms, question_terms

if TYPE_CHECKING:
    import numpy as np

FORMAT = 2
K1 = 0.9
B = 0.4
ENGINES = ("bm25s", "rank-bm25")

MANIFEST = "manifest.json"
REBUILD = "build it again: ragqa index --passages passages.jsonl --out {}"

_PASSAGES = "passages.jsonl"
_ABBREVIATIONS = "abbreviations.json"
_VOCABULARY = "vocabulary.json"
_ARRAYS = ("data", "indices", "indptr")
_FILES = (_PASSAGES, _VOCABULARY, _ABBREVIATIONS, *(f"{name}.npy" for name in _ARRAYS))
_ENTRIES = {
    "analyzer": str,
    "fields": dict,
    "k1": float,
    "b": float,
    "passages": int,
    "has_vectors": bool,
    "files": dict,
}


class Scorer(Protocol):
    """An engine: BM25 scores of all passages for the terms of one question."""

    def scores(self, terms: list[str]) -> "np.ndarray":
        """Scores as float32, shape (passages,), zero where no term occurs."""


class Bm25Index:
    """Passages, ready to be searched. Make one with `build` or `open`."""

    def __init__(
        self,
        passages: Sequence[Passage],
        scorer: Scorer,
        analyzer: Analyzer,
        abbreviations: Abbreviations,
        fields: Fields,
        k1: float,
        b: float,
    ) -> None:
        self.passages = passages
        self.fields = fields
        self.k1, self.b = k1, b
        self._scorer = scorer
        self._analyzer = analyzer
        self._abbreviations = abbreviations
        self._digest: str | None = None
        self.has_vectors = False

    @classmethod
    def build(
        cls,
        passages: Iterable[Passage],
        *,
        fields: Fields | None = None,
        k1: float = K1,
        b: float = B,
        engine: str = "bm25s",
    ) -> "Bm25Index":
        """Index passages by title, section, text and what `fields` adds (`Fields()` if not given).

        `k1` above 0, `b` from 0 to 1; `engine` is "bm25s" or "rank-bm25" (the reference: same scores, slow, cannot be
        saved). Raises `CorpusError` without passages or words in them, `InputError` for two passages with one id.
        """
        if engine not in ENGINES:
            raise InputError(f"engine {engine!r} is unknown; there are {' and '.join(ENGINES)}")
        if not (0 < k1 < float("inf") and 0 <= b <= 1):
            raise InputError(f"k1 is {k1} and b {b}; k1 must be above 0, b between 0 and 1")
        passages = tuple(passages)
        _check_ids(passages)
        analyzer, fields = Analyzer(), fields or Fields()
        abbreviations = find_abbreviations(passages, analyzer) if fields.abbreviations else Abbreviations({})
        terms = passage_terms(passages, fields, analyzer, abbreviations)
        if not any(terms):
            raise CorpusError("no passage holds a word: there is nothing to index")
        scorer = SparseScorer.build(terms, k1, b) if engine == "bm25s" else RankBm25Scorer(terms, k1, b)
        return cls(passages, scorer, analyzer, abbreviations, fields, k1, b)

    def scores(self, question: str) -> "np.ndarray":
        """The scores of all passages, in their order: float32, shape (passages,), 0 where no term is shared."""
        import numpy as np

        terms = question_terms(question, self._analyzer, self._abbreviations)
        return self._scorer.scores(terms) if terms else np.zeros(len(self.passages), dtype=np.float32)

    def search(self, question: str, k: int = 100) -> list[tuple[Passage, float]]:
        """The at most `k` passages that share a term with the question, best first, ties by passage id.

        Raises `InputError` for `k` below 1. A question without letters or digits finds nothing.
        """
        if k < 1:
            raise InputError(f"k is {k}; at least 1 is needed")
        scores = self.scores(question)
        return [(self.passages[i], float(scores[i])) for i in best(scores, scores.nonzero()[0], self.passages, k)]

    @property
    def digest(self) -> str:
        """SHA-256 of the passages' JSON Lines, in hexadecimal digits: what else is kept of these passages names it."""
        if self._digest is None:
            whole = hashlib.sha256()
            for passage in self.passages:
                whole.update(json_line(passage))
            self._digest = whole.hexdigest()
        return self._digest

    def save(self, folder: str | Path) -> None:
        """Write the index in place of `folder`, once all of it is on disk.

        Raises `InputError` if `folder` exists and is not an index: nothing else is ever replaced.
        """
        with replace_folder(folder, MANIFEST) as new:
            self.write(new)

    def write(self, folder: Path, *, has_vectors: bool = False) -> None:
        """Write the index into an empty folder; `has_vectors` notes that vectors of its passages belong to it."""
        if not isinstance(self._scorer, SparseScorer):
            raise IndexStoreError("an index of rank-bm25 cannot be saved: build it with the engine bm25s")
        write_json_lines(folder / _PASSAGES, self.passages)
        self._scorer.save(folder)
        _write_json(folder / _ABBREVIATIONS, self._abbreviations.short_forms)
        manifest = {
            "format": FORMAT,
            "analyzer": self._analyzer.fingerprint,
            "fields": asdict(self.fields),
            "k1": float(self.k1),
            "b": float(self.b),
            "passages": len(self.passages),
            "has_vectors": has_vectors,
            "files": {
                name: {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in _FILES
            },
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf8")

    @classmethod
    def open(cls, folder: str | Path) -> "Bm25Index":
        """Open a saved index; its arrays are mapped into memory, not read.

        Raises `IndexStoreError`, naming the file and what to do, if the folder is no index, is of another format or
        analyzer, or lacks a file or a part of one. `verify` checks every byte.
        """
        folder = Path(folder)
        manifest = _read_manifest(folder)
        analyzer = Analyzer()
        if manifest["analyzer"] != analyzer.fingerprint:
            raise IndexStoreError(f"{folder} was built with another analyzer; {REBUILD.format(folder)}")
        for name in _FILES:
            if not (folder / name).is_file() or (folder / name).stat().st_size != manifest["files"][name]["bytes"]:
                raise IndexStoreError(f"{folder / name} is missing or cut short; {REBUILD.format(folder)}")
        try:
            passages = tuple(read_json_lines(folder / _PASSAGES, Passage))
            abbreviations = Abbreviations(json.loads((folder / _ABBREVIATIONS).read_text(encoding="utf8")))
            fields = Fields(**manifest["fields"])
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            raise IndexStoreError(f"{folder} holds a damaged file ({error}); {REBUILD.format(folder)}") from error
        if len(passages) != manifest["passages"]:
            raise IndexStoreError(f"{folder / MANIFEST} is damaged (passages); {REBUILD.format(folder)}")
        scorer = SparseScorer.open(folder, len(passages))
        index = cls(passages, scorer, analyzer, abbreviations, fields, manifest["k1"], manifest["b"])
        index.has_vectors = manifest["has_vectors"]
        index._digest = manifest["files"][_PASSAGES]["sha256"]
        return index

    @staticmethod
    def verify(folder: str | Path) -> int:
        """Check every byte of a saved index against its checksums and return the number of passages.

        Raises `IndexStoreError` naming the first file that differs.
        """
        folder = Path(folder)
        manifest = _read_manifest(folder)
        for name in _FILES:
            if not (folder / name).is_file() or sha256(folder / name) != manifest["files"][name]["sha256"]:
                raise IndexStoreError(f"{folder / name} is missing or damaged; {REBUILD.format(folder)}")
        return len(Bm25Index.open(folder).passages)


@dataclass(frozen=True)
class SparseScorer:
    """bm25s: each term's scores are computed when the index is built; a search adds up columns."""

    model: Any  # bm25s.BM25

    @classmethod
    def build(cls, passages: list[list[str]], k1: float, b: float) -> "SparseScorer":
        """Score every term in every passage, given the passages' terms."""
        model = cls._model(k1, b)
        model.index(passages, create_empty_token=False, show_progress=False)
        return cls(model)

    @staticmethod
    def _model(k1: float = K1, b: float = B) -> Any:
        import bm25s

        return bm25s.BM25(k1=k1, b=b, delta=0.0, method="bm25+", backend="numpy")

    def scores(self, terms: list[str]) -> "np.ndarray":
        """Scores as float32, shape (passages,), zero where no term occurs."""
        import numpy as np

        if not any(term in self.model.vocab_dict for term in terms):
            return np.zeros(self.model.scores["num_docs"], dtype=np.float32)
        scores: np.ndarray = self.model.get_scores(terms)
        return scores

    def save(self, folder: Path) -> None:
        """Write the arrays and the vocabulary into an existing folder."""
        import numpy as np

        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", self.model.scores[name], allow_pickle=False)
        vocabulary = sorted(self.model.vocab_dict, key=self.model.vocab_dict.__getitem__)
        _write_json(folder / _VOCABULARY, vocabulary)

    @classmethod
    def open(cls, folder: Path, passages: int) -> "SparseScorer":
        """Map the arrays of a saved index of so many passages."""
        import numpy as np

        model = cls._model()
        try:
            vocabulary = json.loads((folder / _VOCABULARY).read_text(encoding="utf8"))
            arrays = {n: np.load(folder / f"{n}.npy", mmap_mode="r", allow_pickle=False) for n in _ARRAYS}
        except Exception as error:  # numpy reads a header as Python, which can fail in many ways
            raise IndexStoreError(f"{folder} holds a damaged file ({error}); {REBUILD.format(folder)}") from error
        model.vocab_dict = {term: number for number, term in enumerate(vocabulary)}
        model.unique_token_ids_set = set(model.vocab_dict.values())
        model.nonoccurrence_array = None
        model.scores = {**arrays, "num_docs": passages}
        return cls(model)


class RankBm25Scorer:
    """rank-bm25, the reference: every passage is looked at for every term."""

    def __init__(self, passages: list[list[str]], k1: float, b: float) -> None:
        import rank_bm25

        self._model = rank_bm25.BM25Plus(passages, k1=k1, b=b, delta=0)

    def scores(self, terms: list[str]) -> "np.ndarray":
        """Scores as float32, shape (passages,), zero where no term occurs."""
        import numpy as np

        with np.errstate(invalid="ignore"):  # with b = 1 a passage without words gives 0 / 0
            return np.nan_to_num(np.asarray(self._model.get_scores(terms), dtype=np.float32))


def best(scores: "np.ndarray", places: "np.ndarray", passages: Sequence[Passage], k: int) -> list[int]:
    """Of these places in `passages`, the `k` with the highest scores, shape (passages,), best first, ties by passage id."""
    import numpy as np

    if len(places) > k:
        kth = np.partition(scores[places], -k)[-k]
        places = places[scores[places] >= kth]
    return sorted(places.tolist(), key=lambda i: (-scores[i], passages[i].id))[:k]


def _check_ids(passages: Sequence[Passage]) -> None:
    if not passages:
        raise CorpusError("there are no passages to index")
    seen: set[str] = set()
    for passage in passages:
        if passage.id in seen:
            raise InputError(f"two passages have the id {passage.id!r}; remove one of them")
        seen.add(passage.id)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise IndexStoreError(f"{folder} is not an index; {REBUILD.format(folder)}")
    try:
        manifest = json.loads(path.read_text(encoding="utf8"))
        found = manifest["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise IndexStoreError(f"{path} is damaged ({error}); {REBUILD.format(folder)}") from error
    if found != FORMAT:
        raise IndexStoreError(f"{folder} has index format {found}, not {FORMAT}; {REBUILD.format(folder)}")
    wrong = [key for key, kind in _ENTRIES.items() if not isinstance(manifest.get(key), kind)]
    wrong = wrong or [name for name in _FILES if {"bytes", "sha256"} - set(manifest["files"].get(name) or ())]
    if wrong:
        raise IndexStoreError(f"{path} is damaged ({wrong[0]}); {REBUILD.format(folder)}")
    return dict(manifest)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf8")
