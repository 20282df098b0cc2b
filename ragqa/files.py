"""Files and folders that are either the old ones or the new ones, never half of each."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ragqa.errors import IndexStoreError, InputError, rebuild

if TYPE_CHECKING:
    import numpy as np


@contextmanager
def replace_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that takes the place of `path` when the block ends without an exception.

    The content is on disk before the name changes; on an exception (a full disk, an interrupt) the old file stays
    as it was and the temporary one is removed. Missing parent folders are created.
    """
    path = Path(path).resolve()  # the file that a link leads to is replaced, not the link
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is not a file that can be replaced")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
        _sync_folder(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def check_replaceable(path: str | Path, mark: str) -> None:
    """Raise `InputError` if something stands at `path` that is neither an empty folder nor one with the file `mark`."""
    path = Path(path)
    if path.exists() and not (path / mark).is_file() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} exists and has no {mark}, so it is not replaced: choose another folder")


@contextmanager
def replace_folder(path: str | Path, mark: str) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `path` when the block ends without an exception.

    `mark` names a file that every folder of this kind has: another kind is not replaced (`check_replaceable`).

    A folder cannot be exchanged in one step everywhere, so the old one is set aside, the new one moved in and the old
    one removed; on an exception inside the block nothing of the old folder has been touched.
    """
    check_replaceable(path, mark)
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    new, old = work / "new", work / "old"
    new.mkdir()
    try:
        yield new
        for file in new.rglob("*"):
            if file.is_file():
                _sync_file(file)
        if path.exists():
            path.replace(old)
        new.replace(path)
        _sync_folder(path.parent)
    except BaseException:
        if old.exists() and not path.exists():
            old.replace(path)
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def cache_folder() -> Path:
    """Where what can be made again is kept: `RAGQA_CACHE`, else the user's cache folder.

    Raises `RuntimeError` if the user has no home.
    """
    if chosen := os.environ.get("RAGQA_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "ragqa"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragqa"


def map_array(folder: Path, name: str) -> "np.ndarray":
    """Map an array file of an index folder into memory. Raises `IndexStoreError` if it is missing or none."""
    import numpy as np

    try:
        return np.asarray(np.load(folder / name, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # numpy reads a header as Python, which can fail in many ways
        raise IndexStoreError(f"{folder} holds a damaged file ({error}); {rebuild(folder)}") from error


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits."""
    import hashlib

    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name != "posix":  # folders cannot be opened for syncing elsewhere
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
