"""Texts of any kind in, passages out: one passage for each text, uncut."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ragqa.errors import InputError
from ragqa.records import Passage, check_texts
from ragqa.storage.json_lines import construct

_FIELDS = ("title", "section", "start", "url", "about")  # of a passage, which a caller may set; other keys are metadata


def passages_from_texts(
    texts: Iterable[str], metadatas: Iterable[Mapping[str, Any]] | None = None, ids: Iterable[str] | None = None
) -> tuple[Passage, ...]:
    """Return a passage for each text, in order.

    The keys title, section, start, url and about in `metadatas` are fields of a passage; all others become its metadata
    (`ragqa.records.Metadata`). By default the id of a passage is the position of its text, from 0, padded with zeros so that
    ids sort as positions do: `int(passage.id)` is the position.

    Raises `InputError` for a text that is no string, for metadata or ids of another number than texts, and for keys and values
    that cannot be metadata.
    """
    texts = check_texts(texts)
    rows = _as_many("metadatas", metadatas, texts) or [{}] * len(texts)
    names = _as_many("ids", ids, texts) or _positions(len(texts))
    return tuple(_passage(number, *parts) for number, parts in enumerate(zip(names, texts, rows, strict=True)))


def _passage(number: int, name: Any, text: str, metadata: Mapping[str, Any]) -> Passage:
    if not isinstance(metadata, Mapping):
        raise InputError(f"metadatas[{number}] is {type(metadata).__name__}, not a mapping")
    own = {key: value for key, value in metadata.items() if key in _FIELDS}
    free = {key: value for key, value in metadata.items() if key not in _FIELDS}
    try:
        passage = construct(Passage, {"title": "", **own, "id": name, "text": text, "metadata": free})
    except InputError as error:
        raise InputError(f"text {number}: {error}") from error
    return replace(passage, end=passage.start + len(text))


def _as_many(name: str, given: Iterable[Any] | None, texts: Sequence[str]) -> list[Any] | None:
    """Return the values as a list, None if there are none. Raise `InputError` unless there is one for each text."""
    if given is None:
        return None
    values = list(given)
    if len(values) != len(texts):
        raise InputError(f"there are {len(texts)} texts and {len(values)} {name}; give one for each text")
    return values


def _positions(count: int) -> list[str]:
    width = len(str(max(count - 1, 0)))
    return [f"{position:0{width}d}" for position in range(count)]
