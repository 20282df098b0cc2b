"""Compiled OpenVINO models, cached on disk for the next start."""

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


_MAX_CACHED = 8  # compiled models in the cache folder, about 60 MB each

_CACHED_NAME = re.compile(r"[0-9a-f]{32}")

_MARK = b"ragqa-compiled-1"  # follows the compiled model, before the checksum; tells our files from others

_SUM_BYTES = 4

_PLUGIN_OPTIONS = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}  # f32: same scores on every CPU

Compiled = tuple[Any, Any]  # the model, and the array that it was loaded from (None if it was compiled now)


def compile_model(folder: Path, files: tuple[str, ...]) -> Compiled:
    """Compile the model of a folder, or load it from the cache folder, where the first start saves it with a checksum.

    Loading is seven times as fast as compiling. The second value is the memory that the model uses; keep it as long as the
    model. `files` are the checksums of the model's files.
    """
    openvino = import_openvino()
    core = openvino.Core()
    cached = _cache_file(files, openvino.__version__, core)
    before = None if cached is None else _read_compiled(cached)
    if before is not None and (model := _import(core, before)) is not None:
        return model, before
    model = core.compile_model(folder / MODEL_FILE, "CPU", _PLUGIN_OPTIONS)
    if cached is not None and _save_compiled(model, cached) and before is not None:
        after = _read_compiled(cached)
        if after is None or _import(core, after) is None:  # OpenVINO refuses its own fresh export
            warn_of_fallback(
                f"OpenVINO cannot read {cached}, so every start compiles {folder} again; install ragqa again"
            )
    return model, None


def _import(core: Any, compiled: "np.ndarray") -> Any:
    """Load a compiled model. Return None if OpenVINO refuses it; the caller then compiles it again."""
    openvino = import_openvino()
    try:
        return core.import_model(openvino.Tensor(compiled, shared_memory=True), "CPU", _PLUGIN_OPTIONS)
    except Exception:
        return None


def _cache_file(files: tuple[str, ...], version: str, core: Any) -> Path | None:
    """The path of a compiled model in the cache folder, named after all that it depends on; None without a home folder."""
    import hashlib

    machine = [core.get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    key = hashlib.sha256(repr([files, version, machine]).encode()).hexdigest()
    try:
        return cache_folder() / "models" / key[:32]
    except RuntimeError as error:
        warn_without_cache(error)
        return None


def _read_compiled(path: Path) -> "np.ndarray | None":
    """Map a cached model into memory. Return None if it is missing or damaged."""
    import numpy as np

    try:
        whole = np.memmap(path, dtype=np.uint8, mode="c")  # OpenVINO refuses read-only memory
    except (OSError, ValueError):  # ValueError: an empty file
        return None
    data = whole[: -len(_MARK) - _SUM_BYTES]
    if whole[len(data) :].tobytes() != _MARK + zlib.crc32(data.data).to_bytes(_SUM_BYTES, "little"):
        return None
    with suppress(OSError):  # the cache folder may be read-only
        path.touch()
    return np.asarray(data)


def _save_compiled(model: Any, path: Path) -> bool:
    """Cache a compiled model and remove those used longest ago. If it cannot be saved, warn and return False."""
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
        for old in used_longest_ago(others, keep=_MAX_CACHED - 1):
            old.unlink()
    return True


def _is_compiled(path: Path) -> bool:
    """Return True if a file in the cache folder is a compiled model of ours."""
    if not _CACHED_NAME.fullmatch(path.name) or not path.is_file():
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_MARK) - _SUM_BYTES))
        return file.read(len(_MARK)) == _MARK
