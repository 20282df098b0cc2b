"""Checksums of folders: `checksums.json` lists every file of a folder with its size and SHA-256."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ragqa.storage.files import replace_file, sha256

SEAL = "checksums.json"


@dataclass(frozen=True, slots=True)
class Sealed:
    """Size and SHA-256 of a file at the time when its folder was sealed."""

    bytes: int
    sha256: str


def seal(folder: Path) -> str:
    """Write `checksums.json` for all files below a folder, and return the SHA-256 of `checksums.json` itself."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / SEAL)
    _write(folder, {path.relative_to(folder).as_posix(): _entry(path) for path in paths})
    return sha256(folder / SEAL)


def reseal(folder: Path, name: str) -> None:
    """Renew the checksum of one file. Raises `ValueError` if the checksums are missing or damaged."""
    _write(folder, {**read_seal(folder), name: _entry(folder / name)})


def is_sealed(folder: Path) -> bool:
    """Return True if a folder has checksums."""
    return (folder / SEAL).is_file()


def read_seal(folder: Path) -> Mapping[str, Sealed]:
    """Read the checksums of a folder, by file name. Raises `ValueError` if they are missing or damaged."""
    try:
        written = (folder / SEAL).read_bytes()
        files = {name: Sealed(**entry) for name, entry in json.loads(written)["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{folder / SEAL} is missing or damaged") from error
    if written != _serialize(files) or not all(type(file.bytes) is int for file in files.values()):
        raise ValueError(f"{folder / SEAL} is missing or damaged")
    return files


def find_flaw(folder: Path, names: Iterable[str] | None = None, *, sizes_only: bool = False) -> str:
    """Describe the first missing or changed file of a sealed folder; return an empty text if there is none.

    Checks the files in `names`, by default all that were sealed. A name that was not sealed counts as missing. `sizes_only`
    reads no file but `checksums.json`.
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


def _entry(path: Path) -> Sealed:
    return Sealed(path.stat().st_size, sha256(path))


def _write(folder: Path, files: Mapping[str, Sealed]) -> None:
    with replace_file(folder / SEAL) as file:
        file.write(_serialize(files))


def _serialize(files: Mapping[str, Sealed]) -> bytes:
    return json.dumps({"files": {name: asdict(file) for name, file in files.items()}}, indent=1).encode() + b"\n"
