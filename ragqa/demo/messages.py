"""Turns in, the messages of Gradio's chat out: Markdown that shows foreign text literally.

A link to `#turn-2-1` leads to the first hit of the second turn in the panel.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from ragqa.answers.answer import abstention
from ragqa.demo.escaping import escape_markdown, link_markdown, prose_markdown
from ragqa.demo.turns import Cited, Turn
from ragqa.records import Answer, Hit
from ragqa.search.question import MAX_QUESTION_CHARS
from ragqa.text.passages import heading_path

Message = dict[str, Any]

MARKS = {
    "unsupported": "⚠ *not supported by the passages*",
    "uncited": "⚠ *cites no passage*",
    "pending": "…",
    "supported": "",
}


def messages(turns: Sequence[Turn]) -> list[Message]:
    """Return all messages of a conversation; the last one offers the questions suggested next."""
    shown = [message for number, turn in enumerate(turns, 1) for message in _messages(number, turn)]
    if turns and turns[-1].next:
        shown[-1]["options"] = [{"value": question} for question in turns[-1].next]
    return shown


def turn_of(index: int, turns: Sequence[Turn]) -> int:
    """Return the index of the turn that the message with this index belongs to."""
    ends = accumulate(len(_messages(number, turn)) for number, turn in enumerate(turns, 1))
    return next(number for number, end in enumerate(ends) if index < end)


def _messages(number: int, turn: Turn) -> list[Message]:
    shown = [_said("user", escape_markdown(_short(turn.typed)))]
    if turn.failed:
        return [*shown, _said("assistant", f"**{escape_markdown(turn.failed)}**")]
    if turn.reply:
        return [*shown, _said("assistant", escape_markdown(turn.reply))]
    if turn.stages:
        shown.append(_stages(turn))
    if turn.working and not turn.answer:
        shown.append(_said("assistant", f"*{escape_markdown(turn.working)}*"))
    if turn.answer:
        shown.append(_said("assistant", _reply(number, turn, turn.answer)))
    return shown


def _said(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _short(question: str) -> str:
    return question if len(question) <= MAX_QUESTION_CHARS else f"{question[:200]}…"


def _stages(turn: Turn) -> Message:
    """Return what was done as one line that can be opened."""
    title = " · ".join(turn.stages)
    title = f"{title[:1].upper()}{title[1:]}"
    steps = "\n".join(f"- {escape_markdown(stage)}" for stage in turn.stages)
    status = "done" if turn.answer else "pending"
    content = f"Corpus: {escape_markdown(turn.corpus)}\n{steps}"
    return {**_said("assistant", content), "metadata": {"title": escape_markdown(title), "status": status}}


def _reply(number: int, turn: Turn, answer: Answer) -> str:
    parts = [f"*Asked as:* {escape_markdown(answer.question)}"] if turn.rewritten else []
    if not answer.hits:
        return "\n\n".join([*parts, f"**{abstention(answer)}**"])
    if answer.abstained:
        parts.append(f"**{abstention(answer)}**")
    else:
        parts += [_quotation(number, quote.said, answer.hits, quote.hit) for quote in answer.quotes]
        if answer.probability is not None:
            parts.append(f"*{answer.probability:.0%} likely to answer the question*")
        if not answer.quotes:  # BM25 alone
            parts.append(_quotation(number, answer.text, answer.hits, 0))
    if turn.written:
        parts.append(_written(number, turn.written))
    if turn.working:
        parts.append(f"*{escape_markdown(turn.working)}*")
    if turn.note:
        parts.append(f"⚠ *{escape_markdown(turn.note)}*")
    return "\n\n".join([*parts, "\n".join(_line(number, rank, hit) for rank, hit in enumerate(answer.hits, 1))])


def _quotation(number: int, text: str, hits: Sequence[Hit], hit: int) -> str:
    """Return a quoted text with a link to its page and a reference to its passage in the panel."""
    return f"> “{prose_markdown(text)}”\n>\n> — {link_markdown(hits[hit].passage)} {_reference(number, hit + 1)}"


def _line(number: int, rank: int, hit: Hit) -> str:
    name = escape_markdown(heading_path(hit.passage)) or "passage"
    chance = "" if hit.probability is None else f" · {hit.probability:.0%}"
    return f"{rank}. [{name}](#turn-{number}-{rank}){chance}"


def _written(number: int, sentences: Sequence[Cited]) -> str:
    told = " ".join(_sentence(number, sentence) for sentence in sentences)
    return f"**In a model’s words** (check them against the passages)\n\n{told}"


def _sentence(number: int, sentence: Cited) -> str:
    references = [_reference(number, rank) for rank in sentence.ranks]
    return " ".join(filter(None, [prose_markdown(sentence.text), *references, MARKS.get(sentence.support, "")]))


def _reference(number: int, rank: int) -> str:
    return f"[[{rank}]](#turn-{number}-{rank})"
