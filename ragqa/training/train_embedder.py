"""Pairs in, an embedder out: a folder that `sentence_transformers.SentenceTransformer` loads, with its model card.

The result is the mean of the base's weights and the trained weights. It learns the new questions and forgets less of what the
base has learned (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).
"""

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.errors import CorpusError, InputError, MissingExtraError
from ragqa.models.torch_models import limit_positions
from ragqa.records import Pair
from ragqa.storage.folders import check_replaceable, replace_folder
from ragqa.training.arguments import arguments, check_device, check_trackers
from ragqa.training.checkpoints import check_checkpoints, find_checkpoint, open_checkpoints
from ragqa.training.config import TrainConfig
from ragqa.training.model_card import describe_datasets, save_model
from ragqa.training.pairs import draw_lists, read_training
from ragqa.training.processes import is_main_process
from ragqa.training.train import fit, load_base

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer

MARK = "modules.json"  # in every folder of a sentence-transformers bi-encoder


def train_embedder(
    datasets: Sequence[str | Path],
    out: str | Path,
    config: TrainConfig,
    *,
    progress: bool = True,
    resume: bool | None = None,
) -> Mapping[str, float]:
    """Train a bi-encoder on the train pairs of dataset folders, write it to `out`, return its metrics on the eval pairs.

    Each question is compared with `config.list_size` passages of its own and with those of the other questions in the batch
    (`losses.ContrastiveLoss`). Questions with fewer passages are left out. Resumes, runs in several processes and raises as
    `train` does.
    """
    if config.loss:
        raise InputError(f"loss is {config.loss}; an embedder is trained with a loss of its own, so leave out --loss")
    pairs, samples = read_training(datasets, config)
    lists = _full_lists(pairs, config)
    out = Path(out).resolve()
    check_replaceable(out, MARK)
    check_checkpoints(out, config, pairs, resume)
    check_trackers(config)
    try:
        from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
        from sentence_transformers.base.sampler import BatchSamplers
        from sentence_transformers.sentence_transformer.evaluation import RerankingEvaluator

        from ragqa.training.callbacks import add_callbacks
        from ragqa.training.losses import ContrastiveLoss
    except ImportError as error:
        raise MissingExtraError("training", "train") from error
    check_device(config)
    dataset = _columns(lists, config)
    model = load_bi_encoder(config)
    describe_datasets(model, datasets)
    checkpoints = open_checkpoints(out, config, pairs, resume)
    evaluator = RerankingEvaluator(samples, at_k=10, name="eval", write_csv=False)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            # a passage of two questions in one batch would be both positive and negative for one of them
            **arguments(config, checkpoints, len(dataset), progress) | {"batch_sampler": BatchSamplers.NO_DUPLICATES}
        ),
        train_dataset=dataset,
        loss=ContrastiveLoss(model),
        evaluator=evaluator,
    )
    base = {name: weights.detach().clone() for name, weights in model.state_dict().items()}
    add_callbacks(trainer, config, len(dataset), out)
    fit(trainer, resume_from=find_checkpoint(checkpoints, trainer.args))
    if not is_main_process():
        return {}
    average(model, base)
    metrics: Any = evaluator(model)
    with replace_folder(out, MARK) as new:
        save_model(model, new, datasets, config)
    shutil.rmtree(checkpoints)
    return {name.removeprefix("eval_"): value for name, value in metrics.items()}


def average(model: "torch.nn.Module", base: Mapping[str, "torch.Tensor"]) -> None:
    """Replace a model's weights by the mean of them and those of its base."""
    model.load_state_dict(mean_weights(model.state_dict(), base))


def mean_weights(
    weights: Mapping[str, "torch.Tensor"], others: Mapping[str, "torch.Tensor"]
) -> dict[str, "torch.Tensor"]:
    """Return the mean of two models' weights by name; tensors that are not floating-point are the first model's."""
    return {n: (w + others[n].to(w)) / 2 if w.is_floating_point() else w for n, w in weights.items()}


def load_bi_encoder(config: TrainConfig) -> "SentenceTransformer":
    """Load the base as a bi-encoder."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import SentenceTransformerModelCardData

    card = SentenceTransformerModelCardData(model_name="ragqa embedder")
    card.add_tags("ragqa")
    model = load_base(partial(SentenceTransformer, model_card_data=card), config)
    model.max_seq_length = limit_positions(model, config.max_length)
    return model


def _full_lists(pairs: Sequence[Pair], config: TrainConfig) -> list[dict[str, Any]]:
    """Return the rows of `draw_lists` that have `list_size` passages."""
    if not config.list_size:
        raise InputError("list_size is 0; an embedder needs lists of at least 2 passages")
    lists = [row for row in draw_lists(pairs, config) if len(row["passages"]) == config.list_size]
    if not lists:
        raise CorpusError(f"no question has {config.list_size} passages; give a smaller --list-size")
    return lists


def _columns(lists: Sequence[Mapping[str, Any]], config: TrainConfig) -> "Dataset":
    """Return the lists of passages as columns, as the collator of sentence-transformers expects them."""
    from datasets import Dataset

    columns: dict[str, list[Any]] = {"question": [row["question"] for row in lists]}
    for number in range(config.list_size):
        columns[f"passage_{number}"] = [row["passages"][number] for row in lists]
    return Dataset.from_dict(columns | {"label": [row["labels"] for row in lists]})
