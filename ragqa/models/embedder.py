"""The embedder, a bi-encoder: texts in, vectors out. Texts with a similar meaning get vectors with a high cosine.

Two are bundled. The default one is a transformer. The fast one adds up one vector for each token, so it is 35 times as fast,
and less good (docs/models.md).

The default engine is OpenVINO (int8, without torch). sentence-transformers (extra `train`) runs models that have not been
exported.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ragqa.errors import ModelError
from ragqa.models.folders import find_exported, weights_identity
from ragqa.models.openvino import OpenVinoModel, check_finite
from ragqa.models.torch_models import open_bi_encoder

if TYPE_CHECKING:
    import numpy as np

BUNDLED = Path(__file__).parents[1] / "assets" / "embedder"
FAST = "fast"
FAST_FOLDER = BUNDLED.with_name("fast_embedder")
BUNDLED_BY_SOURCE = {"": BUNDLED, FAST: FAST_FOLDER}  # by `Embedder.source`

Progress = Callable[[int], object]


class Engine(Protocol):
    """Runs a bi-encoder."""

    def vectors(self, texts: Sequence[str], progress: Progress | None) -> "np.ndarray":
        """Return unit vectors in the order of the texts: float32, shape (len(texts), width)."""


class Embedder:
    """A bi-encoder that turns texts into vectors. Create one with `load`."""

    def __init__(self, engine: Engine, source: str, identity: str) -> None:
        """`source` is the argument with which `load` opens it again; `identity` changes with the weights, or the hub id."""
        self.source, self.identity = source, identity
        self._engine = engine

    @classmethod
    def load(cls, source: str | Path | None = None) -> "Embedder":
        """Load a model from a folder or by hub id, or the bundled model that is named "fast"; without `source` the default one.

        A folder with `openvino/openvino_model.xml` runs on OpenVINO; other folders and hub ids run on sentence-transformers.
        Raises `ModelError`, which names what is missing, and `MissingExtraError` if sentence-transformers is needed but not
        installed.
        """
        bundled = BUNDLED if source is None else FAST_FOLDER if source == FAST else None  # `Path(FAST)` is any folder
        exported = find_exported(source if bundled is None else None, bundled or BUNDLED, "embedder")
        if exported is not None:
            origin = str(exported.resolve()) if bundled is None else str(source or "")
            return cls(OpenVinoEngine(exported), origin, weights_identity(exported))
        name, folder = str(source), Path(str(source))
        if not folder.is_dir():
            return cls(SentenceTransformersEngine(name), name, name)
        return cls(SentenceTransformersEngine(str(folder)), str(folder.resolve()), weights_identity(folder))

    @property
    def is_default(self) -> bool:
        """Whether the weights are those of the bundled model that `load` opens without a source, from any folder."""
        return self.identity == weights_identity(BUNDLED)

    @property
    def is_bundled(self) -> bool:
        """Whether the weights are those of a bundled model, from any folder."""
        return _is_bundled(self.identity)

    def shares_calibration(self, identity: str) -> bool:
        """Whether a reranker that was calibrated with the embedder of this identity needs no other calibration for this one.

        That is so for the same embedder, and between the bundled ones: the default one taught the fast one, and the fits for
        the bundled reranker are nearly the same (benchmarks/README.md).
        """
        return identity == self.identity or (_is_bundled(identity) and self.is_bundled)

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> "np.ndarray":
        """Return a unit vector for each text, in input order: float32, shape (len(texts), width).

        The dot product of two vectors is their cosine. Texts are truncated at 512 tokens, or at the model's limit if that is
        lower. `progress` is called with the number of texts done since its last call. Raises `ModelError` if the model gives
        NaN or infinity.
        """
        vectors = self._engine.vectors(texts, progress)
        check_finite(vectors, self.source or "the bundled embedder")
        return vectors


def _is_bundled(identity: str) -> bool:
    return any(identity == weights_identity(folder) for folder in BUNDLED_BY_SOURCE.values())


class OpenVinoEngine:
    """Runs an exported model with OpenVINO on the CPU. Can be shared between threads."""

    def __init__(self, folder: Path) -> None:
        """Load the model. Raises `ModelError` if it is not in the folder or cannot be loaded."""
        self._model = OpenVinoModel(folder)
        if self._model.width == 1:
            raise ModelError(f"{folder} is not an embedder: it gives one number for a text, not a vector")

    def vectors(self, texts: Sequence[str], progress: Progress | None) -> "np.ndarray":
        """Return unit vectors in the order of the texts: float32, shape (len(texts), width)."""
        return self._model.run(texts, progress)


class SentenceTransformersEngine:
    """Runs a model with sentence-transformers, on a GPU if there is one."""

    def __init__(self, source: str) -> None:
        """Load the model. Raises `ModelError` if neither a folder nor the hub provides it."""
        self._source = source
        self._model = open_bi_encoder(source)

    def __reduce__(self) -> tuple[type["SentenceTransformersEngine"], tuple[str]]:
        return SentenceTransformersEngine, (self._source,)  # pickle the name, not the weights

    def vectors(self, texts: Sequence[str], progress: Progress | None) -> "np.ndarray":
        """Return unit vectors in the order of the texts: float32, shape (len(texts), width)."""
        import numpy as np

        vectors = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        if progress:
            progress(len(texts))
        return np.asarray(vectors, dtype=np.float32)
