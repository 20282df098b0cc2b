import multiprocessing
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragqa.errors import IndexStoreError, InputError
from ragqa.storage.checksums import SEAL, seal
from ragqa.storage.generations import CURRENT, LOCK, MANIFEST, current, new_generation, open_current, remove_index

REMEDY = r"build it again: ragqa index --passages passages\.jsonl --out"


def write(folder: Path, text: str) -> Path:
    with new_generation(folder) as generation:
        (generation / "deep").mkdir()
        (generation / "deep" / "text").write_text(text)
        (generation / MANIFEST).write_text("{}")
    return current(folder)


def read(generation: Path) -> str:
    return (generation / "deep" / "text").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "index", "old")
    return tmp_path / "index"


def test_a_new_generation_takes_the_place_of_the_old_when_the_block_ends(folder: Path) -> None:
    old = current(folder)
    with new_generation(folder) as generation:
        (generation / "deep").mkdir()
        (generation / "deep" / "text").write_text("new")
        assert read(current(folder)) == "old"
    assert read(current(folder)) == "new"
    assert current(folder) != old
    assert sorted(os.listdir(folder)) == [current(folder).name, CURRENT, LOCK]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_the_old_generation_stays_when_the_block_raises(folder: Path, error: BaseException) -> None:
    before = sorted(os.listdir(folder))
    with pytest.raises(type(error)), new_generation(folder) as generation:
        (generation / "text").write_text("half")
        raise error
    assert sorted(os.listdir(folder)) == before
    assert read(current(folder)) == "old"


def test_a_first_generation_that_fails_can_be_tried_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bad"), new_generation(tmp_path / "index"):
        raise ValueError("bad")
    assert os.listdir(tmp_path / "index") == [LOCK]
    assert read(write(tmp_path / "index", "new")) == "new"


def test_what_a_killed_first_build_left_is_no_index_and_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    (folder / "000001").mkdir(parents=True)
    for name in (LOCK, ".CURRENT.x.unfinished"):
        (folder / name).touch()
    with pytest.raises(IndexStoreError, match="is not an index"):
        current(folder)
    assert read(write(folder, "new")) == "new"
    assert sorted(os.listdir(folder)) == ["000001", "000002", CURRENT, LOCK]


def test_strangers_in_an_index_are_left_alone(folder: Path) -> None:
    (folder / ".DS_Store").write_text("icons")
    (folder / "notes").mkdir()
    assert read(write(folder, "new")) == "new"
    assert sorted(os.listdir(folder)) == [".DS_Store", "000002", CURRENT, LOCK, "notes"]


def test_what_a_killed_writer_left_is_removed_by_the_next(folder: Path) -> None:
    (folder / ".000007.unfinished").mkdir()
    (folder / ".000007.unfinished" / "half").touch()
    (folder / ".CURRENT.x.unfinished").touch()
    assert read(current(folder)) == "old"
    assert write(folder, "new").name == "000002"
    assert sorted(os.listdir(folder)) == ["000002", CURRENT, LOCK]


def test_numbered_folders_of_others_are_left_alone(folder: Path) -> None:
    for name, file in (("202401", "photo"), ("202402", SEAL), ("202403", MANIFEST)):
        (folder / name).mkdir()
        (folder / name / file).write_text("years of work")
    (folder / "202404").mkdir()
    (folder / "202404" / "weights").touch()
    seal(folder / "202404")  # a model, say
    assert write(folder, "new").name == "202405"
    assert write(folder, "newer").name == "202406"
    assert sorted(os.listdir(folder)) == ["202401", "202402", "202403", "202404", "202406", CURRENT, LOCK]
    assert sorted(path.name for path in folder.glob("20240[1-4]/*")) == sorted(
        ["photo", SEAL, MANIFEST, "weights", SEAL]
    )


def test_what_others_have_put_into_a_generation_is_left_alone(folder: Path) -> None:
    (folder / "000001" / "deep" / "notes").write_text("years of work")
    write(folder, "new")
    assert [path.name for path in (folder / "000001").rglob("*")] == ["deep", "notes"]


def test_checksums_that_name_files_elsewhere_remove_nothing_there(folder: Path) -> None:
    thesis = folder.parent / "thesis"
    thesis.write_text("years of work")
    (folder / "000001" / SEAL).write_text((folder / "000001" / SEAL).read_text().replace("deep/text", "../../thesis"))
    write(folder, "new")
    assert thesis.read_text() == "years of work"


@pytest.mark.parametrize("text", ["MANIFEST-000001\n", '{"generation": "000001"}'])
def test_a_current_of_others_is_no_index(tmp_path: Path, text: str) -> None:
    """LevelDB and RocksDB have a file `CURRENT` too."""
    folder = tmp_path / "leveldb"
    for name in ("000003", "000005"):
        (folder / name).mkdir(parents=True)
        (folder / name / "table").write_text("years of work")
    for name, content in ((CURRENT, text), ("LOCK", ""), ("MANIFEST-000001", "x"), ("000004.ldb", "y")):
        (folder / name).write_text(content)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="leveldb exists and is not an index, so it is not replaced"):
        write(folder, "new")
    with pytest.raises(
        IndexStoreError, match="leveldb is not an index; name another folder, or build one: ragqa index"
    ):
        current(folder)
    remove_index(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_lock_of_others_is_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / LOCK).write_text("pid 7")
    with pytest.raises(InputError, match="work exists and is not an index"):
        write(tmp_path / "work", "new")
    assert (tmp_path / "work" / LOCK).read_text() == "pid 7"


def test_what_first_builds_of_an_earlier_version_left_is_written_into_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    for name in ("000001", "000002"):
        (folder / name).mkdir(parents=True)
        (folder / name / "passages.jsonl").touch()
    (folder / LOCK).touch()
    assert read(write(folder, "new")) == "new"
    assert sorted(os.listdir(folder)) == ["000001", "000002", "000003", CURRENT, LOCK]


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_an_index_without_its_pointer_is_told_and_repaired(folder: Path, damage: str) -> None:
    (folder / CURRENT).unlink() if damage == "missing" else (folder / CURRENT).write_bytes(b"")
    flaw = (
        f"{folder / CURRENT} is damaged"
        if damage == "damaged"
        else f"{folder} is not an index without its file CURRENT"
    )
    whole = rf"^{flaw}, though its generation 000001 is whole; {REMEDY} {folder}$"
    with pytest.raises(IndexStoreError, match=whole):
        current(folder)
    assert read(write(folder, "new")) == "new"
    assert sorted(os.listdir(folder)) == ["000002", CURRENT, LOCK]


def test_an_index_without_its_pointer_and_with_a_damaged_generation_is_repaired(folder: Path) -> None:
    (folder / CURRENT).unlink()
    (folder / "000001" / "deep" / "text").write_text("bad")
    with pytest.raises(IndexStoreError, match=rf"^{folder} is not an index; {REMEDY} {folder}$"):
        current(folder)
    assert read(write(folder, "new")) == "new"


def test_an_index_is_removed_without_what_others_have_put_there(folder: Path) -> None:
    (folder / "notes").write_text("years of work")
    remove_index(folder)
    assert os.listdir(folder) == ["notes"]
    write(folder.parent / "other", "new")
    remove_index(folder.parent / "other")
    assert sorted(os.listdir(folder.parent)) == ["index"]


def test_nothing_else_is_ever_replaced(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("more work")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "manifest.json").write_text("{}")
    (tmp_path / "years" / "202401").mkdir(parents=True)
    (tmp_path / "years" / "202402").mkdir()
    (tmp_path / "locked" / "000002").mkdir(parents=True)
    (tmp_path / "locked" / LOCK).touch()
    for name in ("work", "file", "old", "years", "locked"):
        with pytest.raises(InputError, match=f"{name} exists and is not an index, so it is not replaced"):
            write(tmp_path / name, "new")
    assert os.listdir(tmp_path / "work") == ["thesis.tex"]
    assert sorted(os.listdir(tmp_path / "years")) == ["202401", "202402"]
    assert (tmp_path / "file").read_text() == "more work"
    (tmp_path / "empty").mkdir()
    assert read(write(tmp_path / "empty", "new")) == "new"


def test_a_folder_that_is_no_index_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(IndexStoreError, match=rf"^{path} is not an index; {REMEDY} {path}$"):
            current(path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(IndexStoreError, match=rf"^{tmp_path} is an index of an older format: remove it, and {REMEDY}"):
        current(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "000001", "{}", "[]", '{"generation": "../x", "checksums": "y"}', '{"generation": "1", "checksums": 2}'],
)
def test_a_pointer_that_is_none_is_named(folder: Path, text: str) -> None:
    (folder / CURRENT).write_text(text)
    with pytest.raises(
        IndexStoreError, match=rf"{CURRENT} is damaged, though its generation 000001 is whole; {REMEDY} {folder}$"
    ):
        current(folder)
    assert read(write(folder, "new")) == "new"


def test_a_pointer_that_leads_nowhere_is_named(folder: Path) -> None:
    pointer = (folder / CURRENT).read_text()
    (folder / CURRENT).write_text(pointer.replace("000001", "000002"))
    with pytest.raises(IndexStoreError, match=r"000002/checksums\.json is missing or damaged"):
        current(folder)


def test_a_generation_that_is_removed_while_it_is_opened_is_followed_by_the_next(folder: Path) -> None:
    opened = []

    def open_generation(generation: Path) -> str:
        opened.append(generation.name)
        if len(opened) == 1:
            write(folder, "new")
        if not (generation / "deep" / "text").is_file():
            raise IndexStoreError("gone")
        return read(generation)

    assert open_current(folder, open_generation) == "new"
    assert opened == ["000001", "000002"]


def test_an_error_of_the_current_generation_is_raised(folder: Path) -> None:
    def fail(generation: Path) -> None:
        raise IndexStoreError(generation.name)

    with pytest.raises(IndexStoreError, match="000001"):
        open_current(folder, fail)


def hold(folder: Path, started: Path) -> None:
    with new_generation(folder) as generation:
        (generation / "text").write_text("half")
        started.touch()
        time.sleep(600)


@pytest.fixture
def builder(folder: Path, tmp_path: Path) -> Iterator[multiprocessing.process.BaseProcess]:
    started = tmp_path / "started"
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(folder, started))
    process.start()
    while not started.exists():
        time.sleep(0.01)
    yield process
    process.kill()
    process.join()


def test_of_two_builders_one_wins_and_the_other_is_told(
    folder: Path, builder: multiprocessing.process.BaseProcess
) -> None:
    with pytest.raises(IndexStoreError, match=re.escape(f"{folder} is being written by another process")):
        write(folder, "second")
    assert read(current(folder)) == "old"
    assert builder.is_alive()


def test_two_builders_in_one_process_are_told_apart_too(folder: Path) -> None:
    with new_generation(folder) as generation:
        with pytest.raises(IndexStoreError, match="is being written by another process"):
            write(folder, "second")
        (generation / "deep").mkdir()
        (generation / "deep" / "text").write_text("first")
    assert read(current(folder)) == "first"


@pytest.mark.skipif(os.name != "posix", reason="signals are posix")
def test_the_lock_of_a_killed_builder_does_not_block_the_next(
    folder: Path, builder: multiprocessing.process.BaseProcess
) -> None:
    assert builder.pid
    os.kill(builder.pid, signal.SIGKILL)
    builder.join()
    assert read(write(folder, "new")) == "new"
