"""A trained reranker into the form that answers questions: OpenVINO, int8, without torch.

Post-training quantization by NNCF with its transformer preset: weights and activations of matrix products as 8-bit
integers, their ranges taken from real pairs.
"""

import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ragqa.errors import InputError, MissingExtraError, ModelError
from ragqa.files import replace_folder
from ragqa.records import Pair
from ragqa.rerank import MAX_TOKENS, MODEL_FILE

CALIBRATION_PAIRS = 300

_KEPT = ("config.json", "tokenizer.json", "README.md")


def export(folder: str | Path, out: str | Path, calibration: Sequence[Pair], *, int8: bool = True) -> None:
    """Write a CrossEncoder folder as a folder that `Reranker.load` opens without torch, with tokenizer and card.

    `calibration` are pairs as the model will see them; some hundreds are enough. Raises `ModelError` if the folder
    holds no model.
    """
    folder = Path(folder)
    converted = _convert(folder, calibration, int8)
    with replace_folder(out) as new:
        _save(converted, new)
        for name in _KEPT:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, new / name)


def add_openvino(folder: Path, calibration: Sequence[Pair]) -> None:
    """Add the int8 model to a CrossEncoder folder, beside torch's weights."""
    _save(_convert(folder, calibration, int8=True), folder)


def _convert(folder: Path, calibration: Sequence[Pair], int8: bool) -> Any:
    try:
        import openvino
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError as error:
        raise MissingExtraError("exporting a model", "train") from error
    if not calibration:
        raise InputError("calibration needs pairs: pass a dataset")
    try:
        model = AutoModelForSequenceClassification.from_pretrained(str(folder), attn_implementation="eager").eval()
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} holds no model that can be loaded: {error}") from error
    step = max(1, len(calibration) // CALIBRATION_PAIRS)
    batches = [_inputs(tokenizer, pair) for pair in calibration[::step][:CALIBRATION_PAIRS]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's tracer warns of its own deprecation and of branches BERT never takes
        converted = openvino.convert_model(model, example_input=batches[0])
    converted.reshape(dict.fromkeys(batches[0], openvino.PartialShape([-1, -1])))  # (pairs, tokens)
    return _quantize(converted, batches) if int8 else converted


def _save(model: Any, folder: Path) -> None:
    import openvino

    (folder / MODEL_FILE).parent.mkdir()
    openvino.save_model(model, folder / MODEL_FILE, compress_to_fp16=True)


def _inputs(tokenizer: Any, pair: Pair) -> dict[str, Any]:
    return dict(tokenizer(pair.question, pair.passage, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"))


def _quantize(model: Any, batches: Sequence[dict[str, Any]]) -> Any:
    import nncf

    data = nncf.Dataset(batches, lambda batch: {name: tensor.numpy() for name, tensor in batch.items()})
    return nncf.quantize(model, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(batches))
