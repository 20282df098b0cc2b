from pathlib import Path

import pytest

from ragqa.errors import InputError, RecordError
from ragqa.evaluation.marks import BEST, PARTLY, Mark, read_marks, write_marks
from ragqa.records import Passage

TEXT = "Apples are red. Pears are green."
FRUIT = (
    Passage("Fruit#0", "Fruit", start=0, end=len(TEXT), text=TEXT),
    Passage("Fruit#1", "Fruit", start=40, end=52, text="Figs: brown."),
)
MARKS = {"red?": {"Fruit#0": (Mark(0, 15, BEST), Mark(16, 32, PARTLY)), "Fruit#1": ()}}


def test_marks_are_read_as_they_were_written_and_hold_no_text(tmp_path: Path) -> None:
    write_marks(tmp_path / "marks.jsonl", MARKS, FRUIT)
    assert read_marks(tmp_path / "marks.jsonl", FRUIT) == MARKS
    assert "Apples" not in (tmp_path / "marks.jsonl").read_text(encoding="utf8")


def test_marks_follow_a_passage_that_has_moved_and_refuse_one_that_has_changed(tmp_path: Path) -> None:
    write_marks(tmp_path / "marks.jsonl", MARKS, FRUIT)
    moved = Passage("Fruit#7", "Fruit", start=90, end=90 + len(TEXT), text=TEXT)
    assert read_marks(tmp_path / "marks.jsonl", [moved, FRUIT[1]])["red?"]["Fruit#7"] == MARKS["red?"]["Fruit#0"]
    changed = Passage("Fruit#0", "Fruit", text="Apples are blue.")
    with pytest.raises(RecordError, match=r"'red\?'.*text has changed"):
        read_marks(tmp_path / "marks.jsonl", [changed, FRUIT[1]])


@pytest.mark.parametrize("mark", ["[0, 99, 2]", "[3, 3, 2]", "[0, 4, 4]", "[0, 4]", '["0", 4, 1]', "7"])
def test_bad_marks_are_told_with_their_line(tmp_path: Path, mark: str) -> None:
    write_marks(tmp_path / "marks.jsonl", {"red?": {"Fruit#0": ()}}, FRUIT)
    text = (tmp_path / "marks.jsonl").read_text(encoding="utf8")
    (tmp_path / "marks.jsonl").write_text(text.replace('"0": []', f'"0": [{mark}]'), encoding="utf8")
    with pytest.raises(RecordError, match=r"marks.jsonl, line 2"):
        read_marks(tmp_path / "marks.jsonl", FRUIT)


def test_a_mark_is_checked() -> None:
    with pytest.raises(InputError, match="is empty or has a grade outside"):
        Mark(4, 2, BEST)
