import errno
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from mounts import as_another_user, in_mounts

from ragqa.errors import InputError
from ragqa.storage import files
from ragqa.storage.files import replace_file, sync_tree, used_longest_ago


def _fail(context: AbstractContextManager[object], error: BaseException) -> None:
    with context:
        raise error


def test_a_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "pages.jsonl"
    path.write_bytes(b"old and longer")
    with replace_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old and longer"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["pages.jsonl"]


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


@pytest.mark.usefixtures("broken_sync")
def test_a_file_stays_as_it_was_when_the_disk_is_found_full_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)), replace_file(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


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


def test_what_killed_writers_left_is_removed_when_it_is_old(tmp_path: Path) -> None:
    left = {name: tmp_path / f".file.{name}.unfinished" for name in ("old_____", "new_____", "folder__", "live____")}
    left["old_____"].touch()
    left["new_____"].touch()
    for name in ("folder__", "live____"):
        (left[name] / "new").mkdir(parents=True)
    (left["live____"] / "new" / "weights").touch()
    for path in (
        left["old_____"],
        left["folder__"] / "new",
        left["folder__"],
        left["live____"] / "new",
        left["live____"],
    ):
        os.utime(path, (0, 0))
    for name in ("file.old_____.unfinished", ".file.draft.unfinished"):  # not ours
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    with replace_file(tmp_path / "file") as file:
        file.write(b"x")
    assert sorted(os.listdir(tmp_path)) == [
        ".file.draft.unfinished",
        ".file.live____.unfinished",
        ".file.new_____.unfinished",
        "file",
        "file.old_____.unfinished",
    ]


@pytest.mark.skipif(os.name != "posix", reason="permissions are posix")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_permissions_of_a_file_follow_the_umask(
    tmp_path: Path, umask: Callable[[int], int], mask: int, mode: int
) -> None:
    umask(mask)
    with replace_file(tmp_path / "deep" / "file"):
        pass
    assert (tmp_path / "deep" / "file").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("age", [-10 * 24 * 3600, 10 * 24 * 3600])
def test_what_is_being_written_is_not_abandoned_whatever_the_clock_says(tmp_path: Path, age: int) -> None:
    with replace_file(tmp_path / "file") as slow:
        (unfinished,) = tmp_path.iterdir()
        os.utime(unfinished, (time.time() + age,) * 2)
        with replace_file(tmp_path / "file") as fast:
            fast.write(b"fast")
        slow.write(b"slow")
    assert (tmp_path / "file").read_bytes() == b"slow"
    assert os.listdir(tmp_path) == ["file"]


def test_what_was_left_while_the_clock_was_ahead_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".file.abcdefgh.unfinished"
    left.touch()
    os.utime(left, (time.time() + 10 * 24 * 3600,) * 2)
    with replace_file(tmp_path / "file"):
        pass
    assert os.listdir(tmp_path) == ["file"]


def test_times_in_the_future_count_as_long_ago(tmp_path: Path) -> None:
    now = time.time()
    for name, used in {"future": now + 9999, "past": now - 9999, "just now": now, "a while ago": now - 60}.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (used, used))
    assert [path.name for path in used_longest_ago(tmp_path.iterdir(), keep=2)] == ["past", "future"]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_folders_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fsync = os.fsync

    def sync_files_only(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sync_files_only)
    with replace_file(tmp_path / "file") as file:
        file.write(b"new")
    sync_tree(tmp_path)
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_file_that_cannot_be_synced_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="Invalid argument"):
        files.sync(tmp_path / "file")


WRITE = "import sys; from ragqa.storage.files import replace_file\nwith replace_file(sys.argv[1]) as file: file.write(b'new')"


def test_a_bound_file_is_written_in_place(tmp_path: Path) -> None:
    for name in ("target", "a place"):
        (tmp_path / name).write_text("old and longer")
    place = str(tmp_path / "a place")
    done = in_mounts([["--bind", tmp_path / "target", place]], [[sys.executable, "-c", WRITE, place]])
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "target").read_text() == "new"
    assert (tmp_path / "a place").read_text() == "old and longer"
    assert sorted(os.listdir(tmp_path)) == ["a place", "target"]


def test_the_new_content_is_kept_if_a_bound_file_has_no_room_for_it(tmp_path: Path) -> None:
    disk, place = tmp_path / "disk", tmp_path / "place"
    disk.mkdir()
    place.touch()
    bind = [["touch", disk / "file"], ["mount", "--bind", disk / "file", place]]
    write = [sys.executable, "-c", WRITE.replace("b'new'", "b'new' * 100_000"), place]
    done = in_mounts([["-t", "tmpfs", "-o", "size=16k", "none", disk]], [*bind, write])
    (left,) = tmp_path.glob(".place.*")
    assert f"No space left on device; the whole new content is in {left}: '{place}'" in done.stderr
    assert left.read_bytes() == b"new" * 100_000


def test_a_bound_file_that_is_only_readable_is_named_before_the_work(tmp_path: Path) -> None:
    for name in ("target", "place"):
        (tmp_path / name).write_text("old")
    place = tmp_path / "place"
    mounts = [["--bind", tmp_path / "target", place], ["-o", "remount,bind,ro", place]]
    work = WRITE.replace("file.write", "print('work');file.write")
    done = in_mounts(mounts, [[sys.executable, "-c", work, place]])
    assert f"Read-only file system: '{place}'" in done.stderr
    assert done.stdout == ""
    assert sorted(os.listdir(tmp_path)) == ["place", "target"]


def test_a_folder_that_cannot_be_written_into_is_named_before_the_work(open_folder: Path) -> None:
    work = WRITE.replace("file.write", "print('work');file.write")
    done = as_another_user([sys.executable, "-c", work, open_folder / "deep" / "file"])
    assert f"nothing can be written into this folder: '{open_folder}'" in done.stderr
    assert done.stdout == ""
