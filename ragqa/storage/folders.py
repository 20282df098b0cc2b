"""Atomic replacement of whole folders with checksums: datasets and models."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ragqa.errors import InputError
from ragqa.storage.checksums import SEAL, Sealed, read_seal, seal
from ragqa.storage.files import (
    ASIDE,
    UNFINISHED,
    check_writable,
    clear,
    hold,
    is_mounted,
    remove_abandoned,
    sync,
    sync_tree,
)

DATASET_MARK = "lint.json"  # a file that every dataset folder has
SYSTEM_FILES = ("lost+found", ".DS_Store")  # file systems and file managers put these into empty folders

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD; RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS


def check_replaceable(path: str | Path, mark: str) -> None:
    """Raise `InputError` unless `path` is missing, is empty, or was written by `replace_folder` with the file `mark`.

    The checksums of such a folder list `mark` and every other file in it. Raises `PermissionError` if nothing can be written
    there.
    """
    path = Path(path).resolve()
    if path.exists():
        _check_ours(path, mark)
    check_writable(path if _is_written_in_place(path) else path.parent)


@contextmanager
def replace_folder(path: str | Path, mark: str) -> Iterator[Path]:
    """Yield an empty folder that replaces `path` when the block ends without an exception.

    `mark` is the name of a file that every folder of this kind has; folders of other kinds are not replaced
    (`check_replaceable`). The new folder gets checksums and is on disk before the two folders exchange names: in one step on
    Linux and macOS, in two elsewhere. An exception inside the block leaves the old folder as it was.

    A folder that cannot be renamed (a file system is mounted there, or its parent is not writable) is replaced file by file,
    the checksums first. If the process is killed in between, the checksums do not match, and every reader reports that.
    """
    check_replaceable(path, mark)
    path = Path(path).resolve()
    in_place = _is_written_in_place(path)
    parent = path if in_place else path.parent
    parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path, parent)
    work = Path(tempfile.mkdtemp(dir=parent, prefix=f".{path.name}.", suffix=UNFINISHED))
    new = work / "new"
    new.mkdir()
    try:
        with hold(work):
            yield new
            seal(new)
            sync_tree(new)
            if in_place:
                _move_in(new, path, work / ASIDE)
            elif path.exists():
                _exchange(new, path)
            else:
                new.replace(path)
            sync(parent)
    finally:
        clear(work, path)


def _check_ours(path: Path, mark: str) -> None:
    """Raise `InputError`, which names the foreign file, unless `replace_folder` wrote everything in a folder."""
    if path.is_dir() and not _entries(path):
        return
    sealed = _read_seal(path)
    if mark not in sealed:
        raise InputError(
            f"{path} exists and has no {SEAL} that names {mark}, so it is not replaced: choose another folder"
        )
    for file in path.rglob("*"):
        name = file.relative_to(path)
        ours = name.as_posix() in (*sealed, SEAL) or name.name in SYSTEM_FILES or _is_unfinished(path, name.parts[0])
        if not ours and not file.is_dir():
            raise InputError(
                f"{file} was not written by ragqa, so {path} is not replaced: move the file away, or choose another folder"
            )


def _read_seal(path: Path) -> Mapping[str, Sealed]:
    try:
        return read_seal(path)
    except ValueError:
        return {}


def _entries(path: Path) -> list[Path]:
    """The content of a folder, except files of the system and of killed writers."""
    names = (entry.name for entry in path.iterdir())
    return [path / name for name in names if name not in SYSTEM_FILES and not _is_unfinished(path, name)]


def _is_unfinished(path: Path, name: str) -> bool:
    return name.startswith(f".{path.name}.") and name.endswith(UNFINISHED)


def _is_written_in_place(path: Path) -> bool:
    return path.is_dir() and (is_mounted(path) or not os.access(path.parent, os.W_OK | os.X_OK))


def _move_in(new: Path, path: Path, aside: Path) -> None:
    """Replace the files of `path` by those of `new`; the old files go to `aside`. If that fails, put the old files back."""
    aside.mkdir()
    if (path / SEAL).exists():
        shutil.copyfile(path / SEAL, aside / SEAL)
    try:
        _move((old for old in _entries(path) if old.name != SEAL), aside)
        _move_into_empty(new, path)
    except BaseException:
        _move(_entries(aside), path)
        raise


def _move_into_empty(new: Path, path: Path) -> None:
    try:
        _move([new / SEAL], path)  # first, so that a reader notices as long as files are missing
        sync(path)
        _move(_entries(new), path)
    except BaseException:
        _move((made for made in _entries(path) if made.name != SEAL), new)
        raise


def _move(entries: Iterable[Path], folder: Path) -> None:
    for entry in list(entries):
        entry.replace(folder / entry.name)


def _exchange(new: Path, old: Path) -> None:
    """Exchange the names of two folders, in one step if the system can."""
    if os.name == "posix" and _exchange_at_once(os.fsencode(new), os.fsencode(old)):
        return
    old.replace(new.with_name(ASIDE))
    new.replace(old)


def _exchange_at_once(new: bytes, old: bytes) -> bool:
    import ctypes

    system = ctypes.CDLL(None)
    if hasattr(system, "renameat2"):
        return bool(system.renameat2(_HERE, new, _HERE, old, _EXCHANGE) == 0)
    return hasattr(system, "renamex_np") and bool(system.renamex_np(new, old, _EXCHANGE) == 0)
