"""What a new index takes over from the index that it replaces: passages, settings and vectors.

Terms and postings are not read. So an update can also read an index of an older format or of another analyzer: it indexes the
passages again and keeps their vectors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ragqa.errors import IndexStoreError, rebuild
from ragqa.index.bm25 import FORMAT, K1, OLDER_FORMATS, B, check_format, read_manifest
from ragqa.index.dense import FOLDER, VECTORS
from ragqa.index.stored_passages import LINE_SUMS, LINES, StoredPassages
from ragqa.models.embedder import BUNDLED_BY_SOURCE, Embedder
from ragqa.models.folders import weights_identity
from ragqa.records import Passage
from ragqa.storage.files import read_array
from ragqa.storage.generations import check_files, open_current
from ragqa.text.analyzer import Analyzer
from ragqa.text.passages import full_text

if TYPE_CHECKING:
    import numpy as np

    from ragqa.index.terms import Fields


@dataclass(frozen=True, slots=True)
class PreviousIndex:
    """The passages and settings of an index, and the source and identity of its embedder, if it has vectors.

    `vectors` are the saved vectors by the text that was embedded (`full_text`).
    """

    passages: tuple[Passage, ...] = ()
    fields: "Fields | None" = None
    k1: float = K1
    b: float = B
    embedder: Mapping[str, str] | None = None
    vectors: "Mapping[str, np.ndarray]" = field(default_factory=dict)

    def vectors_of(self, embedder: Embedder | None) -> "Mapping[str, np.ndarray]":
        """Return the vectors if this embedder made them, else none."""
        same = embedder and self.embedder and embedder.identity == self.embedder["identity"]
        return self.vectors if same else {}


def read_previous(folder: str | Path) -> PreviousIndex:
    """Read what can be taken over from the index in `folder`, of this format or an older one.

    Raises `IndexStoreError` if there is no index, or if a file that is needed is missing or damaged.
    """
    return open_current(folder, _read_generation)


def find_previous(folder: str | Path) -> PreviousIndex:
    """Read what can be taken over from the index in `folder`: without vectors if they are damaged, nothing if there is none."""
    for with_vectors in (True, False):
        try:
            return open_current(folder, partial(_read_generation, with_vectors=with_vectors))
        except IndexStoreError:
            continue
    return PreviousIndex()


def is_up_to_date(folder: str | Path) -> bool:
    """Return False if this version of ragqa needs an index of another format, analyzer or bundled embedder.

    Raises `IndexStoreError` if there is no index, or if its format cannot be migrated.
    """

    def check(generation: Path) -> bool:
        manifest = read_manifest(generation)
        check_format(generation, manifest, (FORMAT, *OLDER_FORMATS))
        embedder = manifest.get("embedder") or {}
        bundled = BUNDLED_BY_SOURCE.get(embedder["source"]) if embedder else None
        same_vectors = bundled is None or embedder["identity"] == weights_identity(bundled)
        return manifest["format"] == FORMAT and manifest["analyzer"] == Analyzer().fingerprint and same_vectors

    return open_current(folder, check)


def _read_generation(generation: Path, *, with_vectors: bool = True) -> PreviousIndex:
    from ragqa.index.terms import Fields

    manifest = read_manifest(generation)
    check_format(generation, manifest, (FORMAT, *OLDER_FORMATS))
    check_files(generation, [LINES, LINE_SUMS])
    passages = tuple(StoredPassages(generation))
    embedder = manifest.get("embedder") if with_vectors else None
    vectors = _read_vectors(generation, passages) if embedder else {}
    return PreviousIndex(passages, Fields(**manifest["fields"]), manifest["k1"], manifest["b"], embedder, vectors)


def _read_vectors(generation: Path, passages: tuple[Passage, ...]) -> "dict[str, np.ndarray]":
    name = f"{FOLDER}/{VECTORS}"
    check_files(generation, [name])
    vectors = read_array(generation / name)
    if len(vectors) != len(passages):
        raise IndexStoreError(f"{generation} holds files that do not fit each other", rebuild(generation.parent))
    return dict(zip(map(full_text, passages), vectors, strict=True))
