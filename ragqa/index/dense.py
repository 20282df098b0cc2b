"""The dense index: vectors of passages, searched by meaning. It finds candidates that BM25 misses.

The score is the cosine of the question's vector and the passage's. Up to `FEW` passages it is computed for all of them, so the
search is exact. Of more passages, it is computed for those whose signs (`ragqa.index.signs`) are most like the question's.
Their vectors and signs stay on disk, mapped into memory. benchmarks/README.md says how many of the nearest passages are found.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.errors import IndexStoreError, ModelError, rebuild, update, warn_of_fallback
from ragqa.index.bm25 import Bm25Index, best, only, write_json
from ragqa.index.interface import Index, Ranking
from ragqa.index.rankings import FetchedRanking, FullRanking
from ragqa.index.signs import CODES, ROTATION, Signs
from ragqa.models.embedder import BUNDLED_BY_SOURCE, Embedder, Progress
from ragqa.records import Passage
from ragqa.storage.files import read_array, sha256
from ragqa.storage.folders import replace_folder
from ragqa.storage.generations import MANIFEST
from ragqa.text.passages import full_text

if TYPE_CHECKING:
    import numpy as np

FOLDER = "dense"  # in a generation of an index folder
VECTORS = "vectors.npy"
EMBEDDER = "embedder"

FEW = 200_000  # passages that are all compared; chosen, like the next, by benchmarks/vectors.py
COMPARED = 4000  # of more passages, for a question


class DenseIndex:
    """A searchable index of passage vectors. Create one with `build` or `open`."""

    def __init__(self, vectors: "np.ndarray", embedder: Embedder, signs: Signs | None = None) -> None:
        """`vectors` are unit vectors in index order: float16, shape (passages, width). `signs` are their signs, if known."""
        import numpy as np

        self.embedder = embedder
        self._signs = Signs.of(vectors) if signs is None and len(vectors) > FEW else signs
        self._vectors = vectors.astype(np.float32) if self._signs is None else vectors
        self._saved: tuple[Path, str] | None = None  # the file that the vectors were read from, and its SHA-256

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle an opened index as its path, an index in memory as its vectors."""
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
        """Embed passages with their titles and sections. Vectors are rounded to float16, the format they are saved in.

        `known` maps embedded texts (`full_text`) to the vectors that this embedder gave them; these texts are not embedded
        again. `progress` is called with the number of passages done since its last call.
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
        """The unit vectors of the passages, in index order, as they are saved: float16, shape (passages, width)."""
        import numpy as np

        return self._vectors.astype(np.float16, copy=False)

    def scores(self, question: str) -> "np.ndarray":
        """Return the cosines of the question with all passages, in index order: float32, shape (passages,), -1 to 1."""
        return self._cosines(slice(None), self.embedder.embed([question])[0])

    def _cosines(self, positions: Any, vector: "np.ndarray") -> "np.ndarray":
        import numpy as np

        cosines: np.ndarray = self._vectors[positions].astype(np.float32, copy=False) @ vector
        return cosines

    def nearest(self, question: str, index: Bm25Index, k: int) -> list[tuple[Passage, float]]:
        """Return the `k` passages with the highest cosines, with these cosines, best first, ties by passage id."""
        found = self.rank(question, index, k)
        return list(zip(index.read(found.positions), found.scores(found.positions).tolist(), strict=True))

    def rank(self, question: str, index: Index, depth: int, selection: Any = None) -> Ranking:
        """Return the `depth` passages with the highest cosines. `selection` is the mask of a filter."""
        if self._signs is None:
            cosines = only(selection, self.scores(question), -math.inf)
            return FullRanking(best(cosines, index.ranks, depth).tolist(), cosines)
        vector = self.embedder.embed([question])[0]
        near = self._signs.nearest(vector, max(COMPARED, 4 * depth), selection)
        order = best(self._cosines(near, vector), index.ranks[near], depth)
        return FetchedRanking(near[order].tolist(), lambda positions: self._cosines(positions, vector))

    def save(self, folder: str | Path, texts_digest: str) -> None:
        """Replace `folder` with the vectors, the digest of their texts and the identity of the embedder."""
        with replace_folder(folder, MANIFEST) as new:
            self.write(new, texts_digest)

    def write(self, folder: Path, texts_digest: str) -> None:
        """Write the vectors into an empty folder."""
        import numpy as np

        np.save(folder / VECTORS, self.vectors, allow_pickle=False)
        manifest = {
            "embedder": self.embedder.source,
            "identity": self.embedder.identity,
            "texts": texts_digest,
            "sha256": sha256(folder / VECTORS),
        }
        if self._signs is not None:
            self._signs.write(folder)
            manifest |= {name: sha256(folder / name) for name in (CODES, ROTATION)}
        write_json(folder / MANIFEST, manifest, indent=1)

    @classmethod
    def open(cls, folder: str | Path, index: Bm25Index, embedder: Embedder | None = None) -> "DenseIndex":
        """Open the saved vectors of an index's passages.

        `embedder` is the model that made the vectors; by default it is loaded from where it was then. It must be a bundled
        model or lie in a folder, because the name in an index is never looked up on a hub. Raises `IndexStoreError`, which
        names the file and the remedy, if a file is missing or damaged, if the vectors are of other passages or of another
        embedder, or if the embedder is gone.
        """
        folder = Path(folder)
        index_folder = folder if index.generation is None else index.generation.parent
        remedy = rebuild(index_folder)
        manifest = _read_manifest(folder, remedy)
        embedder = embedder or load_embedder(folder, manifest["embedder"], remedy)
        if other := _difference(manifest, index, embedder):
            outdated = other == EMBEDDER and manifest["embedder"] == embedder.source and embedder.is_bundled
            raise IndexStoreError(
                f"{folder} was made with another {other}", update(index_folder) if outdated else remedy
            )
        for name, digest in ((VECTORS, manifest["sha256"]), *_signs_in(manifest)):
            path = folder / name
            if not path.is_file() or sha256(path) != digest:
                raise IndexStoreError(f"{path} is missing or damaged", remedy)
        opened = _read(folder, embedder)
        if opened._signs is not None and not _signs_in(manifest):
            warn_of_fallback(f"{folder} has no {CODES}, so each start makes it in memory; {remedy}")
        opened._saved = (folder / VECTORS).absolute(), manifest["sha256"]
        return opened


def load_embedder(place: object, source: str, remedy: str) -> Embedder:
    """Load the embedder that made the vectors in a folder or database, from its `source` (`Embedder.source`).

    Raises `IndexStoreError` if it is not on this machine.
    """
    instead = f"name it with --embedder, search with --no-dense, or {remedy}"
    if source not in BUNDLED_BY_SOURCE and not (Path(source).is_absolute() and Path(source).is_dir()):
        raise IndexStoreError(
            f"the embedder of {place} cannot be loaded ({source} is not a folder on this machine)", instead
        )
    try:
        return Embedder.load(source or None)
    except ModelError as error:
        raise IndexStoreError(f"the embedder of {place} cannot be loaded ({error})", instead) from error


def _reopen(path: Path, digest: str, embedder: Embedder) -> DenseIndex:
    """Open the vectors of a pickle. Raises `IndexStoreError` if they have been replaced since."""
    if not path.is_file() or sha256(path) != digest:
        raise IndexStoreError(f"{path} has been replaced since it was opened", "open its index again")
    opened = _read(path.parent, embedder)
    opened._saved = path, digest
    return opened


def _read(folder: Path, embedder: Embedder) -> DenseIndex:
    """Read saved vectors, or map them into memory with their signs."""
    has_signs = (folder / CODES).is_file()
    vectors = read_array(folder / VECTORS, mapped=has_signs)
    return DenseIndex(vectors, embedder, Signs.open(folder) if has_signs else None)


def _signs_in(manifest: Mapping[str, str]) -> list[tuple[str, str]]:
    """The files of signs that a manifest names, with their SHA-256."""
    return [(name, manifest[name]) for name in (CODES, ROTATION) if name in manifest]


def are_of_others(folder: Path, index: Bm25Index, embedder: Embedder) -> bool:
    """Return True if saved vectors are of other passages or of another embedder.

    Raises `IndexStoreError` if their manifest is missing or damaged.
    """
    return _difference(_read_manifest(folder, rebuild(folder)), index, embedder) != ""


def _difference(manifest: Mapping[str, str], index: Bm25Index, embedder: Embedder) -> str:
    """Return what differs, the embedder or the passages; empty if the vectors are of this index and this embedder."""
    if manifest["identity"] != embedder.identity:
        return EMBEDDER
    return "" if manifest["texts"] == index.texts_digest else "set of passages"


def _read_manifest(folder: Path, remedy: str) -> dict[str, str]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf8"))
        needed = {name: str(manifest[name]) for name in ("embedder", "identity", "texts", "sha256")}
        return needed | {name: str(manifest[name]) for name in (CODES, ROTATION) if name in manifest}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IndexStoreError(f"{folder / MANIFEST} is missing or damaged ({error})", remedy) from error
