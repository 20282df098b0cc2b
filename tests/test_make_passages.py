from pathlib import Path

import pytest

from ragqa.errors import CorpusError, InputError
from ragqa.records import Page, Passage
from ragqa.storage.json_lines import read_json_lines, write_json_lines
from ragqa.text.make_passages import PassagesConfig, PassagesReport, cut_pages, make_passages, read_all_pages

PAGES = [Page("Dropout", text="Dropout trains networks."), Page("Nothing"), Page("Dropout", text="It appears again.")]


@pytest.fixture
def config(tmp_path: Path) -> PassagesConfig:
    write_json_lines(tmp_path / "pages.jsonl", PAGES)
    return PassagesConfig(pages=(str(tmp_path / "pages.jsonl"),), out=tmp_path / "passages.jsonl")


def test_pages_are_cut_once_and_skipped_pages_are_logged(
    config: PassagesConfig, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_passages(config) == PassagesReport(passages=1, pages=1, debris=0)
    assert [passage.text for passage in read_json_lines(config.out, Passage)] == ["Dropout trains networks."]
    assert caplog.messages == [
        "page 'Nothing' holds no text",
        "page 'Dropout' appears twice; the second one is skipped",
    ]
    assert capsys.readouterr() == ("", "")  # a library is quiet


def test_documents_of_several_folders_have_titles_of_their_own(tmp_path: Path) -> None:
    names = ("a/README.md", "a/sub/README.md", "b/README.md", "b/c/README.md", "x/b/README.md", "one/README.md")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"This is {name}.")
    paths = [str(tmp_path / name) for name in ("a", "b", "x/b", "one/README.md")]
    titles = {
        "README": "a/README.md",
        "README (sub/README.md)": "a/sub/README.md",
        "README (b/README.md)": "b/README.md",
        "README (b/c/README.md)": "b/c/README.md",
        f"README ({(tmp_path / 'x/b/README.md').resolve().as_posix()})": "x/b/README.md",
        "README (one/README.md)": "one/README.md",
    }
    assert {page.title: page.text for page in read_all_pages(paths)} == {
        title: f"This is {name}." for title, name in titles.items()
    }


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "notes" / "sub").mkdir(parents=True)
    for name in ("a.md", "sub/b.md"):
        (tmp_path / "notes" / name).write_text("# Soil\nText.")
    pages = read_all_pages([str(tmp_path / "notes"), str(tmp_path / "notes" / "sub")])
    assert [passages[0].title for passages in cut_pages(pages)] == ["Soil", "Soil (sub/b.md)"]
    assert caplog.messages == ["page 'Soil (sub/b.md)' appears twice; the second one is skipped"]


def test_without_text_the_old_file_is_kept(config: PassagesConfig) -> None:
    write_json_lines(config.pages[0], [Page("Nothing")])
    Path(config.out).write_text("old\n")
    with pytest.raises(CorpusError, match=r"pages\.jsonl: no page holds text"):
        make_passages(config)
    assert Path(config.out).read_text() == "old\n"


def test_another_style_is_refused() -> None:
    with pytest.raises(InputError, match="style is 'raw'; it must be one of sentences, reference"):
        PassagesConfig(pages=("starter",), out="out", style="raw")
