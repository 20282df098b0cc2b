"""The index of the bundled starter corpus, cached on the first start, and its bundled vectors."""

from contextlib import suppress
from pathlib import Path

from ragqa.errors import IndexStoreError, InputError, warn_of_fallback
from ragqa.index.bm25 import Bm25Index, build_version
from ragqa.index.dense import DenseIndex, are_of_others
from ragqa.models.embedder import Embedder, Progress
from ragqa.storage.files import cache_folder, used_longest_ago, warn_without_cache
from ragqa.storage.generations import holds_index, remove_index
from ragqa.text.pages import read_pages, starter_folder
from ragqa.text.passages import SPLITTER_VERSION, split

STARTER_VECTORS = Path(__file__).parents[1] / "assets" / "starter_vectors"

CACHED_STARTERS = 2  # indexes in the cache folder: that of this version and one other


def open_starter_vectors(
    index: Bm25Index, embedder: Embedder | None = None, progress: Progress | None = None
) -> DenseIndex:
    """Open the bundled vectors of the starter corpus, or embed its passages with another embedder than the default one.

    If the bundled vectors do not fit, this issues a `FallbackWarning` and embeds the passages. `progress` is called with the
    number of passages done since its last call.
    """
    embedder = embedder or Embedder.load()
    if embedder.is_default:
        try:
            dense = DenseIndex.open(STARTER_VECTORS, index, embedder)
        except IndexStoreError as error:
            warn_of_fallback(f"{error.flaw}, so every start embeds the starter corpus again; install ragqa again")
        else:
            if progress:
                progress(len(index.passages))
            return dense
    return DenseIndex.build(index.passages, embedder, progress)


def embed_passages(index: Bm25Index, embedder: Embedder, progress: Progress | None = None) -> DenseIndex:
    """Embed the passages of an index, or open the bundled vectors if they are of the same texts and embedder.

    Warns and reports progress as `open_starter_vectors` does.
    """
    with suppress(IndexStoreError):  # damaged: `open_starter_vectors` warns
        if are_of_others(STARTER_VECTORS, index, embedder):
            return DenseIndex.build(index.passages, embedder, progress)
    return open_starter_vectors(index, embedder, progress)


def open_starter() -> Bm25Index:
    """Open the index of the bundled starter corpus. The first call builds it and saves it in the cache folder."""
    try:
        folder = cache_folder() / "starter" / _starter_key()
    except RuntimeError as error:  # no home folder
        warn_without_cache(error)
        return _build_starter()
    with suppress(IndexStoreError, OSError):
        index = Bm25Index.open(folder)
        with suppress(OSError):  # the cache folder may be read-only
            folder.touch()
        return index
    index = _build_starter()
    try:
        index.save(folder)
        _remove_old_starters(folder)
        return Bm25Index.open(folder)
    except IndexStoreError:  # another process is saving it
        return index
    except (OSError, InputError) as error:
        warn_without_cache(error)
        return index


def _remove_old_starters(folder: Path) -> None:
    """Remove all but the most recently used starter indexes from the cache folder, and nothing else."""
    with suppress(OSError):
        others = [other for other in folder.parent.iterdir() if other != folder and holds_index(other)]
        for old in used_longest_ago(others, keep=CACHED_STARTERS - 1):
            remove_index(old)


def _build_starter() -> Bm25Index:
    return Bm25Index.build(passage for page in read_pages(starter_folder()) for passage in split(page))


def _starter_key() -> str:
    """Return 16 hex digits that change with the articles, the splitter, and everything else that the index depends on.

    The version of the stemmer is part of the analyzer's fingerprint. That of the text splitter is left out, because reading it
    is slow; all supported versions give the same passages (tests/test_starter.py).
    """
    import hashlib

    key = hashlib.sha256(f"{build_version()} {SPLITTER_VERSION}".encode())
    for path in sorted(starter_folder().iterdir()):
        key.update(path.read_bytes())
    return key.hexdigest()[:16]
