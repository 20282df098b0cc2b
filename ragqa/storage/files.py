"""Files and folders that are either the old ones or the new ones, never half of each."""

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
_CLOCK_DIFFERENCE = 60  # seconds, between this machine and a file server
_ABANDONED = 24 * 3600  # seconds since anything was written into it
_READING = (
    lock_across_forks()
)  # numpy parses headers by `ast`, which fails now and then in several threads (Python 3.11)
_OCTAL = re.compile(r"\\([0-7]{3})")
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS)  # of network and FUSE file systems


@contextmanager
def replace_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that takes the place of `path` when the block ends without an exception.

    The content is on disk before the name changes; on an exception (a full disk, an interrupt) the old file stays
    as it was and the temporary one is removed. Missing parent folders are created.

    A mounted file (Docker binds single files) cannot change places: the new content, complete on disk, is copied into it. If
    that copy fails or is killed, the file is half written, and the temporary file stays with the whole content.
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
    """Return where `replace_file` writes: the file that a link leads to. Raises `InputError` or `OSError` if it cannot."""
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
    """Raise `PermissionError`, naming the folder, if nothing can be made in it or, where it is missing, above it."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "nothing can be written into this folder", str(folder))


def is_mounted(path: Path) -> bool:
    """Whether something is mounted at an absolute path, a file bound over another included: it cannot be renamed over."""
    if os.path.ismount(path):
        return True
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf8", errors="surrogateescape").splitlines()
    except OSError:  # not Linux, where only whole file systems are mounted
        return False
    # the fifth field, with spaces and the like in octal digits
    points = (_OCTAL.sub(lambda code: chr(int(code[1], 8)), line.split(" ")[4]) for line in lines)
    return os.fspath(path) in points


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Show other writers, by a lock on a file or folder, that it is still being written. Its process's end frees it."""
    descriptor = _lock(path)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def remove_abandoned(path: Path, folder: Path) -> None:
    """Remove what killed processes have left in `folder` while replacing `path`; what may still be written stays."""
    unfinished = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(UNFINISHED)}")  # as tempfile names it
    for left in folder.iterdir():
        if unfinished.fullmatch(left.name):
            with suppress(OSError):
                if _is_abandoned(left):
                    clear(left, path) if left.is_dir() else left.unlink()


def clear(work: Path, path: Path) -> None:
    """Remove the folder that a new `path` was written in; had the old one been set aside only, it comes back."""
    if (work / ASIDE).exists() and not path.exists():
        (work / ASIDE).replace(path)
    shutil.rmtree(work, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Wait until a folder and all that is in it are on disk."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


def cache_folder() -> Path:
    """Where what can be made again is kept: `RAGQA_CACHE`, else the user's cache folder.

    Raises `RuntimeError` if the user has no home.
    """
    if chosen := os.environ.get("RAGQA_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "ragqa"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragqa"


def warn_without_cache(error: Exception) -> None:
    """Warn that the cache folder cannot be used because of `error`; a process repeats the same warning only once."""
    if isinstance(error, RuntimeError):  # of `cache_folder`
        what = "there is no home folder to keep a cache in"
    else:
        reason = getattr(error, "strerror", None) or first_line(error)
        what = f"the cache folder {cache_folder()} cannot be used ({reason})"
    # raised here for every caller, because Python tells repeated warnings by their place
    warnings.warn(f"{what}, so every start is slower; name another folder with RAGQA_CACHE", FallbackWarning, 1)


def used_longest_ago(paths: Iterable[Path], keep: int) -> list[Path]:
    """The paths without the `keep` that were used last, judged by their modification times.

    A time in the future counts as long ago: nothing has used that path since the clock was set back.
    """
    now = time.time() + _CLOCK_DIFFERENCE

    def used(path: Path) -> float:
        modified = path.stat().st_mtime
        return modified if modified <= now else 0.0

    return sorted(paths, key=used, reverse=True)[keep:]


def own_code() -> list[Path]:
    """The package's own modules: what they make of something is made again when they change."""
    return sorted(Path(__file__).parents[1].rglob("*.py"))


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


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    if path.is_dir() and os.name != "posix":  # folders cannot be opened for syncing elsewhere
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
    """Whether nobody holds it, and its last change is a day away: in the past, or in the future of a clock set ahead."""
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
    """Lock a file or folder; return the descriptor that holds the lock, None where there are no locks.

    Raises `BlockingIOError` if another process holds it.
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
