"""Qdrant: a store for `ragqa.index.database`, with the words of a passage as a sparse vector beside the dense one.

The URI is `qdrant://host:6333/name`, with `?https` for an encrypted connection; the variable QDRANT_API_KEY holds the
key. `qdrant:///folder/name` or `qdrant://./folder/name` is the engine embedded in the client: for one process at a time and
some ten thousand passages. Each push writes collections of its own, `name-1`, `name-2`, …, and then moves the alias `name`. The
collections before stay until the next push, for readers that opened them.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ragqa.errors import IndexStoreError, InputError, MissingExtraError, first_line, shown_url
from ragqa.index.database import Condition, Header, Row, as_values
from ragqa.records import MetadataValue, Passage
from ragqa.storage.json_lines import construct, json_line

try:
    from qdrant_client import QdrantClient, models
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
except ImportError as error:
    raise MissingExtraError("an index in Qdrant", "qdrant") from error

if TYPE_CHECKING:
    import numpy as np

_NAME = re.compile(r"[A-Za-z][\w-]{0,99}", re.ASCII)
_DENSE, _WORDS = "dense", "words"
_PORT, _TIMEOUT = 6333, 60  # seconds for a request
_BATCH = 256  # points that are written together
_PART = 5000  # terms or values in a point
_NOT_FOUND = 404


class QdrantStore:
    """An index in the collections of a Qdrant server, or of the embedded engine. Can be shared between threads."""

    def __init__(self, uri: str) -> None:
        """Prepare the connection. Raises `InputError` for a URI without the name of a collection."""
        parts = urlsplit(uri)
        folder, _, self._name = parts.path.rpartition("/")
        if not _NAME.fullmatch(self._name):
            raise InputError(
                f"{shown_url(uri)} does not name a collection; give one such as qdrant://localhost:{_PORT}/wiki"
            )
        self._shown = shown_url(uri)
        self.generation = 0
        self._is_embedded = parts.hostname in (None, ".")
        if not self._is_embedded:
            self._client = QdrantClient(
                host=parts.hostname,
                port=parts.port or _PORT,
                https=parts.query == "https",
                api_key=os.environ.get("QDRANT_API_KEY"),
                timeout=_TIMEOUT,
                check_compatibility=False,
            )
            return
        with self._errors():
            self._client = QdrantClient(path=f"{parts.hostname or ''}{folder}")

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def write(self, header: Header, values: Sequence[Sequence[MetadataValue]], rows: Iterable[Row]) -> None:
        """Replace the index, at once when all is written. Raises `IndexStoreError` if the server does not respond."""
        with self._errors():
            before = self._current()
            new = max([before, *self._stored()]) + 1
            self._create(new, header)
            self._client.upload_points(self._kept(new), _header_points(header, values), batch_size=1, wait=True)
            points = map(_point, rows)
            while batch := list(islice(points, _BATCH)):
                self._client.upsert(self._own(new), batch, wait=True)
            changes: list[Any] = [
                models.CreateAliasOperation(
                    create_alias=models.CreateAlias(collection_name=self._own(new), alias_name=self._name)
                )
            ]
            if before:
                changes.insert(0, models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=self._name)))
            self._client.update_collection_aliases(changes)
            for old in self._stored():
                if old not in (before, new):
                    self._client.delete_collection(self._own(old))
                    self._client.delete_collection(self._kept(old))
            self.generation = new

    def _create(self, generation: int, header: Header) -> None:
        width = header.manifest["width"]
        dense = models.VectorParams(size=width, distance=models.Distance.DOT, datatype=models.Datatype.FLOAT16)
        self._client.create_collection(
            self._own(generation),
            vectors_config={_DENSE: dense} if width else {},
            sparse_vectors_config={_WORDS: models.SparseVectorParams()},
        )
        self._client.create_collection(self._kept(generation), vectors_config={})
        if not self._is_embedded:  # the embedded engine has no payload indexes, and says so in a warning
            for number in range(len(header.columns)):
                self._client.create_payload_index(
                    self._own(generation), _code_key(number), models.PayloadSchemaType.INTEGER
                )
            self._client.create_payload_index(self._own(generation), "id", models.PayloadSchemaType.KEYWORD)

    def _own(self, generation: int) -> str:
        """The collection of the passages."""
        return f"{self._name}-{generation}"

    def _kept(self, generation: int) -> str:
        """The collection of the header."""
        return f"{self._name}-{generation}-header"

    def _current(self) -> int:
        """The generation that the alias names, 0 if there is none."""
        aliases = self._client.get_aliases().aliases
        named = [alias.collection_name for alias in aliases if alias.alias_name == self._name]
        return int(named[0].rpartition("-")[2]) if named else 0

    def _stored(self) -> list[int]:
        """The generations whose passages are stored."""
        pattern = re.compile(rf"{re.escape(self._name)}-(\d+)")
        names = (pattern.fullmatch(one.name) for one in self._client.get_collections().collections)
        return [int(match[1]) for match in names if match]

    def header(self) -> Header:
        """Read the header of the current generation. Raises `IndexStoreError` if there is none."""
        with self._errors():
            self.generation = self._current()
            if not self.generation:
                raise IndexStoreError(f"there is no index at {self._shown}", "write one with: ragqa push")
            read = {payload["name"]: payload["value"] for payload in self._payloads("header")}
            terms = sorted(self._payloads("terms"), key=lambda payload: payload["part"])
        vocabulary = [term for payload in terms for term in payload["value"]]
        return Header(json.loads(read["manifest"]), vocabulary, json.loads(read["abbreviations"]), read["columns"])

    def values(self, column: int) -> tuple[MetadataValue, ...]:
        """Return the values of a column, by code."""
        with self._errors():
            parts = sorted(self._payloads(_code_key(column)), key=lambda payload: payload["part"])
        return as_values(value for payload in parts for value in json.loads(payload["value"]))

    def _payloads(self, kind: str) -> Iterator[dict[str, Any]]:
        wanted = models.Filter(must=[models.FieldCondition(key="kind", match=models.MatchValue(value=kind))])
        offset: Any = None
        while True:
            found, offset = self._client.scroll(
                self._kept(self.generation), scroll_filter=wanted, limit=20, offset=offset
            )
            yield from (point.payload or {} for point in found)
            if offset is None:
                return

    def by_terms(self, terms: Sequence[int], count: int, conditions: Sequence[Condition]) -> list[int]:
        """Return the passages with the highest sums of the weights of these terms."""
        return self._nearest(
            models.SparseVector(indices=list(terms), values=[1.0] * len(terms)), _WORDS, count, conditions
        )

    def by_vector(self, vector: "np.ndarray", count: int, conditions: Sequence[Condition]) -> list[int]:
        """Return the passages with the highest inner products. All are compared."""
        # the embedded engine is always exact, and warns if it is asked to be
        exact = None if self._is_embedded else models.SearchParams(exact=True)
        return self._nearest(vector.tolist(), _DENSE, count, conditions, exact)

    def _nearest(
        self, query: Any, using: str, count: int, conditions: Sequence[Condition], params: Any = None
    ) -> list[int]:
        with self._errors():
            found = self._client.query_points(
                self._own(self.generation),
                query=query,
                using=using,
                limit=count,
                query_filter=_filter(conditions),
                search_params=params,
                with_payload=False,
            )
        return [int(point.id) for point in found.points]

    def meets(self, conditions: Sequence[Condition], position: int | None = None) -> bool:
        """Return whether a passage meets all conditions: any, or the one at a position."""
        wanted = _filter(conditions) or models.Filter()
        if position is not None:
            wanted = models.Filter(must=[wanted, models.HasIdCondition(has_id=[position])])
        return bool(self._scroll(wanted))

    def holding(self, term: int) -> list[int]:
        """Return all passages that hold a term, in the order of their positions."""
        with self._errors():
            every = self._client.count(self._own(self.generation), exact=True).count
        return sorted(self.by_terms([term], every, ()))

    def position(self, passage_id: str) -> int | None:
        """Return the position of a passage; None if there is none with this id."""
        named = models.FieldCondition(key="id", match=models.MatchValue(value=passage_id))
        found = self._scroll(models.Filter(must=[named]))
        return found[0] if found else None

    def _scroll(self, wanted: models.Filter | None) -> list[int]:
        with self._errors():
            found, _ = self._client.scroll(
                self._own(self.generation), scroll_filter=wanted, limit=1, with_payload=False
            )
        return [int(point.id) for point in found]

    def passages(self, positions: Sequence[int]) -> dict[int, Passage]:
        """Read passages, by position."""
        with self._errors():
            found = self._client.retrieve(self._own(self.generation), list(positions), with_payload=["passage"])
        return {int(one.id): construct(Passage, json.loads((one.payload or {})["passage"])) for one in found}

    def weights(self, positions: Sequence[int], terms: Sequence[int]) -> "np.ndarray":
        """Return the weights of terms in passages: float32, shape (positions, terms)."""
        import numpy as np

        weights = np.zeros((len(positions), len(terms)), dtype=np.float32)
        columns = {term: n for n, term in enumerate(terms)}
        words = self._vectors(positions, _WORDS)
        for row, position in enumerate(positions):
            for term, weight in zip(words[position].indices, words[position].values, strict=True):
                if term in columns:
                    weights[row, columns[term]] = weight
        return weights

    def vectors(self, positions: Sequence[int]) -> "np.ndarray":
        """Return the vectors of passages: float32, shape (positions, width)."""
        import numpy as np

        found = self._vectors(positions, _DENSE)
        return np.array([found[position] for position in positions], dtype=np.float32)

    def _vectors(self, positions: Sequence[int], name: str) -> dict[int, Any]:
        with self._errors():
            found = self._client.retrieve(
                self._own(self.generation), list(positions), with_payload=False, with_vectors=[name]
            )
        return {int(point.id): point.vector[name] for point in found}  # type: ignore[index, call-overload]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise `IndexStoreError` for all errors of the server and of the embedded engine."""
        try:
            yield
        except ResponseHandlingException as error:
            raise IndexStoreError(
                f"{self._shown} does not respond ({first_line(error)})", "check server and URI"
            ) from error
        except (UnexpectedResponse, ValueError, RuntimeError) as error:
            gone = getattr(error, "status_code", 0) == _NOT_FOUND or "not found" in str(error)
            if gone:
                raise IndexStoreError(f"the index at {self._shown} has been replaced", "open it again") from error
            raise IndexStoreError(f"{self._shown}: {first_line(error)}") from error


def _code_key(column: int) -> str:
    return f"code{column}"


def _point(row: Row) -> models.PointStruct:
    vector: dict[str, Any] = {_WORDS: models.SparseVector(indices=row.terms.tolist(), values=row.weights.tolist())}
    if row.vector is not None:
        vector[_DENSE] = row.vector.tolist()
    codes = {_code_key(number): code for number, code in enumerate(row.codes)}
    passage = json_line(row.passage).decode()
    return models.PointStruct(
        id=row.position, vector=vector, payload={"id": row.passage.id, "passage": passage, **codes}
    )


def _header_points(header: Header, values: Sequence[Sequence[MetadataValue]]) -> Iterator[models.PointStruct]:
    """The header in points without vectors. What Qdrant could change, such as numbers and null, is kept as JSON."""
    kept = {
        "manifest": json.dumps(dict(header.manifest)),
        "abbreviations": json.dumps(dict(header.abbreviations)),
        "columns": list(header.columns),
    }
    payloads: list[dict[str, Any]] = [{"kind": "header", "name": name, "value": value} for name, value in kept.items()]
    payloads += [
        {"kind": "terms", "part": start, "value": list(header.vocabulary[start : start + _PART])}
        for start in range(0, len(header.vocabulary), _PART)
    ]
    payloads += [
        {"kind": _code_key(number), "part": start, "value": json.dumps(own[start : start + _PART])}
        for number, own in enumerate(values)
        for start in range(0, len(own), _PART)
    ]
    for number, payload in enumerate(payloads):
        yield models.PointStruct(id=number, vector={}, payload=payload)


def _filter(conditions: Sequence[Condition]) -> models.Filter | None:
    """The conditions in the terms of Qdrant."""
    met: dict[bool, list[Any]] = {True: [], False: []}
    for condition in conditions:
        match = models.MatchAny(any=list(condition.codes))
        met[condition.excluded].append(models.FieldCondition(key=_code_key(condition.column), match=match))
    return models.Filter(must=met[False], must_not=met[True]) if conditions else None
