"""Model folders: what they must hold, whether it is as it was saved, and what a name may stand for."""

import re
from pathlib import Path, PurePosixPath

from ragqa.errors import ModelError
from ragqa.storage.checksums import SEAL, find_flaw, is_sealed, read_seal
from ragqa.storage.files import sha256

MODEL_FILE = "openvino/openvino_model.xml"  # as sentence-transformers names it

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")  # torch's, in one file or in several

UNREAD = ("*.md",)  # a card may be edited

_HUB_ID = re.compile(r"(?:\w(?:[\w.-]*\w)?/)?\w(?:[\w.-]*\w)?", re.ASCII)


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
        check_seal(folder, unread=(*UNREAD, *WEIGHTS))
        return folder
    if source is None:
        raise ModelError(f"the bundled {what} is not in {folder}; install ragqa again or pass a model folder")
    check_source(source)
    return None


def check_source(source: str | Path) -> None:
    """Raise `ModelError` unless `source` is a folder with weights or may be a hub id (owner/name)."""
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
    """The files of torch's weights in a folder and in those of its modules, sorted."""
    return sorted(path for name in WEIGHTS for place in ("", "*/") for path in folder.glob(place + name))


def digest(folder: Path) -> str:
    """The first 16 hex digits of the SHA-256 of an exported model's weights; of a sealed folder as its seal says."""
    path = weights_file(folder)
    try:
        sealed = read_seal(folder) if is_sealed(folder) else {}
    except ValueError as error:
        raise ModelError(f"{error}; make or install the model again") from error
    name = path.relative_to(folder).as_posix()
    return (sealed[name].sha256 if name in sealed else sha256(path))[:16]


def weights_file(folder: Path) -> Path:
    """Return the file that holds an exported model's weights."""
    return (folder / MODEL_FILE).with_suffix(".bin")


def check_seal(folder: Path, unread: tuple[str, ...] = UNREAD) -> None:
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
