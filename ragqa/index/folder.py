"""Index folders with everything that a search needs: passages, postings and vectors. Build, update, save or open them.

An update keeps the vectors of unchanged passages, because embedding is nearly all of the work. Terms and postings are computed
again, because the BM25 scores of a passage depend on all others: how rare a term is, the mean length, which abbreviations
there are. So an updated index has the same bytes as one that is built from the same passages.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ragqa.errors import ENGLISH_ONLY, IndexStoreError, InputError, rebuild, warn_of_fallback
from ragqa.index.bm25 import K1, B, Bm25Index, write_json
from ragqa.index.dense import EMBEDDER, FOLDER, DenseIndex, load_embedder
from ragqa.index.previous import PreviousIndex, find_previous, read_previous
from ragqa.models.embedder import BUNDLED_BY_SOURCE, Embedder, Progress
from ragqa.models.folders import weights_identity
from ragqa.models.reranker import BUNDLED
from ragqa.records import Passage
from ragqa.storage.generations import current, new_generation, open_current
from ragqa.text.language import Language
from ragqa.text.passages import full_text

PAGES = "pages.json"

OTHER_LANGUAGES = {
    Language.OTHER: "most letters of the passages are not Latin",
    Language.LATIN: "most passages are not in English",
}
_LIBRARIES = ("ragqa", "numpy", "openvino", "PyStemmer", "tokenizers")
_REVISION = re.compile(r"[?&]oldid=(\d+)")


@dataclass(frozen=True, slots=True)
class IndexReport:
    """The content of an index, and the difference to the index that it replaced.

    `embedded` is the number of passages that were embedded now; the vectors of the others were kept.
    """

    passages: int
    embedded: int
    added: tuple[str, ...]  # titles of pages, as are the next two
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
    """Build an index of passages in `folder`, with vectors if an embedder is given. An index that is there is replaced.

    The old index can be read until the new one is on disk. Vectors of the old one, even if it has an older format, are kept if
    the same embedder made them. `progress` is called with the number of passages embedded since its last call. Raises as
    `Bm25Index.build` and `Bm25Index.save` do.
    """
    with new_generation(folder) as generation:
        previous = find_previous(folder)
        index = Bm25Index.build(passages, k1=k1, b=b)
        return _write(generation, index, embedder, previous, progress)


def update_index(
    folder: str | Path,
    passages: Iterable[Passage] = (),
    remove: Iterable[str] = (),
    *,
    embedder: Embedder | None = None,
    progress: Progress | None = None,
) -> IndexReport:
    """Replace or add the pages that these passages belong to, and remove pages by title.

    Pages are identified by title. The index keeps its settings and its embedder; give `embedder` if its folder has moved.
    Without passages and titles this migrates an index of an older format or of another analyzer, which keeps its vectors, or
    of an earlier bundled embedder, which is embedded again.

    Raises `InputError` if a page to remove does not exist or is also among the passages, `CorpusError` if no passage is left,
    `IndexStoreError` if there is no index or another process is writing it.
    """
    current(folder)  # before `new_generation` creates the folder
    new, removed = group_by_page(passages), frozenset(remove)
    if both := sorted(removed & new.keys()):
        raise InputError(f"page {both[0]!r} is both to be removed and among the passages; leave out one of the two")
    with new_generation(folder) as generation:
        previous = read_previous(folder)
        embedder = _embedder_of(folder, previous, embedder)
        pages = group_by_page(previous.passages)
        if unknown := sorted(removed - pages.keys()):
            raise InputError(f"there is no page {unknown[0]!r} in {folder}")
        together = {title: own for title, own in pages.items() if title not in removed} | new
        every = [passage for own in together.values() for passage in own]
        index = Bm25Index.build(every, fields=previous.fields, k1=previous.k1, b=previous.b)
        return _write(generation, index, embedder, previous, progress)


def _embedder_of(folder: str | Path, previous: PreviousIndex, embedder: Embedder | None) -> Embedder | None:
    """The embedder of an index, None if it has no vectors. Raises if the given one, or the one in its folder, is another."""
    if previous.embedder is None:
        if embedder is not None:
            raise InputError(f"{folder} holds no vectors, so it has no use for an embedder")
        return None
    dense, source = current(folder) / FOLDER, previous.embedder["source"]
    used = embedder or load_embedder(dense, source, rebuild(folder))
    # a bundled embedder may be another one than it was then
    upgraded = embedder is None and source in BUNDLED_BY_SOURCE
    if used.identity != previous.embedder["identity"] and not upgraded:
        raise IndexStoreError(f"{dense} was made with another {EMBEDDER}", rebuild(folder))
    return used


def save_index(folder: str | Path, index: Bm25Index, dense: DenseIndex | None) -> None:
    """Write an index, and the vectors of its passages if given, in place of the index in `folder`.

    Raises as `Bm25Index.save` does.
    """
    with new_generation(folder) as generation:
        _write_generation(generation, index, dense)


def is_uri(source: object) -> bool:
    """Return whether a source names a database (`ragqa.index.database`), not a folder."""
    return isinstance(source, str) and "://" in source


def open_index(
    folder: str | Path, dense: bool | None = None, embedder: Embedder | None = None
) -> tuple[Bm25Index, DenseIndex | None]:
    """Open a saved index and its vectors. `dense`: True requires vectors, False ignores them, None opens them if they exist.

    `embedder` is the model that made the vectors; by default it is loaded from where it was then. Raises `IndexStoreError`.
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
    """Group passages by the title of their page, in order of first appearance."""
    pages: dict[str, list[Passage]] = {}
    for passage in passages:
        pages.setdefault(passage.title, []).append(passage)
    return pages


def revision(passage: Passage) -> int | None:
    """Return the revision in the URL of a passage, or None."""
    match = _REVISION.search(passage.url)
    return int(match[1]) if match else None


def warn_of_language(language: Language, embedder: Embedder | None) -> None:
    """Issue a `FallbackWarning` if passages are not in English and there is no embedder or only a bundled one (English)."""
    if language is not Language.ENGLISH and (embedder is None or embedder.is_bundled):
        warn_of_fallback(f"{OTHER_LANGUAGES[language]}: {ENGLISH_ONLY}")


def usable(embedder: Embedder | None, language: Language) -> Embedder | None:
    """Return the embedder for passages in a language: None in place of a bundled one if most letters are not Latin.

    There the bundled models rank worse than BM25 alone, unlike in other languages in Latin letters (benchmarks/README.md).
    """
    return None if language is Language.OTHER and embedder is not None and embedder.is_bundled else embedder


def _write(
    generation: Path,
    index: Bm25Index,
    embedder: Embedder | None,
    previous: PreviousIndex,
    progress: Progress | None,
) -> IndexReport:
    warn_of_language(index.language, embedder)
    known = previous.vectors_of(embedder)
    dense = DenseIndex.build(index.passages, embedder, progress, known=known) if embedder else None
    embedded = sum(full_text(passage) not in known for passage in index.passages) if embedder else 0
    _write_generation(generation, index, dense)
    pages, before = group_by_page(index.passages), group_by_page(previous.passages)
    return IndexReport(
        len(index.passages),
        embedded,
        added=tuple(title for title in pages if title not in before),
        changed=tuple(title for title in pages if title in before and pages[title] != before[title]),
        removed=tuple(title for title in before if title not in pages),
    )


def _write_generation(generation: Path, index: Bm25Index, dense: DenseIndex | None) -> None:
    from importlib.metadata import version  # slow to import

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
