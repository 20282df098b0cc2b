"""A trained reranker or embedder in, a folder for OpenVINO out: 8-bit integers, without torch.

NNCF quantizes the trained model with its transformer preset: weights and activations of matrix products become 8-bit integers,
with ranges measured on real pairs. The written model is opened and compared with the torch model.
"""

import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.errors import InputError, MissingExtraError, ModelError, first_line
from ragqa.models.folders import MODEL_FILE, check_source
from ragqa.models.openvino import check_finite
from ragqa.models.torch_models import BI_ENCODER, kind_of, open_bi_encoder, open_cross_encoder
from ragqa.process import import_openvino
from ragqa.records import Pair
from ragqa.storage.folders import check_replaceable, replace_folder
from ragqa.training.calibrate import calibrate_new, find_held_out
from ragqa.training.parity import Parity, check_opened, check_outputs, check_tokens

if TYPE_CHECKING:
    import numpy as np

QUANTIZATION_PAIRS = 300
COMPARED_PAIRS = 24

_MARK = "config.json"
_CARD = "README.md"
_BATCH_SIZE = 8
_HEAD = [".*pooler.*", ".*classifier.*"]  # names of the layers that read the last hidden states
_FEATURES = ("input_ids", "attention_mask", "token_type_ids")
_RERANKER_CODE = """from ragqa import Reranker

reranker = Reranker.load("path/to/this/folder")  # without an argument: the one that comes with ragqa
reranker.score("why does dropout help?", ["Page title - Section: text of the passage"])  # logits"""
_EMBEDDER_CODE = """from ragqa import Embedder

embedder = Embedder.load("path/to/this/folder")  # without an argument: the one that comes with ragqa
embedder.embed(["why does dropout help?"])  # unit vectors, of questions and of passages with title and section"""
_USAGE = """
This folder holds the model in int8 for OpenVINO, without torch's weights:

```python
{code}
```

The rest is the card of the torch model it was exported from.
"""


def export(
    folder: str | Path,
    out: str | Path,
    pairs: Sequence[Pair],
    *,
    int8: bool = True,
    held_out: Sequence[Pair] | None = None,
) -> Parity:
    """Export a CrossEncoder folder to `out`, for `Reranker.load` without torch, with tokenizer and card.

    A folder of a sentence-transformers bi-encoder becomes one for `Embedder.load`. `pairs` are like those that the model will
    read; a few hundred are enough to measure the ranges of the 8-bit numbers. The exported model is opened and compared with
    the torch model on some of the pairs: returns how close their outputs are, and writes nothing if they differ too much. The
    calibration of a reranker's best hits is fitted to the `held_out` pairs, those of an eval split; None leaves it out, and a
    `FallbackWarning` says if they do not suffice. Raises `ModelError` if the folder holds no model, or one that cannot be
    exported.
    """
    folder = Path(folder)
    if Path(out).resolve() == folder.resolve():
        raise InputError(f"{out} is the folder of the model itself; choose another --out")
    check_replaceable(out, _MARK)
    _check_pairs(pairs)
    source = _TorchModel(folder)
    judged = None if held_out is None or source.embeds else find_held_out(held_out, Path(out))
    with replace_folder(out, _MARK) as new:
        source.save_tokenizer(new)
        source.model.config.to_json_file(new / _MARK)
        for name in (_MARK, _CARD):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, new / name)
        _explain(new / _CARD, _EMBEDDER_CODE if source.embeds else _RERANKER_CODE)
        parity = _add_model(source, new, pairs, int8)
        calibrate_new(new, Path(out), judged)
        return parity


def add_openvino(folder: Path, pairs: Sequence[Pair]) -> Parity:
    """Add the int8 model to a CrossEncoder folder, next to torch's weights."""
    _check_pairs(pairs)
    return _add_model(_TorchModel(folder), folder, pairs, int8=True)


def _check_pairs(pairs: Sequence[Pair]) -> None:
    if not pairs:
        raise InputError("quantization needs pairs, and the train split is empty; give another --dataset")


class _TorchModel:
    """A torch model and the module that is exported: it gives one score for a pair, or one unit vector for a text."""

    def __init__(self, folder: Path) -> None:
        try:
            import nncf  # noqa: F401
            import sentence_transformers  # noqa: F401

            import_openvino()
        except ImportError as error:
            raise MissingExtraError("exporting a model", "train") from error
        if not folder.is_dir():
            raise ModelError(f"{folder} is not a folder")
        check_source(folder)
        self.name = str(folder)
        self.embeds = kind_of(folder) == BI_ENCODER
        load = open_bi_encoder if self.embeds else open_cross_encoder
        self.model: Any = load(
            str(folder), device="cpu", model_kwargs={"attn_implementation": "eager", "dtype": "float32"}
        )
        self.model.eval()
        self.module = _wrap(self.model, self.embeds)
        self._check_kind()

    def _check_kind(self) -> None:
        """Raise `ModelError` for models that a traced module and a plain tokenizer cannot represent."""
        reason = ""
        if self.model.default_prompt_name is not None:
            reason = "it adds a prompt to its texts"
        elif self.model.tokenizer is None or not getattr(self.model.tokenizer, "is_fast", False):
            reason = "its tokenizer is not one of the library tokenizers"
        elif self.model.tokenizer.padding_side != "right":
            reason = "it pads texts on the left and reads the last token"
        elif not set(self.features(["a"])) <= set(_FEATURES):
            reason = "it has inputs other than tokens"
        if reason:
            raise ModelError(f"{self.name} cannot be exported: {reason}")

    def texts(self, pairs: Sequence[Pair]) -> list[Any]:
        """Return what the model reads of pairs."""
        return [pair.passage if self.embeds else (pair.question, pair.passage) for pair in pairs]

    def features(self, texts: Sequence[Any]) -> dict[str, Any]:
        """Return the inputs of torch: tensors of shape (texts, tokens), by name."""
        import torch

        made = self.model.preprocess(list(texts))
        return {name: tensor for name, tensor in made.items() if isinstance(tensor, torch.Tensor)}

    def outputs(self, features: dict[str, Any]) -> "np.ndarray":
        """Return the outputs of torch, shape (texts, width)."""
        import torch

        with torch.inference_mode():
            numbers: np.ndarray = self.module(**features).numpy()
        return numbers

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer as torch uses it, with its padding and the model's longest input."""
        from tokenizers import Tokenizer

        own = self.model.tokenizer
        tokenizer = Tokenizer.from_str(own.backend_tokenizer.to_str())
        tokenizer.no_truncation()
        tokenizer.enable_padding(pad_id=own.pad_token_id or 0, pad_token=own.pad_token or "[PAD]")
        tokenizer.save(str(folder / "tokenizer.json"))
        limit = {"model_max_length": self.model.max_seq_length}
        (folder / "tokenizer_config.json").write_text(json.dumps(limit) + "\n", encoding="utf8")


def _wrap(model: Any, embeds: bool) -> Any:
    """Wrap all modules of a sentence-transformers model in one that takes tensors and returns one."""
    import torch

    class Numbers(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
        ) -> torch.Tensor:
            features = {"input_ids": input_ids, "attention_mask": attention_mask}
            if token_type_ids is not None:  # MPNet has none
                features["token_type_ids"] = token_type_ids
            made = self.model(features)
            if embeds:
                made = {"scores": torch.nn.functional.normalize(made["sentence_embedding"], dim=-1)}
            numbers: torch.Tensor = made["scores"]  # (texts, width), or (texts, 1) or (texts,) of a reranker
            return numbers if embeds else numbers.reshape(-1, 1)

    return Numbers().eval()


def _add_model(source: _TorchModel, folder: Path, pairs: Sequence[Pair], int8: bool) -> Parity:
    """Convert, check and save a model whose tokenizer is already in the folder."""
    import numpy as np

    step = max(1, len(pairs) // QUANTIZATION_PAIRS)
    samples = [*pairs[::step][:QUANTIZATION_PAIRS], _overlong(pairs[0])]
    texts = source.texts(samples)
    features = [source.features([text]) for text in texts]
    check_tokens(folder, features, texts, source.name)
    chosen = [*texts[:-1][:: max(1, len(texts) // COMPARED_PAIRS)][:COMPARED_PAIRS], texts[-1]]
    starts = range(0, len(chosen) - 1, _BATCH_SIZE)
    batches = [source.features(chosen[:-1][start : start + _BATCH_SIZE]) for start in starts] + features[-1:]
    expected = [source.outputs(batch) for batch in batches]
    for numbers in expected:
        check_finite(numbers, source.name)
    converted = convert(source.module, batches[0], source.name)
    check_outputs(converted, batches, expected, source.name)
    model = quantize(converted, features[:-1]) if int8 else converted
    transformer = source.model[0].model
    if type(transformer).__name__ == "BertForSequenceClassification":  # others may read more than the first token
        drop_unread(model)
    save_openvino(model, folder)
    return check_opened(folder, chosen, np.concatenate(expected), source.name, int8=int8)


def _overlong(pair: Pair) -> Pair:
    """Return a pair that is too long for every model."""
    return Pair(pair.question, f"{pair.passage} and" * 600, pair.label)


def convert(module: Any, example: dict[str, Any], name: str) -> Any:
    """Convert a torch module that takes the tensors of `example`, each of shape (texts, tokens), to OpenVINO.

    Raises `ModelError`, which names the model `name`, if that fails.
    """
    openvino = import_openvino()
    try:
        with warnings.catch_warnings():
            # torch's tracer warns of its own deprecation and of branches that BERT never takes
            warnings.simplefilter("ignore")
            converted = openvino.convert_model(module, example_input=example)
        converted.reshape(dict.fromkeys(example, openvino.PartialShape([-1, -1])))  # (texts, tokens)
    except Exception as error:  # torch's tracer and OpenVINO's reader raise many kinds
        raise ModelError(f"{name} cannot be exported: {first_line(error)}") from error
    return converted


def drop_unread(model: Any) -> None:
    """Make the last layer of a BERT cross-encoder compute only the first token, from which the score is read.

    Keys and values are still computed for all tokens, so the scores stay the same to the last bit, with a seventh less work.
    """
    attentions = [node for node in model.get_ordered_ops() if node.get_type_name() == "ScaledDotProductAttention"]
    attention = attentions[-1]
    query = attention
    while query.get_type_name() != "MatMul":
        query = query.input_value(0).get_node()
    _take_first(query.input(0), axis=1)
    _take_first(attention.input(3), axis=2)  # the mask, (pairs, heads, tokens, tokens)
    _take_first(_residual(attention), axis=1)
    model.validate_nodes_and_infer_types()


def _take_first(port: Any, axis: int) -> None:
    from openvino import opset13

    first = opset13.gather(port.get_source_output(), opset13.constant([0]), opset13.constant(axis))
    port.replace_source_output(first.output(0))


def _residual(attention: Any) -> Any:
    """Find the residual connection of an attention: the other input of the first sum after it that is not a bias."""
    node = attention
    while True:
        (target,) = node.output(0).get_target_inputs()
        node = target.get_node()
        if node.get_type_name() == "Add":
            other = node.input(1 - target.get_index())
            if not _is_constant(other):
                return other


def _is_constant(port: Any) -> bool:
    node = port.get_source_output().get_node()
    inputs = node.inputs()
    return node.get_type_name() == "Constant" or (bool(inputs) and all(map(_is_constant, inputs)))


def save_openvino(model: Any, folder: Path) -> None:
    """Write a model into a folder. Raises `ModelError` if the disk is full."""
    openvino = import_openvino()
    (folder / MODEL_FILE).parent.mkdir()
    try:
        openvino.save_model(model, folder / MODEL_FILE, compress_to_fp16=True)
    except RuntimeError as error:  # OpenVINO raises it for a full disk
        raise ModelError(f"{folder / MODEL_FILE} cannot be written: {str(error).strip().splitlines()[-1]}") from error


def _explain(card: Path, code: str) -> None:
    """Add below the title of the card how to use this folder, which has no torch weights."""
    if card.is_file():
        title, mark, rest = card.read_text(encoding="utf8").partition("\n# ")
        heading, _, text = rest.partition("\n")
        card.write_text(f"{title}{mark}{heading}\n{_USAGE.format(code=code)}{text}", encoding="utf8")


def quantize(model: Any, batches: Sequence[dict[str, Any]]) -> Any:
    """Quantize a model to 8-bit integers, with ranges measured on the batches.

    The last small layers stay in float32: their inputs are outside the measured ranges for texts unlike those of the batches,
    and the scores of such texts would all be cut off at one value.
    """
    import nncf

    data = nncf.Dataset(batches, lambda batch: {name: tensor.numpy() for name, tensor in batch.items()})
    head = nncf.IgnoredScope(patterns=_HEAD, validate=False)
    return nncf.quantize(
        model, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(batches), ignored_scope=head
    )
