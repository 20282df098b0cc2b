"""An exported model and its torch model in, how far their outputs differ out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.errors import ModelError
from ragqa.models.openvino import OpenVinoModel
from ragqa.models.tokens import open_tokenizer
from ragqa.process import import_openvino

if TYPE_CHECKING:
    import numpy as np

Texts = Sequence[str] | Sequence[tuple[str, str]]

_RELATIVE, _ABSOLUTE = 1e-3, 1e-4  # tolerances between two engines that compute in float32
_HALF_DEVIATION, _HALF_COSINE = 0.02, 0.999  # limits for float16 weights; the deviation is relative to scores above 1
_INT8_DEVIATION, _INT8_CORRELATION, _INT8_COSINE = 0.1, 0.9, 0.9  # a reranker must meet one of the first two


@dataclass(frozen=True, slots=True)
class Parity:
    """How close the outputs of an exported model are to those of the torch model, for the compared texts.

    `deviation` is the largest difference between two numbers. `agreement` is Spearman's rank correlation of the scores of a
    reranker, or the smallest cosine between the two vectors of a text. `measure` names which of the two it is.
    """

    deviation: float
    agreement: float
    measure: str = "rank correlation"


def check_tokens(folder: Path, features: Sequence[Mapping[str, Any]], texts: Texts, name: str) -> None:
    """Raise `ModelError` unless the tokenizer in a folder produces torch's `features`, one row for each text."""
    tokenizer = open_tokenizer(folder)
    tokenizer.no_padding()
    for expected, encoding in zip(features, tokenizer.encode_batch(list(texts)), strict=True):
        found = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        for key, row in expected.items():
            if row[0].tolist() != found.get(key):
                raise ModelError(
                    f"{name} cannot be exported: tokenizer.json does not give the same {key} as transformers"
                )


def check_outputs(
    converted: Any, batches: Sequence[Mapping[str, Any]], expected: Sequence["np.ndarray"], name: str
) -> None:
    """Raise `ModelError` unless a converted model computes the same numbers as torch in float32, batch by batch."""
    import numpy as np

    model = import_openvino().Core().compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for batch, numbers in zip(batches, expected, strict=True):
        found = np.array(model({key: tensor.numpy() for key, tensor in batch.items()})[0])
        if found.shape != numbers.shape or not np.allclose(found, numbers, rtol=_RELATIVE, atol=_ABSOLUTE):
            raise ModelError(f"{name} cannot be exported: OpenVINO computes different numbers from the same tokens")


def check_opened(folder: Path, texts: Texts, expected: "np.ndarray", name: str, *, int8: bool) -> Parity:
    """Open an exported folder and compare its outputs for the texts with torch's, shape (len(texts), width).

    Raises `ModelError` if they differ too much.
    """
    found = OpenVinoModel(folder).run(texts)
    parity = compare(found, expected)
    if not _is_close(parity, expected, int8):
        remedy = "; export it with --no-int8" if int8 else ""
        raise ModelError(
            f"the export of {name} differs too much from the model: deviation {parity.deviation:.3g}, "
            f"{parity.measure} {parity.agreement:.3f}{remedy}"
        )
    return parity


def compare(found: "np.ndarray", expected: "np.ndarray") -> Parity:
    """Measure how far two outputs of shape (texts, width) differ. Width 1 means scores, any other width unit vectors."""
    import numpy as np

    deviation = float(np.abs(found - expected).max())
    if expected.shape[1] > 1:
        return Parity(deviation, float((found * expected).sum(1).min()), "smallest cosine")
    return Parity(deviation, _correlate_ranks(found[:, 0], expected[:, 0]))


def _is_close(parity: Parity, expected: "np.ndarray", int8: bool) -> bool:
    import numpy as np

    if expected.shape[1] > 1:
        return parity.agreement >= (_INT8_COSINE if int8 else _HALF_COSINE)
    if int8:
        return parity.deviation <= _INT8_DEVIATION or parity.agreement >= _INT8_CORRELATION
    return parity.deviation <= _HALF_DEVIATION * max(1.0, float(np.abs(expected).max()))


def _correlate_ranks(one: "np.ndarray", other: "np.ndarray") -> float:
    """Return Spearman's rank correlation; 1 if all numbers of one side are equal."""
    from scipy.stats import spearmanr

    if any(numbers.max() == numbers.min() for numbers in (one, other)):
        return 1.0
    return float(spearmanr(one, other).statistic)
