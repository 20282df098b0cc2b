import errno
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from mounts import in_mounts

from ragqa.errors import InputError
from ragqa.storage import folders
from ragqa.storage.checksums import SEAL, find_flaw
from ragqa.storage.folders import check_replaceable, replace_folder


def save(path: Path, text: str, *names: str) -> None:
    with replace_folder(path, "mark") as new:
        for name in ("mark", *names):
            (new / name).parent.mkdir(exist_ok=True)
            (new / name).write_text(text)


def contents(path: Path) -> dict[str, str]:
    files = (file for file in path.rglob("*") if file.is_file() and file.name != SEAL)
    return {file.relative_to(path).as_posix(): file.read_text() for file in files}


def fail(context: AbstractContextManager[object], error: BaseException) -> None:
    with context:
        raise error


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "model", "old", "gone", "deep/weights")
    return tmp_path / "model"


def test_a_folder_is_replaced_as_a_whole_and_sealed(tmp_path: Path, folder: Path) -> None:
    with replace_folder(folder, "mark") as new:
        (new / "mark").write_text("new")
        assert contents(folder)["gone"] == "old"
    assert contents(folder) == {"mark": "new"}
    assert not find_flaw(folder)
    assert os.listdir(tmp_path) == ["model"]


def test_missing_parent_folders_are_created(tmp_path: Path) -> None:
    save(tmp_path / "c" / "d" / "model", "new")
    assert contents(tmp_path) == {"c/d/model/mark": "new"}


def test_a_folder_stays_as_it_was_on_a_full_disk(small_disk: Path) -> None:
    save(small_disk / "model", "old")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        save(small_disk / "model", "x" * 200_000)
    assert contents(small_disk) == {"model/mark": "old"}


@pytest.mark.usefixtures("broken_sync")
def test_no_folder_appears_when_the_disk_is_found_full_at_the_end(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        save(tmp_path / "model", "new")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_a_folder_stays_as_it_was_when_the_block_raises(tmp_path: Path, folder: Path, error: BaseException) -> None:
    before = contents(folder)
    with pytest.raises(type(error)), replace_folder(folder, "mark") as new:
        (new / "mark").write_text("half")
        raise error
    assert contents(folder) == before
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("name", ["config.json", "mark", "holiday.jpg", "checksums.json"])
def test_a_folder_of_others_is_never_replaced(tmp_path: Path, name: str) -> None:
    path = tmp_path / "project"
    path.mkdir()
    (path / name).write_text("{}")
    (path / "empty").mkdir()
    actions: list[Callable[[], object]] = [lambda: check_replaceable(path, "mark"), lambda: save(path, "new")]
    for action in actions:
        with pytest.raises(
            InputError, match=r"project exists and has no checksums\.json that names mark, so it is not"
        ):
            action()
    assert sorted(os.listdir(path)) == sorted([name, "empty"])
    assert os.listdir(tmp_path) == ["project"]


def test_neither_a_file_nor_a_folder_with_empty_ones_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("photo")
    (tmp_path / "years" / "2024").mkdir(parents=True)
    for name in ("file", "years"):
        with pytest.raises(InputError, match=f"{name} exists and .*choose another folder"):
            save(tmp_path / name, "new")
    assert (tmp_path / "file").read_text() == "photo"
    assert os.listdir(tmp_path / "years") == ["2024"]


def test_a_sealed_folder_of_another_kind_is_not_replaced(folder: Path) -> None:
    before = contents(folder)
    with pytest.raises(InputError, match=r"has no checksums\.json that names lint\.json"):
        fail(replace_folder(folder, "lint.json"), AssertionError())
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["notes.txt", ".git/HEAD", "deep/mine"])
def test_what_others_have_put_into_a_folder_of_ours_keeps_it(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("years of work")
    before = contents(folder)
    with pytest.raises(
        InputError, match=rf"{name} was not written by ragqa, so .*model is not replaced: move the file"
    ):
        save(folder, "new")
    assert contents(folder) == before


def test_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    for name in ("empty", "disk"):
        (tmp_path / name).mkdir()
    (tmp_path / "disk" / "lost+found").mkdir()
    for name in ("empty", "disk"):
        save(tmp_path / name, "new")
        assert contents(tmp_path / name) == {"mark": "new"}


@pytest.mark.skipif(os.name != "posix", reason="permissions are posix")
@pytest.mark.parametrize(("mask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_permissions_follow_the_umask(
    tmp_path: Path, umask: Callable[[int], int], mask: int, file_mode: int, folder_mode: int
) -> None:
    umask(mask)
    save(tmp_path / "model", "new")
    assert (tmp_path / "model").stat().st_mode & 0o777 == folder_mode
    assert (tmp_path / "model" / "mark").stat().st_mode & 0o777 == file_mode


def test_a_folder_that_a_killed_writer_had_set_aside_comes_back(tmp_path: Path, folder: Path) -> None:
    before = contents(folder)
    aside = tmp_path / ".model.abcdefgh.unfinished" / "old"
    aside.parent.mkdir()
    folder.rename(aside)
    for path in (*aside.rglob("*"), aside, aside.parent):
        os.utime(path, (0, 0))
    with pytest.raises(ValueError, match="bad"):
        fail(replace_folder(folder, "mark"), ValueError("bad"))
    assert contents(folder) == before
    assert os.listdir(tmp_path) == ["model"]


def test_without_an_exchange_in_one_step_folders_are_replaced_in_two(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_exchange_at_once", lambda *_: False)
    save(folder, "new")
    assert contents(folder) == {"mark": "new"}
    assert os.listdir(tmp_path) == ["model"]


def fail_at(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let the rename of this number fail, and no other."""
    replace, calls = Path.replace, iter(range(1, 1000))

    def fail_once(path: Path, target: Path) -> Path:
        if next(calls) == count:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fail_once)


def test_the_old_folder_comes_back_when_the_second_step_fails(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(folder)
    monkeypatch.setattr(folders, "_exchange_at_once", lambda *_: False)
    fail_at(monkeypatch, 3)  # the first puts the checksums into the new folder
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        save(folder, "new")
    assert contents(folder) == before
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("step", range(2, 8))  # three files go, then the checksums and two files come
def test_a_folder_replaced_in_place_comes_back_when_a_step_fails(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    before = contents(folder)
    monkeypatch.setattr(folders, "is_mounted", lambda path: path == folder)
    fail_at(monkeypatch, step)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        save(folder, "new", "deep/weights")
    assert contents(folder) == before
    assert not find_flaw(folder)
    assert (os.listdir(tmp_path), [name for name in os.listdir(folder) if name[0] == "."]) == (["model"], [])


SAVE = """
import sys; from pathlib import Path; from ragqa.storage.folders import replace_folder
for name in ("first", "second"):
    with replace_folder(sys.argv[1], "mark") as new:
        for file in ("mark", name):
            (new / file).write_text(name)
print(sorted(path.name for path in Path(sys.argv[1]).iterdir()), (Path(sys.argv[1]) / "mark").read_text())
"""


def test_a_mounted_folder_is_replaced_in_place(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    mounts = [["-t", "tmpfs", "tmpfs", tmp_path / "disk"]]
    done = in_mounts(mounts, [[sys.executable, "-c", SAVE, tmp_path / "disk"]])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "['checksums.json', 'mark', 'second'] second\n"
    assert os.listdir(tmp_path) == ["disk"]


def test_a_mounted_folder_that_is_only_readable_is_named_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    mounts = [["-t", "tmpfs", "-o", "ro", "tmpfs", tmp_path / "disk"]]
    check = "import sys; from ragqa.storage.folders import check_replaceable; check_replaceable(sys.argv[1], 'mark')"
    done = in_mounts(mounts, [[sys.executable, "-c", check, tmp_path / "disk"]])
    assert f"nothing can be written into this folder: '{tmp_path / 'disk'}'" in done.stderr
