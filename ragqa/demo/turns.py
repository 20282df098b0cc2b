"""A conversation as data: the browser keeps it and sends it with each question, and the page is drawn from it.

The server stores no conversation: it cannot mix up two visitors, and its memory does not grow with them.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from ragqa.records import Answer, Hit

MOST_TURNS = 20  # in one conversation; older turns are dropped


@dataclass(frozen=True, slots=True)
class Cited:
    """A sentence of a written answer, the ranks of the hits it cites, and whether they support it."""

    text: str
    ranks: tuple[int, ...]
    support: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A question as typed, and its outcome; `answer.question` is the question that was searched for.

    `stages` say what was done and how long it took. `bm25` holds BM25's own best hits if both rankings were requested.
    `working` says what is being done. `note` says why a requested written answer is missing. `next` holds suggested questions.
    `reply` is a line in return for a greeting or thanks, which are not searched for.
    """

    typed: str
    corpus: str
    stages: tuple[str, ...] = ()
    answer: Answer | None = None
    bm25: tuple[Hit, ...] = ()
    written: tuple[Cited, ...] = ()
    working: str = ""
    note: str = ""
    next: tuple[str, ...] = ()
    failed: str = ""
    reply: str = ""

    @property
    def rewritten(self) -> bool:
        """Whether the question that was searched for differs from the one that was typed."""
        return self.answer is not None and self.answer.question != " ".join(self.typed.split())


def answers(turns: Iterable[Turn]) -> list[Answer]:
    """Return the answers of a conversation, in order."""
    return [turn.answer for turn in turns if turn.answer is not None]


def as_data(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """Return the last turns of a conversation as plain data, ready for JSON."""
    return [asdict(turn) for turn in turns[-MOST_TURNS:]]


def from_data(data: object) -> tuple[Turn, ...]:
    """Return the turns that a browser sends, or none if the data is not a conversation of this version of the page."""
    if not isinstance(data, list):
        return ()
    try:
        turns: list[Turn] = _adapter().validate_json(json.dumps(data[-MOST_TURNS:]))
    except ValueError:  # pydantic's ValidationError too
        return ()
    return tuple(turns) if all(map(_cites_its_hits, answers(turns))) else ()


@cache
def _adapter() -> Any:
    """Return the validator: exact types, finite numbers. It reads JSON, since a Python list is not exactly a tuple."""
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(list[Turn], config=ConfigDict(strict=True, allow_inf_nan=False))


def _cites_its_hits(answer: Answer) -> bool:
    return all(0 <= quote.hit < len(answer.hits) for quote in answer.quotes)
