"""One cross-encoder in every form that the contestants take: all-MiniLM-L6-v2's weights with a fresh head."""

import warnings
from pathlib import Path
from typing import Any

from texts import full_passages, some_questions

from ragqa.models.bases import OFFLINE_BASE
from ragqa.records import Pair
from ragqa.text.passages import full_text
from ragqa.training.config import TrainConfig
from ragqa.training.export import add_openvino
from ragqa.training.train import load_cross_encoder

ONNX = "model-int8.onnx"


def make_model(folder: Path, pages: Path | None) -> Path:
    """Write the model into a folder: torch's weights, OpenVINO's as `ragqa train` leaves them, ONNX Runtime's."""
    model = load_cross_encoder(TrainConfig(base=OFFLINE_BASE))
    model.save_pretrained(str(folder))
    texts = [full_text(passage) for passage in full_passages(pages, 100)]
    pairs = [Pair(q, text, 0) for q, text in zip(some_questions(pages, len(texts)), texts, strict=True)]
    add_openvino(folder, pairs)
    _export_onnx(model, pairs[0], folder)
    return folder


def make_torch_model(folder: Path, base: str) -> Path:
    """Write torch's weights alone, of any base."""
    load_cross_encoder(TrainConfig(base=base)).save_pretrained(str(folder))
    return folder


def _export_onnx(model: Any, pair: Pair, folder: Path) -> None:
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    inputs = model.tokenizer(pair.question, pair.passage, return_tensors="pt")
    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {name: {0: "pairs", 1: "tokens"} for name in names} | {"logits": {0: "pairs"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter is the old one, and says so
        torch.onnx.export(
            model.model.eval(),
            tuple(inputs[name] for name in names),
            str(folder / "model.onnx"),
            input_names=names,
            output_names=["logits"],
            dynamic_axes=axes,
            dynamo=False,
        )
    quantize_dynamic(folder / "model.onnx", folder / ONNX, weight_type=QuantType.QInt8)
