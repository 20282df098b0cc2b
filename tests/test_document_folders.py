"""Folders of documents: everything readable is read, and everything else is reported once, with the reason."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ragqa import errors
from ragqa.cli import main
from ragqa.errors import CorpusError, MissingExtraError
from ragqa.records import Passage
from ragqa.storage.json_lines import read_json_lines
from ragqa.text.document_folders import read_folder
from ragqa.text.pages import read_pages

Write = Callable[[str, Iterable[str]], Path]


@pytest.fixture
def notes(tmp_path: Path, write: Write) -> Path:
    """Notes with everything that notes may lie among."""
    write("notes/b.md", ["# Mulch", "It keeps soil moist."])
    write("notes/sub/deep/a.md", ["# Mulch", "Another mulch keeps roses warm."])
    write("notes/sub/log.txt", ["Backups run at night."])
    for name in (".git/config.md", "node_modules/x/README.md", ".hidden.md", "~$b.txt"):
        write(f"notes/{name}", ["# Hidden"])
    folder = tmp_path / "notes"
    (folder / "empty.md").touch()
    (folder / "latin.txt").write_bytes(b"caf\xe9")
    (folder / "photo.png").write_bytes(b"PNG")
    (folder / "rows.csv").write_text("a,b\n")
    (folder / "Makefile").write_text("all:\n")
    (folder / "gone.md").symlink_to(folder / "nothing.md")
    (folder / "linked").symlink_to(folder / "sub")
    os.mkfifo(folder / "pipe.txt")
    with (folder / "sub" / "big.txt").open("wb") as file:
        file.truncate(1 << 30)
    return folder


REASONS = {
    "empty.md": "it is empty",
    "latin.txt": "not UTF-8",
    "photo.png": "pages are not read from .png files",
    "rows.csv": ".csv files hold many pages; name this file by itself",
    "Makefile": "its name has no extension",
    "gone.md": "a link to a file that is gone",
    "linked": "a link to a folder; name that folder too",
    "pipe.txt": "not a regular file",
    "sub/big.txt": "it has 1,073,741,824 bytes",
}


def test_everything_is_read_or_reported_once(notes: Path, caplog: pytest.LogCaptureFixture) -> None:
    reports: list[str] = []
    pages = list(read_folder(notes, reports.append))
    assert [page.title for page in pages] == ["Mulch", "Mulch (sub/deep/a.md)", "log"]
    assert [page.url for page in pages] == [
        (notes / name).as_uri() for name in ("b.md", "sub/deep/a.md", "sub/log.txt")
    ]
    assert len(reports) == len(REASONS)
    for name, reason in REASONS.items():
        assert [report for report in reports if report.startswith(str(notes / name)) and reason in report], name
    assert caplog.messages == [
        f"{notes}: 4 hidden files and folders are left out: .git, .hidden.md, node_modules, ~$b.txt"
    ]


def test_a_folder_that_cannot_be_entered_is_reported(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: str) -> object:  # root may enter every folder
        if path == str(notes / "sub"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    reports: list[str] = []
    assert [page.title for page in read_folder(notes, reports.append)] == ["Mulch"]
    assert f"{notes / 'sub'}: Permission denied" in reports


def test_passages_lists_what_it_skips_and_says_how_many(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = notes.parent / "passages.jsonl"
    assert main(["passages", str(notes), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{out}: 3 passages of 3 pages, 0.0 % list debris; 9 files skipped\n"
    assert len(printed.err.splitlines()) == 10
    assert f"ragqa: skipped {notes / 'empty.md'}: it is empty\n" in printed.err
    assert [p.url for p in read_json_lines(out, Passage)][2] == f"{(notes / 'sub' / 'log.txt').as_uri()}#L1"
    assert main(["verify", str(out), "--pages", str(notes)]) == 0


@pytest.mark.parametrize(
    "arguments", [["PATH", "--out", "OUT"], ["--out", "OUT", "PATH"], ["--out", "OUT", "--pages", "PATH"]]
)
def test_pages_may_be_named_with_and_without_option(write: Write, tmp_path: Path, arguments: list[str]) -> None:
    names = {"PATH": str(write("a.md", ["Text is here."])), "OUT": str(tmp_path / "out.jsonl")}
    assert main(["passages", *(names.get(argument, argument) for argument in arguments)]) == 0


def test_without_any_page_the_exit_status_is_1(
    tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write("notes/a.png", ["PNG"]).parent
    out = str(tmp_path / "out.jsonl")
    assert main(["passages", str(folder), "--out", out]) == 1
    assert f"ragqa: {folder} holds no pages; give JSON Lines" in capsys.readouterr().err
    with pytest.raises(CorpusError, match="holds no pages"):
        list(read_pages(folder))
    assert main(["passages", "--out", out]) == 1
    assert "no pages are named; give files or folders, such as notes/" in capsys.readouterr().err


def test_without_the_extra_its_files_are_skipped_with_the_command_that_installs_it(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(errors._MODULES, "documents", ("no_such_module",))
    (notes / "a.pdf").write_bytes(b"%PDF")
    reports: list[str] = []
    assert len(list(read_folder(notes, reports.append))) == 3
    (report,) = (report for report in reports if "a.pdf" in report)
    assert report.startswith(f"{notes / 'a.pdf'}: reading PDF files needs more packages: pip install")
    with pytest.raises(MissingExtraError):
        list(read_pages(notes / "a.pdf"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_with_line_ends_and_other_bytes_are_read_and_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for name, text in (
        (b"caf\xe9.txt", b"In beds."),
        (b"a\nb.txt", b"Old."),
        (b"c\nragqa: d.txt", b"\xff"),
        (b"\xff.png", b"x"),
    ):
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:  # noqa: PTH123  # a Path would need the name as text
            file.write(text)
    assert main(["passages", str(folder), "--out", str(tmp_path / "out.jsonl")]) == 0
    passages = list(read_json_lines(tmp_path / "out.jsonl", Passage))
    assert sorted((p.title, p.url.rpartition("/")[2]) for p in passages) == [
        ("a\nb", "a%0Ab.txt#L1"), ("caf\ufffd", "caf%E9.txt#L1"),
    ]  # fmt: skip
    lines = [line.partition("notes/")[2] for line in capsys.readouterr().err.splitlines()]
    assert [line.partition(":")[0] for line in lines] == ["\\udcff.png", "c\\nragqa"]


def test_a_bad_file_that_is_named_by_itself_is_an_error(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("empty.md", [])
    assert main(["passages", str(path), "--out", str(path.parent / "out.jsonl")]) == 1
    assert capsys.readouterr().err == f"ragqa: {path}: it is empty\n"
