"""A trained reranker or embedder into the form that answers questions: OpenVINO, int8, without torch.

Post-training quantization by NNCF with its transformer preset: weights and activations of matrix products as 8-bit
integers, their ranges taken from real pairs.
"""

import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ragqa.errors import InputError, MissingExtraError, ModelError, first_line
from ragqa.inference import MAX_TOKENS, MODEL_FILE, import_openvino
from ragqa.records import Pair
from ragqa.rerank import CALIBRATION
from ragqa.storage.folders import check_replaceable, replace_folder

CALIBRATION_PAIRS = 300

_POOLING = "1_Pooling/config.json"  # only a bi-encoder has it
_MEAN = (["mean"], [None, "pooling_mode_mean_tokens"])  # as written since sentence-transformers 6, and before
_KEPT = ("config.json", "tokenizer.json", "README.md", CALIBRATION)
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

What follows is the card of the torch model that it was exported from.
"""


def export(folder: str | Path, out: str | Path, calibration: Sequence[Pair], *, int8: bool = True) -> None:
    """Write a CrossEncoder folder as one that `Reranker.load` opens without torch, with tokenizer and card.

    The folder of a sentence-transformers bi-encoder becomes one for `Embedder.load`. `calibration` are pairs as the model
    will see them; some hundreds are enough. Raises `ModelError` if the folder holds no model.
    """
    folder = Path(folder)
    if Path(out).resolve() == folder.resolve():
        raise InputError(f"{out} is the model itself: choose another folder")
    check_replaceable(out, _KEPT[0])
    converted = _convert(folder, calibration, int8)
    with replace_folder(out, _KEPT[0]) as new:
        _save(converted, new)
        for name in _KEPT:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, new / name)
        _explain(new / "README.md", _EMBEDDER_CODE if (folder / _POOLING).is_file() else _RERANKER_CODE)


def add_openvino(folder: Path, calibration: Sequence[Pair]) -> None:
    """Add the int8 model to a CrossEncoder folder, beside torch's weights."""
    _save(_convert(folder, calibration, int8=True), folder)


def _convert(folder: Path, calibration: Sequence[Pair], int8: bool) -> Any:
    try:
        openvino = import_openvino()
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError as error:
        raise MissingExtraError("exporting a model", "train") from error
    if not calibration:
        raise InputError("calibration needs pairs: pass a dataset")
    if not folder.is_dir():
        raise ModelError(f"{folder} is not a folder")
    embeds = (folder / _POOLING).is_file()
    try:
        load = _load_bi_encoder if embeds else AutoModelForSequenceClassification.from_pretrained
        model = load(str(folder), attn_implementation="eager", local_files_only=True).eval()
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except ModelError:
        raise
    except Exception as error:  # whatever its many parts raise for a damaged or missing model
        raise ModelError(f"{folder} holds no model that can be loaded: {first_line(error)}") from error
    step = max(1, len(calibration) // CALIBRATION_PAIRS)
    samples = [(p.passage,) if embeds else (p.question, p.passage) for p in calibration[::step][:CALIBRATION_PAIRS]]
    batches = [_inputs(tokenizer, sample) for sample in samples]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's tracer warns of its own deprecation and of branches BERT never takes
        converted = openvino.convert_model(model, example_input=batches[0])
    converted.reshape(dict.fromkeys(batches[0], openvino.PartialShape([-1, -1])))  # (pairs, tokens)
    quantized = _quantize(converted, batches) if int8 else converted
    if not embeds and model.config.model_type == "bert":  # others may read more than the first token
        drop_unread(quantized)
    return quantized


def drop_unread(model: Any) -> None:
    """Let the last layer of a BERT cross-encoder compute what the score is read from, the first token, and no other.

    Its keys and values are still those of all tokens: the scores stay the same to the last bit, for a seventh less work.
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
    """Where the hidden states pass an attention by: the other input of the first sum behind it that is no bias."""
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


def _save(model: Any, folder: Path) -> None:
    openvino = import_openvino()
    (folder / MODEL_FILE).parent.mkdir()
    try:
        openvino.save_model(model, folder / MODEL_FILE, compress_to_fp16=True)
    except RuntimeError as error:  # what OpenVINO makes of a full disk
        raise ModelError(f"{folder / MODEL_FILE} cannot be written: {str(error).strip().splitlines()[-1]}") from error


def _explain(card: Path, code: str) -> None:
    """Say below the card's title how this folder, without torch's weights, is used."""
    if card.is_file():
        title, mark, rest = card.read_text(encoding="utf8").partition("\n# ")
        heading, _, text = rest.partition("\n")
        card.write_text(f"{title}{mark}{heading}\n{_USAGE.format(code=code)}{text}", encoding="utf8")


def _load_bi_encoder(folder: str, **options: Any) -> Any:
    """The transformer of a bi-encoder with its mean pooling and normalization, as one module."""
    import torch
    from transformers import AutoModel

    modules = json.loads((Path(folder) / "modules.json").read_text(encoding="utf8"))
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    pooling = json.loads((Path(folder) / _POOLING).read_text(encoding="utf8"))
    modes = [pooling.get("pooling_mode")] + [
        name for name, on in pooling.items() if name.startswith("pooling_mode_") and on
    ]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]) or modes not in _MEAN:
        raise ModelError(
            f"{folder} is not a transformer with the mean of its tokens, the only bi-encoder that is exported"
        )

    class BiEncoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.transformer = AutoModel.from_pretrained(folder, **options)

        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
        ) -> torch.Tensor:
            segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}  # MPNet knows none
            tokens = self.transformer(input_ids, attention_mask, **segments).last_hidden_state
            mask = attention_mask.unsqueeze(-1).to(tokens.dtype)  # (texts, tokens, 1)
            return torch.nn.functional.normalize((tokens * mask).sum(1) / mask.sum(1), dim=-1)

    return BiEncoder()


def _inputs(tokenizer: Any, texts: tuple[str, ...]) -> dict[str, Any]:
    return dict(tokenizer(*texts, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"))


def _quantize(model: Any, batches: Sequence[dict[str, Any]]) -> Any:
    import nncf

    data = nncf.Dataset(batches, lambda batch: {name: tensor.numpy() for name, tensor in batch.items()})
    return nncf.quantize(model, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(batches))
