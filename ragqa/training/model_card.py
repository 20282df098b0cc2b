"""A trained model in, its folder out, with a card that names base, data, licences and the settings used."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ragqa.process import hub_options
from ragqa.training.card import add_origins, licence_of_model
from ragqa.training.config import TrainConfig
from ragqa.training.processes import process_count

_LOG = logging.getLogger(__name__)

# of all arguments of the trainer, those that bear on the weights
_USED = (
    *("num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate"),
    *("lr_scheduler_type", "warmup_steps", "optim", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon"),
    *("max_grad_norm", "bf16", "fp16", "seed", "load_best_model_at_end"),
)


def describe_base(model: Any, name: str, source: str) -> None:
    """Name a model's base in its card, with the licence and the language that the base's own card names, if it does."""
    model.model_card_data.base_model = name
    model.model_card_data.license, model.model_card_data.language = _read_card(source)


def describe_datasets(model: Any, datasets: Sequence[str | Path]) -> None:
    """Name the datasets in a model's card."""
    names = [Path(folder).resolve().name for folder in datasets]
    model.model_card_data.train_datasets = [{"name": ", ".join(names)}]
    model.model_card_data.datasets = [re.sub(r"[^\w.-]+", "-", name) for name in names]


def save_model(model: Any, folder: Path, datasets: Sequence[str | Path], config: TrainConfig) -> None:
    """Write a trained model for sentence-transformers. Its card names the settings used, and the licences of base and data."""
    data = model.model_card_data
    base_licence, data.license = data.license, licence_of_model(data.license, datasets)
    data.all_hyperparameters = _used(data.all_hyperparameters) | _own(config)
    data.non_default_hyperparameters = _used(data.non_default_hyperparameters) | _own(config)
    data.training_logs = [
        row for row in data.training_logs if row["Step"] >= 0
    ]  # not the evaluation after the training
    model.save_pretrained(str(folder))
    add_origins(folder / "README.md", str(data.base_model), base_licence, datasets)


def _used(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in _USED if name in settings}


def _own(config: TrainConfig) -> dict[str, Any]:
    """Return the settings in use that the trainer of sentence-transformers does not know."""
    own = {name: value for name in ("list_size", "early_stopping") if (value := getattr(config, name))}
    own |= {} if config.dropout is None else {"dropout": config.dropout}
    return own | ({"processes": process_count()} if process_count() > 1 else {})


def _read_card(source: str) -> tuple[str | None, str | list[str] | None]:
    """Return the licence and the language that a model's card names; None for one that it does not name."""
    from huggingface_hub.repocard import metadata_load
    from sentence_transformers.util import load_file_path

    try:
        hub: Any = hub_options(source)
        card = load_file_path(source, "README.md", **hub)
        named = (metadata_load(card) if card else None) or {}
    except Exception as error:  # a damaged card or an error of the hub's library must not stop the training
        _LOG.warning("the card of %s cannot be read, so the new card names no licence and language: %s", source, error)
        return None, None
    licence, language = named.get("license"), named.get("language")
    return licence if isinstance(licence, str) else None, language if isinstance(language, str | list) else None
