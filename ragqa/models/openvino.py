"""Exported models on the CPU: texts, or pairs of texts, in; a row of numbers for each, or for each token, out.

OpenVINO runs them, without torch.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ragqa.errors import ModelError
from ragqa.models.compiled import Compiled, compile_model
from ragqa.models.folders import MODEL_FILE, UNREAD, WEIGHTS, check_seal, loading, weights_file
from ragqa.models.tokens import Batch, Batcher, Text
from ragqa.process import lock_across_forks
from ragqa.storage.checksums import SEAL, is_sealed
from ragqa.storage.files import sha256

if TYPE_CHECKING:
    import numpy as np

_COMPILING = (
    lock_across_forks()
)  # OpenVINO changes the locale of the process while it compiles; two at once would mix it up


class OpenVinoModel:
    """A model folder made by `ragqa export`. Can be shared between threads, which share the cores batch by batch.

    An int8 model gives a text the same row to the last bit. The other texts, their order and the thread do not matter.

    A forked child opens the model again on first use, because OpenVINO's threads stay in the parent. A pickle holds the path
    of the folder. Both raise `ModelError` if the files have changed since the model was loaded.
    """

    def __init__(self, folder: Path, files: tuple[str, ...] | None = None) -> None:
        """Compile the model, or load it from the cache folder (`RAGQA_CACHE`) if an earlier start saved it there.

        `files`, if given, is the `_fingerprint` that the folder must have.
        """
        self._folder = folder.absolute()
        if files is not None:
            _check_unchanged(self._folder, files)
        with loading(folder):
            self._files = files or _fingerprint(folder)
            with _COMPILING:
                self._compiled: Compiled | None = compile_model(folder, self._files)
            model, _ = self._compiled
            *_, width = shape = model.output(0).get_partial_shape()  # (texts, width) or (texts, tokens, width)
            self.width: int = width.get_length()
            self.for_tokens = len(shape) == 3
            self._workers: int = model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._batcher = Batcher(folder, [port.any_name for port in model.inputs])
        _OPENED.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenVinoModel, (self._folder, self._files)

    def run(self, texts: Sequence[Text], progress: Callable[[int], object] | None = None) -> "np.ndarray":
        """Return the output for each text or pair, in input order: float32, shape (len(texts), width).

        `progress` is called with the number of texts done since its last call.
        """
        import numpy as np

        rows = np.empty((len(texts), self.width), dtype=np.float32)
        for batch, output in self._outputs(texts):
            rows[batch.positions] = output
            if progress:
                progress(len(batch.positions))
        return rows

    def run_tokens(self, texts: Sequence[Text]) -> "list[tuple[Any, np.ndarray]]":
        """Return the tokens of each text or pair (`tokenizers.Encoding`) and the output for them, in input order.

        The outputs are float32, each of shape (tokens, width). Only for a model with `for_tokens`.
        """
        found: dict[int, tuple[Any, np.ndarray]] = {}
        for batch, output in self._outputs(texts):
            for position, encoding, rows in zip(batch.positions, batch.encodings, output, strict=True):
                found[position] = encoding, rows[: len(encoding)].copy()
        return [found[position] for position in range(len(texts))]

    def _outputs(self, texts: Sequence[Text]) -> "Iterator[tuple[Batch, np.ndarray]]":
        """Yield batches with their outputs, which are valid until the next one is taken."""
        model = self._model()
        running: deque[tuple[Any, Batch]] = deque()
        idle = [model.create_infer_request() for _ in range(self._workers)]
        for batch in self._batcher.batches(texts, self._workers):
            if not idle:
                yield _finish(running, idle)
            request = idle.pop()
            request.start_async(batch.inputs)
            running.append((request, batch))
        while running:
            yield _finish(running, idle)

    def _model(self) -> Any:
        """The compiled model. It is opened again on first use in a forked child."""
        compiled = self._compiled
        if compiled is None:
            with _COMPILING:
                if self._compiled is None:
                    _check_unchanged(self._folder, self._files)
                    with loading(self._folder):
                        self._compiled = compile_model(self._folder, self._files)
                compiled = self._compiled
        return compiled[0]

    def leave_to_parent(self) -> None:
        """Forget the compiled model in a forked child, without freeing it.

        Freeing it would wait for threads that exist only in the parent.
        """
        import ctypes

        if self._compiled is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._compiled))
            self._compiled = None


def check_finite(numbers: "np.ndarray", name: str) -> None:
    """Raise `ModelError` if the output of the model `name` contains NaN or infinity."""
    import numpy as np

    if not np.isfinite(numbers).all():
        raise ModelError(f"{name} gives NaN or infinity; its weights are damaged, or its number format is too narrow")


def _finish(running: "deque[tuple[Any, Batch]]", idle: list[Any]) -> "tuple[Batch, np.ndarray]":
    """Wait for the oldest request, make it idle, and return its batch and output."""
    request, batch = running.popleft()
    request.wait()
    idle.append(request)
    return batch, request.get_output_tensor(0).data


def _fingerprint(folder: Path) -> tuple[str, ...]:
    """SHA-256 of the checksums of an exported model, or of its files if it has no checksums."""
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
