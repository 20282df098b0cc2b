"""Full checks of everything that the pipeline writes: every byte of indexes, models and datasets, every record of files."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from ragqa.errors import InputError, ModelError
from ragqa.index.bm25 import Bm25Index
from ragqa.records import Page, Passage
from ragqa.storage.checksums import SEAL, find_flaw, is_sealed
from ragqa.storage.folders import DATASET_MARK
from ragqa.storage.generations import CURRENT, MANIFEST, holds_index
from ragqa.storage.json_lines import as_records, is_input, read_rows


def verify(path: str | Path, pages: Iterable[Page] = ()) -> str:
    """Check an index, model or dataset folder, or a file of pages or passages. Return a summary in one line.

    If `pages` are given, the passages of a file or index are compared with the text of their pages. Raises `IndexStoreError`,
    `ModelError` or `InputError`, which names the first flaw and the remedy.
    """
    path, texts = Path(path), _texts(pages)
    if is_input(path):
        return _verify_records(path, texts)
    if holds_index(path) or (path / CURRENT).exists() or (path / MANIFEST).exists():
        return _verify_index(path, texts)
    if not is_sealed(path):
        raise InputError(f"{path} is not an index, model, dataset or file of records, or has no {SEAL}")
    return _verify_dataset(path) if (path / DATASET_MARK).is_file() else _verify_model(path)


def _verify_index(folder: Path, texts: Mapping[str, str]) -> str:
    count = Bm25Index.verify(folder)
    if texts:
        for passage in Bm25Index.open(folder).passages:
            _check_cut(folder, passage, texts)
    return f"{count:,} passages, every byte as written"


def _verify_model(folder: Path) -> str:
    if flaw := find_flaw(folder):
        raise ModelError(f"{flaw}; make or install the model again")
    return "a model, every byte as written"


def _verify_dataset(folder: Path) -> str:
    if flaw := find_flaw(folder):
        raise InputError(f"{flaw}; make it again: ragqa dataset --out {folder}")
    return "a dataset, every byte as written"


def _verify_records(path: Path, texts: Mapping[str, str]) -> str:
    rows = read_rows(path)  # read once, because it may be a pipe
    first = next(rows, None)
    if first is None:
        raise InputError(f"{path} is empty")
    rows = chain([first], rows)
    if "id" not in first[1]:
        return f"{_unique(path, (page.title for page in as_records(path, rows, Page))):,} pages"

    def ids() -> Iterator[str]:
        for passage in as_records(path, rows, Passage):
            _check_cut(path, passage, texts)
            yield passage.id

    return f"{_unique(path, ids()):,} passages"


def _unique(path: Path, names: Iterable[str]) -> int:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{path} holds {name!r} twice")
        seen.add(name)
    return len(seen)


def _texts(pages: Iterable[Page]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for page in pages:
        texts.setdefault(page.title, page.text)  # of two pages with the same title only the first gives passages
    return texts


def _check_cut(path: Path, passage: Passage, texts: Mapping[str, str]) -> None:
    """Raise `InputError` unless a passage has the length of its offsets and, if pages are given, is the text there."""
    fits = not passage.end or len(passage.text) == passage.end - passage.start
    if texts:
        fits = texts.get(passage.title, "")[passage.start : passage.end] == passage.text
    if not fits:
        raise InputError(f"{path}: passage {passage.id!r} does not match the text of its page at its offsets")
