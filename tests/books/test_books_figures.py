from pathlib import Path

from books_figures import DOCUMENT, SOURCES, STATED
from figures import compare, read_stated, unclaimed

TEXT = DOCUMENT.path.read_text(encoding="utf8")


def test_every_figure_is_stated_once_and_has_a_source() -> None:
    assert [len(values) for _, values in read_stated(TEXT, DOCUMENT)] == [len(stated.keys) for stated in STATED]
    assert {stated.source for stated in STATED} == SOURCES.keys()


def test_no_figure_of_the_page_is_forgotten() -> None:
    assert unclaimed(TEXT, DOCUMENT) == []


def test_counts_are_those_of_the_repository() -> None:
    assert [figure for figure in compare(["counts"], Path(), DOCUMENT) if figure.differs] == []
