import re
from pathlib import Path

import pytest
from figures import PAGE, ROOT, SOURCES, STATED, Figure, compare, main, misquoted, print_figures, read_stated, unclaimed


def test_every_figure_is_stated_once_and_has_a_source() -> None:
    assert [len(values) for _, values in read_stated(PAGE.read_text(encoding="utf8"))] == [len(s.keys) for s in STATED]
    assert {stated.source for stated in STATED} == SOURCES.keys()


@pytest.mark.parametrize("name", ["README.md", "docs/figures.md"])
def test_no_figure_is_forgotten(name: str) -> None:
    assert unclaimed((ROOT / name).read_text(encoding="utf8")) == []
    assert unclaimed("a new claim: 7.3× as fast, nDCG@10 0.999") == ["7.3×", "0.999"]


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_pages_repeat_figures_as_they_are(path: Path) -> None:
    assert misquoted(path.read_text(encoding="utf8")) == []


def test_a_figure_that_is_repeated_wrongly_is_found() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf8")
    assert len(misquoted(readme.replace("0.506 | **0.716**", "0.506 | **0.726**"))) == 1
    wrong = re.sub(r"(?<=450 characters: )\d+ pairs/s", "1 pairs/s", readme)
    assert len(misquoted(wrong)) == 1


def test_counts_are_those_of_the_repository() -> None:
    assert [figure for figure in compare(["counts"], Path()) if figure.differs] == []


def test_a_figure_that_is_off_or_gone_differs(capsys: pytest.CaptureFixture[str]) -> None:
    figures = [Figure("a", 0.716, 0.709, 0.01), Figure("b", 0.716, 0.705, 0.01), Figure("c", 5.2, None, 0.15)]
    assert print_figures(figures) == 2
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| a | 0.716 | 0.709 |  |",
        "| b | 0.716 | 0.705 | differs |",
        "| c | 5.2 | – | differs |",
    ]


def test_data_is_asked_for_before_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "counts", "squad"])
    assert "squad needs --data" in capsys.readouterr().err
