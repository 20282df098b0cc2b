"""Passages into an index that finds candidates: build, search, save, open, verify.

What a passage is matched by: `ragqa.index.terms`; how it is scored: `ragqa.index.postings`. The library rank-bm25 (its
`BM25Plus` with delta 0) computes the same scores in another way; it is the reference that these are checked against.
"""

import json
import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, SupportsIndex

from ragqa.errors import CorpusError, IndexStoreError, InputError, rebuild
from ragqa.index.postings import NO_WORDS, VOCABULARY, Postings
from ragqa.index.stored_passages import LINE_SUMS, LINES, StoredPassages, save_passages
from ragqa.records import Passage
from ragqa.storage.files import map_array
from ragqa.storage.generations import MANIFEST, check_files, new_generation, open_current
from ragqa.text.analyzer import Analyzer
from ragqa.text.passages import full_text

if TYPE_CHECKING:
    import numpy as np

    from ragqa.index.terms import Abbreviations, Fields

FORMAT = 5
K1 = 0.9
B = 0.4
ENGINES = ("sparse", "rank-bm25")

_ABBREVIATIONS = "abbreviations.json"
_RANKS = "ranks.npy"
_READ_AT_ONCE = (VOCABULARY, "starts.npy", "sums.npy", LINES, LINE_SUMS, _ABBREVIATIONS, _RANKS)
_ROWS = 32


class Scorer(Protocol):
    """An engine: BM25 scores of all passages for the terms of one question."""

    def scores(self, terms: list[str]) -> "np.ndarray":
        """Scores as float32, shape (passages,), zero where no term occurs."""


class Bm25Index:
    """Passages, ready to be searched. Make one with `build` or `open`."""

    def __init__(
        self,
        passages: Sequence[Passage],
        ranks: "np.ndarray",
        scorer: Scorer,
        analyzer: Analyzer,
        abbreviations: "Abbreviations",
        fields: "Fields",
        k1: float,
        b: float,
    ) -> None:
        """`ranks` are the places of the passages when sorted by id, int32, shape (passages,): they break ties."""
        self.passages = passages
        self.ranks = ranks
        self.fields = fields
        self.k1, self.b = k1, b
        self._scorer = scorer
        self._analyzer = analyzer
        self._abbreviations = abbreviations
        self._texts_digest: str | None = None
        self._places_by_id: np.ndarray | None = None
        self.generation: Path | None = None  # the folder that it was opened from
        self.manifest: Mapping[str, Any] = {}  # of that folder

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Pickle the path of an opened index, the content of one in memory."""
        if self.generation is None:
            return super().__reduce_ex__(protocol)
        return _reopen, (self.generation.absolute(),)

    @classmethod
    def build(
        cls,
        passages: Iterable[Passage],
        *,
        fields: "Fields | None" = None,
        k1: float = K1,
        b: float = B,
        engine: str = "sparse",
    ) -> "Bm25Index":
        """Index passages by title, section, text and what `fields` adds (`Fields()` if not given).

        `k1` above 0, `b` from 0 to 1; `engine` is "sparse" or "rank-bm25" (the reference: same scores, slow, cannot be
        saved). Raises `CorpusError` without passages or words in them, `InputError` for two passages with one id.
        """
        from ragqa.index.terms import Abbreviations, Fields, find_abbreviations, passage_terms

        if engine not in ENGINES:
            raise InputError(f"engine {engine!r} is unknown; there are {' and '.join(ENGINES)}")
        if not (0 < k1 < float("inf") and 0 <= b <= 1):
            raise InputError(f"k1 is {k1} and b {b}; k1 must be above 0, b between 0 and 1")
        passages = tuple(passages)
        _check_ids(passages)
        analyzer, fields = Analyzer(), fields or Fields()
        abbreviations = find_abbreviations(passages, analyzer) if fields.abbreviations else Abbreviations({})
        terms = passage_terms(passages, fields, analyzer, abbreviations)
        scorer: Scorer = Postings.build(terms, k1, b) if engine == ENGINES[0] else RankBm25Scorer([*terms], k1, b)
        return cls(passages, _ranks(passages), scorer, analyzer, abbreviations, fields, k1, b)

    def scores(self, question: str) -> "np.ndarray":
        """The scores of all passages, in their order: float32, shape (passages,), 0 where no term is shared."""
        import numpy as np

        terms = self.question_terms(question)
        return self._scorer.scores(terms) if terms else np.zeros(len(self.passages), dtype=np.float32)

    def question_terms(self, question: str) -> list[str]:
        """The terms that a question is searched by, each once."""
        from ragqa.index.terms import question_terms

        return question_terms(question, self._analyzer, self._abbreviations)

    def term_scores(self, question: str, place: int) -> dict[str, float]:
        """What each of the question's terms adds to the score of the passage at this place, 0 where it does not occur."""
        return {term: float(self._scorer.scores([term])[place]) for term in self.question_terms(question)}

    def place(self, passage_id: str) -> int:
        """Where the passage with this id stands in `passages`, found without looking at all. Raises `InputError` for none."""
        rank = bisect_left(self._by_id, passage_id, key=lambda place: self.passages[place].id)
        if rank == len(self._by_id) or self.passages[self._by_id[rank]].id != passage_id:
            raise InputError(f"no passage of the index has the id {passage_id!r}")
        return int(self._by_id[rank])

    @property
    def _by_id(self) -> "np.ndarray":
        """The places of the passages in the order of their ids."""
        import numpy as np

        if (
            self._places_by_id is None
        ):  # `cached_property` has a lock, which a fork would copy in the hands of another thread
            self._places_by_id = np.argsort(self.ranks).astype(np.int32)
        return self._places_by_id

    def search(self, question: str, k: int = 100) -> list[tuple[Passage, float]]:
        """The at most `k` passages that share a term with the question, best first, ties by passage id.

        Raises `InputError` for `k` below 1. A question without letters or digits finds nothing.
        """
        if k < 1:
            raise InputError(f"k is {k}; at least 1 is needed")
        scores = self.scores(question)
        places = best(scores, self.ranks, k, above=0.0)
        return [(self.passages[i], score) for i, score in zip(places.tolist(), scores[places].tolist(), strict=True)]

    @property
    def has_vectors(self) -> bool:
        """Whether vectors of its passages were saved with the index that this was opened from."""
        return self.manifest.get("embedder") is not None

    @property
    def texts_digest(self) -> str:
        """SHA-256 of the texts that models read (`full_text`), in the order of the passages, in hexadecimal digits.

        Vectors are kept under it, so they stay valid when a passage gets another field.
        """
        if self._texts_digest is None:
            import hashlib

            whole = hashlib.sha256()
            for passage in self.passages:
                whole.update(json.dumps(full_text(passage), ensure_ascii=False).encode() + b"\n")
            self._texts_digest = whole.hexdigest()
        return self._texts_digest

    def save(self, folder: str | Path) -> None:
        """Write the index into `folder` as its new generation; those who read an index there already are not disturbed.

        Raises `IndexStoreError` if another process is writing there, `InputError` if `folder` exists and is no index:
        nothing else is ever replaced.
        """
        self._check_saveable()
        with new_generation(folder) as generation:
            self.write(generation)

    def write(self, folder: Path, **notes: Any) -> None:
        """Write the index into an empty folder; `notes` are entries of the manifest that say what else belongs to it."""
        import numpy as np

        postings = self._check_saveable()
        save_passages(folder, self.passages)
        postings.save(folder)
        np.save(folder / _RANKS, self.ranks, allow_pickle=False)
        write_json(folder / _ABBREVIATIONS, self._abbreviations.short_forms)
        manifest = {
            "format": FORMAT,
            "analyzer": self._analyzer.fingerprint,
            "fields": asdict(self.fields),
            "k1": float(self.k1),
            "b": float(self.b),
            "passages": len(self.passages),
            "texts": self.texts_digest,
        }
        write_json(folder / MANIFEST, manifest | notes, indent=1)

    def _check_saveable(self) -> Postings:
        if not isinstance(self._scorer, Postings):
            raise IndexStoreError("an index of rank-bm25 cannot be saved: build it with the engine sparse")
        return self._scorer

    @classmethod
    def open(cls, folder: str | Path) -> "Bm25Index":
        """Open a saved index; its passages and postings are mapped into memory and checked when a question needs them.

        Everything else is checked at once. Raises `IndexStoreError`, naming the file and what to do, if the folder is no
        index, is of another format or analyzer, or lacks a file or a part of one. `verify` checks every byte.
        """
        return open_current(folder, cls.open_generation)

    @classmethod
    def open_generation(cls, generation: Path) -> "Bm25Index":
        """Open one generation of an index folder, as `open` does."""
        from ragqa.index.terms import Abbreviations, Fields

        remedy = rebuild(generation.parent)
        check_files(generation, [MANIFEST])
        manifest = json.loads((generation / MANIFEST).read_bytes())
        if manifest["format"] != FORMAT:
            raise IndexStoreError(f"{generation.parent} has index format {manifest['format']}, not {FORMAT}; {remedy}")
        check_files(generation, _READ_AT_ONCE)
        analyzer = Analyzer()
        if manifest["analyzer"] != analyzer.fingerprint:
            raise IndexStoreError(f"{generation.parent} was built with another analyzer; {remedy}")
        passages, ranks = StoredPassages(generation), map_array(generation, _RANKS, "int32")
        abbreviations = Abbreviations(json.loads((generation / _ABBREVIATIONS).read_bytes()))
        fields, scorer = Fields(**manifest["fields"]), Postings.open(generation, len(passages))
        index = cls(passages, ranks, scorer, analyzer, abbreviations, fields, manifest["k1"], manifest["b"])
        index.generation, index.manifest, index._texts_digest = generation, manifest, manifest["texts"]
        return index

    @staticmethod
    def verify(folder: str | Path) -> int:
        """Check every byte of a saved index, vectors included, against its checksums; return the number of passages.

        Raises `IndexStoreError` naming the first file that differs.
        """

        def check(generation: Path) -> int:
            check_files(generation)
            return len(Bm25Index.open_generation(generation).passages)

        return open_current(folder, check)


class RankBm25Scorer:
    """rank-bm25, the reference: every passage is looked at for every term."""

    def __init__(self, passages: list[list[str]], k1: float, b: float) -> None:
        import rank_bm25

        if not any(passages):
            raise CorpusError(NO_WORDS)
        self._model = rank_bm25.BM25Plus(passages, k1=k1, b=b, delta=0)

    def scores(self, terms: list[str]) -> "np.ndarray":
        """Scores as float32, shape (passages,), zero where no term occurs."""
        import numpy as np

        with np.errstate(invalid="ignore"):  # with b = 1 a passage without words gives 0 / 0
            return np.nan_to_num(np.asarray(self._model.get_scores(terms), dtype=np.float32))


def _reopen(generation: Path) -> Bm25Index:
    """The index of a pickle. Raises `IndexStoreError` if an update has replaced it since."""
    if not generation.is_dir():
        raise IndexStoreError(f"{generation} has been replaced since it was opened; open {generation.parent} again")
    return Bm25Index.open_generation(generation)


def best(scores: "np.ndarray", ranks: "np.ndarray", k: int, *, above: float = -math.inf) -> "np.ndarray":
    """The places of the `k` highest of the scores that are above a limit, best first, ties by rank.

    `scores` are float32, `ranks` integers, both of shape (passages,).
    """
    import numpy as np

    # the k-th of the maxima of disjoint columns is at most the k-th score: few scores need a closer look
    columns = len(scores) // _ROWS
    if columns >= k:
        maxima = scores[: columns * _ROWS].reshape(_ROWS, columns).max(axis=0)
        least = np.partition(maxima, columns - k)[columns - k]
        places = np.flatnonzero(scores >= least) if least > above else np.flatnonzero(scores > above)
    else:
        places = np.flatnonzero(scores > above)
    if len(places) > k:
        kth = np.partition(scores[places], len(places) - k)[len(places) - k]
        places = places[scores[places] >= kth]
    return places[np.lexsort((ranks[places], -scores[places]))[:k]]


def _check_ids(passages: Sequence[Passage]) -> None:
    if not passages:
        raise CorpusError("there are no passages to index")
    seen: set[str] = set()
    for passage in passages:
        if passage.id in seen:
            raise InputError(f"two passages have the id {passage.id!r}; remove one of them")
        seen.add(passage.id)


def _ranks(passages: Sequence[Passage]) -> "np.ndarray":
    import numpy as np

    ranks = np.empty(len(passages), dtype=np.int32)
    ranks[sorted(range(len(passages)), key=lambda place: passages[place].id)] = np.arange(len(passages))
    return ranks


def write_json(path: Path, value: object, indent: int | None = None) -> None:
    """Write a file of an index folder that is not yet in use."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", encoding="utf8")
