import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ragqa import files
from ragqa.errors import InputError
from ragqa.files import replace_file, replace_folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0)
    os.umask(before)
    yield os.umask
    os.umask(before)


def _fail(context: AbstractContextManager[object], error: BaseException) -> None:
    with context:
        raise error


@pytest.fixture
def broken_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)


def test_a_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "pages.jsonl"
    path.write_bytes(b"old and longer")
    with replace_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old and longer"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["pages.jsonl"]


def test_missing_parent_folders_are_created(tmp_path: Path) -> None:
    with replace_file(tmp_path / "a" / "b" / "file") as file:
        file.write(b"x")
    with replace_folder(tmp_path / "c" / "d" / "folder", "file") as folder:
        (folder / "file").write_bytes(b"y")
    assert (tmp_path / "a/b/file").read_bytes() == b"x"
    assert (tmp_path / "c/d/folder/file").read_bytes() == b"y"


@pytest.mark.parametrize("error", [ValueError("bad line"), KeyboardInterrupt()])
def test_a_file_stays_as_it_was_when_the_block_raises(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(type(error)), replace_file(path) as file:
        file.write(b"half of the ne")
        raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_no_file_appears_when_the_block_raises(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bad line"):
        _fail(replace_file(tmp_path / "file"), ValueError("bad line"))
    assert os.listdir(tmp_path) == []


def test_a_file_stays_as_it_was_on_a_full_disk(small_disk: Path) -> None:
    path = small_disk / "file"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)), replace_file(path) as file:
        file.write(b"x" * 200_000)
    assert path.read_bytes() == b"old"
    assert os.listdir(small_disk) == ["file"]


def test_a_folder_stays_as_it_was_on_a_full_disk(small_disk: Path) -> None:
    path = small_disk / "index"
    path.mkdir()
    (path / "file").write_bytes(b"old")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)), replace_folder(path, "file") as new:
        (new / "file").write_bytes(b"x" * 200_000)
    assert (path / "file").read_bytes() == b"old"
    assert os.listdir(small_disk) == ["index"]


@pytest.mark.usefixtures("broken_sync")
def test_a_file_stays_as_it_was_when_the_disk_is_found_full_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)), replace_file(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.usefixtures("broken_sync")
def test_a_folder_stays_as_it_was_when_the_disk_is_found_full_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.mkdir()
    (path / "file").write_bytes(b"old")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)), replace_folder(path, "file") as new:
        (new / "file").write_bytes(b"new")
    assert (path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["index"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.mkdir()
    (path / "gone").write_bytes(b"old")
    with replace_folder(path, "gone") as new:
        (new / "deep").mkdir()
        (new / "deep" / "file").write_bytes(b"new")
        assert os.listdir(path) == ["gone"]
    assert os.listdir(path) == ["deep"]
    assert (path / "deep" / "file").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["index"]


def test_a_folder_of_another_kind_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"photo")
    (tmp_path / "file").write_bytes(b"photo")
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(InputError, match="is not replaced: choose another folder"), replace_folder(path, "mark"):
            pass
    assert sorted(os.listdir(tmp_path)) == ["file", "holiday.jpg"]
    (tmp_path / "empty").mkdir()
    with replace_folder(tmp_path / "empty", "mark") as new:
        (new / "mark").touch()
    assert os.listdir(tmp_path / "empty") == ["mark"]


@pytest.mark.skipif(os.name != "posix", reason="links and devices are posix")
def test_a_link_stays_a_link_and_a_device_a_device(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with replace_file(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    with pytest.raises(InputError, match="is not a file that can be replaced"), replace_file(os.devnull):
        pass


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_a_folder_stays_as_it_was_when_the_block_raises(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "index"
    path.mkdir()
    (path / "file").write_bytes(b"old")
    with pytest.raises(type(error)), replace_folder(path, "file") as new:
        (new / "file").write_bytes(b"half")
        raise error
    assert (path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["index"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_be_moved_in(tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.mkdir()
    (path / "file").write_bytes(b"old")
    with pytest.raises(FileNotFoundError), replace_folder(path, "file") as new:
        new.rmdir()
    assert (path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["index"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are posix")
@pytest.mark.parametrize(("mask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_permissions_follow_the_umask(
    tmp_path: Path, umask: Callable[[int], int], mask: int, file_mode: int, folder_mode: int
) -> None:
    umask(mask)
    with replace_file(tmp_path / "file"):
        pass
    with replace_folder(tmp_path / "folder", "file") as new:
        (new / "inside").write_bytes(b"")
    assert (tmp_path / "file").stat().st_mode & 0o777 == file_mode
    assert (tmp_path / "folder").stat().st_mode & 0o777 == folder_mode
    assert (tmp_path / "folder" / "inside").stat().st_mode & 0o777 == file_mode


def test_what_killed_writers_left_is_removed_when_it_is_old(tmp_path: Path) -> None:
    left = {name: tmp_path / f".file.{name}.unfinished" for name in ("old", "new", "folder", "live")}
    left["old"].touch()
    left["new"].touch()
    for name in ("folder", "live"):
        (left[name] / "new").mkdir(parents=True)
    (left["live"] / "new" / "weights").touch()
    for path in (left["old"], left["folder"] / "new", left["folder"], left["live"] / "new", left["live"]):
        os.utime(path, (0, 0))
    (tmp_path / "file.old.unfinished").touch()
    with replace_file(tmp_path / "file") as file:
        file.write(b"x")
    assert sorted(os.listdir(tmp_path)) == [
        ".file.live.unfinished",
        ".file.new.unfinished",
        "file",
        "file.old.unfinished",
    ]


def test_a_folder_that_a_killed_writer_had_set_aside_comes_back(tmp_path: Path) -> None:
    aside = tmp_path / ".folder.x.unfinished" / "old"
    aside.mkdir(parents=True)
    (aside / "file").write_text("old")
    for path in (aside / "file", aside, aside.parent):
        os.utime(path, (0, 0))
    with pytest.raises(ValueError, match="bad"):
        _fail(replace_folder(tmp_path / "folder", "file"), ValueError("bad"))
    assert (tmp_path / "folder" / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["folder"]


def test_without_an_exchange_in_one_step_folders_are_replaced_in_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_exchange_at_once", lambda *_: False)
    for text in ("old", "new"):
        with replace_folder(tmp_path / "folder", "file") as new:
            (new / "file").write_text(text)
    assert (tmp_path / "folder" / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["folder"]


def test_the_old_folder_comes_back_when_the_second_step_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_exchange_at_once", lambda *_: False)
    with replace_folder(tmp_path / "folder", "file") as new:
        (new / "file").write_text("old")
    replace = Path.replace

    def fail(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), replace_folder(tmp_path / "folder", "file") as new:
        (new / "file").write_text("new")
    assert (tmp_path / "folder" / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["folder"]
