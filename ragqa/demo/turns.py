"""A conversation as data: the browser keeps it, sends it with each question, and the page is drawn from it.

The server keeps nothing of anybody: two people's answers cannot be mixed up, and its memory does not grow with them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from ragqa.errors import InputError
from ragqa.records import Answer, Hit, Passage, Sentence
from ragqa.storage.json_lines import construct

MOST_TURNS = 20  # of one conversation; the oldest are forgotten
SHOWN_SENTENCES = 1  # of an answer's sentences only the best is ever shown


@dataclass(frozen=True, slots=True)
class Cited:
    """A sentence of a written answer, the ranks of the hits that it cites, and whether they bear it out."""

    text: str
    ranks: tuple[int, ...]
    support: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A question as it was typed and what became of it; `answer.question` is the question that was searched for.

    `stages` say what was done and how long it took. `bm25` are BM25's own first hits, where both rankings were asked for.
    `note` says why there is no written answer although one was asked for.
    """

    typed: str
    corpus: str
    stages: tuple[str, ...] = ()
    answer: Answer | None = None
    bm25: tuple[Hit, ...] = ()
    written: tuple[Cited, ...] = ()
    note: str = ""
    next: tuple[str, ...] = ()
    failed: str = ""

    @property
    def rewritten(self) -> bool:
        """Whether another question was searched for than the one that was typed."""
        return self.answer is not None and self.answer.question != " ".join(self.typed.split())


def answers(turns: Iterable[Turn]) -> list[Answer]:
    """The answers of a conversation, in order."""
    return [turn.answer for turn in turns if turn.answer is not None]


def as_data(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """The last turns of a conversation as plain data, ready for JSON."""
    return [_as_data(turn) for turn in turns[-MOST_TURNS:]]


def _as_data(turn: Turn) -> dict[str, Any]:
    plain = asdict(turn)
    if plain["answer"]:
        plain["answer"]["sentences"] = plain["answer"]["sentences"][:SHOWN_SENTENCES]
    return plain


def from_data(data: object) -> tuple[Turn, ...]:
    """The turns that a browser sends: what is not a conversation, by whatever version of this page, is none."""
    try:
        return tuple(_turn(row) for row in data[-MOST_TURNS:])  # type: ignore[index]
    except (InputError, TypeError, KeyError, ValueError, AttributeError, OverflowError):
        return ()


def _turn(row: dict[str, Any]) -> Turn:
    answer = row["answer"]
    texts = {name: _text(row[name]) for name in ("typed", "corpus", "note", "failed")}
    return Turn(
        **texts,
        stages=tuple(map(_text, row["stages"])),
        answer=None if answer is None else _answer(answer),
        bm25=tuple(map(_hit, row["bm25"])),
        written=tuple(
            Cited(_text(s["text"]), tuple(int(rank) for rank in s["ranks"]), _text(s["support"]))
            for s in row["written"]
        ),
        next=tuple(map(_text, row["next"])),
    )


def _answer(row: dict[str, Any]) -> Answer:
    hits = tuple(map(_hit, row["hits"]))
    sentences = tuple(construct(Sentence, sentence) for sentence in row["sentences"])
    if any(not 0 <= sentence.hit < len(hits) for sentence in sentences):
        raise InputError("a sentence of no hit")
    return Answer(_text(row["question"]), _text(row["text"]), hits, sentences, bool(row["abstained"]))


def _hit(row: dict[str, Any]) -> Hit:
    hit = construct(Hit, row | {"passage": construct(Passage, row["passage"])})
    if not all(map(isfinite, (hit.score, hit.probability or 0.0, hit.bm25_score, hit.bm25_rank))):
        raise InputError("a score that cannot be shown")
    return hit


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise InputError(f"{type(value).__name__} where there should be text")
    return value
