"""An index folder: generations beside each other, of which `CURRENT` names the one that is read.

    index/
    ├── CURRENT   the generation's name and the SHA-256 of its checksums
    ├── lock      held while somebody writes
    └── 000007/   a generation: sealed, never changed

A new generation is written beside the old one and is on disk before `CURRENT` is replaced, in one step. Whoever opened
the old one reads on in it; it is removed afterwards (what a process has mapped stays until that process lets go of it). A
writer that is killed leaves files that nobody reads and the next writer removes; its lock ends with its process.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ragqa.errors import IndexStoreError, InputError, rebuild
from ragqa.files import replace_file, sha256, sync_tree
from ragqa.storage.seal import SEAL, find_flaw, seal

T = TypeVar("T")

CURRENT = "CURRENT"
LOCK = "lock"

_GENERATION = re.compile(r"[0-9]{6,}")
_FIRST = "000001"


def open_current(folder: str | Path, open_generation: Callable[[Path], T]) -> T:
    """Open the current generation of an index folder; the next one, if this one is removed meanwhile.

    Raises `IndexStoreError`, naming the file and what to do, if the folder is no index or a file is missing or cut short, and
    whatever `open_generation` raises.
    """
    folder = Path(folder)
    while True:
        pointer = _read_pointer(folder)
        try:
            _check_sizes(*pointer)
            return open_generation(pointer[0])
        except (IndexStoreError, OSError):
            if _read_pointer(folder) == pointer:
                raise


def current(folder: str | Path) -> Path:
    """The folder of the current generation. Raises as `open_current` does."""
    return open_current(folder, lambda generation: generation)


@contextmanager
def new_generation(folder: str | Path) -> Iterator[Path]:
    """Yield an empty folder that becomes the current generation when the block ends without an exception.

    On an exception, and if the process is killed, the old generation stays current. Raises `IndexStoreError` if another
    process is writing, `InputError` if `folder` exists and is no index: nothing else is ever written into.
    """
    import filelock

    folder = Path(folder).resolve()
    _check_ours(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / LOCK, timeout=0):
            _check_ours(folder)
            new = folder / f"{max(map(int, _generations(folder)), default=0) + 1:06d}"
            new.mkdir()
            try:
                yield new
                _publish(new)
            except BaseException:
                if not _is_current(new):
                    shutil.rmtree(new, ignore_errors=True)
                raise
            _remove_others(new)
    except filelock.Timeout as error:
        raise IndexStoreError(f"{folder} is being written by another process; try again when it has ended") from error


def check_index(folder: str | Path) -> None:
    """Raise `IndexStoreError` if a folder is not an index; reads only which generation is current."""
    _read_pointer(Path(folder))


def check_files(generation: Path, names: Iterable[str] | None = None, *, sizes_only: bool = False) -> None:
    """Raise `IndexStoreError`, naming the file and what to do, if `seal.find_flaw` finds one in a generation."""
    if flaw := find_flaw(generation, names, sizes_only=sizes_only):
        raise IndexStoreError(f"{flaw}; {rebuild(generation.parent)}")


def _check_sizes(generation: Path, digest: str) -> None:
    check_files(generation, sizes_only=True)
    if sha256(generation / SEAL) != digest:
        raise IndexStoreError(f"{generation / SEAL} is missing or damaged; {rebuild(generation.parent)}")


def _publish(new: Path) -> None:
    digest = seal(new)
    sync_tree(new)
    with replace_file(new.parent / CURRENT) as file:
        file.write(_pointer(new.name, digest))


def _pointer(name: str, digest: str) -> bytes:
    return json.dumps({"generation": name, "checksums": digest}).encode() + b"\n"


def _read_pointer(folder: Path) -> tuple[Path, str]:
    path = folder / CURRENT
    if not path.is_file():
        older = (folder / "manifest.json").is_file()
        what = "is an index of an older format: remove it, and" if older else "is not an index;"
        raise IndexStoreError(f"{folder} {what} {rebuild(folder)}")
    try:
        written = path.read_bytes()
        pointer = json.loads(written)
        name, digest = pointer["generation"], pointer["checksums"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IndexStoreError(f"{path} is damaged; {rebuild(folder)}") from error
    if not isinstance(name, str) or not _GENERATION.fullmatch(name) or written != _pointer(name, digest):
        raise IndexStoreError(f"{path} is damaged; {rebuild(folder)}")
    return folder / name, digest


def _is_current(generation: Path) -> bool:
    try:
        return _read_pointer(generation.parent)[0] == generation
    except IndexStoreError:
        return False


def _check_ours(folder: Path) -> None:
    """Raise `InputError` unless nothing is there, an empty folder, an index, or what a first build that was killed has left."""
    if not folder.exists() or (folder / CURRENT).is_file():
        return
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else [""]
    left = {LOCK, _FIRST} | {name for name in names if name.startswith(f".{CURRENT}.")}
    if names and not (LOCK in names and left.issuperset(names)):
        raise InputError(f"{folder} exists and is not an index, so it is not replaced: choose another folder")


def _generations(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if _GENERATION.fullmatch(path.name)]


def _remove_others(generation: Path) -> None:
    for path in generation.parent.iterdir():
        if _GENERATION.fullmatch(path.name) and path != generation:
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.startswith(f".{CURRENT}."):
            path.unlink(missing_ok=True)
