"""Atomic replacement of files, the cache folder, and safe reading of saved arrays."""

import errno
import os
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ragqa.errors import FallbackWarning, IndexStoreError, InputError, first_line, rebuild
from ragqa.process import lock_across_forks

if TYPE_CHECKING:
    import numpy as np


UNFINISHED = ".unfinished"
ASIDE = "old"
_CLOCK_DIFFERENCE = 60  # seconds; a file server's clock may differ from this machine's
_ABANDONED = 24 * 3600  # seconds since the last write
_READING = lock_across_forks()  # numpy parses headers with `ast`, which sometimes fails in threads (Python 3.11)
_OCTAL = re.compile(r"\\([0-7]{3})")
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS)  # some network and FUSE file systems


@contextmanager
def replace_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces `path` when the block ends without an exception.

    The content is on disk before the file is renamed. On an exception (a full disk, an interrupt) the old file stays as it
    was and the temporary file is removed. Missing parent folders are created.

    A mounted file (Docker can mount single files) cannot be replaced by a rename. The new content, complete on disk, is then
    copied into it. If that copy fails or is killed, the file is half written, and the temporary file keeps the new content.
    """
    path = check_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path, path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=UNFINISHED)
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file, hold(new):
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.chmod(0o666 & ~_umask())
        mounted = is_mounted(path)
        if not mounted:
            new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    if mounted:
        _overwrite(path, new)
    sync(path.parent)


def check_file(path: str | Path) -> Path:
    """Return the path that `replace_file` writes to, with links resolved. Raises `InputError` or `OSError` if it cannot."""
    path = Path(path).resolve()
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is not a file that can be replaced")
    check_writable(path.parent)
    if path.exists() and is_mounted(path):
        path.open("r+b").close()
    return path


def check_inputs(*paths: str | Path | None) -> None:
    """Raise `InputError` for an input that does not exist. None stands for an option that was not given."""
    for path in paths:
        if path is not None and not Path(path).exists():
            raise InputError(f"{path} does not exist")


def check_writable(folder: Path) -> None:
    """Raise `PermissionError` if no file can be created in `folder` or, if it is missing, in its nearest existing parent."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "nothing can be written into this folder", str(folder))


def is_mounted(path: Path) -> bool:
    """Return True if a file system or a single file is mounted at an absolute path. Nothing can be renamed over it."""
    if os.path.ismount(path):
        return True
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf8", errors="surrogateescape").splitlines()
    except OSError:  # other systems than Linux mount whole file systems only
        return False
    # the fifth field is the mount point, with white space and backslashes as octal escapes
    points = (_OCTAL.sub(lambda code: chr(int(code[1], 8)), line.split(" ")[4]) for line in lines)
    return os.fspath(path) in points


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Lock a file or folder while it is written, so that other writers leave it alone. The lock ends with the process."""
    descriptor = _lock(path)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def remove_abandoned(path: Path, folder: Path) -> None:
    """Remove temporary files that killed processes left in `folder` while they replaced `path`. Files in use stay."""
    unfinished = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(UNFINISHED)}")  # a name by `tempfile`
    for left in folder.iterdir():
        if unfinished.fullmatch(left.name):
            with suppress(OSError):
                if _is_abandoned(left):
                    clear(left, path) if left.is_dir() else left.unlink()


def clear(work: Path, path: Path) -> None:
    """Remove the temporary folder of a replacement of `path`. If `path` is missing, first restore the old one from it."""
    if (work / ASIDE).exists() and not path.exists():
        (work / ASIDE).replace(path)
    shutil.rmtree(work, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Wait until a folder and everything below it is on disk."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


def cache_folder() -> Path:
    """Return the cache folder: `RAGQA_CACHE` if set, else `ragqa` in the user's cache folder.

    Raises `RuntimeError` if the user has no home folder.
    """
    if chosen := os.environ.get("RAGQA_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "ragqa"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragqa"


def warn_without_cache(error: Exception) -> None:
    """Warn that the cache folder cannot be used because of `error`. Each process shows the same warning only once."""
    if isinstance(error, RuntimeError):  # raised by `cache_folder`
        what = "there is no home folder to keep a cache in"
    else:
        reason = getattr(error, "strerror", None) or first_line(error)
        what = f"the cache folder {cache_folder()} cannot be used ({reason})"
    # always from this line, because Python recognizes a repeated warning by its line
    warnings.warn(f"{what}, so every start is slower; name another folder with RAGQA_CACHE", FallbackWarning, 1)


def used_longest_ago(paths: Iterable[Path], keep: int) -> list[Path]:
    """Return all paths except the `keep` most recently modified, newest first.

    A modification time in the future counts as oldest: the path has not been used since the clock was set back.
    """
    now = time.time() + _CLOCK_DIFFERENCE

    def used(path: Path) -> float:
        modified = path.stat().st_mtime
        return modified if modified <= now else 0.0

    return sorted(paths, key=used, reverse=True)[keep:]


def map_array(folder: Path, name: str, kind: "np.typing.DTypeLike") -> "np.ndarray":
    """Map an array of an index generation into memory.

    Raises `IndexStoreError` if it is missing or damaged, has another dtype than `kind`, or more than one dimension.
    """
    try:
        array = read_array(folder / name, mapped=True)
    except Exception as error:  # numpy parses the header as Python code, which can raise many exceptions
        raise IndexStoreError(f"{folder / name} is missing or damaged; {rebuild(folder.parent)}") from error
    if array.dtype != kind or array.ndim != 1:
        raise IndexStoreError(f"{folder / name} is damaged; {rebuild(folder.parent)}")
    return array


def read_array(path: Path, *, mapped: bool = False) -> "np.ndarray":
    """Read a saved array, or map it into memory. Raises numpy's own exceptions for a damaged file."""
    import numpy as np

    with _READING:
        return np.asarray(np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    import hashlib

    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def text_hash(text: str) -> str:
    """Return the first 12 hex digits of the SHA-256 of a text, which is enough to detect a change."""
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync(path: Path) -> None:
    """Wait until the content of a file, or the file names of a folder, are on disk."""
    if path.is_dir() and os.name != "posix":  # only POSIX can open a folder to sync it
        return
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (path.is_dir() and error.errno in _NO_FOLDER_SYNC):
            raise
    finally:
        os.close(descriptor)


def _is_abandoned(left: Path) -> bool:
    """Return True if nobody holds a lock on it and its last change is a day away, in the past or (wrong clock) the future."""
    changed = max(part.stat().st_mtime for part in (left, *left.rglob("*")))
    if abs(time.time() - changed) <= _ABANDONED:
        return False
    try:
        descriptor = _lock(left)
    except BlockingIOError:
        return False
    if descriptor is not None:
        os.close(descriptor)
    return True


def _lock(path: Path) -> int | None:
    """Lock a file or folder. Return the descriptor that holds the lock, or None if the system has no such locks.

    Raises `BlockingIOError` if another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None  # a file system without locks
    return descriptor


def _overwrite(path: Path, new: Path) -> None:
    try:
        with new.open("rb") as source, path.open("r+b") as target:
            shutil.copyfileobj(source, target)
            target.truncate()
            target.flush()
            os.fsync(target.fileno())
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; the whole new content is in {new}", str(path)) from error
    new.unlink()
