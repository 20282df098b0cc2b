"""Pairs in, a reranker out: a folder that `sentence_transformers.CrossEncoder` loads, with its model card.

`PRESETS` are named settings. "reference" has those of the published reference model: BCE loss, 3 epochs, batches of 16,
learning rate 5e-5 falling linearly to zero, AdamW, 512 tokens, seed 42. "listwise" compares all passages of a question at once
(`ragqa.training.losses`), and "embedder" trains a bi-encoder (`ragqa.training.train_embedder`). The bundled models were trained
with these two, in the stages of `benchmarks/shipped_models.py`.
"""

import logging
import math
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ragqa.errors import CorpusError, MissingExtraError, ModelError, first_line, warn_of_fallback
from ragqa.models.attention import without_cudnn_attention
from ragqa.models.bases import OFFLINE_BASE, OFFLINE_NAME, base_path, no_base
from ragqa.models.folders import MODEL_FILE
from ragqa.models.torch_models import limit_positions, missing_weights, quiet
from ragqa.process import hub_options
from ragqa.records import Pair
from ragqa.storage.folders import check_replaceable, replace_folder
from ragqa.training.calibrate import calibrate_new, find_held_out
from ragqa.training.card import COLUMNS, add_origins
from ragqa.training.checkpoints import check_checkpoints, find_checkpoint, open_checkpoints, seal_checkpoints
from ragqa.training.config import TrainConfig
from ragqa.training.export import add_openvino
from ragqa.training.pairs import (
    check_labels,
    draw_lists,
    join_names,
    list_dataset,
    pair_dataset,
    read_pairs,
    read_training,
)

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import CrossEncoder

M = TypeVar("M", bound=Any)

_LOG = logging.getLogger(__name__)


def train(
    datasets: Sequence[str | Path],
    out: str | Path,
    config: TrainConfig,
    *,
    progress: bool = True,
    calibrate: bool = True,
) -> Mapping[str, float]:
    """Train on the train pairs of dataset folders, write the model to `out` and return its metrics on the eval pairs.

    The folder holds torch's weights for sentence-transformers, the same model in int8 for OpenVINO, and the card. With
    `calibrate` it also holds the calibration of the best hits, fitted to the eval pairs. If these are too few, a
    `FallbackWarning` says so before the training.

    Checkpoints are kept in `<out>.checkpoints` until the end. After an interruption, the same call resumes from the last one.
    Raises `ModelError` if the base cannot be loaded, `CorpusError` if there are too few pairs, `InputError` if the checkpoints
    belong to another run.
    """
    pairs, samples = read_training(datasets, config)
    check_labels(pairs, datasets)
    lists = draw_lists(pairs, config) if config.list_size else []
    if config.list_size and not lists:
        raise CorpusError(
            f"no question in {join_names(datasets)} has 2 passages, as lists need; train with --list-size 0"
        )
    out = Path(out).resolve()
    check_replaceable(out, "config.json")
    check_checkpoints(out, config, pairs)
    held_out = find_held_out(read_pairs(datasets, "eval"), out) if calibrate else None
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
        dataset, loss = pair_dataset(pairs), BinaryCrossEntropyLoss(model)
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
        calibrate_new(new, out, held_out, progress=progress)
    shutil.rmtree(checkpoints)
    return {name.removeprefix("eval_"): value for name, value in metrics.items()}


def _add_openvino(folder: Path, out: Path, pairs: Sequence[Pair]) -> None:
    """Export a new model into its folder. If that fails, warn and keep the model."""
    try:
        add_openvino(folder, pairs)
    except ModelError as error:
        shutil.rmtree((folder / MODEL_FILE).parent, ignore_errors=True)
        warn_of_fallback(f"{out} runs only on torch, which is slower: {str(error).replace(str(folder), 'the model')}")


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
        raise no_base(config.base, first_line(error)) from error
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
    trainer.add_callback(seal_checkpoints())
    checkpoint = None if resume_from is None else str(resume_from)
    with without_cudnn_attention() if torch.cuda.is_available() else QuickDropout():
        metrics: Mapping[str, float] = trainer.train(resume_from_checkpoint=checkpoint).metrics
    return metrics


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
