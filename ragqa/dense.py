"""Passages into vectors that are searched by meaning: the dense source of candidates beside BM25.

The score is the cosine of the question's and the passage's vector, computed with every passage: exact.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.bm25 import MANIFEST, Bm25Index, best
from ragqa.embed import Embedder, Progress
from ragqa.errors import IndexStoreError, ModelError, rebuild
from ragqa.files import replace_folder, sha256
from ragqa.passages import full_text
from ragqa.records import Passage

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

    @classmethod
    def build(cls, passages: Sequence[Passage], embedder: Embedder, progress: Progress | None = None) -> "DenseIndex":
        """Embed passages with their titles and sections. Vectors are rounded to 16 bits, as they are saved."""
        import numpy as np

        return cls(embedder.embed([full_text(p) for p in passages], progress).astype(np.float16), embedder)

    def scores(self, question: str) -> "np.ndarray":
        """The cosines of all passages with the question, in their order: float32, shape (passages,), -1 to 1."""
        cosines: np.ndarray = self._vectors @ self.embedder.embed([question])[0]
        return cosines

    def nearest(self, question: str, index: Bm25Index, k: int) -> list[tuple[Passage, float]]:
        """The `k` passages of the index whose vectors are nearest to the question's, with their cosines, ties by id."""
        scores = self.scores(question)
        places = best(scores, index.ranks, k).tolist()
        return [(index.passages[place], float(scores[place])) for place in places]

    def save(self, folder: str | Path, passages: str) -> None:
        """Write the vectors in place of `folder`, with the digest of the `passages` and what tells the model."""
        with replace_folder(folder, MANIFEST) as new:
            self.write(new, passages)

    def write(self, folder: Path, passages: str) -> None:
        """Write the vectors into an empty folder."""
        import numpy as np

        np.save(folder / _VECTORS, self._vectors.astype(np.float16), allow_pickle=False)
        manifest = {
            "embedder": self.embedder.source,
            "identity": self.embedder.identity,
            "passages": passages,
            "sha256": sha256(folder / _VECTORS),
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf8")

    @classmethod
    def open(cls, folder: str | Path, index: Bm25Index, embedder: Embedder | None = None) -> "DenseIndex":
        """Open the saved vectors of an index's passages, with the embedder they were made with if none is given.

        Raises `IndexStoreError`, naming the file and what to do, if a file is missing or damaged, or made of other passages
        or with another embedder, or if that is no longer there.
        """
        import numpy as np

        folder = Path(folder)
        remedy = rebuild(folder.parent)
        manifest = _read_manifest(folder)
        if embedder is None:
            try:
                embedder = Embedder.load(manifest["embedder"] or None)
            except ModelError as error:
                raise IndexStoreError(
                    f"the embedder of {folder} cannot be loaded ({error}); name it with --embedder, search with --no-dense, "
                    f"or {remedy}"
                ) from error
        for name, found in (("identity", embedder.identity), ("passages", index.digest)):
            if manifest[name] != found:
                raise IndexStoreError(f"{folder} was made with another {_OTHER[name]}; {remedy}")
        try:
            vectors = np.load(folder / _VECTORS, allow_pickle=False)
        except Exception as error:  # numpy reads a header as Python, which can fail in many ways
            raise IndexStoreError(f"{folder / _VECTORS} is missing or damaged ({error}); {remedy}") from error
        if vectors.dtype != np.float16 or vectors.ndim != 2 or len(vectors) != len(index.passages):
            raise IndexStoreError(f"{folder / _VECTORS} is damaged; {remedy}")
        return cls(vectors, embedder)

    @staticmethod
    def verify(folder: str | Path) -> None:
        """Check the saved vectors against their checksum. Raises `IndexStoreError` if they differ."""
        folder = Path(folder)
        manifest = _read_manifest(folder)
        path = folder / _VECTORS
        if not path.is_file() or sha256(path) != manifest["sha256"]:
            raise IndexStoreError(f"{path} is missing or damaged; {rebuild(folder.parent)}")


_OTHER = {"identity": "embedder", "passages": "set of passages"}


def save_index(folder: str | Path, index: Bm25Index, dense: DenseIndex | None) -> None:
    """Write an index, with the vectors of its passages if there are any, in place of `folder`, once all of it is on disk.

    Raises as `Bm25Index.save` does.
    """
    with replace_folder(folder, MANIFEST) as new:
        index.write(new, has_vectors=dense is not None)
        if dense is not None:
            (new / FOLDER).mkdir()
            dense.write(new / FOLDER, index.digest)


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf8"))
        return {name: str(manifest[name]) for name in ("embedder", "identity", "passages", "sha256")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IndexStoreError(
            f"{folder / MANIFEST} is missing or damaged ({error}); {rebuild(folder.parent)}"
        ) from error
