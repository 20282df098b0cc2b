"""The reranker, a cross-encoder: it reads a question together with a passage and gives a logit for the pair.

The default engine is OpenVINO (int8, without torch). sentence-transformers (extra `train`) runs models that have not been
exported.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ragqa.errors import InputError, ModelError, warn_of_fallback
from ragqa.models.attention import without_cudnn_attention
from ragqa.models.folders import check_source, find_exported, weights_identity
from ragqa.models.openvino import OpenVinoModel, check_finite
from ragqa.models.torch_models import open_cross_encoder
from ragqa.records import RankedText, check_texts

if TYPE_CHECKING:
    import numpy as np

BUNDLED = Path(__file__).parents[1] / "assets" / "reranker"
CALIBRATION = "calibration.json"
CALIBRATED = ("alone", "fused")
CPU_BATCH, GPU_BATCH = 32, 256  # batch sizes for sentence-transformers, in pairs


class Engine(Protocol):
    """Runs a cross-encoder."""

    def logits(self, question: str, texts: Sequence[str]) -> "np.ndarray":
        """Return logits in the order of the texts: float32, shape (len(texts),)."""


@runtime_checkable
class PairEngine(Engine, Protocol):
    """Runs a cross-encoder, also for pairs with different questions."""

    def pair_logits(self, pairs: Sequence[tuple[str, str]]) -> "np.ndarray":
        """Return logits in the order of the pairs (question, text): float32, shape (len(pairs),)."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Turns a score into a probability: `sigmoid(scale · score + bias)`."""

    scale: float = 1.0
    bias: float = 0.0

    def probability(self, score: float) -> float:
        """Return the probability for a score, between 0 and 1."""
        return sigmoid(self.scale * score + self.bias)


@dataclass(frozen=True, slots=True)
class Basis:
    """The models (by identity) and the weights of the final score that a calibration was fitted with."""

    reranker: str
    embedder: str
    bm25_weight: float
    cosine_weight: float


@dataclass(frozen=True, slots=True)
class Calibrations:
    """Calibrations of the best hit's final score: `alone` for scores without the embedder's cosine, `fused` with it.

    Both are None for a model that has not been calibrated. `basis` is None if it is not known what they were fitted with.
    """

    alone: Calibration | None = None
    fused: Calibration | None = None
    basis: Basis | None = None


class Reranker:
    """A cross-encoder that scores passages for a question. Create one with `load`."""

    def __init__(self, engine: Engine, name: str, calibrations: Calibrations | None = None) -> None:
        self.name = name
        self.calibrations = calibrations or Calibrations()
        self._engine = engine

    @classmethod
    def load(cls, source: str | Path | None = None, *, device: str | None = None) -> "Reranker":
        """Load a model from a folder or by hub id; without `source` load the bundled model.

        A folder with `openvino/openvino_model.xml` runs on OpenVINO; other folders and hub ids run on sentence-transformers.
        A torch `device` ("cuda", "cpu") selects sentence-transformers for every model, in bfloat16 on a GPU; the bundled
        model has no weights for it. Raises `ModelError`, which names what is missing, and `MissingExtraError` if
        sentence-transformers is needed but not installed.
        """
        if device is None:
            exported = find_exported(source, BUNDLED, "model")
            if exported is not None:
                return cls(OpenVinoEngine(exported), exported.resolve().name, _fitting_calibrations(exported))
        elif source is None:
            raise ModelError(f"the bundled model runs on OpenVINO only; on {device} a folder of `ragqa train` can run")
        else:
            check_source(source)
        name = str(source)
        return cls(SentenceTransformersEngine(name, device), name, _fitting_calibrations(Path(name)))

    def with_engine(self, wrap: "Callable[[Engine], Engine]") -> "Reranker":
        """Return the same model, run by the engine that `wrap` makes from the present one."""
        return Reranker(wrap(self._engine), self.name, self.calibrations)

    @property
    def is_calibrated(self) -> bool:
        """Whether the model has probabilities: its folder holds a `calibration.json`."""
        return self.calibrations.alone is not None

    def score(self, question: str, texts: Sequence[str]) -> "np.ndarray":
        """Return a logit for each text as an answer to the question, in input order: float32, shape (len(texts),), unbounded.

        Question and text together are truncated at 512 tokens, or at the model's limit if that is lower; the longer of the
        two is cut first. Raises `ModelError` if the model gives NaN or infinity.
        """
        import numpy as np

        scores = self._engine.logits(question, texts) if texts else np.zeros(0, dtype=np.float32)
        check_finite(scores, self.name)
        return scores

    def rank(self, question: str, texts: Iterable[str], k: int | None = None) -> list[RankedText]:
        """Return the texts as records with their scores, best first, ties in input order. With `k` only the `k` best.

        Scores are those of `score`. `probability` is calibrated for scores that contain a BM25 score; there is none here, so
        it is a little low.

        Raises `InputError` for `k` below 1 and for a text that is no string, `ModelError` as `score` does.
        """
        texts = check_texts(texts)
        if k is not None and k < 1:
            raise InputError(f"k is {k}; at least 1 is needed")
        scores = self.score(question, texts).tolist()
        order = sorted(range(len(texts)), key=lambda position: -scores[position])[:k]
        return [RankedText(i, texts[i], scores[i], self.probability(scores[i])) for i in order]

    async def arank(self, question: str, texts: Iterable[str], k: int | None = None) -> list[RankedText]:
        """Do what `rank` does, in a thread, while the event loop goes on.

        A cancelled call raises `asyncio.CancelledError` at once; the thread finishes its work in the background.
        """
        from asyncio import to_thread

        return await to_thread(self.rank, question, check_texts(texts), k)

    def probability(self, score: float, *, fused: bool = False) -> float | None:
        """Return the probability, between 0 and 1, that a best hit with this score is relevant.

        It is `sigmoid(scale · score + bias)` (Platt, 1999). `fused` means that the score includes the embedder's cosine. The
        model's `calibration.json` holds `scale` and `bias` for both cases. Returns None for a model without this file.
        """
        calibration = self.calibrations.fused if fused else self.calibrations.alone
        return None if calibration is None else calibration.probability(score)


def sigmoid(x: float) -> float:
    """Return 1 / (1 + e⁻ˣ), without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _fitting_calibrations(folder: Path) -> Calibrations:
    """Read the calibrations of a model folder. Warn if they were fitted to other weights than those in the folder."""
    calibrations = read_calibrations(folder)
    if calibrations.basis is not None and calibrations.basis.reranker != weights_identity(folder):
        warn_of_fallback(f"{folder / CALIBRATION} was fitted to other weights, so probabilities may be wrong")
    return calibrations


def read_calibrations(folder: Path) -> Calibrations:
    """Read a model's `calibration.json`; without the file there are no calibrations. Raises `ModelError` for a damaged file."""
    path = folder / CALIBRATION
    if not path.is_file():
        return Calibrations()
    try:
        values = json.loads(path.read_text(encoding="utf8"))
        alone, fused = (Calibration(*(float(values[key][name]) for name in ("scale", "bias"))) for key in CALIBRATED)
        basis = Basis(**values["basis"]) if "basis" in values else None
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} does not hold the numbers scale and bias of {' and '.join(CALIBRATED)}") from error
    return Calibrations(alone, fused, basis)


class OpenVinoEngine:
    """Runs an exported model with OpenVINO on the CPU. Can be shared between threads."""

    def __init__(self, folder: Path) -> None:
        """Load the model. Raises `ModelError` if it is not in the folder or cannot be loaded."""
        self._model = OpenVinoModel(folder)
        if self._model.width != 1:
            raise ModelError(f"{folder} is not a reranker: it gives {self._model.width} numbers for a pair, not one")

    def logits(self, question: str, texts: Sequence[str]) -> "np.ndarray":
        """Return logits in the order of the texts: float32, shape (len(texts),)."""
        return self.pair_logits([(question, text) for text in texts])

    def pair_logits(self, pairs: Sequence[tuple[str, str]]) -> "np.ndarray":
        """Return logits in the order of the pairs (question, text): float32, shape (len(pairs),)."""
        return self._model.run(pairs).reshape(-1)


class SentenceTransformersEngine:
    """Runs a model with sentence-transformers, on a GPU if there is one."""

    def __init__(self, source: str, device: str | None = None) -> None:
        """Load the model. Raises `ModelError` if neither a folder nor the hub provides it, or the device does not exist."""
        self._source, self._device = source, device
        on_gpu = device is not None and device.startswith("cuda")
        options = {"model_kwargs": {"dtype": "bfloat16"}} if on_gpu else {}
        self._model = open_cross_encoder(source, device=device, **options)
        self._batch_size = GPU_BATCH if on_gpu else CPU_BATCH

    def __reduce__(self) -> tuple[type["SentenceTransformersEngine"], tuple[str, str | None]]:
        return SentenceTransformersEngine, (self._source, self._device)  # pickle the name, not the weights

    def logits(self, question: str, texts: Sequence[str]) -> "np.ndarray":
        """Return logits in the order of the texts: float32, shape (len(texts),)."""
        return self.pair_logits([(question, text) for text in texts])

    def pair_logits(self, pairs: Sequence[tuple[str, str]]) -> "np.ndarray":
        """Return logits in the order of the pairs (question, text): float32, shape (len(pairs),)."""
        import numpy as np
        from torch.nn import Identity

        with without_cudnn_attention():
            # `Identity` gives logits even if the model's configuration asks for another activation
            scores = self._model.predict(
                list(pairs), batch_size=self._batch_size, activation_fn=Identity(), show_progress_bar=False
            )
        return np.asarray(scores, dtype=np.float32)
