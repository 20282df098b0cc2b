"""A start of `ragqa recommend` does no work that a file could have saved."""

from pathlib import Path

from starts import Start
from test_layout import assert_loads_nothing_that_trains
from test_starts import count

COMMAND = ("recommend", "--favorite", "The Hobbit", "--favorite", "Emma", "--favorite", "Dracula")
MOST = Start(texts=0, compiled=0, files=18, modules=280)


def test_a_second_start_does_no_work_that_a_file_could_have_saved(tmp_path: Path) -> None:
    count(COMMAND, tmp_path)
    done = count(COMMAND, tmp_path)
    assert done.texts <= MOST.texts
    assert done.compiled == MOST.compiled
    assert done.files <= MOST.files
    assert done.modules <= MOST.modules


def test_the_command_loads_nothing_that_trains_or_measures() -> None:
    assert_loads_nothing_that_trains("recommend")
