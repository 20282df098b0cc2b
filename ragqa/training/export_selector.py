"""A trained selector in, a folder for `Selector.load` out: 8-bit integers for OpenVINO, without torch."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ragqa.errors import ModelError
from ragqa.models.openvino import OpenVinoModel
from ragqa.models.tokens import open_tokenizer
from ragqa.storage.folders import check_replaceable, replace_folder
from ragqa.training.export import convert, quantize, save_openvino

_COMPARED = 24  # texts whose outputs are compared
_LEAST_CORRELATION = 0.9  # of the outputs in int8 and in float32
_MARK = "config.json"


def export_selector(folder: str | Path, out: str | Path, texts: Sequence[tuple[str, str]]) -> float:
    """Export the folder of `train_selector` to `out` and return the correlation of its outputs with torch's.

    `texts` are questions with passages, as the model reads them; a few hundred are enough. Writes nothing and raises
    `ModelError` if the outputs differ too much.
    """
    from transformers import BertForTokenClassification

    folder = Path(folder)
    check_replaceable(out, _MARK)
    model: Any = BertForTokenClassification.from_pretrained(folder, attn_implementation="eager")
    model.eval()
    with replace_folder(out, _MARK) as new:
        for name in (_MARK, "README.md", "tokenizer.json"):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, new / name)
        tokenizer = open_tokenizer(new)
        features = [_features(tokenizer.encode(*text)) for text in texts]
        save_openvino(quantize(convert(_wrap(model), features[0], str(folder)), features), new)
        correlation = _compare(OpenVinoModel(new), model, texts[:_COMPARED], features)
        if correlation < _LEAST_CORRELATION:
            raise ModelError(f"the export of {folder} differs too much from the model: correlation {correlation:.3f}")
    return correlation


def _features(encoding: Any) -> dict[str, Any]:
    """Return the inputs of torch for one text: tensors of shape (1, tokens), by name."""
    import torch

    fields = {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask, "token_type_ids": encoding.type_ids}
    return {name: torch.tensor([numbers]) for name, numbers in fields.items()}


def _wrap(model: Any) -> Any:
    """Wrap a token classifier in a module that takes tensors and returns its numbers, shape (texts, tokens, 3)."""
    import torch

    class Numbers(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
        ) -> torch.Tensor:
            numbers: torch.Tensor = self.model(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).logits
            return numbers

    return Numbers().eval()


def _compare(
    opened: OpenVinoModel, model: Any, texts: Sequence[tuple[str, str]], features: Sequence[dict[str, Any]]
) -> float:
    import numpy as np
    import torch

    found = np.concatenate([numbers.ravel() for _, numbers in opened.run_tokens(texts)])
    with torch.inference_mode():
        expected = np.concatenate([model(**own).logits.numpy().ravel() for own in features[: len(texts)]])
    return float(np.corrcoef(found, expected)[0, 1])
