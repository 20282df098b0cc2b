"""An index follows the folders that it was made from."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ragqa.cli import main
from ragqa.errors import CorpusError, InputError
from ragqa.index.bm25 import Bm25Index
from ragqa.index.folder import IndexReport, build_index
from ragqa.index.watch import Watcher, pause_s

Write = Callable[[str, Iterable[str]], Path]


def texts(index: Path) -> dict[str, str]:
    return {passage.title: passage.text for passage in Bm25Index.open(index).passages}


@pytest.fixture
def notes(tmp_path: Path, write: Write) -> Path:
    write("notes/a.md", ["# Mulch", "It keeps soil moist."])
    write("notes/sub/b.txt", ["Backups run at night."])
    return tmp_path / "notes"


def test_an_update_takes_over_what_has_changed_and_opens_nothing_else(
    notes: Path, tmp_path: Path, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    index, watcher = tmp_path / "index", Watcher([notes])
    build_index(index, watcher.read())
    assert watcher.update(index, None) is None
    write("notes/a.md", ["# Mulch", "It keeps soil moist and warm."])
    write("notes/c.txt", ["New."])
    (notes / "bad.txt").write_bytes(b"\xe9")
    (notes / "sub" / "b.txt").unlink()
    assert watcher.update(index, None) == IndexReport(2, 0, added=("c",), changed=("Mulch",), removed=("b",))
    assert texts(index) == {"Mulch": "It keeps soil moist and warm.", "c": "New."}
    assert watcher.update(index, None) is None
    assert len(caplog.messages) == 1  # the bad file is named once, although it is seen in every update
    assert caplog.messages[0].startswith(f"skipped {notes / 'bad.txt'}, line 1: not UTF-8")
    status = (notes / "c.txt").stat()
    (notes / "c.txt").write_text("Old.\n")  # as long as before, and with the same time: it is not opened
    os.utime(notes / "c.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert watcher.update(index, None) is None


def test_a_failed_update_keeps_the_index_and_is_made_up_for(notes: Path, tmp_path: Path, write: Write) -> None:
    index, watcher = tmp_path / "index", Watcher([notes])
    build_index(index, watcher.read())
    (notes / "a.md").unlink()
    (notes / "sub" / "b.txt").unlink()
    with pytest.raises(CorpusError, match="notes: there is no document that can be read; the index stays as it is"):
        watcher.update(index, None)
    assert texts(index).keys() == {"Mulch", "b"}
    write("notes/c.txt", ["New."])
    report = watcher.update(index, None)
    assert report is not None
    assert (report.added, report.removed) == (("c",), ("Mulch", "b"))


def test_a_folder_that_is_gone_keeps_the_index_although_another_is_there(
    notes: Path, tmp_path: Path, write: Write
) -> None:
    more = write("more/c.txt", ["A drive."]).parent
    index, watcher = tmp_path / "index", Watcher([notes, more])
    build_index(index, watcher.read())
    more.rename(tmp_path / "gone")
    with pytest.raises(CorpusError, match="more: there is no document that can be read; the index stays as it is"):
        watcher.update(index, None)
    assert texts(index).keys() == {"Mulch", "b", "c"}
    (tmp_path / "gone").rename(more)
    assert watcher.update(index, None) is None


def test_a_folder_may_be_empty_at_first(notes: Path, tmp_path: Path, write: Write) -> None:
    (tmp_path / "more").mkdir()
    watcher = Watcher([notes, tmp_path / "more"])
    build_index(tmp_path / "index", watcher.read())
    write("more/c.txt", ["New."])
    report = watcher.update(tmp_path / "index", None)
    assert report is not None
    assert report.added == ("c",)


def test_a_document_that_is_half_written_keeps_its_last_page(
    notes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index, watcher = tmp_path / "index", Watcher([notes])
    build_index(index, watcher.read())
    (notes / "sub" / "b.txt").write_bytes(b"caf\xe9")
    for _ in range(2):
        assert watcher.update(index, None) is None
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith("; its last page stays in the index")
    (notes / "sub" / "b.txt").write_text("Whole again.")
    assert watcher.update(index, None) == IndexReport(2, 0, added=(), changed=("b",), removed=())
    assert texts(index)["b"] == "Whole again."


def test_documents_of_two_folders_with_the_same_title_are_watched(notes: Path, tmp_path: Path, write: Write) -> None:
    more = write("more/a.md", ["# Mulch", "More of it."]).parent
    build_index(tmp_path / "index", Watcher([notes, more]).read())
    assert texts(tmp_path / "index").keys() == {"Mulch", "b", "Mulch (more/a.md)"}


def test_polling_takes_a_tenth_of_the_time_at_most(notes: Path) -> None:
    assert [pause_s(took) for took in (0.0, 0.05, 0.6)] == [1.0, 1.0, pytest.approx(6.0)]
    watcher = Watcher([notes])
    assert next(watcher._changes()) is None
    assert watcher._pause_s >= 1.0


def test_only_folders_can_be_watched(notes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="a.md is not a folder; only folders can be watched"):
        Watcher([notes, notes / "a.md"])
    out = str(tmp_path / "index")
    assert main(["index", "--passages", "p.jsonl", "--out", out, "--watch"]) == 1
    assert capsys.readouterr().err == "ragqa: --watch needs folders of documents; leave out --passages\n"


def test_index_and_update_take_pages(
    notes: Path, tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    index = str(tmp_path / "index")
    assert main(["index", str(notes), "--out", index, "--no-dense"]) == 0
    assert texts(Path(index)) == {"Mulch": "It keeps soil moist.", "b": "Backups run at night."}
    assert main(["verify", index, "--pages", str(notes)]) == 0
    assert main(["update", index, "--pages", str(write("more/b.txt", ["At noon."]))]) == 0
    assert texts(Path(index))["b"] == "At noon."
    capsys.readouterr()
    assert main(["index", "--out", index]) == 1
    assert main(["index", str(notes), "--passages", "p.jsonl", "--out", index]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "ragqa: nothing to index: give pages, such as a folder of notes, or --passages",
        "ragqa: pages and --passages exclude each other; give one of the two",
    ]


def test_update_takes_the_starter_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["update", str(tmp_path / "none"), "--pages", "starter"]) == 1
    assert "none is not an index" in capsys.readouterr().err


def test_watch_follows_a_folder_until_ctrl_c(notes: Path, tmp_path: Path, write: Write) -> None:
    index = tmp_path / "index"
    heed = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # a shell's background jobs ignore it
    code = f"import signal, sys\nfrom ragqa.cli import main\n{heed}\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "index", str(notes), "--out", str(index), "--no-dense", "--watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline().startswith(f"{index}: 2 passages, 0 of them embedded now; pages: 2 added")
            (notes / "bad.md").write_bytes(b"\xe9")
            write("notes/c.txt", ["New."])
            assert process.stdout.readline().endswith("pages: 1 added, 0 changed, 0 removed\n")
            assert texts(index)["c"] == "New."
            time.sleep(0.1)
        finally:
            process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out) == (0, "")
    assert len(err.splitlines()) == 1
    assert f"skipped {notes / 'bad.md'}, line 1: not UTF-8" in err
