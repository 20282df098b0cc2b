"""Files and folders that are either the old ones or the new ones, never half of each."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING

from ragqa.errors import IndexStoreError, InputError, rebuild

if TYPE_CHECKING:
    import numpy as np


_UNFINISHED = ".unfinished"
_ASIDE = "old"
_ABANDONED = 24 * 3600  # seconds since anything was written into it
_READING = Lock()  # numpy parses headers by `ast`, which fails now and then in several threads at once (Python 3.11)
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD; RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS


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
    _remove_abandoned(path)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
        _sync(path.parent)
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

    The new folder is on disk before the two exchange their names, in one step where the system has one (Linux, macOS). On
    an exception inside the block nothing of the old folder has been touched.
    """
    check_replaceable(path, mark)
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    work = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED))
    new = work / "new"
    new.mkdir()
    try:
        yield new
        sync_tree(new)
        if path.exists():
            _exchange(new, path)
        else:
            new.replace(path)
        _sync(path.parent)
    finally:
        _clear(work, path)


def sync_tree(folder: Path) -> None:
    """Wait until a folder and all that is in it are on disk."""
    for path in folder.rglob("*"):
        _sync(path)
    _sync(folder)


def cache_folder() -> Path:
    """Where what can be made again is kept: `RAGQA_CACHE`, else the user's cache folder.

    Raises `RuntimeError` if the user has no home.
    """
    if chosen := os.environ.get("RAGQA_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "ragqa"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragqa"


def own_code() -> list[Path]:
    """The package's own modules: what they make of something is made again when they change."""
    return sorted(Path(__file__).parent.rglob("*.py"))


def map_array(folder: Path, name: str, kind: "np.typing.DTypeLike") -> "np.ndarray":
    """Map an array of a generation of an index into memory. Raises `IndexStoreError` if it is missing or of another kind."""
    try:
        array = read_array(folder / name, mapped=True)
    except Exception as error:  # numpy reads a header as Python, which can fail in many ways
        raise IndexStoreError(f"{folder / name} is missing or damaged; {rebuild(folder.parent)}") from error
    if array.dtype != kind or array.ndim != 1:
        raise IndexStoreError(f"{folder / name} is damaged; {rebuild(folder.parent)}")
    return array


def read_array(path: Path, *, mapped: bool = False) -> "np.ndarray":
    """Read a saved array, or map it into memory. Raises whatever numpy raises for a file that is none."""
    import numpy as np

    with _READING:
        return np.asarray(np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False))


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal digits."""
    import hashlib

    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def text_hash(text: str) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of a text: enough to tell that it has changed."""
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    if path.is_dir() and os.name != "posix":  # folders cannot be opened for syncing elsewhere
        return
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(new: Path, old: Path) -> None:
    """Let two folders exchange their names, in one step where the system has one."""
    if os.name == "posix" and _exchange_at_once(os.fsencode(new), os.fsencode(old)):
        return
    old.replace(new.with_name(_ASIDE))
    new.replace(old)


def _exchange_at_once(new: bytes, old: bytes) -> bool:
    import ctypes

    system = ctypes.CDLL(None)
    if hasattr(system, "renameat2"):
        return bool(system.renameat2(_HERE, new, _HERE, old, _EXCHANGE) == 0)
    return hasattr(system, "renamex_np") and bool(system.renamex_np(new, old, _EXCHANGE) == 0)


def _clear(work: Path, path: Path) -> None:
    """Remove the folder that a new `path` was written in; had the old one been set aside only, it comes back."""
    if (work / _ASIDE).exists() and not path.exists():
        (work / _ASIDE).replace(path)
    shutil.rmtree(work, ignore_errors=True)


def _remove_abandoned(path: Path) -> None:
    """Remove what processes that were killed while replacing `path` have left; what may still be written stays."""
    for left in path.parent.iterdir():
        if left.name.startswith(f".{path.name}.") and left.name.endswith(_UNFINISHED):
            with suppress(OSError):
                if time.time() - max(part.stat().st_mtime for part in (left, *left.rglob("*"))) > _ABANDONED:
                    _clear(left, path) if left.is_dir() else left.unlink()
