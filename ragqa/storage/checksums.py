"""Folders with checksums: `checksums.json` names each file of a folder with its size and SHA-256."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ragqa.storage.files import replace_file, sha256

SEAL = "checksums.json"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A file as it was when its folder was sealed."""

    bytes: int
    sha256: str


def seal(folder: Path) -> str:
    """Write the checksums of all files below a folder into it, and return their own SHA-256."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / SEAL)
    files = {path.relative_to(folder).as_posix(): Sealed(path.stat().st_size, sha256(path)) for path in paths}
    with replace_file(folder / SEAL) as file:
        file.write(_serialize(files))
    return sha256(folder / SEAL)


def is_sealed(folder: Path) -> bool:
    """Whether a folder has checksums."""
    return (folder / SEAL).is_file()


def read_seal(folder: Path) -> Mapping[str, Sealed]:
    """The files of a sealed folder by their names. Raises `ValueError` if there are no checksums or none can be read."""
    try:
        written = (folder / SEAL).read_bytes()
        files = {name: Sealed(**entry) for name, entry in json.loads(written)["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{folder / SEAL} is missing or damaged") from error
    if written != _serialize(files) or not all(type(file.bytes) is int for file in files.values()):
        raise ValueError(f"{folder / SEAL} is missing or damaged")
    return files


def find_flaw(folder: Path, names: Iterable[str] | None = None, *, sizes_only: bool = False) -> str:
    """What is wrong with files of a sealed folder, all of them if none are named; empty if nothing is.

    `sizes_only` reads no file but the checksums. A name that was not sealed is wrong.
    """
    try:
        sealed = read_seal(folder)
    except ValueError as error:
        return str(error)
    for name in sealed if names is None else names:
        path = folder / name
        if name not in sealed or not path.is_file() or path.stat().st_size != sealed[name].bytes:
            return f"{path} is missing or cut short"
        if not sizes_only and sha256(path) != sealed[name].sha256:
            return f"{path} is damaged"
    return ""


def _serialize(files: Mapping[str, Sealed]) -> bytes:
    return json.dumps({"files": {name: asdict(file) for name, file in files.items()}}, indent=1).encode() + b"\n"
