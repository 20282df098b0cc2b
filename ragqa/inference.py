"""Exported models on the CPU: texts, or pairs of texts, into one row of numbers each, by OpenVINO without torch."""

import json
import os
import re
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ragqa.errors import FallbackWarning, InputError, ModelError, warn_of_fallback
from ragqa.files import cache_folder, replace_file, sha256, used_longest_ago, warn_without_cache
from ragqa.forks import lock_across_forks
from ragqa.storage.seal import SEAL, find_flaw, is_sealed, read_seal

if TYPE_CHECKING:
    import numpy as np

MODEL_FILE = "openvino/openvino_model.xml"  # as sentence-transformers names it
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")  # torch's, in one file or in several
MAX_TOKENS = 512
BATCH_SIZE = 8  # small enough for a core's cache, large enough to keep it busy

# what a model reads, by the names that tokenizers has for it
_INPUTS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
_WINDOW = 1024  # texts that are tokenized together
_PAD_TOKENS = ("[PAD]", "<pad>")
_UNREAD = ("*.md",)  # a card may be edited
_KEPT = 8  # compiled models in the cache folder, some 60 MB each
_HUB_ID = re.compile(r"(?:\w(?:[\w.-]*\w)?/)?\w(?:[\w.-]*\w)?", re.ASCII)
_KEPT_NAME = re.compile(r"[0-9a-f]{32}")
_MARK = (
    b"ragqa-compiled-1"  # behind a compiled model, before its checksum: other files in the cache folder are not ours
)
_SUM_BYTES = 4
_PLUGIN_OPTIONS = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}  # f32: one score on every CPU
Compiled = tuple[Any, Any]  # a model and the memory that it needs, None or an array

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
                self._compiled: Compiled | None = _compile(folder, self._files)
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
                        self._compiled = _compile(self._folder, self._files)
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


def is_exported(folder: Path) -> bool:
    """Whether a folder holds a model that `OpenVinoModel` opens."""
    return (folder / MODEL_FILE).is_file()


def find_exported(source: str | Path | None, bundled: Path, what: str) -> Path | None:
    """The folder of the exported model that `source` names, the bundled one for None.

    None if `source` may be a model of sentence-transformers instead. Raises `ModelError` if it can be neither, or if a file
    is not as it was exported.
    """
    folder = bundled if source is None else Path(source)
    if is_exported(folder):
        _check_seal(folder, unread=(*_UNREAD, *WEIGHTS))
        return folder
    if source is None:
        raise ModelError(f"the bundled {what} is not in {folder}; install ragqa again or pass a model folder")
    check_source(source)
    return None


def check_source(source: str | Path) -> None:
    """Raise `ModelError` unless `source` is a folder with weights or may be a hub id (owner/name)."""
    folder = Path(source)
    if folder.is_dir():
        _check_seal(folder)
        if not find_weights(folder):
            raise ModelError(f"{folder} holds no weights: {MODEL_FILE} or model.safetensors is needed")
    elif str(source).count("/") != 1 or not may_be_hub_id(str(source)):
        raise ModelError(f"{source} is neither a folder nor a hub id (owner/name)")


def may_be_hub_id(name: str) -> bool:
    """Return True for `owner/name` and `name`, but not for paths such as `model/` and `./model`."""
    return _HUB_ID.fullmatch(name) is not None


def check_finite(numbers: "np.ndarray", name: str) -> None:
    """Raise `ModelError` if a model has given NaN or infinity."""
    import numpy as np

    if not np.isfinite(numbers).all():
        raise ModelError(f"{name} gives NaN or infinity; its weights are damaged, or its number format is too narrow")


def find_weights(folder: Path) -> list[Path]:
    """The files of torch's weights in a folder and in those of its modules, sorted."""
    return sorted(path for name in WEIGHTS for place in ("", "*/") for path in folder.glob(place + name))


def digest(folder: Path) -> str:
    """The first 16 hex digits of the SHA-256 of an exported model's weights; of a sealed folder as its seal says."""
    path = _weights(folder)
    try:
        sealed = read_seal(folder) if is_sealed(folder) else {}
    except ValueError as error:
        raise ModelError(f"{error}; make or install the model again") from error
    name = path.relative_to(folder).as_posix()
    return (sealed[name].sha256 if name in sealed else sha256(path))[:16]


def _weights(folder: Path) -> Path:
    return (folder / MODEL_FILE).with_suffix(".bin")


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


def _check_seal(folder: Path, unread: tuple[str, ...] = _UNREAD) -> None:
    """Raise `ModelError` if a file that is read is not as it was saved; folders without checksums are believed."""
    if not is_sealed(folder):
        return
    try:
        read = [name for name in read_seal(folder) if not any(map(PurePosixPath(name).match, unread))]
        flaw = find_flaw(folder, read)
    except ValueError as error:
        flaw = str(error)
    if flaw:
        raise ModelError(
            f"{flaw}; make or install the model again, or remove {SEAL} there if you have changed a file yourself"
        )


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


def import_openvino() -> Any:
    """OpenVINO without its telemetry: importing it would send word of that to Google Analytics, and ask nobody."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as if it were not installed
    import openvino

    return openvino


def _compile(folder: Path, files: tuple[str, ...]) -> Compiled:
    """The compiled model of a folder, and the memory that it needs as long as it lives.

    It is read from the cache folder, where the first start leaves it with a checksum: seven times as fast as compiling.
    """
    openvino = import_openvino()
    core = openvino.Core()
    kept = _cache_file(files, openvino.__version__, core)
    before = None if kept is None else _read_compiled(kept)
    if before is not None and (model := _import(core, before)) is not None:
        return model, before
    model = core.compile_model(folder / MODEL_FILE, "CPU", _PLUGIN_OPTIONS)
    if kept is not None and _keep_compiled(model, kept) and before is not None:
        after = _read_compiled(kept)
        if after is None or _import(core, after) is None:  # refused again, so it will be refused each time
            warn_of_fallback(
                f"OpenVINO cannot read {kept}, so every start compiles {folder} again; install ragqa again"
            )
    return model, None


def _import(core: Any, compiled: "np.ndarray") -> Any:
    """The model that was kept compiled, None if OpenVINO refuses it: it can always be compiled again."""
    openvino = import_openvino()
    try:
        return core.import_model(openvino.Tensor(compiled, shared_memory=True), "CPU", _PLUGIN_OPTIONS)
    except Exception:
        return None


def _fingerprint(folder: Path) -> tuple[str, ...]:
    """SHA-256 of an exported model's checksums, or of its files if it has none."""
    read = [folder / SEAL] if is_sealed(folder) else [folder / MODEL_FILE, _weights(folder)]
    return tuple(map(sha256, read))


def _check_unchanged(folder: Path, files: tuple[str, ...]) -> None:
    try:
        same = _fingerprint(folder) == files
    except OSError as error:
        raise ModelError(f"{folder} cannot be opened again: {error}") from error
    if not same:
        raise ModelError(f"{folder} has changed since the model was loaded; load it again")
    _check_seal(folder, unread=(*_UNREAD, *WEIGHTS))


def _cache_file(files: tuple[str, ...], version: str, core: Any) -> Path | None:
    """Where a model is kept when it is compiled, by all that it depends on; None if the user has no home."""
    import hashlib

    machine = [core.get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    key = hashlib.sha256(repr([files, version, machine]).encode()).hexdigest()
    try:
        return cache_folder() / "models" / key[:32]
    except RuntimeError as error:
        warn_without_cache(error)
        return None


def _read_compiled(path: Path) -> "np.ndarray | None":
    """A kept model, mapped into memory; None if there is none or it is not as it was written."""
    import numpy as np

    try:
        whole = np.memmap(path, dtype=np.uint8, mode="c")  # OpenVINO takes none that could not be written to
    except (OSError, ValueError):  # ValueError: an empty file
        return None
    data = whole[: -len(_MARK) - _SUM_BYTES]
    if whole[len(data) :].tobytes() != _MARK + zlib.crc32(data.data).to_bytes(_SUM_BYTES, "little"):
        return None
    with suppress(OSError):  # another user's
        path.touch()
    return np.asarray(data)


def _keep_compiled(model: Any, path: Path) -> bool:
    """Leave a compiled model for the next start and remove those used longest ago. Warn and return False if it cannot be."""
    try:
        data = model.export_model().getvalue()
        with replace_file(path) as file:
            file.write(data)
            file.write(_MARK + zlib.crc32(data).to_bytes(_SUM_BYTES, "little"))
    except (OSError, InputError, RuntimeError) as error:  # RuntimeError: OpenVINO's
        warn_without_cache(error)
        return False
    with suppress(OSError):
        others = [other for other in path.parent.iterdir() if other != path and _is_compiled(other)]
        for old in used_longest_ago(others, keep=_KEPT - 1):
            old.unlink()
    return True


def _is_compiled(path: Path) -> bool:
    """Whether a file of the cache folder is a compiled model that we left there."""
    if not _KEPT_NAME.fullmatch(path.name) or not path.is_file():
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_MARK) - _SUM_BYTES))
        return file.read(len(_MARK)) == _MARK


_OPENED: "WeakSet[OpenVinoModel]" = WeakSet()


def _leave_models_to_parent() -> None:
    for model in _OPENED:
        model.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_models_to_parent)
