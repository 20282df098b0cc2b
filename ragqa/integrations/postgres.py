"""PostgreSQL with pgvector: a store for `ragqa.index.database`, with plain tables for words and half-precision vectors.

The URI is the usual one, and `#name` at its end names the schema (default: `ragqa`): `postgresql://user@host/database#wiki`.
Each push writes tables of its own, numbered as a generation, then names them as the current ones in one transaction. The tables
of the generation before stay until the next push, for readers that opened it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ragqa.errors import IndexStoreError, InputError, MissingExtraError, first_line, shown_url
from ragqa.index.database import Condition, Header, Row, as_values
from ragqa.records import MetadataValue, Passage
from ragqa.storage.json_lines import construct, json_line

try:
    import psycopg
    from psycopg import errors, sql
    from psycopg_pool import ConnectionPool, PoolTimeout
except ImportError as error:
    raise MissingExtraError("an index in PostgreSQL", "postgres") from error

if TYPE_CHECKING:
    import numpy as np

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TIMEOUT = 10.0  # seconds to connect
_BATCH = 1000  # passages that are written together
_TABLES = """
create table {header} (name text primary key, value jsonb not null);
create table {terms} (number int primary key, term text not null);
create table {values} (place int, code int, value jsonb not null, primary key (place, code));
create table {passages} (position int primary key, id text not null, record text not null, codes int[] not null{vector});
create table {postings} (term int not null, position int not null, weight real not null);
"""
_INDEXES = """
create unique index on {passages} (id);
create unique index on {postings} (term, position) include (weight);
analyze {passages};
analyze {postings};
"""
_KINDS = ("header", "terms", "values", "passages", "postings")


class PostgresStore:
    """An index in a schema of a PostgreSQL database. Can be shared between threads."""

    def __init__(self, uri: str) -> None:
        """Connect. Raises `IndexStoreError` if the server does not respond, `InputError` for a name that is none."""
        address, _, name = uri.partition("#")
        self._name = name or "ragqa"
        if not _NAME.fullmatch(self._name):
            raise InputError(
                f"{self._name!r} is no name of a schema; use lower-case letters, digits and _, at most 40 of them"
            )
        self._shown = f"{shown_url(address)}#{self._name}"
        try:
            psycopg.connect(address, connect_timeout=int(_TIMEOUT)).close()
        except psycopg.Error as error:
            raise IndexStoreError(
                f"{self._shown} does not respond: {first_line(error)}", "check server and URI"
            ) from error
        self._pool = ConnectionPool(
            address, min_size=0, max_size=8, open=True, timeout=_TIMEOUT, kwargs={"autocommit": True}
        )
        self.generation = 0

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def write(self, header: Header, values: Sequence[Sequence[MetadataValue]], rows: Iterable[Row]) -> None:
        """Replace the index, at once when all is written.

        Raises `IndexStoreError` if another process is writing, if the server does not respond, or if pgvector is missing.
        """
        with self._connection() as connection:
            connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(self._name)))
            connection.execute(self._sql("create table if not exists {current} (generation int not null)"))
            if header.manifest["width"]:
                connection.execute("create extension if not exists vector")
            if not _one(connection, "select pg_try_advisory_lock(hashtext(%s))", [self._shown]):
                raise IndexStoreError(f"another process is writing {self._shown}", "wait until it has finished")
            try:
                self._write(connection, header, values, rows)
            finally:
                connection.execute("select pg_advisory_unlock(hashtext(%s))", [self._shown])

    def _write(
        self, connection: Any, header: Header, values: Sequence[Sequence[MetadataValue]], rows: Iterable[Row]
    ) -> None:
        before = _one(connection, self._sql("select max(generation) from {current}")) or 0
        new, width = before + 1, header.manifest["width"]
        with connection.transaction():
            vector = sql.SQL(", vector halfvec({}) not null").format(width) if width else sql.SQL("")
            connection.execute(self._sql(_TABLES, new, vector=vector))
            kept = {"manifest": header.manifest, "abbreviations": header.abbreviations, "columns": list(header.columns)}
            named = ((name, json.dumps(value)) for name, value in kept.items())
            _copy(connection, self._sql("copy {header} from stdin", new), named)
            _copy(connection, self._sql("copy {terms} from stdin", new), enumerate(header.vocabulary))
            coded = ((n, code, json.dumps(v)) for n, own in enumerate(values) for code, v in enumerate(own))
            _copy(connection, self._sql("copy {values} from stdin", new), coded)
            self._copy_rows(connection, new, rows)
            connection.execute(self._sql(_INDEXES, new))
            connection.execute(self._sql("delete from {current}"))
            connection.execute(self._sql("insert into {current} values (%s)"), [new])
            self._drop(connection, before - 1)
        self.generation = new

    def _copy_rows(self, connection: Any, generation: int, rows: Iterable[Row]) -> None:
        """Write passages and postings in turns, since a connection copies into one table at a time."""
        passages: list[tuple[Any, ...]] = []
        postings: list[tuple[Any, ...]] = []
        for row in rows:
            record = json_line(row.passage).decode().rstrip("\n")
            vector = () if row.vector is None else (str(row.vector.tolist()),)
            passages.append((row.position, row.passage.id, record, row.codes, *vector))
            words = zip(row.terms.tolist(), row.weights.tolist(), strict=True)
            postings.extend((term, row.position, weight) for term, weight in words)
            if len(passages) == _BATCH:
                self._copy_batch(connection, generation, passages, postings)
        self._copy_batch(connection, generation, passages, postings)

    def _copy_batch(self, connection: Any, generation: int, *tables: list[tuple[Any, ...]]) -> None:
        for name, own in zip(("passages", "postings"), tables, strict=True):
            _copy(connection, self._sql(f"copy {{{name}}} from stdin", generation), own)
            own.clear()

    def _drop(self, connection: Any, generation: int) -> None:
        for kind in _KINDS:
            connection.execute(self._sql(f"drop table if exists {{{kind}}}", generation))

    def header(self) -> Header:
        """Read the header of the current generation. Raises `IndexStoreError` if there is none."""
        with self._connection() as connection:
            try:
                self.generation = _one(connection, self._sql("select generation from {current}")) or 0
            except errors.UndefinedTable:
                self.generation = 0
            if not self.generation:
                raise IndexStoreError(f"there is no index at {self._shown}", "write one with: ragqa push")
            kept = dict(connection.execute(self._own("select name, value from {header}")).fetchall())
            terms = connection.execute(self._own("select term from {terms} order by number")).fetchall()
        return Header(kept["manifest"], [term for (term,) in terms], kept["abbreviations"], kept["columns"])

    def values(self, column: int) -> tuple[MetadataValue, ...]:
        """Return the values of a column, by code."""
        found = self._all("select value from {values} where place = %s order by code", [column])
        return as_values(value for (value,) in found)

    def by_terms(self, terms: Sequence[int], count: int, conditions: Sequence[Condition]) -> list[int]:
        """Return the passages with the highest sums of the weights of these terms."""
        query = (
            "select position from {postings} {join} where term = any(%s) {meeting}"
            " group by position order by sum(weight) desc, position limit %s"
        )
        return _first_column(self._all(query, [list(terms), *_given(conditions), count], conditions))

    def by_vector(self, vector: "np.ndarray", count: int, conditions: Sequence[Condition]) -> list[int]:
        """Return the passages with the highest inner products. All are compared."""
        query = (
            "select position from {passages} where true {meeting} order by vector <#> %s::halfvec, position limit %s"
        )
        return _first_column(self._all(query, [*_given(conditions), str(vector.tolist()), count], conditions))

    def meets(self, conditions: Sequence[Condition], position: int | None = None) -> bool:
        """Return whether a passage meets all conditions: any, or the one at a position."""
        query = "select 1 from {passages} where (%s::int is null or position = %s) {meeting} limit 1"
        return bool(self._all(query, [position, position, *_given(conditions)], conditions))

    def holding(self, term: int) -> list[int]:
        """Return all passages that hold a term, in the order of their positions."""
        return _first_column(self._all("select position from {postings} where term = %s order by position", [term]))

    def position(self, passage_id: str) -> int | None:
        """Return the position of a passage; None if there is none with this id."""
        found = self._all("select position from {passages} where id = %s", [passage_id])
        return found[0][0] if found else None

    def passages(self, positions: Sequence[int]) -> dict[int, Passage]:
        """Read passages, by position."""
        found = self._all("select position, record from {passages} where position = any(%s)", [list(positions)])
        return {position: construct(Passage, json.loads(record)) for position, record in found}

    def weights(self, positions: Sequence[int], terms: Sequence[int]) -> "np.ndarray":
        """Return the weights of terms in passages: float32, shape (positions, terms)."""
        import numpy as np

        weights = np.zeros((len(positions), len(terms)), dtype=np.float32)
        rows, columns = ({value: n for n, value in enumerate(own)} for own in (positions, terms))
        found = self._all(
            "select position, term, weight from {postings} where term = any(%s) and position = any(%s)",
            [list(terms), list(positions)],
        )
        for position, term, weight in found:
            weights[rows[position], columns[term]] = weight
        return weights

    def vectors(self, positions: Sequence[int]) -> "np.ndarray":
        """Return the vectors of passages: float32, shape (positions, width)."""
        import numpy as np

        found = dict(
            self._all("select position, vector::real[] from {passages} where position = any(%s)", [list(positions)])
        )
        return np.array([found[position] for position in positions], dtype=np.float32)

    def _all(self, query: str, given: Sequence[Any], conditions: Sequence[Condition] = ()) -> list[tuple[Any, ...]]:
        """The rows that a query about the opened generation gives."""
        with self._connection() as connection:
            found: list[tuple[Any, ...]] = connection.execute(self._own(query, conditions), given).fetchall()
            return found

    def _own(self, query: str, conditions: Sequence[Condition] = ()) -> sql.Composed:
        join = self._sql("join {passages} using (position)" if conditions else "", self.generation)
        return self._sql(query, self.generation, join=join, meeting=_meeting(conditions))

    def _sql(self, query: str, generation: int = 0, **more: sql.Composable) -> sql.Composed:
        tables = {kind: sql.Identifier(self._name, f"{kind}_{generation}") for kind in _KINDS}
        current = sql.Identifier(self._name, "current")
        return sql.SQL(query).format(**tables, current=current, **more)

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """A connection. Raises `IndexStoreError` for all errors of the server."""
        try:
            with self._pool.connection() as connection:
                yield connection
        except PoolTimeout as error:
            raise IndexStoreError(
                f"{self._shown} does not respond within {_TIMEOUT:.0f} s", "check server and URI"
            ) from error
        except errors.UndefinedTable as error:
            raise IndexStoreError(f"the index at {self._shown} has been replaced", "open it again") from error
        except psycopg.Error as error:
            raise IndexStoreError(f"{self._shown}: {first_line(error)}") from error


def _one(connection: Any, query: Any, given: Sequence[Any] = ()) -> Any:
    found = connection.execute(query, given).fetchone()
    return found and found[0]


def _copy(connection: Any, query: Any, rows: Iterable[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for row in rows:
            copy.write_row(row)


def _meeting(conditions: Sequence[Condition]) -> sql.Composable:
    """The conditions in SQL, each after an `and`; `_given` has their values."""
    wanted, unwanted = "and codes[{}] = any(%s)", "and not codes[{}] = any(%s)"
    return sql.SQL(" ").join(sql.SQL(unwanted if one.excluded else wanted).format(one.column + 1) for one in conditions)


def _given(conditions: Sequence[Condition]) -> list[Any]:
    return [list(condition.codes) for condition in conditions]


def _first_column(rows: list[tuple[Any, ...]]) -> list[int]:
    return [row[0] for row in rows]
