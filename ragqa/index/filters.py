"""A `where` in, a filter out: conditions on metadata and fields, all of which a passage must meet.

An operator compares strings with strings, by code points, so that ISO dates are in order, and numbers with numbers. A key that
holds strings (a list) meets `=`, `<`, `<=`, `>` and `>=` if one of them does. A passage without the key meets no condition but
`!=`, which is the opposite of `=`. An empty field of a passage, such as no section, counts as missing.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ragqa.errors import InputError
from ragqa.records import scalar

FIELDS = ("id", "title", "section", "url", "about", "aliases")  # of a passage, which filters can name
OPERATORS = ("=", "!=", "<=", "<", ">=", ">")
ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Scalar = str | int | float | bool

_KEY = re.compile(r"\s*(?P<key>.*?)\s*(?P<operator>[<>!=]=|[<>=]|\sin)?\s*", re.DOTALL)
_TEXT = re.compile(r"\s*(?P<key>[^=<>!]+?)\s*(?P<operator>[<>!=]=|[<>=]|\sin\s)\s*(?P<values>.*?)\s*", re.DOTALL)
_EXAMPLES = "such as category=physics, date>=2024-01-31, or category in physics,biology"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on the value of a key. `operator` is one of `OPERATORS`.

    `=` and the operators of order hold if they hold for one of `values`, `!=` if it holds for all of them. An operator of order
    takes no bool. Raises `InputError` for another operator and for values that metadata cannot hold.
    """

    key: str
    operator: str
    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise InputError(f"where: there is no operator {self.operator!r}; there are {', '.join(OPERATORS)} and in")
        if not self.values:
            raise InputError(f"where: {self.key!r} has no value; give at least one")
        for value in self.values:
            if not isinstance(value, (str, int, float)):
                raise InputError(f"where: {self.key!r} is {type(value).__name__}, not str, int, float or bool")
        if self.operator in ORDERS and all(isinstance(value, bool) for value in self.values):
            raise InputError(f"where: {self.key!r} {self.operator} {self.values[0]}: a bool has no order; use = or !=")

    def __str__(self) -> str:
        spelled = (str(value).lower() if isinstance(value, bool) else str(value) for value in self.values)
        return f"{self.key} {self.operator} {', '.join(dict.fromkeys(spelled))}"  # 2024 may be there as a text too


@dataclass(frozen=True, slots=True)
class Filter:
    """The conditions that a passage must meet, all of them. See the module for what they mean."""

    conditions: tuple[Condition, ...]

    @classmethod
    def of(cls, where: "Where") -> "Filter":
        """Return the filter of a mapping such as `{"category": "physics", "date>=": "2024-01-31", "lang": ["en", "de"]}`.

        A key may end in an operator, `=` by default. A list of values means any of them (`=`, or ` in`) or none of them (`!=`).
        A filter is returned as it is. Raises `InputError`, which names the key, for what is no filter.
        """
        if isinstance(where, Filter):
            return where
        if not isinstance(where, Mapping):
            raise InputError(f'where is {type(where).__name__}; give a mapping such as {{"category": "physics"}}')
        return cls(tuple(_condition(key, value) for key, value in where.items()))

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Filter":
        """Return the filter of texts such as `category=physics`, `date>=2024` and `category in physics,biology`.

        A number is compared with numbers and, as a text, with strings. Raises `InputError` for other texts.
        """
        return cls(tuple(map(_parse, texts)))

    def __and__(self, other: "Filter") -> "Filter":
        return Filter((*self.conditions, *other.conditions))

    def __str__(self) -> str:
        return " and ".join(map(str, self.conditions))


Where = Mapping[str, Any] | Filter


def both(one: Filter | None, other: Where | None) -> Filter | None:
    """Return the filter that means both, or None if there is neither. Raises as `Filter.of` does."""
    if other is None:
        return one
    return Filter.of(other) if one is None else one & Filter.of(other)


def _condition(key: Any, value: Any) -> Condition:
    match = _KEY.fullmatch(key) if isinstance(key, str) else None
    if match is None or not match["key"]:
        raise InputError(f"where: the key {key!r} is no name; give one that metadata have, such as category")
    name, sign = match["key"], _sign(match["operator"])
    several = isinstance(value, (list, tuple, set, frozenset))
    if several and sign in ORDERS:
        raise InputError(f"where: {name!r} {sign} has a list; give one value")
    if not several and match["operator"] and match["operator"].strip() == "in":
        raise InputError(f"where: {name!r} in has {value!r}; give a list of values")
    return Condition(name, sign, tuple(value) if several else (value,))


def _parse(text: str) -> Condition:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise InputError(f"where: {text!r} is no condition; give one {_EXAMPLES}")
    given = [match["values"]]
    if match["operator"].strip() == "in":
        given = [value.strip() for value in match["values"].split(",") if value.strip()]
    values = dict.fromkeys((type(value), value) for text in given for value in (text, scalar(text)))
    return Condition(match["key"], _sign(match["operator"]), tuple(value for _, value in values))


def _sign(written: str | None) -> str:
    sign = (written or "=").strip()
    return "=" if sign in ("==", "in") else sign
