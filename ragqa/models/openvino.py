"""Exported models on the CPU: texts, or pairs of texts, into one row of numbers each, by OpenVINO without torch."""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ragqa.errors import FallbackWarning, ModelError
from ragqa.models.compiled import Compiled, compile_model
from ragqa.models.folders import MODEL_FILE, UNREAD, WEIGHTS, check_seal, weights_file
from ragqa.process import lock_across_forks
from ragqa.storage.checksums import SEAL, is_sealed
from ragqa.storage.files import sha256

if TYPE_CHECKING:
    import numpy as np

MAX_TOKENS = 512
BATCH_SIZE = 8  # small enough for a core's cache, large enough to keep it busy

# what a model reads, by the names that tokenizers has for it
_INPUTS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
_WINDOW = 1024  # texts that are tokenized together
_PAD_TOKENS = ("[PAD]", "<pad>")

_COMPILING = lock_across_forks()  # OpenVINO changes the process's locale meanwhile: two at once would leave it changed
_LENGTH_STEP = 16  # as many numbers as a vector register holds: padding then changes no bit of the results


class OpenVinoModel:
    """A model folder made by `ragqa export`. One serves many threads, which share the cores batch by batch.

    An int8 model's row for a text is the same to the last bit whatever other texts come with it, in whatever order and thread.

    A forked child opens the model again when it first runs it, because OpenVINO's threads stay in the parent. A pickle holds
    the folder's path. Both raise `ModelError` if the files have changed since the model was loaded.
    """

    def __init__(self, folder: Path, files: tuple[str, ...] | None = None) -> None:
        """Compile the model, or take what an earlier start has left in the cache folder (`RAGQA_CACHE`).

        `files` are the `_fingerprint` that the folder must have, if any is demanded.
        """
        self._folder = folder.absolute()
        if files is not None:
            _check_unchanged(self._folder, files)
        self._tokenizer = open_tokenizer(folder)
        with _loading(folder):
            self._files = files or _fingerprint(folder)
            with _COMPILING:
                self._compiled: Compiled | None = compile_model(folder, self._files)
            model, _ = self._compiled
            _, width = model.output(0).get_partial_shape()  # (texts, width)
            self.width: int = width.get_length()
            self._workers: int = model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        padding = self._tokenizer.padding
        self._tokenizer.no_padding()
        pads = {"input_ids": padding["pad_id"] if padding else self._find_pad()}
        self._pads = {port.any_name: pads.get(port.any_name, 0) for port in model.inputs}
        _OPENED.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenVinoModel, (self._folder, self._files)

    def _model(self) -> Any:
        """The compiled model; opened again if this is its first use in a forked child."""
        compiled = self._compiled
        if compiled is None:
            with _COMPILING:
                if self._compiled is None:
                    _check_unchanged(self._folder, self._files)
                    with _loading(self._folder):
                        self._compiled = compile_model(self._folder, self._files)
                compiled = self._compiled
        return compiled[0]

    def leave_to_parent(self) -> None:
        """Let a forked child open the model again, and never free the parent's.

        Freeing it would wait for threads that only the parent has.
        """
        import ctypes

        if self._compiled is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._compiled))
            self._compiled = None

    def _find_pad(self) -> int:
        pads = (self._tokenizer.token_to_id(token) for token in _PAD_TOKENS)
        return next((pad for pad in pads if pad is not None), 0)

    def run(
        self, texts: Sequence[str | tuple[str, str]], progress: Callable[[int], object] | None = None
    ) -> "np.ndarray":
        """The model's output for each text or pair, in their order: float32, shape (len(texts), width).

        `progress` is called with the number of texts done since its last call.
        """
        import numpy as np

        model = self._model()
        rows = np.empty((len(texts), self.width), dtype=np.float32)
        running: deque[tuple[Any, list[int]]] = deque()
        idle = [model.create_infer_request() for _ in range(self._workers)]
        for batch, inputs in self._batches(texts):
            request = idle.pop() if idle else _finish(running, rows, progress)
            request.start_async(inputs)
            running.append((request, batch))
        while running:
            _finish(running, rows, progress)
        return rows

    def _batches(self, texts: Sequence[str | tuple[str, str]]) -> Iterator[tuple[list[int], "dict[str, np.ndarray]"]]:
        """Places of texts of about one length, and what the model reads of them; as many batches for each worker."""
        by_chars = sorted(range(len(texts)), key=lambda place: _length(texts[place]))
        for start in range(0, len(texts), _WINDOW):
            window = by_chars[start : start + _WINDOW]
            encodings = self._tokenizer.encode_batch([texts[place] for place in window])
            by_tokens = sorted(range(len(window)), key=lambda number: len(encodings[number]))
            rounds = -(-len(window) // (BATCH_SIZE * self._workers))
            size = -(-len(window) // (rounds * self._workers))
            for first in range(0, len(window), size):
                batch = by_tokens[first : first + size]
                yield [window[number] for number in batch], self._pad([encodings[number] for number in batch])

    def _pad(self, encodings: Sequence[Any]) -> "dict[str, np.ndarray]":
        import numpy as np

        tokens = -(-max(map(len, encodings)) // _LENGTH_STEP) * _LENGTH_STEP
        inputs = {name: np.full((len(encodings), tokens), pad, dtype=np.int64) for name, pad in self._pads.items()}
        for row, encoding in enumerate(encodings):
            for name, array in inputs.items():
                array[row, : len(encoding)] = getattr(encoding, _INPUTS[name])
        return inputs


@contextmanager
def _loading(folder: Path) -> Iterator[None]:
    """Turn what OpenVINO and tokenizers raise for damaged files, bare exceptions of their own, into `ModelError`."""
    try:
        yield
    except (FallbackWarning, ModelError):  # the first where warnings are errors
        raise
    except Exception as error:
        raise ModelError(f"{folder} cannot be loaded: {_last_line(error)}") from error


def check_finite(numbers: "np.ndarray", name: str) -> None:
    """Raise `ModelError` if a model has given NaN or infinity."""
    import numpy as np

    if not np.isfinite(numbers).all():
        raise ModelError(f"{name} gives NaN or infinity; its weights are damaged, or its number format is too narrow")


def open_tokenizer(folder: Path) -> Any:
    """The tokenizer of an exported model, which cuts at the model's limit. Raises `ModelError` if it cannot be loaded."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ModelError(f"{path} is missing")
    with _loading(folder):
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.enable_truncation(_read_limit(folder))
    return tokenizer


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[-1]


def _read_limit(folder: Path) -> int:
    """How many tokens a model takes: its own limit, at most `MAX_TOKENS`."""
    path = folder / "tokenizer_config.json"
    own = json.loads(path.read_text(encoding="utf8")) if path.is_file() else {}
    return min(MAX_TOKENS, int(own.get("model_max_length", MAX_TOKENS)))


def _finish(running: deque[tuple[Any, list[int]]], rows: "np.ndarray", progress: Callable[[int], object] | None) -> Any:
    """Wait for the request that was started first, keep its results, and return it for the next batch."""
    request, batch = running.popleft()
    request.wait()
    rows[batch] = request.get_output_tensor(0).data
    if progress:
        progress(len(batch))
    return request


def _length(text: str | tuple[str, str]) -> int:
    return len(text) if isinstance(text, str) else len(text[0]) + len(text[1])


def _fingerprint(folder: Path) -> tuple[str, ...]:
    """SHA-256 of an exported model's checksums, or of its files if it has none."""
    read = [folder / SEAL] if is_sealed(folder) else [folder / MODEL_FILE, weights_file(folder)]
    return tuple(map(sha256, read))


def _check_unchanged(folder: Path, files: tuple[str, ...]) -> None:
    try:
        same = _fingerprint(folder) == files
    except OSError as error:
        raise ModelError(f"{folder} cannot be opened again: {error}") from error
    if not same:
        raise ModelError(f"{folder} has changed since the model was loaded; load it again")
    check_seal(folder, unread=(*UNREAD, *WEIGHTS))


_OPENED: "WeakSet[OpenVinoModel]" = WeakSet()


def _leave_models_to_parent() -> None:
    for model in _OPENED:
        model.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_models_to_parent)
