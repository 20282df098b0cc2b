from pathlib import Path

import pytest

from ragqa.errors import CorpusError, InputError
from ragqa.records import Page, Passage
from ragqa.storage.json_lines import read_json_lines, write_json_lines
from ragqa.text.make_passages import PassagesConfig, PassagesReport, make_passages

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


def test_without_text_the_old_file_is_kept(config: PassagesConfig) -> None:
    write_json_lines(config.pages[0], [Page("Nothing")])
    Path(config.out).write_text("old\n")
    with pytest.raises(CorpusError, match=r"pages\.jsonl: no page holds text"):
        make_passages(config)
    assert Path(config.out).read_text() == "old\n"


def test_another_style_is_refused() -> None:
    with pytest.raises(InputError, match="style is 'raw'; it must be one of sentences, reference"):
        PassagesConfig(pages=("starter",), out="out", style="raw")
