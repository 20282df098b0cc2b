from pathlib import Path

import pytest
from figures import README, SOURCES, STATED, Figure, compare, main, print_figures, read_stated, unclaimed


def test_every_figure_is_stated_once_and_has_a_source() -> None:
    assert [len(values) for _, values in read_stated(README.read_text(encoding="utf8"))] == [
        len(s.keys) for s in STATED
    ]
    assert {stated.source for stated in STATED} == SOURCES.keys()


def test_no_figure_of_the_readme_is_forgotten() -> None:
    assert unclaimed(README.read_text(encoding="utf8")) == []
    assert unclaimed("a new claim: 7.3× as fast, nDCG@10 0.999") == ["7.3×", "0.999"]


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
