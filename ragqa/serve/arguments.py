"""The arguments that programs send to the tools and endpoints: their schemas and checks.

Null means the default. JSON does not tell 2.0 from 2, so 2.0 is a whole number.
"""

from collections.abc import Mapping
from typing import Any

from ragqa.answers.answer import THRESHOLD
from ragqa.errors import InputError

RESULTS, LEAST_RESULTS, MOST_RESULTS = 5, 1, 20

# JSON schemas by name
PROPERTIES: Mapping[str, Mapping[str, Any]] = {
    "question": {"type": "string"},
    "k": {"type": ["integer", "null"], "minimum": LEAST_RESULTS, "maximum": MOST_RESULTS, "default": RESULTS},
    "corpus": {"type": ["string", "null"], "default": ""},
    "threshold": {"type": ["number", "null"], "minimum": 0, "maximum": 1, "default": THRESHOLD},
    "title": {"type": "string"},
    "where": {"type": ["object", "null"], "default": None},
}


def check(question: object, k: object) -> tuple[str, int]:
    """Return the question and the number of passages. Raises `InputError` for other types, since programs may send anything."""
    return check_text("question", question), check_k(k)


def check_text(name: str, value: object) -> str:
    """Return an argument that has to be text. Raises `InputError`."""
    if not isinstance(value, str):
        raise InputError(f"{name} is {repr(value)[:40]}; text is needed")
    return value


def check_k(k: object) -> int:
    """Return the number of passages. Raises `InputError` for what is not a whole number, and for too many."""
    if k is None:
        return RESULTS
    if isinstance(k, float) and k.is_integer():
        k = int(k)
    if not isinstance(k, int) or isinstance(k, bool):
        raise InputError(f"k is {repr(k)[:40]}; a whole number is needed")
    check_results(k)
    return k


def check_results(count: int) -> None:
    """Raise `InputError` for more passages than `MOST_RESULTS`."""
    if count > MOST_RESULTS:
        raise InputError(f"k is {count}; at most {MOST_RESULTS} passages are shown")


def check_threshold(threshold: object) -> float:
    """Return the threshold. Raises `InputError` for anything but a number from 0 to 1."""
    if threshold is None:
        return THRESHOLD
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise InputError(f"threshold is {repr(threshold)[:40]}; a number from 0 to 1 is needed")
    return float(threshold)
