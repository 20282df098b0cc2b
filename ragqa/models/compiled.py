"""Models as OpenVINO compiles them, kept in the cache folder for the next start."""

import re
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.errors import InputError, warn_of_fallback
from ragqa.models.folders import MODEL_FILE
from ragqa.process import import_openvino
from ragqa.storage.files import cache_folder, replace_file, used_longest_ago, warn_without_cache

if TYPE_CHECKING:
    import numpy as np


_KEPT = 8  # compiled models in the cache folder, some 60 MB each

_KEPT_NAME = re.compile(r"[0-9a-f]{32}")

_MARK = (
    b"ragqa-compiled-1"  # behind a compiled model, before its checksum: other files in the cache folder are not ours
)

_SUM_BYTES = 4

_PLUGIN_OPTIONS = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}  # f32: one score on every CPU

Compiled = tuple[Any, Any]  # a model and the memory that it needs, None or an array


def compile_model(folder: Path, files: tuple[str, ...]) -> Compiled:
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
