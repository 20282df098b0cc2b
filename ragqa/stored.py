"""Passages of a saved index, read from the disk when they are asked for: a million open as fast as ten."""

import json
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

from ragqa.errors import IndexStoreError, rebuild
from ragqa.files import map_array
from ragqa.records import Passage, json_line

PASSAGES = "passages.jsonl"
LINES = "lines.npy"
PASSAGES_FILES = (PASSAGES, LINES)


class StoredPassages(Sequence[Passage]):
    """The passages of an index folder. Safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        """Raises `IndexStoreError` if the file of the lines' ends does not fit the passages' file."""
        import numpy as np

        self._path, self._ends = folder / PASSAGES, map_array(folder, LINES)
        try:
            with self._path.open("rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # ValueError: an empty file
            raise IndexStoreError(f"{folder} holds a damaged file ({error}); {rebuild(folder)}") from error
        if self._ends.dtype != np.int64 or self._ends.ndim != 1 or self._ends[-1:].tolist() != [len(self._bytes)]:
            raise IndexStoreError(f"{folder / LINES} is damaged; {rebuild(folder)}")

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, place: int) -> Passage: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Passage, ...]: ...
    def __getitem__(self, place: int | slice) -> Passage | tuple[Passage, ...]:
        if isinstance(place, slice):
            return tuple(self[i] for i in range(*place.indices(len(self))))
        place = range(len(self))[place]
        start = int(self._ends[place - 1]) if place else 0
        try:
            return Passage(**json.loads(self._bytes[start : self._ends[place]]))
        except (ValueError, TypeError) as error:
            raise IndexStoreError(
                f"{self._path} is damaged in line {place + 1}; {rebuild(self._path.parent)}"
            ) from error

    def __iter__(self) -> Iterator[Passage]:
        return (self[place] for place in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(Passage.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]


def save_passages(folder: Path, passages: Sequence[Passage]) -> None:
    """Write passages and the places where their lines end into an existing folder."""
    import numpy as np

    ends = np.zeros(len(passages), dtype=np.int64)
    with (folder / PASSAGES).open("wb") as file:
        for place, passage in enumerate(passages):
            file.write(json_line(passage))
            ends[place] = file.tell()
    np.save(folder / LINES, ends, allow_pickle=False)
