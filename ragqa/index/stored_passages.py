"""The passages of a saved index. They are read from disk on access, so a million passages open as fast as ten."""

import json
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload
from zlib import crc32

from ragqa.errors import IndexStoreError, rebuild
from ragqa.records import Passage
from ragqa.storage.files import map_array
from ragqa.storage.json_lines import construct, json_line

PASSAGES = "passages.jsonl"
LINES = "lines.npy"
LINE_SUMS = "line_sums.npy"


class StoredPassages(Sequence[Passage]):
    """The passages of an index folder as a sequence. Can be shared between threads."""

    def __init__(self, folder: Path) -> None:
        """Open the files. Each line is checked when it is read.

        Raises `IndexStoreError` if a file is missing or does not fit the others.
        """
        self._folder = folder.absolute()
        self._path = folder / PASSAGES
        self._ends, self._sums = map_array(folder, LINES, "int64"), map_array(folder, LINE_SUMS, "uint32")
        remedy = rebuild(folder.parent)
        try:
            with self._path.open("rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # ValueError: an empty file
            raise IndexStoreError(f"{self._path} is missing or damaged ({error}); {remedy}") from error
        if self._ends[-1:].tolist() != [len(self._bytes)] or len(self._sums) != len(self._ends):
            raise IndexStoreError(f"{folder} holds files that do not fit each other; {remedy}")

    def __reduce__(self) -> tuple[type["StoredPassages"], tuple[Path]]:
        return StoredPassages, (self._folder,)  # a pickle holds the path, not the passages

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, position: int) -> Passage: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Passage, ...]: ...
    def __getitem__(self, position: int | slice) -> Passage | tuple[Passage, ...]:
        if isinstance(position, slice):
            return tuple(self[i] for i in range(*position.indices(len(self))))
        position = range(len(self))[position]
        start = int(self._ends[position - 1]) if position else 0
        line = self._bytes[start : self._ends[position]]
        if crc32(line) != self._sums[position]:
            remedy = rebuild(self._path.parent.parent)
            raise IndexStoreError(f"{self._path} is damaged in line {position + 1}", remedy)
        return construct(Passage, json.loads(line))

    def __iter__(self) -> Iterator[Passage]:
        return (self[position] for position in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(Passage.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]


def save_passages(folder: Path, passages: Sequence[Passage]) -> None:
    """Write passages, the end offset of each line (bytes) and the CRC-32 of each line into an existing folder."""
    import numpy as np

    ends = np.zeros(len(passages), dtype=np.int64)
    sums = np.zeros(len(passages), dtype=np.uint32)
    with (folder / PASSAGES).open("wb") as file:
        for position, passage in enumerate(passages):
            line = json_line(passage)
            file.write(line)
            ends[position], sums[position] = file.tell(), crc32(line)
    np.save(folder / LINES, ends, allow_pickle=False)
    np.save(folder / LINE_SUMS, sums, allow_pickle=False)
