"""Texts, or pairs of texts, in; padded batches of token ids out, as an exported model reads them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ragqa.errors import ModelError
from ragqa.models.folders import loading

if TYPE_CHECKING:
    import numpy as np

MAX_TOKENS = 512
BATCH_SIZE = 8  # texts; small enough for a core's cache, large enough to keep it busy

_INPUTS = {
    "input_ids": "ids",
    "attention_mask": "attention_mask",
    "token_type_ids": "type_ids",
}  # model's: tokenizer's name
_WINDOW = 1024  # texts that are tokenized together
_PAD_TOKENS = ("[PAD]", "<pad>")
_LENGTH_STEP = 16  # numbers in a vector register; padding to a multiple changes no bit of the results

Text = str | tuple[str, str]


class Batch(NamedTuple):
    """Texts that a model reads together: their positions, their tokens, and the inputs of the model by name."""

    positions: list[int]
    encodings: list[Any]
    inputs: "dict[str, np.ndarray]"


class Batcher:
    """A model's tokenizer, which makes batches of texts of similar length. Can be shared between threads."""

    def __init__(self, folder: Path, inputs: Sequence[str]) -> None:
        """`inputs` are the names of the model's inputs. Raises `ModelError` if the tokenizer cannot be loaded."""
        self._tokenizer = open_tokenizer(folder)
        padding = self._tokenizer.padding
        self._tokenizer.no_padding()
        pads = {"input_ids": padding["pad_id"] if padding else _find_pad(self._tokenizer)}
        self._pads = {name: pads.get(name, 0) for name in inputs}

    def batches(self, texts: Sequence[Text], workers: int) -> Iterator[Batch]:
        """Yield batches of texts of similar length; in each window of texts every worker gets the same number of batches."""
        by_chars = sorted(range(len(texts)), key=lambda position: _chars(texts[position]))
        for start in range(0, len(texts), _WINDOW):
            window = by_chars[start : start + _WINDOW]
            encodings = self._tokenizer.encode_batch([texts[position] for position in window])
            by_tokens = sorted(range(len(window)), key=lambda number: len(encodings[number]))
            rounds = -(-len(window) // (BATCH_SIZE * workers))
            size = -(-len(window) // (rounds * workers))
            for first in range(0, len(window), size):
                batch = by_tokens[first : first + size]
                own = [encodings[number] for number in batch]
                yield Batch([window[number] for number in batch], own, _pad(own, self._pads))


def open_tokenizer(folder: Path) -> Any:
    """Open the tokenizer of an exported model, which truncates at the model's limit. Raises `ModelError` if that fails."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ModelError(f"{path} is missing")
    with loading(folder):
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.enable_truncation(_read_limit(folder))
    return tokenizer


def _read_limit(folder: Path) -> int:
    """The maximum number of tokens of a model: its own limit, at most `MAX_TOKENS`."""
    path = folder / "tokenizer_config.json"
    own = json.loads(path.read_text(encoding="utf8")) if path.is_file() else {}
    return min(MAX_TOKENS, int(own.get("model_max_length", MAX_TOKENS)))


def _find_pad(tokenizer: Any) -> int:
    ids = (tokenizer.token_to_id(token) for token in _PAD_TOKENS)
    return next((pad for pad in ids if pad is not None), 0)


def _pad(encodings: Sequence[Any], pads: Mapping[str, int]) -> "dict[str, np.ndarray]":
    """The inputs of a model by name: int64, shape (texts, tokens), padded with the value in `pads`."""
    import numpy as np

    tokens = -(-max(map(len, encodings)) // _LENGTH_STEP) * _LENGTH_STEP
    inputs = {name: np.full((len(encodings), tokens), pad, dtype=np.int64) for name, pad in pads.items()}
    for row, encoding in enumerate(encodings):
        for name, array in inputs.items():
            array[row, : len(encoding)] = getattr(encoding, _INPUTS[name])
    return inputs


def _chars(text: Text) -> int:
    return len(text) if isinstance(text, str) else len(text[0]) + len(text[1])
