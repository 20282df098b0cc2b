"""The values of a key in all passages, and which passages meet a filter.

A column holds each distinct value once, and for each passage the position of its value. So a condition is checked once for each
distinct value, and numpy does the rest. The first filter reads all passages. The masks of the last filters are kept.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ragqa.errors import InputError
from ragqa.index.filters import FIELDS, ORDERS, Condition, Filter, Scalar
from ragqa.records import MetadataValue, Passage

if TYPE_CHECKING:
    import numpy as np

_MOST_MASKS = 32  # filters whose masks are kept
_MOST_NAMED = 10  # keys that an error names


@dataclass(frozen=True, slots=True)
class Column:
    """The distinct `values` of a key. `codes` holds the position of each passage's value, -1 if it has none: int32."""

    values: tuple[MetadataValue, ...]
    codes: "np.ndarray"


class Columns:
    """The columns of some passages, each made on first use. Can be shared between threads."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._metadata: Mapping[str, Column] | None = None
        self._fields: dict[str, Column] = {}
        self._masks: dict[str, np.ndarray] = {}

    def __reduce__(self) -> tuple[type["Columns"], tuple[Sequence[Passage]]]:
        return Columns, (self._passages,)

    def mask(self, wanted: Filter) -> "np.ndarray":
        """Return which passages meet a filter, in index order: bool, shape (passages,). It must not be changed.

        Raises `InputError` for a key that no passage has, and for a value of another type than all values of its key.
        """
        import numpy as np

        name = repr(wanted)  # True equals 1, but is another value
        known = self._masks.get(name)
        if known is None:
            known = np.ones(len(self._passages), dtype=bool)
            for condition in wanted.conditions:
                known &= _meets(self.column(condition.key), condition)
            known.setflags(write=False)
            for old in list(self._masks)[: 1 - _MOST_MASKS]:
                self._masks.pop(old, None)
            self._masks[name] = known
        return known

    def column(self, key: str) -> Column:
        """Return the column of a key. Raises `InputError`, which names the keys that there are, if no passage has it."""
        if key in (metadata := self._of_metadata()):
            return metadata[key]
        if key not in FIELDS:
            raise InputError(f"where: no passage has the key {key!r}; {named_keys(key, metadata)}")
        if key not in self._fields:
            self._fields[key] = _column(getattr(passage, key) or None for passage in self._passages)
        return self._fields[key]

    def keys(self) -> tuple[str, ...]:
        """Return the keys that a filter can name: those of the metadata, then the fields."""
        return (*self._of_metadata(), *FIELDS)

    def _of_metadata(self) -> "Mapping[str, Column]":
        if self._metadata is None:
            self._metadata = _metadata_columns(self._passages)
        return self._metadata


def _metadata_columns(passages: Iterable[Passage]) -> dict[str, Column]:
    """Read all passages once for the columns of all keys of their metadata."""
    every = [passage.metadata for passage in passages]
    return {key: _column(own.get(key) for own in every) for key in dict.fromkeys(key for own in every for key in own)}


def _column(values: Iterable[MetadataValue | None]) -> Column:
    import numpy as np

    codes: dict[tuple[bool, MetadataValue], int] = {}  # keeps True and 1 apart
    found = [-1 if v is None else codes.setdefault((isinstance(v, bool), v), len(codes)) for v in values]
    return Column(tuple(value for _, value in codes), np.array(found, dtype=np.int32))


def codes_that_meet(values: Sequence[MetadataValue], condition: Condition) -> tuple[int, ...]:
    """Return the codes of the values that meet a condition, for `!=` of those that do not.

    Raises `InputError` for a condition of another type than all values.
    """
    kinds = {_kind(one) for value in values for one in _each(value)}
    if kinds and not any(_kind(value) in kinds for value in condition.values):
        held, given = " and ".join(sorted(kinds)), condition.values[0]
        raise InputError(f"where: {condition.key!r} holds {held}, and {given!r} is not one")
    holds = _test(condition)
    return tuple(code for code, value in enumerate(values) if any(map(holds, _each(value))))


def _meets(column: Column, condition: Condition) -> "np.ndarray":
    """Return which passages meet a condition."""
    import numpy as np

    by_code = np.zeros(len(column.values) + 1, dtype=bool)  # the code -1 takes the last one
    by_code[list(codes_that_meet(column.values, condition))] = True
    met: np.ndarray = by_code[column.codes]
    return np.logical_not(met) if condition.operator == "!=" else met


def _test(condition: Condition) -> Callable[[Scalar], bool]:
    """Return whether `=`, or an operator of order, holds for one of the values of a condition."""
    wanted = {kind: [v for v in condition.values if _kind(v) == kind] for kind in map(_kind, condition.values)}
    if condition.operator not in ORDERS:
        sets = {kind: frozenset(values) for kind, values in wanted.items()}
        return lambda value: value in sets.get(_kind(value), ())
    compare: Callable[[Any, Any], bool] = ORDERS[condition.operator]
    return lambda value: _kind(value) != _BOOL and any(compare(value, one) for one in wanted.get(_kind(value), ()))


_BOOL, _NUMBER, _TEXT = "bools", "numbers", "strings"


def _kind(value: Scalar) -> str:
    return _BOOL if isinstance(value, bool) else _TEXT if isinstance(value, str) else _NUMBER


def _each(value: MetadataValue) -> Iterator[Scalar]:
    yield from value if isinstance(value, tuple) else (value,)


def named_keys(key: str, metadata: Iterable[str]) -> str:
    """Name the keys that there are, in metadata and as fields, those spelled like `key` first."""
    every = [*sorted(metadata), *FIELDS]
    near = get_close_matches(key, every, len(every), 0.5)
    named = list(dict.fromkeys([*near, *every]))
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return f"there are {', '.join(named[:_MOST_NAMED])}{more}"
