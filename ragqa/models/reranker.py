"""A question and passages into scores, with a cross-encoder: it reads both together and gives a logit for each passage.

The default engine is OpenVINO, int8, without torch; sentence-transformers (in the extra `train`) serves models that
have not been exported.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ragqa.errors import ModelError, warn_of_fallback
from ragqa.models.attention import sound_attention
from ragqa.models.folders import check_source, digest, find_exported
from ragqa.models.openvino import OpenVinoModel, check_finite
from ragqa.models.torch_models import open_cross_encoder

if TYPE_CHECKING:
    import numpy as np

BUNDLED = Path(__file__).parents[1] / "assets" / "reranker"
CALIBRATION = "calibration.json"
CALIBRATED = ("alone", "fused")
CPU_BATCH, GPU_BATCH = 32, 256  # pairs that sentence-transformers takes at once


class Engine(Protocol):
    """What runs a cross-encoder."""

    def logits(self, question: str, texts: Sequence[str]) -> "np.ndarray":
        """Logits as float32, shape (len(texts),), in the order of the texts."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How scores become probabilities: `sigmoid(scale · score + bias)`."""

    scale: float = 1.0
    bias: float = 0.0

    def probability(self, score: float) -> float:
        """The probability of a score, between 0 and 1."""
        return sigmoid(self.scale * score + self.bias)


@dataclass(frozen=True, slots=True)
class Basis:
    """What a calibration was fitted with: identities of both models, and the weights in the final score."""

    reranker: str
    embedder: str
    bm25_weight: float
    cosine_weight: float


@dataclass(frozen=True, slots=True)
class Calibrations:
    """How final scores become probabilities: `alone` without an embedder's cosines, `fused` with them.

    `basis` is None for a model that has not been calibrated.
    """

    alone: Calibration = Calibration()
    fused: Calibration = Calibration()
    basis: Basis | None = None


class Reranker:
    """A cross-encoder, ready to score. Make one with `load`."""

    def __init__(self, engine: Engine, name: str, calibrations: Calibrations | None = None) -> None:
        self.name = name
        self.calibrations = calibrations or Calibrations()
        self._engine = engine

    @classmethod
    def load(cls, source: str | Path | None = None, *, device: str | None = None) -> "Reranker":
        """Load the bundled model, or one from a folder or by its hub id.

        A folder with `openvino/openvino_model.xml` runs on OpenVINO, others and hub ids on sentence-transformers. With a
        `device` of torch ("cuda", "cpu") sentence-transformers runs it in any case, on a GPU in bfloat16; the bundled model
        has no weights for that. Raises `ModelError` naming what is missing, `MissingExtraError` if sentence-transformers is
        needed and not installed.
        """
        if device is None:
            exported = find_exported(source, BUNDLED, "model")
            if exported is not None:
                engine, calibrations = OpenVinoEngine(exported), read_calibrations(exported)
                if calibrations.basis is not None and calibrations.basis.reranker != digest(exported):
                    warn_of_fallback(
                        f"{exported / CALIBRATION} was fitted to other weights, so probabilities may be wrong"
                    )
                return cls(engine, exported.resolve().name, calibrations)
        elif source is None:
            raise ModelError(f"the bundled model runs on OpenVINO only; on {device} a folder of `ragqa train` can run")
        else:
            check_source(source)
        name = str(source)
        return cls(SentenceTransformersEngine(name, device), name, read_calibrations(Path(name)))

    def score(self, question: str, texts: Sequence[str]) -> "np.ndarray":
        """Logits of the texts as answers to the question: float32, shape (len(texts),), in their order, unbounded.

        Question and text together are cut at 512 tokens, or at the model's own limit, from the longer of the two. Raises
        `ModelError` if the model gives NaN or infinity.
        """
        import numpy as np

        scores = self._engine.logits(question, texts) if texts else np.zeros(0, dtype=np.float32)
        check_finite(scores, self.name)
        return scores

    def probability(self, score: float, *, fused: bool = False) -> float:
        """How likely a best hit of this score is relevant: `sigmoid(scale · score + bias)`, between 0 and 1 (Platt, 1999).

        `fused` says that the score holds the embedder's cosine too. The model folder's `calibration.json` has `scale` and
        `bias` for `alone` and for `fused`; without it they are 1 and 0, and the value is but a sigmoid.
        """
        return (self.calibrations.fused if fused else self.calibrations.alone).probability(score)


def sigmoid(x: float) -> float:
    """1 / (1 + e⁻ˣ), without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def read_calibrations(folder: Path) -> Calibrations:
    """Read a model folder's `calibration.json`; scale 1 and bias 0 if there is none. Raises `ModelError`."""
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
    """OpenVINO on the CPU, safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        """Raises `ModelError` if the folder holds no exported model that can be loaded."""
        self._model = OpenVinoModel(folder)
        if self._model.width != 1:
            raise ModelError(f"{folder} is not a reranker: it gives {self._model.width} numbers for a pair, not one")

    def logits(self, question: str, texts: Sequence[str]) -> "np.ndarray":
        """Logits as float32, shape (len(texts),), in the order of the texts."""
        return self._model.run([(question, text) for text in texts]).reshape(-1)


class SentenceTransformersEngine:
    """sentence-transformers, on a GPU if there is one."""

    def __init__(self, source: str, device: str | None = None) -> None:
        """Raises `ModelError` if there is no such folder and the hub does not give it, or no such device."""
        self._source, self._device = source, device
        on_gpu = device is not None and device.startswith("cuda")
        options = {"model_kwargs": {"dtype": "bfloat16"}} if on_gpu else {}
        self._model = open_cross_encoder(source, device=device, **options)
        self._batch_size = GPU_BATCH if on_gpu else CPU_BATCH

    def __reduce__(self) -> tuple[type["SentenceTransformersEngine"], tuple[str, str | None]]:
        return SentenceTransformersEngine, (self._source, self._device)  # a pickle holds the name, not the weights

    def logits(self, question: str, texts: Sequence[str]) -> "np.ndarray":
        """Logits as float32, shape (len(texts),), in the order of the texts."""
        import numpy as np
        from torch.nn import Identity

        pairs = [(question, text) for text in texts]
        with sound_attention():
            # logits, whatever the model's own configuration says
            scores = self._model.predict(
                pairs, batch_size=self._batch_size, activation_fn=Identity(), show_progress_bar=False
            )
        return np.asarray(scores, dtype=np.float32)
