"""The BM25 index: build it from passages, search it, save it, open it, verify it.

`ragqa.index.terms` chooses the terms of a passage, `ragqa.index.postings` scores them. The library rank-bm25 (`BM25Plus` with
delta 0) is the reference: the tests compare its scores with these.
"""

import json
import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, SupportsIndex

from ragqa.errors import CorpusError, IndexStoreError, InputError, rebuild, update
from ragqa.index.columns import Columns
from ragqa.index.filters import Filter, Where
from ragqa.index.postings import NO_WORDS, VOCABULARY, Postings
from ragqa.index.rankings import FullRanking
from ragqa.index.stored_passages import LINE_SUMS, LINES, StoredPassages, save_passages
from ragqa.records import Passage
from ragqa.storage.files import map_array
from ragqa.storage.generations import MANIFEST, check_files, new_generation, open_current
from ragqa.text.analyzer import Analyzer, analyzer_of
from ragqa.text.language import Language, language_of, sample_texts
from ragqa.text.passages import full_text

if TYPE_CHECKING:
    import numpy as np

    from ragqa.index.interface import Index
    from ragqa.index.terms import Abbreviations, Fields

FORMAT = 5  # raise with every change of the files or of the scores in them
OLDER_FORMATS = (4,)  # `ragqa update` migrates them: their passages, settings and vectors are stored as in `FORMAT`
K1 = 0.9
B = 0.4
ENGINES = ("sparse", "rank-bm25")

_ABBREVIATIONS = "abbreviations.json"
_RANKS = "ranks.npy"
_READ_AT_ONCE = (VOCABULARY, "starts.npy", "sums.npy", LINES, LINE_SUMS, _ABBREVIATIONS, _RANKS)
_ROWS = 32


class Scorer(Protocol):
    """An engine that computes the BM25 scores of all passages for the terms of a question."""

    @property
    def vocabulary(self) -> Mapping[str, object]:
        """The terms of all passages, as keys."""

    def positions_of(self, term: str) -> "np.ndarray":
        """Return the positions of the passages that hold a term, ascending: int32."""

    def scores(self, terms: list[str]) -> "np.ndarray":
        """Return scores as float32, shape (passages,): 0 for passages without any of the terms."""


class Bm25Index:
    """A searchable index of passages. Create one with `build` or `open`."""

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
        """`ranks` is the rank of each passage when all are sorted by id: int32, shape (passages,). It breaks ties."""
        self.passages = passages
        self.ranks = ranks
        self.fields = fields
        self.k1, self.b = k1, b
        self._scorer = scorer
        self.analyzer = analyzer
        self.abbreviations = abbreviations
        self._columns = Columns(passages)
        self._texts_digest: str | None = None
        self._language: Language | None = None
        self._positions_by_id: np.ndarray | None = None
        self.generation: Path | None = None  # the folder that this index was opened from
        self.manifest: Mapping[str, Any] = {}  # the manifest in that folder

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Pickle an opened index as its path, an index in memory as its content."""
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
        """Index passages by title, section, text and the additions in `fields` (default: `Fields()`).

        `k1` must be above 0, `b` between 0 and 1. `engine` is "sparse" or "rank-bm25"; the latter is the reference: it gives
        the same scores, is slow, and cannot be saved. Raises `CorpusError` if there are no passages or no words in them,
        `InputError` if two passages have the same id.
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
        """Return the scores of all passages, in index order: float32, shape (passages,), 0 if no term is shared."""
        import numpy as np

        terms = self.question_terms(question)
        return self._scorer.scores(terms) if terms else np.zeros(len(self.passages), dtype=np.float32)

    def read(self, positions: Sequence[int]) -> list[Passage]:
        """Return the passages at these positions."""
        return [self.passages[position] for position in positions]

    def question_terms(self, question: str) -> list[str]:
        """Return the distinct terms that a question is searched by."""
        from ragqa.index.terms import question_terms

        return question_terms(question, self.analyzer, self.abbreviations)

    @property
    def vocabulary(self) -> Mapping[str, object]:
        """The terms of all passages, as keys."""
        return self._scorer.vocabulary

    def positions_of(self, term: str) -> "np.ndarray":
        """Return the positions of the passages that hold a term, ascending: int32."""
        return self._scorer.positions_of(term)

    def term_scores(self, question: str, position: int) -> dict[str, float]:
        """Return what each term of the question adds to the score of the passage at `position`, 0 if it does not occur."""
        return {term: float(self._scorer.scores([term])[position]) for term in self.question_terms(question)}

    def position(self, passage_id: str) -> int:
        """Return the position in `passages` of the passage with this id (binary search). Raises `InputError` if none has it."""
        rank = bisect_left(self._by_id, passage_id, key=lambda position: self.passages[position].id)
        if rank == len(self._by_id) or self.passages[self._by_id[rank]].id != passage_id:
            raise InputError(f"no passage of the index has the id {passage_id!r}")
        return int(self._by_id[rank])

    @property
    def _by_id(self) -> "np.ndarray":
        """The positions of the passages, sorted by passage id."""
        import numpy as np

        # not a `cached_property`: in Python 3.11 and older it has a lock, and a fork may copy the lock while it is held
        if self._positions_by_id is None:
            self._positions_by_id = np.argsort(self.ranks).astype(np.int32)
        return self._positions_by_id

    def mask(self, where: Where | None) -> "np.ndarray | None":
        """Return which passages meet a filter, in index order: bool, shape (passages,); None without conditions.

        The first filter reads all passages. Raises `InputError` for what is no filter (`Filter.of`), for a key that no passage
        has, and for a value of another type than all values of its key.
        """
        wanted = None if where is None else Filter.of(where)
        return self._columns.mask(wanted) if wanted and wanted.conditions else None

    def search(self, question: str, k: int = 100, *, where: Where | None = None) -> list[tuple[Passage, float]]:
        """Return at most `k` passages that share a term with the question, with scores, best first, ties by passage id.

        Only passages that meet the filter `where` are found; scores do not depend on it. A question without letters or digits
        finds nothing. Raises `InputError` for `k` below 1, and as `mask` does.
        """
        return best_passages(self, question, k, where)

    def rank(self, question: str, depth: int, selection: "np.ndarray | None" = None) -> "FullRanking":
        """Return the `depth` best passages that share a term with the question. `selection` is the mask of a filter."""
        scores = only(selection, self.scores(question), 0.0)
        return FullRanking(best(scores, self.ranks, depth, above=0.0).tolist(), scores)

    @property
    def has_vectors(self) -> bool:
        """Whether the index folder that this was opened from also holds vectors of the passages."""
        return self.manifest.get("embedder") is not None

    @property
    def language(self) -> Language:
        """What the passages are mostly written in (`language_of`). The manifest holds it, unless an older version wrote it."""
        if self._language is None:
            known = self.manifest.get("language")
            self._language = Language(known) if known else language_of(sample_texts(self.passages))
        return self._language

    @property
    def texts_digest(self) -> str:
        """The SHA-256, as hex, of the texts that models read (`full_text`), in index order.

        Saved vectors name it. So they stay valid when passages get another field that models do not read.
        """
        if self._texts_digest is None:
            import hashlib

            whole = hashlib.sha256()
            for passage in self.passages:
                whole.update(json.dumps(full_text(passage), ensure_ascii=False).encode() + b"\n")
            self._texts_digest = whole.hexdigest()
        return self._texts_digest

    def save(self, folder: str | Path) -> None:
        """Write the index into `folder`, in place of an index that is there; open readers of that one are not disturbed.

        Raises `IndexStoreError` if another process is writing there, `InputError` if `folder` exists and is not an index:
        nothing but an index is ever replaced.
        """
        _ = self.postings  # raises before a folder is made
        with new_generation(folder) as generation:
            self.write(generation)

    def write(self, folder: Path, **notes: Any) -> None:
        """Write the index into an empty folder. `notes` are further entries of the manifest."""
        import numpy as np

        postings = self.postings
        save_passages(folder, self.passages)
        postings.save(folder)
        np.save(folder / _RANKS, self.ranks, allow_pickle=False)
        write_json(folder / _ABBREVIATIONS, self.abbreviations.short_forms)
        manifest = {
            "format": FORMAT,
            "analyzer": self.analyzer.fingerprint,
            "fields": asdict(self.fields),
            "k1": float(self.k1),
            "b": float(self.b),
            "passages": len(self.passages),
            "texts": self.texts_digest,
            "language": self.language.value,
        }
        write_json(folder / MANIFEST, manifest | notes, indent=1)

    @property
    def postings(self) -> Postings:
        """The postings, to be saved. Raises `IndexStoreError` for an index of rank-bm25, which has none."""
        if not isinstance(self._scorer, Postings):
            raise IndexStoreError("an index of rank-bm25 cannot be saved: build it with the engine sparse")
        return self._scorer

    @classmethod
    def open(cls, folder: str | Path) -> "Bm25Index":
        """Open a saved index. Passages and postings are mapped into memory and checked when a question needs them.

        All other files are checked now; `verify` checks every byte. Raises `IndexStoreError`, which names the file and the
        remedy, if the folder is not an index, if the index has another format or analyzer, or if a file is missing or cut.
        """
        return open_current(folder, cls.open_generation)

    @classmethod
    def open_generation(cls, generation: Path) -> "Bm25Index":
        """Open one generation of an index folder, as `open` does."""
        from ragqa.index.terms import Abbreviations, Fields

        manifest = read_manifest(generation)
        check_format(generation, manifest, (FORMAT,))
        check_files(generation, _READ_AT_ONCE)
        analyzer = analyzer_of(manifest["analyzer"])
        if analyzer is None:
            raise IndexStoreError(f"{generation.parent} was built with another analyzer", update(generation.parent))
        passages, ranks = StoredPassages(generation), map_array(generation, _RANKS, "int32")
        abbreviations = Abbreviations(json.loads((generation / _ABBREVIATIONS).read_bytes()))
        fields, scorer = Fields(**manifest["fields"]), Postings.open(generation, len(passages))
        index = cls(passages, ranks, scorer, analyzer, abbreviations, fields, manifest["k1"], manifest["b"])
        index.generation, index.manifest, index._texts_digest = generation, manifest, manifest["texts"]
        return index

    @staticmethod
    def verify(folder: str | Path) -> int:
        """Check every byte of a saved index, vectors included, against its checksums. Return the number of passages.

        Raises `IndexStoreError`, which names the first file that differs.
        """

        def check(generation: Path) -> int:
            check_files(generation)
            return len(Bm25Index.open_generation(generation).passages)

        return open_current(folder, check)


class RankBm25Scorer:
    """The reference engine, rank-bm25. It looks at every passage for every term."""

    def __init__(self, passages: list[list[str]], k1: float, b: float) -> None:
        import rank_bm25

        if not any(passages):
            raise CorpusError(NO_WORDS)
        self._model = rank_bm25.BM25Plus(passages, k1=k1, b=b, delta=0)

    @property
    def vocabulary(self) -> Mapping[str, object]:
        """The terms of all passages, as keys."""
        idf: dict[str, float] = self._model.idf
        return idf

    def positions_of(self, term: str) -> "np.ndarray":
        """Return the positions of the passages that hold a term, ascending: int32."""
        import numpy as np

        return np.array([i for i, counts in enumerate(self._model.doc_freqs) if term in counts], dtype=np.int32)

    def scores(self, terms: list[str]) -> "np.ndarray":
        """Return scores as float32, shape (passages,): 0 for passages without any of the terms."""
        import numpy as np

        with np.errstate(invalid="ignore"):  # if b is 1, a passage without words gives 0 / 0
            return np.nan_to_num(np.asarray(self._model.get_scores(terms), dtype=np.float32))


def best_passages(index: "Index", question: str, k: int, where: Where | None) -> list[tuple[Passage, float]]:
    """Search an index as `Bm25Index.search` does."""
    if k < 1:
        raise InputError(f"k is {k}; at least 1 is needed")
    found = index.rank(question, k, index.mask(where))
    return list(zip(index.read(found.positions), found.scores(found.positions).tolist(), strict=True))


def build_version() -> str:
    """Return a text that changes with everything that an index with default settings depends on, except its passages."""
    from ragqa.index.terms import TERMS_VERSION

    return json.dumps([FORMAT, K1, B, Analyzer().fingerprint, TERMS_VERSION])


def read_manifest(generation: Path) -> dict[str, Any]:
    """Read the manifest of a generation of any format. Raises `IndexStoreError` if it is missing or damaged."""
    check_files(generation, [MANIFEST])
    manifest: dict[str, Any] = json.loads((generation / MANIFEST).read_bytes())
    return manifest


def check_format(generation: Path, manifest: Mapping[str, Any], formats: Sequence[int]) -> None:
    """Raise `IndexStoreError`, with the remedy, unless the format of a generation is one of these."""
    folder, found = generation.parent, manifest["format"]
    if found not in formats:
        remedy = update(folder) if found in OLDER_FORMATS else rebuild(folder)
        raise IndexStoreError(f"{folder} has index format {found}, not {FORMAT}", remedy)


def _reopen(generation: Path) -> Bm25Index:
    """Open the index of a pickle. Raises `IndexStoreError` if an update has replaced it since."""
    if not generation.is_dir():
        raise IndexStoreError(f"{generation} has been replaced since it was opened; open {generation.parent} again")
    return Bm25Index.open_generation(generation)


def only(mask: "np.ndarray | None", scores: "np.ndarray", other: float) -> "np.ndarray":
    """Return scores (float32, shape (passages,)) with `other` for the passages outside a mask; the same without a mask."""
    if mask is None:
        return scores
    import numpy as np

    return np.where(mask, scores, np.float32(other))


def best(scores: "np.ndarray", ranks: "np.ndarray", k: int, *, above: float = -math.inf) -> "np.ndarray":
    """Return the positions of the `k` highest scores above the limit `above`, best first, ties by rank.

    `scores` are float32 and `ranks` integers, both of shape (passages,).
    """
    import numpy as np

    # the k-th highest column maximum is at most the k-th highest score, so all scores below it can be skipped
    columns = len(scores) // _ROWS
    if columns >= k:
        maxima = scores[: columns * _ROWS].reshape(_ROWS, columns).max(axis=0)
        least = np.partition(maxima, columns - k)[columns - k]
        found = np.flatnonzero(scores >= least) if least > above else np.flatnonzero(scores > above)
    else:
        found = np.flatnonzero(scores > above)
    if len(found) > k:
        kth = np.partition(scores[found], len(found) - k)[len(found) - k]
        found = found[scores[found] >= kth]
    return found[np.lexsort((ranks[found], -scores[found]))[:k]]


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
    ranks[sorted(range(len(passages)), key=lambda position: passages[position].id)] = np.arange(len(passages))
    return ranks


def write_json(path: Path, value: object, indent: int | None = None) -> None:
    """Write a JSON file into a folder that nobody reads yet."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", encoding="utf8")
