"""Pairs in, a reranker out: a folder that `sentence_transformers.CrossEncoder` loads, with its model card.

`PRESETS` are named settings. "reference" has those of the published reference model: BCE loss, 3 epochs, batches of 16,
learning rate 5e-5 falling linearly to zero, AdamW, 512 tokens, seed 42. "listwise" compares all passages of a question at once
(`ragqa.training.losses`), and "embedder" trains a bi-encoder (`ragqa.training.train_embedder`). The bundled models were trained
with these two, in the stages of `benchmarks/shipped_models.py`.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
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
from ragqa.training.arguments import arguments, check_device, check_trackers
from ragqa.training.calibrate import calibrate_new, find_held_out
from ragqa.training.checkpoints import check_checkpoints, checkpoint_folder, find_checkpoint, open_checkpoints
from ragqa.training.config import TrainConfig
from ragqa.training.export import add_openvino
from ragqa.training.model_card import describe_base, describe_datasets, save_model
from ragqa.training.pairs import (
    check_labels,
    draw_lists,
    join_names,
    list_dataset,
    pair_dataset,
    read_pairs,
    read_training,
)
from ragqa.training.processes import is_main_process

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

M = TypeVar("M", bound=Any)


def train(
    datasets: Sequence[str | Path],
    out: str | Path,
    config: TrainConfig,
    *,
    progress: bool = True,
    calibrate: bool = True,
    resume: bool | None = None,
) -> Mapping[str, float]:
    """Train on the train pairs of dataset folders, write the model to `out` and return its metrics on the eval pairs.

    The folder holds torch's weights for sentence-transformers, the same model in int8 for OpenVINO, and the card. With
    `calibrate` it also holds the calibration of the best hits, fitted to the eval pairs. If these are too few, a
    `FallbackWarning` says so before the training.

    Checkpoints are kept in `<out>.checkpoints` until the end. With `resume` True training starts from the last one, with False
    from the beginning, with None from the last one if there is one. If a launcher started several processes, the first writes
    the model; the others return no metrics.

    Raises `ModelError` if the base cannot be loaded, `CorpusError` if there are too few pairs, `InputError` if the checkpoints
    belong to another run or there is none to resume from, or if the device lacks the precision.
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
    check_checkpoints(out, config, pairs, resume)
    check_trackers(config)
    held_out = find_held_out(read_pairs(datasets, "eval"), out) if calibrate and is_main_process() else None
    trainer = _make_trainer(lists or pairs, samples, datasets, out, config, progress)
    checkpoints = open_checkpoints(out, config, pairs, resume)
    fit(trainer, resume_from=find_checkpoint(checkpoints, trainer.args))
    if not is_main_process():
        return {}
    metrics: Any = trainer.evaluator(trainer.model)
    with replace_folder(out, "config.json") as new:
        save_model(trainer.model, new, datasets, config)
        _add_openvino(new, out, pairs)
        calibrate_new(new, out, held_out, progress=progress)
    shutil.rmtree(checkpoints)
    return {name.removeprefix("eval_"): value for name, value in metrics.items()}


def _make_trainer(
    rows: Sequence[Any],
    samples: Sequence[dict[str, Any]],
    datasets: Sequence[str | Path],
    out: Path,
    config: TrainConfig,
    progress: bool,
) -> Any:
    """Load the base and return its trainer, for pairs or, if `config.list_size` is above 0, for rows of `draw_lists`."""
    try:
        from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
        from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator

        from ragqa.training.callbacks import add_callbacks
        from ragqa.training.losses import cross_encoder_loss
    except ImportError as error:
        raise MissingExtraError("training", "train") from error
    check_device(config)
    model = load_cross_encoder(config)
    describe_datasets(model, datasets)
    settings = arguments(config, checkpoint_folder(out), len(rows), progress)
    # torch does not see the scores in the output of a CrossEncoder, and would take all parameters for unused
    settings["ddp_find_unused_parameters"] = False
    trainer = CrossEncoderTrainer(
        model=model,
        args=CrossEncoderTrainingArguments(**settings),
        train_dataset=list_dataset(rows) if config.list_size else pair_dataset(rows),
        loss=cross_encoder_loss(config.loss_name, model),
        evaluator=CrossEncoderRerankingEvaluator(list(samples), at_k=10, name="eval", write_csv=False),
    )
    add_callbacks(trainer, config, len(rows), out)
    return trainer


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

    card = CrossEncoderModelCardData(model_name="ragqa reranker")
    card.add_tags("ragqa")
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
    describe_base(model, OFFLINE_NAME if config.base == OFFLINE_BASE else config.base, path)
    return model


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


def fit(trainer: Any, *, resume_from: Path | None = None) -> Mapping[str, float]:
    """Run a trainer of sentence-transformers, from a checkpoint if one is given, and return its metrics."""
    import torch

    from ragqa.training.callbacks import StopAtNan
    from ragqa.training.dropout import QuickDropout

    trainer.add_callback(StopAtNan())
    checkpoint = None if resume_from is None else str(resume_from)
    with without_cudnn_attention() if torch.cuda.is_available() else QuickDropout():
        metrics: Mapping[str, float] = trainer.train(resume_from_checkpoint=checkpoint).metrics
    return metrics
