"""Passages into vectors that are searched by meaning: the dense source of candidates beside BM25.

The score is the cosine of the question's and the passage's vector, computed with every passage: exact.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.errors import IndexStoreError, ModelError, rebuild
from ragqa.index.bm25 import Bm25Index, best, write_json
from ragqa.models.embedder import Embedder, Progress
from ragqa.records import Passage
from ragqa.storage.files import read_array, sha256
from ragqa.storage.folders import replace_folder
from ragqa.storage.generations import MANIFEST
from ragqa.text.passages import full_text

if TYPE_CHECKING:
    import numpy as np

FOLDER = "dense"  # below an index folder

_VECTORS = "vectors.npy"


class DenseIndex:
    """Vectors of passages, ready to be searched. Make one with `build` or `open`."""

    def __init__(self, vectors: "np.ndarray", embedder: Embedder) -> None:
        """`vectors` are unit vectors as float16, shape (passages, width), in the order of the passages."""
        import numpy as np

        self.embedder = embedder
        self._vectors = vectors.astype(np.float32)
        self._saved: tuple[Path, str] | None = None  # the file that it was opened from, and its SHA-256

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path of opened vectors, the vectors of an index in memory."""
        return (
            (DenseIndex, (self.vectors, self.embedder))
            if self._saved is None
            else (_reopen, (*self._saved, self.embedder))
        )

    @classmethod
    def build(
        cls,
        passages: Sequence[Passage],
        embedder: Embedder,
        progress: Progress | None = None,
        *,
        known: "Mapping[str, np.ndarray] | None" = None,
    ) -> "DenseIndex":
        """Embed passages with their titles and sections. Vectors are rounded to 16 bits, as they are saved.

        `known` are vectors that this embedder gave before, by the text embedded (`full_text`): they are taken over.
        """
        import numpy as np

        texts, known = [full_text(passage) for passage in passages], known or {}
        new = [text for text in texts if text not in known]
        if progress:
            progress(len(texts) - len(new))
        made = dict(zip(new, embedder.embed(new, progress).astype(np.float16), strict=True)) if new else {}
        return cls(np.stack([known[text] if text in known else made[text] for text in texts]), embedder)

    @property
    def vectors(self) -> "np.ndarray":
        """The unit vectors of the passages as they are saved: float16, shape (passages, width)."""
        import numpy as np

        return self._vectors.astype(np.float16)

    def scores(self, question: str) -> "np.ndarray":
        """The cosines of all passages with the question, in their order: float32, shape (passages,), -1 to 1."""
        cosines: np.ndarray = self._vectors @ self.embedder.embed([question])[0]
        return cosines

    def nearest(self, question: str, index: Bm25Index, k: int) -> list[tuple[Passage, float]]:
        """The `k` passages of the index whose vectors are nearest to the question's, with their cosines, ties by id."""
        scores = self.scores(question)
        places = best(scores, index.ranks, k).tolist()
        return [(index.passages[place], float(scores[place])) for place in places]

    def save(self, folder: str | Path, texts_digest: str) -> None:
        """Write the vectors in place of `folder`, with the digest of the texts and the identity of the embedder."""
        with replace_folder(folder, MANIFEST) as new:
            self.write(new, texts_digest)

    def write(self, folder: Path, texts_digest: str) -> None:
        """Write the vectors into an empty folder."""
        import numpy as np

        np.save(folder / _VECTORS, self.vectors, allow_pickle=False)
        manifest = {
            "embedder": self.embedder.source,
            "identity": self.embedder.identity,
            "texts": texts_digest,
            "sha256": sha256(folder / _VECTORS),
        }
        write_json(folder / MANIFEST, manifest, indent=1)

    @classmethod
    def open(cls, folder: str | Path, index: Bm25Index, embedder: Embedder | None = None) -> "DenseIndex":
        """Open the saved vectors of an index's passages, with the embedder they were made with if none is given.

        The embedder must then be the bundled one or lie in a folder: no hub is asked because an index names it. Raises
        `IndexStoreError`, naming the file and what to do, if a file is missing or damaged, or made of other passages or with
        another embedder, or if that is no longer there.
        """
        folder = Path(folder)
        remedy = rebuild(folder if index.generation is None else index.generation.parent)
        manifest = _read_manifest(folder, remedy)
        embedder = embedder or _load_embedder(folder, manifest["embedder"], remedy)
        if other := _difference(manifest, index, embedder):
            raise IndexStoreError(f"{folder} was made with another {other}", remedy)
        path = folder / _VECTORS
        if not path.is_file() or sha256(path) != manifest["sha256"]:
            raise IndexStoreError(f"{path} is missing or damaged", remedy)
        opened = cls(read_array(path), embedder)
        opened._saved = path.absolute(), manifest["sha256"]
        return opened


def _load_embedder(folder: Path, source: str, remedy: str) -> Embedder:
    """The embedder that vectors were made with, if it is on this machine; an empty `source` is the bundled one."""
    instead = f"name it with --embedder, search with --no-dense, or {remedy}"
    if source and not (Path(source).is_absolute() and Path(source).is_dir()):
        raise IndexStoreError(
            f"the embedder of {folder} cannot be loaded ({source} is no folder on this machine)", instead
        )
    try:
        return Embedder.load(source or None)
    except ModelError as error:
        raise IndexStoreError(f"the embedder of {folder} cannot be loaded ({error})", instead) from error


def _reopen(path: Path, digest: str, embedder: Embedder) -> DenseIndex:
    """The vectors of a pickle. Raises `IndexStoreError` if they have been replaced since."""
    if not path.is_file() or sha256(path) != digest:
        raise IndexStoreError(f"{path} has been replaced since it was opened", "open its index again")
    opened = DenseIndex(read_array(path), embedder)
    opened._saved = path, digest
    return opened


def are_of_others(folder: Path, index: Bm25Index, embedder: Embedder) -> bool:
    """Return True if saved vectors were made with another embedder or of other passages.

    Raises `IndexStoreError` if that cannot be told, since their manifest is missing or damaged.
    """
    return _difference(_read_manifest(folder, rebuild(folder)), index, embedder) != ""


def _difference(manifest: Mapping[str, str], index: Bm25Index, embedder: Embedder) -> str:
    """Name what the vectors of a manifest were made with instead; empty if they are of this index and embedder."""
    if manifest["identity"] != embedder.identity:
        return "embedder"
    return "" if manifest["texts"] == index.texts_digest else "set of passages"


def _read_manifest(folder: Path, remedy: str) -> dict[str, str]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf8"))
        return {name: str(manifest[name]) for name in ("embedder", "identity", "texts", "sha256")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IndexStoreError(f"{folder / MANIFEST} is missing or damaged ({error})", remedy) from error
