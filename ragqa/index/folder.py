"""Index folders with all that is searched: passages, their postings and their vectors; built, updated, opened.

An update takes over the vectors of passages that have not changed, since making vectors is nearly all of the work. Terms and
postings are made anew: what BM25 gives a passage depends on all others (how rare a term is, the mean length, which
abbreviations there are). So an updated index is, byte for byte, what a build of the same passages gives.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ragqa.errors import ENGLISH_ONLY, IndexStoreError, InputError, warn_of_fallback
from ragqa.index.bm25 import K1, B, Bm25Index, write_json
from ragqa.index.dense import FOLDER, DenseIndex
from ragqa.models.embedder import Embedder, Progress
from ragqa.models.folders import weights_identity
from ragqa.models.reranker import BUNDLED
from ragqa.records import Passage
from ragqa.storage.generations import current, new_generation, open_current
from ragqa.text.characters import is_mostly_latin
from ragqa.text.passages import full_text

PAGES = "pages.json"

_LIBRARIES = ("ragqa", "numpy", "openvino", "PyStemmer", "tokenizers")
_REVISION = re.compile(r"[?&]oldid=(\d+)")


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What an index holds now, and how its pages differ from what it held before.

    `embedded` of the passages got their vectors now; those of the others were taken over.
    """

    passages: int
    embedded: int
    added: tuple[str, ...]  # titles, as in the next two
    changed: tuple[str, ...]
    removed: tuple[str, ...]


def build_index(
    folder: str | Path,
    passages: Iterable[Passage],
    *,
    embedder: Embedder | None = None,
    k1: float = K1,
    b: float = B,
    progress: Progress | None = None,
) -> IndexReport:
    """Index passages into `folder`, with vectors if there is an embedder, in place of what is indexed there.

    An index that is there already is read until the new one is on disk; its vectors are used again where they fit.
    `progress` is called with the number of passages whose vectors are there since its last call. Raises as
    `Bm25Index.build` and `Bm25Index.save` do.
    """
    with new_generation(folder) as generation:
        before = _open_before(folder, embedder)
        index = Bm25Index.build(passages, k1=k1, b=b)
        return _write(generation, index, embedder, before, progress)


def update_index(
    folder: str | Path,
    passages: Iterable[Passage] = (),
    remove: Iterable[str] = (),
    *,
    embedder: Embedder | None = None,
    progress: Progress | None = None,
) -> IndexReport:
    """Let these passages take the place of all that the index holds of their pages, and remove pages by their titles.

    Pages are told apart by their titles; new ones are added. The index keeps its settings and its embedder, which may be
    given if it has been moved. Raises `InputError` for a page to remove that is not there or has passages here, `CorpusError`
    if none is left, `IndexStoreError` if there is no index or another process is writing it.
    """
    current(folder)  # before a folder is made
    new, gone = group_by_page(passages), frozenset(remove)
    if both := sorted(gone & new.keys()):
        raise InputError(f"page {both[0]!r} is both to be removed and among the passages; leave out one of the two")
    with new_generation(folder) as generation:
        old, dense = open_index(folder, embedder=embedder)
        if embedder is not None and dense is None:
            raise InputError(f"{folder} holds no vectors, so it has no use for an embedder")
        before = tuple(old.passages)
        pages = group_by_page(before)
        if unknown := sorted(gone - pages.keys()):
            raise InputError(f"there is no page {unknown[0]!r} in {folder}")
        kept = {title: own for title, own in pages.items() if title not in gone}
        together = [passage for own in (kept | new).values() for passage in own]
        index = Bm25Index.build(together, fields=old.fields, k1=old.k1, b=old.b)
        return _write(generation, index, None if dense is None else dense.embedder, (before, dense), progress)


def save_index(folder: str | Path, index: Bm25Index, dense: DenseIndex | None) -> None:
    """Write an index, with the vectors of its passages if there are any, as the new generation of `folder`.

    Raises as `Bm25Index.save` does.
    """
    with new_generation(folder) as generation:
        _write_generation(generation, index, dense)


def open_index(
    folder: str | Path, dense: bool | None = None, embedder: Embedder | None = None
) -> tuple[Bm25Index, DenseIndex | None]:
    """Open a saved index with its vectors, if it has any; `dense` false leaves them out, true demands them.

    `embedder` is the one that they were made with; if not given it is loaded from where it then was. Raises
    `IndexStoreError`.
    """

    def open_generation(generation: Path) -> tuple[Bm25Index, DenseIndex | None]:
        index = Bm25Index.open_generation(generation)
        if not (index.has_vectors if dense is None else dense):
            return index, None
        if not index.has_vectors:
            raise IndexStoreError(
                f"{folder} holds no vectors; build it again without --no-dense, or search without them"
            )
        return index, DenseIndex.open(generation / FOLDER, index, embedder)

    return open_current(folder, open_generation)


def group_by_page(passages: Iterable[Passage]) -> dict[str, list[Passage]]:
    """Passages by the titles of their pages, in order."""
    pages: dict[str, list[Passage]] = {}
    for passage in passages:
        pages.setdefault(passage.title, []).append(passage)
    return pages


def revision(passage: Passage) -> int | None:
    """The revision of its page that a passage cites, if it cites one."""
    match = _REVISION.search(passage.url)
    return int(match[1]) if match else None


Before = tuple[tuple[Passage, ...], DenseIndex | None]


def _open_before(folder: str | Path, embedder: Embedder | None) -> Before:
    """The passages in a folder that is written anew, and their vectors, if this embedder made them; damaged, it is nothing."""
    for dense in (embedder is not None, False):
        try:
            index, vectors = open_index(folder, dense, embedder)
            return tuple(index.passages), vectors
        except IndexStoreError:
            continue
    return (), None


def warn_of_language(passages: Sequence[Passage], embedder: Embedder | None) -> None:
    """Issue a `FallbackWarning` if most letters are not Latin and no embedder but the bundled one reads the passages."""
    if (embedder is None or embedder.is_bundled) and not is_mostly_latin([passage.text for passage in passages]):
        warn_of_fallback(f"most letters of the passages are not Latin: {ENGLISH_ONLY}")


def _write(
    generation: Path, index: Bm25Index, embedder: Embedder | None, before: Before, progress: Progress | None
) -> IndexReport:
    warn_of_language(index.passages, embedder)
    old, vectors = before
    known = {} if vectors is None else dict(zip(map(full_text, old), vectors.vectors, strict=True))
    dense = DenseIndex.build(index.passages, embedder, progress, known=known) if embedder else None
    embedded = sum(full_text(passage) not in known for passage in index.passages) if embedder else 0
    _write_generation(generation, index, dense)
    pages, past = group_by_page(index.passages), group_by_page(old)
    return IndexReport(
        len(index.passages),
        embedded,
        added=tuple(title for title in pages if title not in past),
        changed=tuple(title for title in pages if title in past and pages[title] != past[title]),
        removed=tuple(title for title in past if title not in pages),
    )


def _write_generation(generation: Path, index: Bm25Index, dense: DenseIndex | None) -> None:
    from importlib.metadata import version  # which takes as long to import as half of ragqa

    embedder = None if dense is None else dense.embedder
    index.write(
        generation,
        embedder=embedder and {"source": embedder.source, "identity": embedder.identity},
        reranker=weights_identity(BUNDLED),
        versions={library: version(library) for library in _LIBRARIES},
    )
    write_json(generation / PAGES, {title: revision(own[0]) for title, own in group_by_page(index.passages).items()})
    if dense is not None:
        (generation / FOLDER).mkdir()
        dense.write(generation / FOLDER, index.texts_digest)
