"""Loading of torch models with sentence-transformers, and refusal of incomplete ones.

sentence-transformers fills in missing weights, such as a classification head, with random numbers and goes on. The scores of
such a model are meaningless.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.errors import MissingExtraError, ModelError, first_line, warn_of_fallback
from ragqa.models.tokens import MAX_TOKENS
from ragqa.process import REASON, hub_options, is_offline

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, SentenceTransformer

CROSS_ENCODER, BI_ENCODER = "CrossEncoder", "SentenceTransformer"

_HEADED = "ForSequenceClassification"  # suffix of transformers' classes with a classification head
_NAMES = {CROSS_ENCODER: "cross-encoder", BI_ENCODER: "bi-encoder"}


def open_cross_encoder(source: str, **options: Any) -> "CrossEncoder":
    """Load a cross-encoder with one output from a folder or by hub id. `options` are arguments of `CrossEncoder`.

    Inputs are truncated at `MAX_TOKENS`, or at the model's limit if that is lower. Raises `MissingExtraError` without
    sentence-transformers, `ModelError` for a model of another kind, with more outputs, or with incomplete weights.
    """
    kind = _load_kind(source)
    if kind is not None and kind != CROSS_ENCODER:
        raise _wrong_kind(source, f"a {_NAMES.get(kind, kind)}", "a cross-encoder")
    model: CrossEncoder = _load(CROSS_ENCODER, source, options)
    if kind is None and model[0].transformer_task == "text-generation":
        raise _wrong_kind(source, "a language model", "a cross-encoder")
    check_weights(model, source)
    if model.num_labels != 1:
        raise ModelError(f"{source} is not a reranker: it gives {model.num_labels} numbers for a pair, not one")
    limit_length(model, MAX_TOKENS)
    _try(lambda: model.predict([("a", "b"), ("a", "b c d")], show_progress_bar=False), source)
    return model


def open_bi_encoder(source: str, **options: Any) -> "SentenceTransformer":
    """Load a bi-encoder from a folder or by hub id, as `open_cross_encoder` loads a cross-encoder.

    A transformer that does not define its pooling gets mean pooling and a `FallbackWarning`.
    """
    kind = _load_kind(source)
    if kind is not None and kind != BI_ENCODER:
        raise _wrong_kind(source, f"a {_NAMES.get(kind, kind)}", "an embedder")
    model: SentenceTransformer = _load(BI_ENCODER, source, options)
    if kind is None and model.config is not None:
        architecture = _architecture(model)
        if architecture.endswith(_HEADED):
            raise _wrong_kind(source, f"a {_NAMES[CROSS_ENCODER]}", "an embedder")
        if "For" in architecture:
            raise _wrong_kind(source, f"a language model ({architecture})", "an embedder")
        warn_of_fallback(f"{source} does not say how to pool tokens (no modules.json); their mean is used")
    check_weights(model, source)
    limit_length(model, MAX_TOKENS)
    _try(lambda: model.encode(["a", "b c d"], show_progress_bar=False), source)
    return model


def kind_of(source: str | Path) -> str | None:
    """Return the class of sentence-transformers that saved a model, or None if transformers alone saved it.

    Raises `ModelError` if the file that names the class is damaged.
    """
    from sentence_transformers.util import load_file_path

    hub: Any = hub_options(source)
    if load_file_path(str(source), "modules.json", **hub) is None:
        return None
    settings = load_file_path(str(source), "config_sentence_transformers.json", **hub)
    try:
        saved = json.loads(Path(settings).read_text(encoding="utf8")) if settings else {}
        return str(saved.get("model_type", BI_ENCODER))
    except (ValueError, AttributeError) as error:
        raise ModelError(f"{source} cannot be loaded: {settings} is damaged") from error


def check_weights(model: Any, source: str) -> None:
    """Raise `ModelError` if the weight files lack parameters that the loaded model needs."""
    missing = missing_weights(model, source)
    if not missing:
        return
    if model[0].transformer_task == "sequence-classification" and not _architecture(model).endswith(_HEADED):
        raise ModelError(
            f"{source} has no classification head in its weights, so it is not a cross-encoder; to train one: "
            f"ragqa train --base {source}"
        )
    raise ModelError(f"the weights of {source} are incomplete: {missing[0]} is missing; get the whole model again")


def missing_weights(model: Any, source: str) -> list[str]:
    """Return the sorted names of the parameters that the model needs and its weight files lack.

    Only names are compared; the weights are not read again.
    """
    from sentence_transformers.base.modules import Transformer

    missing: set[str] = set()
    for part in model.modules():
        if isinstance(part, Transformer):
            where = _subfolder(source) if model.module_kwargs else ""
            transformer: Any = type(part.model)
            with quiet():
                _, report = transformer.from_pretrained(
                    source,
                    config=part.config,
                    subfolder=where,
                    device_map="meta",
                    output_loading_info=True,
                    **hub_options(source),
                )
            pooled = part.transformer_task == "sequence-classification"  # other tasks do not use the pooler
            missing |= {name for name in report["missing_keys"] if pooled or "pooler" not in name}
    return sorted(missing)


def limit_length(model: Any, max_tokens: int) -> None:
    """Truncate inputs at `max_tokens`, or at the model's limit if that is lower."""
    if model.config is not None:
        model.max_seq_length = min(model.max_seq_length or max_tokens, limit_positions(model, max_tokens))


def limit_positions(model: Any, max_tokens: int) -> int:
    """Return `max_tokens`, or the number of position embeddings of the transformer if that is lower."""
    return min([max_tokens, *_positions(model)]) if model.config is not None else max_tokens


def _positions(model: Any) -> Iterator[int]:
    from torch.nn import Embedding

    stated = getattr(model.config, "max_position_embeddings", None)
    if stated and stated > 0:  # XLNet: -1
        yield stated
    for name, part in model.named_modules():
        if isinstance(part, Embedding) and name.endswith("position_embeddings"):
            # RoBERTa and similar models number positions after the padding index
            yield part.num_embeddings - (0 if part.padding_idx is None else part.padding_idx + 1)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bar of transformers and its report of missing weights."""
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


def _load_kind(source: str) -> str | None:
    """Call `kind_of`, and turn exceptions into `ModelError` or `MissingExtraError`."""
    hub_options(source)  # sets a variable that the hub's library reads when it is imported
    try:
        import sentence_transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(f"the model {source}, which is not exported to OpenVINO,", "train") from error
    try:
        return kind_of(source)
    except ModelError:
        raise
    except Exception as error:  # the hub's library raises many kinds
        raise _unloadable(source, error) from error


def _load(kind: str, source: str, options: dict[str, Any]) -> Any:
    import sentence_transformers

    try:
        with quiet():
            return getattr(sentence_transformers, kind)(source, **hub_options(source), **options)
    except Exception as error:  # a damaged or missing model raises many kinds
        raise _unloadable(source, error) from error


def _try(run: Callable[[], object], source: str) -> None:
    """Raise `ModelError` if a trial run fails. Models without a padding token fail only with two texts at once."""
    try:
        run()
    except Exception as error:  # the code of a model may raise anything
        raise ModelError(f"{source} cannot be used: {first_line(error)}") from error


def _unloadable(source: str, error: Exception) -> ModelError:
    if is_offline() and not Path(source).is_dir():
        return ModelError(f"the model {source} is not on this machine, and {REASON}")
    return ModelError(f"{source} cannot be loaded: {first_line(error)}")


def _wrong_kind(source: str, kind: str, wanted: str) -> ModelError:
    return ModelError(f"{source} is {kind}, not {wanted}")


def _architecture(model: Any) -> str:
    """The class of transformers that saved a model; empty if unknown."""
    return str((model.config.architectures or [""])[0])


def _subfolder(source: str) -> str:
    """The subfolder of the transformer in a model of sentence-transformers."""
    from sentence_transformers.util import load_file_path

    hub: Any = hub_options(source)
    path = load_file_path(source, "modules.json", **hub)
    modules = json.loads(Path(path).read_text(encoding="utf8")) if path else []
    return next((str(module["path"]) for module in modules if module["type"].endswith("Transformer")), "")
