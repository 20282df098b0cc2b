"""A question and passages into scores, with a cross-encoder: it reads both together and gives a logit for each passage.

The default engine is OpenVINO, int8, without torch; sentence-transformers (in the extra `train`) serves models that
have not been exported.
"""

import hashlib
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ragqa.errors import MissingExtraError, ModelError

if TYPE_CHECKING:
    import numpy as np

BUNDLED = Path(__file__).parent / "reranker"
MODEL_FILE = "openvino/openvino_model.xml"  # as sentence-transformers names it
CALIBRATION = "calibration.json"
MAX_TOKENS = 512
BATCH_SIZE = 32

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_LENGTH_STEP = 16  # OpenVINO prepares itself anew for every new shape: few lengths, few preparations


class Engine(Protocol):
    """What runs a cross-encoder."""

    def logits(self, question: str, texts: Sequence[str]) -> "np.ndarray":
        """Logits as float32, shape (len(texts),), in the order of the texts."""


class Reranker:
    """A cross-encoder, ready to score. Make one with `load`."""

    def __init__(self, engine: Engine, name: str, *, scale: float = 1.0, bias: float = 0.0) -> None:
        """`scale` and `bias` calibrate: they are for `probability` alone, the scores are the model's own logits."""
        self.name = name
        self._engine = engine
        self._scale, self._bias = scale, bias

    @classmethod
    def load(cls, source: str | Path | None = None) -> "Reranker":
        """Load the bundled model, or one from a folder or by its hub id.

        A folder with `openvino/openvino_model.xml` runs on OpenVINO, others and hub ids on sentence-transformers. Raises
        `ModelError` naming what is missing, `MissingExtraError` if sentence-transformers is needed and not installed.
        """
        folder = BUNDLED if source is None else Path(source)
        if (folder / MODEL_FILE).is_file():
            return cls(OpenVinoEngine(folder), folder.resolve().name, **_read_calibration(folder))
        if source is None:
            raise ModelError(f"the bundled model is not in {folder}; install ragqa again or pass a model folder")
        if folder.is_dir() and not any((folder / name).is_file() for name in _WEIGHTS):
            raise ModelError(f"{folder} holds no weights: {MODEL_FILE} or {_WEIGHTS[0]} is needed")
        if not folder.is_dir() and (folder.is_absolute() or str(source).startswith(".") or str(source).count("/") != 1):
            raise ModelError(f"{source} is neither a folder nor a hub id (owner/name)")
        return cls(SentenceTransformersEngine(str(source)), str(source), **_read_calibration(folder))

    def score(self, question: str, texts: Sequence[str]) -> "np.ndarray":
        """Logits of the texts as answers to the question: float32, shape (len(texts),), in their order, unbounded.

        Question and text together are cut at 512 tokens, from the longer of the two.
        """
        import numpy as np

        return self._engine.logits(question, texts) if texts else np.zeros(0, dtype=np.float32)

    def probability(self, logit: float) -> float:
        """How likely a best hit of this logit answers: `sigmoid(scale · logit + bias)`, between 0 and 1 (Platt, 1999).

        The model folder's `calibration.json` holds scale and bias; without it they are 1 and 0, and the value is but a
        sigmoid.
        """
        return sigmoid(self._scale * logit + self._bias)


def sigmoid(x: float) -> float:
    """1 / (1 + e⁻ˣ), without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _read_calibration(folder: Path) -> dict[str, float]:
    path = folder / CALIBRATION
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf8"))
        return {name: float(values[name]) for name in ("scale", "bias")}
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} does not hold the numbers scale and bias") from error


class OpenVinoEngine:
    """OpenVINO on the CPU. One engine serves many threads: each call has its own request to the shared model."""

    def __init__(self, folder: Path) -> None:
        """Compile the model, or take what an earlier start has left in the cache folder (`RAGQA_CACHE`)."""
        import openvino
        from tokenizers import Tokenizer

        tokenizer_file = folder / "tokenizer.json"
        if not tokenizer_file.is_file():
            raise ModelError(f"{tokenizer_file} is missing")
        # float32 where the model is not int8: the same scores on every CPU
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", **_cache_option(folder)}
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
            self._model = openvino.Core().compile_model(folder / MODEL_FILE, "CPU", options)
        except Exception as error:  # both raise bare exceptions of their own for damaged files
            raise ModelError(f"{folder} cannot be loaded: {str(error).strip().splitlines()[-1]}") from error
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding(pad_to_multiple_of=_LENGTH_STEP)
        self._inputs = [port.any_name for port in self._model.inputs]

    def logits(self, question: str, texts: Sequence[str]) -> "np.ndarray":
        """Logits as float32, shape (len(texts),), in the order of the texts."""
        import numpy as np

        request = self._model.create_infer_request()
        by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        logits = np.empty(len(texts), dtype=np.float32)
        for start in range(0, len(texts), BATCH_SIZE):
            batch = by_length[start : start + BATCH_SIZE]
            results = request.infer(self._encode(question, [texts[i] for i in batch]))
            logits[batch] = next(iter(results.values())).reshape(-1)  # (batch, 1)
        return logits

    def _encode(self, question: str, texts: Sequence[str]) -> "dict[str, np.ndarray]":
        import numpy as np

        encodings = self._tokenizer.encode_batch([(question, text) for text in texts])
        arrays = {  # each (batch, tokens)
            "input_ids": [e.ids for e in encodings],
            "attention_mask": [e.attention_mask for e in encodings],
            "token_type_ids": [e.type_ids for e in encodings],
        }
        return {name: np.array(arrays[name], dtype=np.int64) for name in self._inputs}


class SentenceTransformersEngine:
    """sentence-transformers, on a GPU if there is one."""

    def __init__(self, source: str) -> None:
        """Raises `ModelError` if there is no such folder and the hub does not give it."""
        try:
            from sentence_transformers import CrossEncoder
            from torch.nn import Identity
        except ImportError as error:
            raise MissingExtraError(f"the model {source}, which is not exported to OpenVINO,", "train") from error
        self._activation = Identity()  # logits, whatever the model's own configuration says
        try:
            self._model = CrossEncoder(source, max_length=MAX_TOKENS)
        except Exception as error:  # whatever its many parts raise for a damaged or missing model
            raise ModelError(f"{source} cannot be loaded: {str(error).strip().splitlines()[0]}") from error

    def logits(self, question: str, texts: Sequence[str]) -> "np.ndarray":
        """Logits as float32, shape (len(texts),), in the order of the texts."""
        import numpy as np

        pairs = [(question, text) for text in texts]
        scores = self._model.predict(pairs, activation_fn=self._activation, show_progress_bar=False)
        return np.asarray(scores, dtype=np.float32)


def _cache_option(model: Path) -> dict[str, str]:
    """Where OpenVINO keeps what it compiles of this very model (it does not notice changed weights itself).

    Nowhere, if the folder cannot be written: starting then takes a little longer.
    """
    weights = (model / MODEL_FILE).with_suffix(".bin")
    try:
        cache = _cache_folder() / hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
        cache.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        return {}
    return {"CACHE_DIR": str(cache)} if os.access(cache, os.W_OK) else {}


def _cache_folder() -> Path:
    """Where compiled models are kept: `RAGQA_CACHE`, else the user's cache folder."""
    if chosen := os.environ.get("RAGQA_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "ragqa"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragqa"
