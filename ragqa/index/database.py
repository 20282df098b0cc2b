"""An index whose passages, postings and vectors are in a database, such as Qdrant or PostgreSQL.

A `Store` does what only the database can: it finds passages by terms, by vector and by id, and reads them. Everything else is
done here, as for an index folder: the terms of a question, the meaning of a filter, ties, and the scores. The database ranks by
sums that it rounds in its own way, so it is asked for a few passages more than needed, and their scores are added up here from
the stored weights, in the same order as in a folder. The lists are then the same, but for passages that tie with the last one.

`push_index` copies an index folder into a database. Until a push is complete, readers see the copy before.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, overload
from urllib.parse import urlsplit

from ragqa.errors import IndexStoreError, InputError, MissingExtraError, shown_url
from ragqa.index.bm25 import FORMAT, Bm25Index, best_passages
from ragqa.index.columns import Columns, codes_that_meet, named_keys
from ragqa.index.dense import DenseIndex, load_embedder
from ragqa.index.filters import FIELDS, Filter, Where
from ragqa.index.interface import Index
from ragqa.index.rankings import FetchedRanking
from ragqa.models.embedder import Embedder
from ragqa.process import REASON, may_reach
from ragqa.records import MetadataValue, Passage
from ragqa.text.analyzer import analyzer_of
from ragqa.text.language import Language

if TYPE_CHECKING:
    import numpy as np

_GROUP = "ragqa.databases"  # entry points; the name is the scheme of a URI
_MORE = 32  # passages that are asked for beyond those needed, because a database rounds sums in its own way
_FOLDERS = (None, ".")  # instead of a host: what is in a folder, or behind a socket, of this machine
_KEPT = 4096  # passages that are kept in memory


class Condition(NamedTuple):
    """A condition on a passage: the code of its value in a column is one of `codes`, or none of them if `excluded`."""

    column: int
    codes: tuple[int, ...]
    excluded: bool


@dataclass(frozen=True, slots=True)
class Header:
    """What is kept beside the passages.

    `manifest` has those entries of an index folder's manifest that a reader needs, and the `width` of the vectors (0: none).
    `vocabulary` holds the terms by number, `abbreviations` maps long forms to them. Filters can name `columns`; the codes of a
    passage are in this order.
    """

    manifest: Mapping[str, Any]
    vocabulary: Sequence[str]
    abbreviations: Mapping[str, str]
    columns: Sequence[str]


class Row(NamedTuple):
    """A passage as it is stored. `codes` holds the code of its value in each column, -1 for none.

    `terms` (int32) and `weights` (float32) are its postings, `vector` (float16) is None in an index without vectors.
    """

    position: int
    passage: Passage
    codes: list[int]
    terms: "np.ndarray"
    weights: "np.ndarray"
    vector: "np.ndarray | None"


class Store(Protocol):
    """A database that holds the passages of an index. Its methods raise `IndexStoreError` if it does not respond.

    Positions number the passages in the order of their ids. Methods that find passages return positions, best first.
    `generation` is the number of the push that is read; `header` opens the current one.
    """

    generation: int

    def write(self, header: Header, values: Sequence[Sequence[MetadataValue]], rows: Iterable[Row]) -> None:
        """Replace what is stored, at once when all is written. `values` holds those of each column, by code."""

    def header(self) -> Header:
        """Read the header. Raises `IndexStoreError` if there is no index."""

    def values(self, column: int) -> tuple[MetadataValue, ...]:
        """Return the values of a column, by code."""

    def by_terms(self, terms: Sequence[int], count: int, conditions: Sequence[Condition]) -> list[int]:
        """Return the passages with the highest sums of the weights of these terms, and with one of them at least."""

    def by_vector(self, vector: "np.ndarray", count: int, conditions: Sequence[Condition]) -> list[int]:
        """Return the passages with the highest inner products; `vector` is float32, shape (width,)."""

    def meets(self, conditions: Sequence[Condition], position: int | None = None) -> bool:
        """Return whether a passage meets all conditions: any, or the one at a position."""

    def holding(self, term: int) -> list[int]:
        """Return all passages that hold a term, in the order of their positions."""

    def position(self, passage_id: str) -> int | None:
        """Return the position of a passage; None if there is none with this id."""

    def passages(self, positions: Sequence[int]) -> dict[int, Passage]:
        """Read passages, by position."""

    def weights(self, positions: Sequence[int], terms: Sequence[int]) -> "np.ndarray":
        """Return the weights of terms in passages, 0 where one does not occur: float32, shape (positions, terms)."""

    def vectors(self, positions: Sequence[int]) -> "np.ndarray":
        """Return the vectors of passages: shape (positions, width)."""

    def close(self) -> None:
        """Close the connection."""


def open_store(uri: str) -> Store:
    """Return the store that a URI such as `qdrant://localhost:6333/wiki` names.

    Raises `InputError` for an unknown scheme, `MissingExtraError` if the database's package is not installed, and
    `IndexStoreError` for a server that is not on this machine if ragqa is offline.
    """
    from importlib.metadata import entry_points  # slow to import

    scheme = uri.partition("://")[0]
    found = {entry.name: entry for entry in entry_points(group=_GROUP)}
    if scheme not in found:
        raise InputError(f"{scheme}:// is no database that ragqa knows; there are {', '.join(sorted(found)) or 'none'}")
    try:
        make = found[scheme].load()
    except MissingExtraError:
        raise
    except ImportError as error:
        raise InputError(f"the package for {scheme}:// cannot be imported ({error})") from error
    if urlsplit(uri).hostname not in _FOLDERS and not may_reach(uri):
        raise IndexStoreError(f"{shown_url(uri)} is not asked: {REASON}")
    store: Store = make(uri)
    return store


def open_database(
    uri: str, dense: bool | None = None, embedder: Embedder | None = None
) -> "tuple[DatabaseIndex, DatabaseVectors | None]":
    """Open the index in a database and its vectors, with arguments as for `ragqa.index.folder.open_index`.

    Raises `IndexStoreError`, and as `open_store` does.
    """
    index = DatabaseIndex(uri, open_store(uri))
    if not (index.has_vectors if dense is None else dense):
        return index, None
    if not index.has_vectors:
        raise IndexStoreError("the database holds no vectors", "push an index that has some, or search without them")
    known, remedy = index.manifest["embedder"], "push the index again"
    embedder = embedder or load_embedder(shown_url(uri), known["source"], remedy)
    if embedder.identity != known["identity"]:
        raise IndexStoreError("the vectors were made with another embedder", remedy)
    return index, DatabaseVectors(index, embedder)


@dataclass(frozen=True, slots=True)
class Conditions:
    """The passages that meet a filter, all of the conditions `stored`."""

    store: Store
    stored: tuple[Condition, ...]

    def any(self) -> bool:
        """Return whether a passage meets the filter."""
        return self.store.meets(self.stored)

    def __getitem__(self, position: int) -> bool:
        """Return whether the passage at a position meets it."""
        return self.store.meets(self.stored, position)


class DatabaseIndex:
    """An index in a database, searched as one in a folder is. Can be shared between threads, and pickled as its URI."""

    generation: Path | None = None

    def __init__(self, uri: str, store: Store) -> None:
        """Read the header. Raises `IndexStoreError` if there is none, or if it has another format or analyzer."""
        import numpy as np

        from ragqa.index.terms import Abbreviations

        self.uri = uri
        self._store, self._process = store, os.getpid()
        header = store.header()
        self.manifest = header.manifest
        analyzer = analyzer_of(self.manifest["analyzer"])
        if self.manifest["format"] != FORMAT or analyzer is None:
            raise IndexStoreError("the database holds an index of another version", "push the index folder again")
        self.analyzer = analyzer
        self.language = Language(self.manifest["language"])
        self.vocabulary: Mapping[str, int] = {term: number for number, term in enumerate(header.vocabulary)}
        self.passages = _Passages(self)
        self.ranks = np.arange(len(self.passages), dtype=np.int32)  # positions are in the order of the ids
        self._columns = tuple(header.columns)
        self._abbreviations = Abbreviations(header.abbreviations)
        self._values: dict[str, tuple[MetadataValue, ...]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.uri,)

    @property
    def store(self) -> Store:
        """The database. A forked child opens connections of its own, and reads what its parent has opened."""
        if self._process != os.getpid():
            generation = self._store.generation
            self._store, self._process = open_store(self.uri), os.getpid()
            self._store.generation = generation
        return self._store

    @property
    def has_vectors(self) -> bool:
        """Whether the passages were pushed with vectors."""
        return self.manifest.get("embedder") is not None

    def read(self, positions: Sequence[int]) -> list[Passage]:
        """Return the passages at these positions, read together."""
        return self.passages.read(positions)

    def question_terms(self, question: str) -> list[str]:
        """Return the distinct terms that a question is searched by."""
        from ragqa.index.terms import question_terms

        return question_terms(question, self.analyzer, self._abbreviations)

    def positions_of(self, term: str) -> "np.ndarray":
        """Return the positions of the passages that hold a term, ascending: int32."""
        import numpy as np

        number = self.vocabulary.get(term)
        return np.array([] if number is None else self._holding(number), dtype=np.int32)

    @cached_property
    def _holding(self) -> Callable[[int], list[int]]:
        return lru_cache(maxsize=256)(self._read_holding)

    def _read_holding(self, term: int) -> list[int]:
        return self.store.holding(term)  # of a forked child, another store than that of its parent

    def position(self, passage_id: str) -> int:
        """Return the position of the passage with this id. Raises `InputError` if no passage has it."""
        position = self.store.position(passage_id)
        if position is None:
            raise InputError(f"no passage of the index has the id {passage_id!r}")
        return position

    def term_scores(self, question: str, position: int) -> dict[str, float]:
        """Return what each term of the question adds to the score of a passage, 0 if it does not occur."""
        terms = self.question_terms(question)
        known = [term for term in terms if term in self.vocabulary]
        weights = self.store.weights([position], [self.vocabulary[term] for term in known])[0].tolist()
        return dict.fromkeys(terms, 0.0) | dict(zip(known, weights, strict=True))

    def mask(self, where: Where | None) -> Conditions | None:
        """Return the passages that meet a filter; None without conditions. Raises as `Bm25Index.mask` does."""
        wanted = None if where is None else Filter.of(where)
        if wanted is None or not wanted.conditions:
            return None
        stored = []
        for condition in wanted.conditions:
            if condition.key not in self._columns:
                raise InputError(
                    f"where: no passage has the key {condition.key!r}; "
                    f"{named_keys(condition.key, [key for key in self._columns if key not in FIELDS])}"
                )
            number = self._columns.index(condition.key)
            if condition.key not in self._values:
                self._values[condition.key] = self.store.values(number)
            codes = codes_that_meet(self._values[condition.key], condition)
            stored.append(Condition(number, codes, condition.operator == "!="))
        return Conditions(self.store, tuple(stored))

    def rank(self, question: str, depth: int, selection: Conditions | None = None) -> FetchedRanking:
        """Return the `depth` best passages of a selection that share a term with the question."""
        terms = [self.vocabulary[term] for term in self.question_terms(question) if term in self.vocabulary]
        conditions = () if selection is None else selection.stored

        def scores(positions: Sequence[int]) -> "np.ndarray":
            return _sums(self.store.weights(positions, terms))

        found = self.store.by_terms(terms, depth + _MORE, conditions) if terms else []
        return _ranking(found, scores, depth)

    def search(self, question: str, k: int = 100, *, where: Where | None = None) -> list[tuple[Passage, float]]:
        """Return at most `k` passages that share a term with the question, with scores, best first, ties by passage id."""
        return best_passages(self, question, k, where)


class DatabaseVectors:
    """The vectors of an index in a database."""

    def __init__(self, index: DatabaseIndex, embedder: Embedder) -> None:
        self.embedder = embedder
        self._index = index

    def rank(self, question: str, index: Index, depth: int, selection: Any = None) -> FetchedRanking:
        """Return the `depth` passages of a selection with the highest cosines."""
        import numpy as np

        store, vector = self._index.store, self.embedder.embed([question])[0]

        def cosines(positions: Sequence[int]) -> "np.ndarray":
            found: np.ndarray = store.vectors(positions).astype(np.float32) @ vector
            return found

        conditions = () if selection is None else selection.stored
        return _ranking(store.by_vector(vector, depth + _MORE, conditions), cosines, depth)


def _ranking(found: list[int], scores: "Callable[[Sequence[int]], np.ndarray]", depth: int) -> FetchedRanking:
    """Order what a database found by exact scores, ties by position, and keep the scores."""
    known = dict(zip(found, scores(found).tolist(), strict=True)) if found else {}
    positions = sorted(known, key=lambda position: (-known[position], position))[:depth]

    def read(wanted: Sequence[int]) -> "np.ndarray":
        import numpy as np

        if new := [position for position in wanted if position not in known]:
            known.update(zip(new, scores(new).tolist(), strict=True))
        return np.array([known[position] for position in wanted], dtype=np.float32)

    return FetchedRanking(positions, read)


def _sums(weights: "np.ndarray") -> "np.ndarray":
    """Add up the weights of each passage in the order of the terms, in float32, as `Postings.scores` does."""
    import numpy as np

    scores = np.zeros(len(weights), dtype=np.float32)
    for column in weights.T:
        scores += column
    return scores


class _Passages(Sequence[Passage]):
    """The passages of a database as a sequence. Those that were read last are kept."""

    def __init__(self, index: DatabaseIndex) -> None:
        self._index, self._count = index, int(index.manifest["passages"])
        self._kept: dict[int, Passage] = {}

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, position: int) -> Passage: ...
    @overload
    def __getitem__(self, position: slice) -> list[Passage]: ...
    def __getitem__(self, position: int | slice) -> Passage | list[Passage]:
        if isinstance(position, slice):
            return self.read(range(*position.indices(self._count)))
        return self.read([range(self._count)[position]])[0]

    def __iter__(self) -> Iterator[Passage]:
        for start in range(0, self._count, _KEPT):
            yield from self.read(range(start, min(start + _KEPT, self._count)))

    def read(self, positions: Sequence[int]) -> list[Passage]:
        """Return passages, read together. Raises `IndexStoreError` if one is gone: the index was pushed again."""
        known = self._kept
        if new := {position for position in positions if position not in known}:
            found = self._index.store.passages(sorted(new))
            if len(found) < len(new):
                raise IndexStoreError("the index in the database has been replaced", "open it again")
            known = known | found
            self._kept = dict(list(known.items())[-_KEPT:])
        return [known[position] for position in positions]


def push_index(
    index: Bm25Index, dense: DenseIndex | None, store: Store, progress: Callable[[int], object] | None = None
) -> None:
    """Copy an index, with its vectors if given, into a database, in place of the index that is there.

    `progress` is called with the number of passages stored since its last call. Raises `IndexStoreError` for an index of
    rank-bm25 and if the database does not respond.
    """
    vectors = None if dense is None else dense.vectors
    manifest = {
        "format": FORMAT,
        "analyzer": index.analyzer.fingerprint,
        "passages": len(index.passages),
        "language": index.language.value,
        "texts": index.texts_digest,
        "embedder": dense and {"source": dense.embedder.source, "identity": dense.embedder.identity},
        "width": 0 if vectors is None else vectors.shape[1],
    }
    columns = Columns(index.passages)
    header = Header(manifest, list(index.vocabulary), index.abbreviations.short_forms, columns.keys())
    store.write(
        header, [columns.column(key).values for key in header.columns], _rows(index, vectors, columns, progress)
    )


def _rows(
    index: Bm25Index, vectors: "np.ndarray | None", columns: Columns, progress: Callable[[int], object] | None
) -> Iterator[Row]:
    import numpy as np

    own, codes = index.postings.by_passage(), [columns.column(key).codes for key in columns.keys()]  # noqa: SIM118
    for position, old in enumerate(np.argsort(index.ranks).tolist()):
        terms, weights = own(old)
        own_codes = [int(column[old]) for column in codes]
        yield Row(position, index.passages[old], own_codes, terms, weights, None if vectors is None else vectors[old])
        if progress:
            progress(1)


def as_values(decoded: Iterable[Any]) -> tuple[MetadataValue, ...]:
    """Return the values of a column that were stored as JSON: a list is a tuple of strings again."""
    return tuple(tuple(value) if isinstance(value, list) else value for value in decoded)


def _reopen(uri: str) -> DatabaseIndex:
    return DatabaseIndex(uri, open_store(uri))
