"""Index folders: a folder holds generations of an index, and the file `CURRENT` names the one to read.

    index/
    ├── CURRENT              name of the current generation and the SHA-256 of its checksums
    ├── lock                 held while a process writes
    ├── 000007/              a generation: has checksums, never changes
    └── .000008.unfinished/  the next generation while it is written

A new generation is complete on disk before `CURRENT` is replaced atomically. Then the old generation is removed; processes that
have mapped its files keep them until they exit. A killed writer leaves files that nobody reads; the next writer removes them.
Its lock ends with its process.

Names alone prove nothing: LevelDB has a `CURRENT` too, and a user may have a folder 202401. A folder is an index if `CURRENT`
has our form, or if the checksums of a generation list `MANIFEST`. Only files that the checksums list are removed.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TypeVar

from ragqa.errors import IndexStoreError, InputError, rebuild
from ragqa.storage.checksums import SEAL, find_flaw, read_seal, seal
from ragqa.storage.files import UNFINISHED, replace_file, sha256, sync, sync_tree
from ragqa.storage.folders import SYSTEM_FILES

T = TypeVar("T")

CURRENT = "CURRENT"
LOCK = "lock"
MANIFEST = "manifest.json"  # every generation has it

_GENERATION = re.compile(r"[0-9]{6,}")
_NEW = re.compile(rf"\.[0-9]{{6,}}{re.escape(UNFINISHED)}")
_NEW_POINTER = re.compile(rf"\.{CURRENT}\..*{re.escape(UNFINISHED)}")


def open_current(folder: str | Path, open_generation: Callable[[Path], T]) -> T:
    """Open the current generation of an index folder. If it is replaced meanwhile, open the new one.

    Raises `IndexStoreError`, which names the file and the remedy, if the folder is not an index or a file is missing or cut
    short, and everything that `open_generation` raises.
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
    """Return the folder of the current generation. Raises as `open_current` does."""
    return open_current(folder, lambda generation: generation)


@contextmanager
def new_generation(folder: str | Path) -> Iterator[Path]:
    """Yield an empty folder that becomes the current generation when the block ends without an exception.

    After an exception or a kill the old generation stays current. A missing or damaged `CURRENT` is repaired. Raises
    `IndexStoreError` if another process is writing, `InputError` if `folder` exists and is not an index: nothing is ever
    written into other folders.
    """
    import filelock

    folder = Path(folder).resolve()
    _check_ours(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / LOCK, timeout=0):
            _check_ours(folder)
            _remove_unfinished(folder)
            before = _pointed_at(folder)
            name = f"{max(map(int, _generations(folder)), default=0) + 1:06d}"
            new = folder / f".{name}{UNFINISHED}"
            new.mkdir()
            try:
                yield new
                _publish(new, folder / name)
            except BaseException:
                shutil.rmtree(new, ignore_errors=True)
                if _pointed_at(folder) != folder / name:
                    _remove_generation(folder / name)
                raise
            for path in map(folder.joinpath, _generations(folder)):
                if path.name != name and (path == before or _is_generation(path)):
                    _remove_generation(path)
    except filelock.Timeout as error:
        raise IndexStoreError(f"{folder} is being written by another process; try again when it has ended") from error


def holds_index(folder: Path) -> bool:
    """Return True if a folder is an index, even if its `CURRENT` is missing or damaged."""
    return _pointed_at(folder) is not None or (folder.is_dir() and any(_our_generations(folder)))


def remove_index(folder: Path) -> None:
    """Remove an index, unless a process is writing it. Remove its folder too if it holds nothing else."""
    import filelock

    if _pointed_at(folder) is None:
        return
    with suppress(OSError, filelock.Timeout):
        with filelock.FileLock(folder / LOCK, timeout=0):
            _remove_unfinished(folder)
            for generation in _our_generations(folder):
                _remove_generation(generation)
            (folder / CURRENT).unlink()
        (folder / LOCK).unlink(missing_ok=True)
        folder.rmdir()


def check_files(generation: Path, names: Iterable[str] | None = None, *, sizes_only: bool = False) -> None:
    """Raise `IndexStoreError`, with the remedy, if `find_flaw` finds a missing or changed file in a generation."""
    if flaw := find_flaw(generation, names, sizes_only=sizes_only):
        raise IndexStoreError(f"{flaw}; {rebuild(generation.parent)}")


def _check_sizes(generation: Path, digest: str) -> None:
    check_files(generation, sizes_only=True)
    if sha256(generation / SEAL) != digest:
        raise IndexStoreError(f"{generation / SEAL} is missing or damaged; {rebuild(generation.parent)}")


def _publish(new: Path, generation: Path) -> None:
    digest = seal(new)
    sync_tree(new)
    new.rename(generation)
    sync(generation.parent)
    with replace_file(generation.parent / CURRENT) as file:
        file.write(_pointer(generation.name, digest))


def _pointer(name: str, digest: str) -> bytes:
    return json.dumps({"generation": name, "checksums": digest}).encode() + b"\n"


def _read_pointer(folder: Path) -> tuple[Path, str]:
    pointer = _parse_pointer(folder)
    if pointer is None:
        raise IndexStoreError(_explain(folder))
    return pointer


def _parse_pointer(folder: Path) -> tuple[Path, str] | None:
    """Return the generation that `CURRENT` names and the SHA-256 of its checksums; None if `CURRENT` has not our form."""
    try:
        written = (folder / CURRENT).read_bytes()
        pointer = json.loads(written)
        name, digest = pointer["generation"], pointer["checksums"]
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, KeyError, TypeError, RecursionError):
        return None
    ours = isinstance(name, str) and _GENERATION.fullmatch(name) and written == _pointer(name, digest)
    return (folder / name, digest) if ours else None


def _explain(folder: Path) -> str:
    """Explain why a folder without a `CURRENT` of our form cannot be opened, and what to do."""
    path, damaged = folder / CURRENT, (folder / CURRENT).exists()
    whole = [generation.name for generation in _our_generations(folder) if not find_flaw(generation)]
    if whole:
        flaw = f"{path} is damaged" if damaged else f"{folder} is not an index without its file {CURRENT}"
        return f"{flaw}, though its generation {max(whole, key=int)} is whole; {rebuild(folder)}"
    if (folder / MANIFEST).is_file():
        return f"{folder} is an index of an older format: remove it, and {rebuild(folder)}"
    if not _is_writable_into(folder):
        return f"{folder} is not an index; name another folder, or build one: ragqa index --passages passages.jsonl --out index"
    return f"{folder} is not an index; {rebuild(folder)}"


def _pointed_at(folder: Path) -> Path | None:
    pointer = _parse_pointer(folder)
    return None if pointer is None else pointer[0]


def _check_ours(folder: Path) -> None:
    """Raise `InputError` unless the folder is missing, empty, an index, or the remains of killed first builds."""
    if not _is_writable_into(folder):
        raise InputError(f"{folder} exists and is not an index, so it is not replaced: choose another folder")


def _is_writable_into(folder: Path) -> bool:
    if not folder.exists():
        return True
    return folder.is_dir() and (holds_index(folder) or _is_left_by_first_builds(folder))


def _is_left_by_first_builds(folder: Path) -> bool:
    """Return True if a folder holds only what killed builds leave; earlier versions left generations 000001, 000002, ..."""
    lock = folder / LOCK
    names = [path.name for path in folder.iterdir() if path.name not in (LOCK, *SYSTEM_FILES)]
    others = sorted(name for name in names if not (_NEW.fullmatch(name) or _NEW_POINTER.fullmatch(name)))
    first = [f"{number:06d}" for number in range(1, len(others) + 1)]
    locked = lock.is_file() and not lock.stat().st_size  # our lock file is empty
    return others == first and (locked or not (names or lock.exists()))


def _generations(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if _GENERATION.fullmatch(path.name)]


def _our_generations(folder: Path) -> list[Path]:
    return (
        [path for path in map(folder.joinpath, _generations(folder)) if _is_generation(path)] if folder.is_dir() else []
    )


def _is_generation(path: Path) -> bool:
    try:
        return path.is_dir() and not path.is_symlink() and MANIFEST in read_seal(path)
    except ValueError:
        return False


def _remove_unfinished(folder: Path) -> None:
    """Remove the remains of killed writers. The caller holds the lock."""
    for path in folder.iterdir():
        if _NEW.fullmatch(path.name) and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif _NEW_POINTER.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _remove_generation(generation: Path) -> None:
    """Remove the files that a generation's checksums list, and its folders if they are empty then."""
    with suppress(OSError, ValueError):  # the next writer tries again
        names = {PurePosixPath(name) for name in read_seal(generation)}
        for path in [*generation.rglob("*")]:
            if PurePosixPath(path.relative_to(generation).as_posix()) in names:
                path.unlink()
        for inner in sorted({parent for name in names for parent in name.parents if parent.name}, reverse=True):
            with suppress(OSError):  # it holds files that are not ours
                (generation / inner).rmdir()
        (generation / SEAL).unlink()
        generation.rmdir()
