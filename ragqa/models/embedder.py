"""Texts into vectors, with a bi-encoder: texts of near meaning get near vectors, whatever their words.

The default engine is OpenVINO, int8, without torch; sentence-transformers (in the extra `train`) serves models that
have not been exported.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ragqa.errors import ModelError
from ragqa.models.folders import digest, find_exported, find_weights
from ragqa.models.openvino import OpenVinoModel, check_finite
from ragqa.models.torch_models import open_bi_encoder
from ragqa.storage.files import sha256

if TYPE_CHECKING:
    import numpy as np

BUNDLED = Path(__file__).parents[1] / "assets" / "embedder"

Progress = Callable[[int], object]


class Engine(Protocol):
    """What runs a bi-encoder."""

    def vectors(self, texts: Sequence[str], progress: Progress | None) -> "np.ndarray":
        """Unit vectors as float32, shape (len(texts), width), in the order of the texts."""


class Embedder:
    """A bi-encoder, ready to embed. Make one with `load`."""

    def __init__(self, engine: Engine, source: str, identity: str) -> None:
        """`source` is what `load` opens it again with, `identity` changes with the weights (of a hub's model: with its id)."""
        self.source, self.identity = source, identity
        self._engine = engine

    @classmethod
    def load(cls, source: str | Path | None = None) -> "Embedder":
        """Load the bundled model, or one from a folder or by its hub id.

        A folder with `openvino/openvino_model.xml` runs on OpenVINO, others and hub ids on sentence-transformers. Raises
        `ModelError` naming what is missing, `MissingExtraError` if sentence-transformers is needed and not installed.
        """
        exported = find_exported(source, BUNDLED, "embedder")
        if exported is not None:
            return cls(OpenVinoEngine(exported), "" if source is None else str(exported.resolve()), digest(exported))
        folder = Path(str(source))
        if not folder.is_dir():
            return cls(SentenceTransformersEngine(str(source)), str(source), str(source))
        return cls(SentenceTransformersEngine(str(folder)), str(folder.resolve()), _identify(folder))

    @property
    def is_bundled(self) -> bool:
        """Whether this is the model that comes with ragqa, wherever it was loaded from."""
        return self.identity == digest(BUNDLED)

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> "np.ndarray":
        """Unit vectors of the texts: float32, shape (len(texts), width), in their order; their dot product is the cosine.

        Texts are cut at 512 tokens, or at the model's own limit. `progress` is called with the number of texts done since
        its last call. Raises `ModelError` if the model gives NaN or infinity.
        """
        vectors = self._engine.vectors(texts, progress)
        check_finite(vectors, self.source or "the bundled embedder")
        return vectors


def _identify(folder: Path) -> str:
    """The first 16 hex digits of the SHA-256 of torch's weights; of several files, of their SHA-256s."""
    sums = [sha256(path) for path in find_weights(folder)]
    return (sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest())[:16]


class OpenVinoEngine:
    """OpenVINO on the CPU, safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        """Raises `ModelError` if the folder holds no exported model that can be loaded."""
        self._model = OpenVinoModel(folder)
        if self._model.width == 1:
            raise ModelError(f"{folder} is not an embedder: it gives one number for a text, not a vector")

    def vectors(self, texts: Sequence[str], progress: Progress | None) -> "np.ndarray":
        """Unit vectors as float32, shape (len(texts), width), in the order of the texts."""
        return self._model.run(texts, progress)


class SentenceTransformersEngine:
    """sentence-transformers, on a GPU if there is one."""

    def __init__(self, source: str) -> None:
        """Raises `ModelError` if there is no such folder and the hub does not give it."""
        self._source = source
        self._model = open_bi_encoder(source)

    def __reduce__(self) -> tuple[type["SentenceTransformersEngine"], tuple[str]]:
        return SentenceTransformersEngine, (self._source,)  # a pickle holds the name, not the weights

    def vectors(self, texts: Sequence[str], progress: Progress | None) -> "np.ndarray":
        """Unit vectors as float32, shape (len(texts), width), in the order of the texts."""
        import numpy as np

        vectors = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        if progress:
            progress(len(texts))
        return np.asarray(vectors, dtype=np.float32)
