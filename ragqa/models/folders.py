"""Model folders: which files they need, whether these are unchanged, and which names are folders or hub ids."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ragqa.errors import FallbackWarning, ModelError
from ragqa.storage.checksums import SEAL, find_flaw, is_sealed, read_seal
from ragqa.storage.files import sha256

MODEL_FILE = "openvino/openvino_model.xml"  # the name that sentence-transformers uses

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")  # torch's weights, in one file or in several

UNREAD = ("*.md",)  # users may edit a model card

_HUB_ID = re.compile(r"(?:\w(?:[\w.-]*\w)?/)?\w(?:[\w.-]*\w)?", re.ASCII)


def is_exported(folder: Path) -> bool:
    """Return True if a folder holds a model for `OpenVinoModel`."""
    return (folder / MODEL_FILE).is_file()


def find_exported(source: str | Path | None, bundled: Path, what: str) -> Path | None:
    """Return the folder of the exported model `source`, or of the bundled one if `source` is None.

    Returns None if `source` may be a model for sentence-transformers instead. Raises `ModelError` if it can be neither, or if
    an exported file has changed.
    """
    folder = bundled if source is None else Path(source)
    if is_exported(folder):
        check_seal(folder, unread=(*UNREAD, *WEIGHTS))
        return folder
    if source is None:
        raise ModelError(f"the bundled {what} is not in {folder}; install ragqa again or pass a model folder")
    check_source(source)
    return None


def check_source(source: str | Path) -> None:
    """Raise `ModelError` unless `source` is a folder with weights or has the form of a hub id (owner/name)."""
    folder = Path(source)
    if folder.is_dir():
        check_seal(folder)
        if not find_weights(folder):
            raise ModelError(f"{folder} holds no weights: {MODEL_FILE} or model.safetensors is needed")
    elif str(source).count("/") != 1 or not may_be_hub_id(str(source)):
        raise ModelError(f"{source} is neither a folder nor a hub id (owner/name)")


def may_be_hub_id(name: str) -> bool:
    """Return True for `owner/name` and `name`, but not for paths such as `model/` and `./model`."""
    return _HUB_ID.fullmatch(name) is not None


def find_weights(folder: Path) -> list[Path]:
    """Return torch's weight files in a folder and its subfolders, sorted."""
    return sorted(path for name in WEIGHTS for parent in ("", "*/") for path in folder.glob(parent + name))


def weights_identity(folder: Path) -> str:
    """Return the first 16 hex digits of the SHA-256 of a model's weights, from its checksums if it has some.

    The weights are those of the exported model, or torch's if there is none. For several files it is the SHA-256 of their
    joined SHA-256s.
    """
    try:
        sealed = read_seal(folder) if is_sealed(folder) else {}
    except ValueError as error:
        raise ModelError(f"{error}; make or install the model again") from error
    sums = []
    for path in [weights_file(folder)] if is_exported(folder) else find_weights(folder):
        name = path.relative_to(folder).as_posix()
        sums.append(sealed[name].sha256 if name in sealed else sha256(path))
    return (sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest())[:16]


def weights_file(folder: Path) -> Path:
    """Return the file with the weights of an exported model."""
    return (folder / MODEL_FILE).with_suffix(".bin")


def check_seal(folder: Path, unread: tuple[str, ...] = UNREAD) -> None:
    """Raise `ModelError` if a file has changed since it was saved, except `unread` ones. Needs checksums, else passes."""
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


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Turn the exceptions of OpenVINO and tokenizers for damaged files into `ModelError`. Both raise bare `Exception`s."""
    try:
        yield
    except (FallbackWarning, ModelError):  # `FallbackWarning` if warnings are errors
        raise
    except Exception as error:
        raise ModelError(f"{folder} cannot be loaded: {_last_line(error)}") from error


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[-1]
