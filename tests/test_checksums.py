from pathlib import Path

import pytest

from ragqa.storage.checksums import SEAL, find_flaw, is_sealed, read_seal, seal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "weights").write_bytes(bytes(range(256)))
    (tmp_path / "config").write_bytes(b"settings")
    (tmp_path / "empty").touch()
    seal(tmp_path)
    return tmp_path


def test_a_seal_names_every_file(folder: Path) -> None:
    assert is_sealed(folder)
    assert {name: file.bytes for name, file in read_seal(folder).items()} == {
        "config": 8,
        "deep/weights": 256,
        "empty": 0,
    }
    assert find_flaw(folder) == ""


def test_the_same_files_give_the_same_seal(folder: Path) -> None:
    before = (folder / SEAL).read_bytes()
    seal(folder)
    assert (folder / SEAL).read_bytes() == before


def test_missing_shortened_and_changed_files_are_named(folder: Path) -> None:
    path = folder / "deep" / "weights"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"x")
    assert find_flaw(folder) == f"{path} is damaged"
    assert find_flaw(folder, sizes_only=True) == ""
    assert find_flaw(folder, ["config"]) == ""
    path.write_bytes(whole[:-1])
    for sizes_only in (True, False):
        assert find_flaw(folder, sizes_only=sizes_only) == f"{path} is missing or cut short"
    path.unlink()
    assert find_flaw(folder, sizes_only=True) == f"{path} is missing or cut short"


def test_a_file_that_was_not_sealed_is_a_flaw_only_where_it_is_asked_for(folder: Path) -> None:
    (folder / "later").touch()
    assert find_flaw(folder) == ""
    assert find_flaw(folder, ["later"]) == f"{folder / 'later'} is missing or cut short"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"files": []}',
        '{"files": {"a": 1}}',
        '{"files": {"a": {"bytes": "1", "sha256": "b"}}}',
        '{"files": {"a": {"bytes": true, "sha256": "b"}}}',
        '{"files": {"a": {"bytes": 1, "sha256": 2}}}',
        "[" * 100_000,
        "\xff",
    ],
)
def test_a_seal_that_is_none_is_a_flaw(folder: Path, text: str) -> None:
    (folder / SEAL).write_bytes(text.encode("latin-1"))
    assert find_flaw(folder) == f"{folder / SEAL} is missing or damaged"
