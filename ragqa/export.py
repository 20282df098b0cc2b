"""A trained reranker into the form that answers questions: OpenVINO, int8, without torch.

Post-training quantization by NNCF with its transformer preset: weights and activations of matrix products as 8-bit
integers, their ranges taken from real pairs.
"""

import shutil
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
    """Write a CrossEncoder folder as an OpenVINO folder that `Reranker.load` opens, with tokenizer and card.

    `calibration` are pairs as the model will see them; some hundreds are enough. Raises `ModelError` if the folder
    holds no model.
    """
    try:
        import openvino
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError as error:
        raise MissingExtraError("exporting a model", "train") from error
    if not calibration:
        raise InputError("calibration needs pairs: pass a dataset")
    folder = Path(folder)
    try:
        model = AutoModelForSequenceClassification.from_pretrained(str(folder), attn_implementation="eager").eval()
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} holds no model that can be loaded: {error}") from error
    batches = [_inputs(tokenizer, [pair]) for pair in calibration[:CALIBRATION_PAIRS]]
    names = list(batches[0])
    converted = openvino.convert_model(model, example_input=dict(_inputs(tokenizer, calibration[:2])))
    converted.reshape({name: openvino.PartialShape([-1, -1]) for name in names})
    if int8:
        converted = _quantize(converted, batches)
    with replace_folder(out) as new:
        (new / MODEL_FILE).parent.mkdir()
        openvino.save_model(converted, new / MODEL_FILE, compress_to_fp16=True)
        for name in _KEPT:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, new / name)


def _inputs(tokenizer: Any, pairs: Sequence[Pair]) -> dict[str, Any]:
    encoded = tokenizer(
        [p.question for p in pairs], [p.passage for p in pairs], padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
    )
    return dict(encoded)


def _quantize(model: Any, batches: Sequence[dict[str, Any]]) -> Any:
    import nncf

    data = nncf.Dataset(batches, lambda batch: {name: tensor.numpy() for name, tensor in batch.items()})
    return nncf.quantize(model, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(batches))
