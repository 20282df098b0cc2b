import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.errors import InputError, RecordError
from ragqa.evaluation.grades import read_grades, write_grades
from ragqa.evaluation.judged import read_beir, read_starter_graded
from ragqa.records import Page, Passage
from ragqa.storage.files import text_hash
from ragqa.storage.json_lines import read_rows, write_json_lines
from ragqa.text.clean import clean_page
from ragqa.text.pages import read_pages, starter_folder
from ragqa.text.passages import split

Write = Callable[[str, Iterable[str]], Path]

ROOT = Path(__file__).parent.parent
STARTER_GRADES = (ROOT / "corpus" / "starter" / "grades.jsonl", ROOT / "corpus" / "starter_training.jsonl")
QUESTIONS = ROOT / "corpus" / "questions.jsonl"
MLQ_GRADES = ROOT / "benchmarks" / "mlq_dev_grades.jsonl"
DATA = os.environ.get("RAGQA_DATA", "")
needs_data = pytest.mark.skipif(not DATA, reason="set RAGQA_DATA to the folder that holds wikipedia/ and mlq_dev/")

ORANGES = "Oranges are grown in rows, and frost damages them early in the year."


def passage(number: int, text: str, title: str = "Fruit", start: int = 0) -> Passage:
    return Passage(f"{title}#{number}", title, start=start, end=start + len(text), text=text)


FRUIT = (passage(0, "Apples are red."), passage(1, ORANGES, start=16), passage(0, "Beets are red.", "Roots"))
GRADES = {"red?": {"Fruit#0": 2, "Roots#0": 1, "Fruit#1": 0}, "frost?": {"Fruit#1": 2}}


@pytest.fixture
def graded(tmp_path: Path) -> Path:
    write_grades(tmp_path / "grades.jsonl", GRADES, FRUIT)
    return tmp_path / "grades.jsonl"


# Grades and passages


def test_grades_are_read_as_they_were_written(graded: Path) -> None:
    assert read_grades(graded, FRUIT) == GRADES


def test_a_file_lists_each_passage_once_and_holds_no_text(graded: Path) -> None:
    assert [row for _, row in read_rows(graded)] == [
        {"page": "Fruit", "passages": [[0, 15, text_hash("Apples are red.")], [16, 84, text_hash(ORANGES)]]},
        {"page": "Roots", "passages": [[0, 14, text_hash("Beets are red.")]]},
        {"question": "red?", "grades": {"Fruit": {"0": 2, "1": 0}, "Roots": {"0": 1}}},
        {"question": "frost?", "grades": {"Fruit": {"1": 2}}},
    ]
    assert re.fullmatch("[0-9a-f]{12}", text_hash(ORANGES))


@given(st.dictionaries(st.text(min_size=1), st.dictionaries(st.integers(0, 19), st.integers(0, 2), min_size=1)))
def test_any_grades_survive(tmp_path_factory: pytest.TempPathFactory, drawn: dict[str, dict[int, int]]) -> None:
    texts = [passage(n, f"Text {n}.", f"Page {n % 3}", start=10 * n) for n in range(20)]
    grades = {question: {texts[n].id: grade for n, grade in own.items()} for question, own in drawn.items()}
    path = tmp_path_factory.mktemp("any") / "grades.jsonl"
    write_grades(path, grades, texts)
    assert read_grades(path, reversed(texts)) == grades


def test_a_passage_is_found_where_it_has_moved_to(graded: Path) -> None:
    moved = (passage(0, "Pears are green."), passage(1, "Apples are red.", start=17), passage(2, ORANGES, start=33))
    assert read_grades(graded, (*moved, FRUIT[2])) == {
        "red?": {"Fruit#1": 2, "Roots#0": 1, "Fruit#2": 0},
        "frost?": {"Fruit#2": 2},
    }


def test_of_equal_texts_the_nearest_is_meant(tmp_path: Path) -> None:
    twice = [passage(n, "Apples are red.", start=start) for n, start in enumerate((0, 400, 800))]
    write_grades(tmp_path / "grades.jsonl", {"red?": {"Fruit#1": 2}}, twice)
    assert read_grades(tmp_path / "grades.jsonl", twice) == {"red?": {"Fruit#1": 2}}


@pytest.mark.parametrize(
    ("passages", "message"),
    [
        (
            (FRUIT[0], passage(1, ORANGES.replace("early", "late"), start=16), FRUIT[2]),
            "line 3: the question 'red?' has a grade for characters 16 to 84 of the page 'Fruit', and this text has changed",
        ),
        (FRUIT[:2], "line 3: the question 'red?' has a grade for the page 'Roots', which is missing"),
    ],
)
def test_a_grade_whose_text_is_gone_is_refused(graded: Path, passages: tuple[Passage, ...], message: str) -> None:
    with pytest.raises(RecordError, match=re.escape(f"{graded}, {message}")) as error:
        read_grades(graded, passages)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"question": "q"}', "'page' and 'passages', or 'question' and 'grades' by title and number are needed"),
        ('{"question": "q", "grades": [1]}', "'page' and 'passages', or "),
        ('{"question": "q", "grades": {"Fruit": [1]}}', "'page' and 'passages', or "),
        ('{"question": "q", "grades": {"Fruit": {"2": 1}}}', "'page' and 'passages', or "),
        ('{"question": "q", "grades": {"Fruit": {"-1": 1}}}', "'page' and 'passages', or "),
        ('{"question": "q", "grades": {"Fruit": {"0": 1.5}}}', "the grade 1.5 is not a whole number"),
        ('{"question": "q", "grades": {"Fruit": {"0": true}}}', "the grade True is not a whole number"),
        ('{"question": "q", "grades": {"Nuts": {"0": 1}}}', "the passages of the page 'Nuts' are not listed above"),
        ('{"page": "Nuts"}', "'page' and 'passages', or "),
        ('{"page": [], "passages": []}', "'page' and 'passages', or "),
        ('{"page": "Nuts", "passages": [[0, 3]]}', "'page' and 'passages', or "),
        ('{"page": "Nuts", "passages": [[0, 3, 9]]}', r"a passage is \[start, end, hash\]"),
    ],
)
def test_a_line_that_holds_no_grades_is_named(graded: Path, row: str, message: str) -> None:
    with graded.open("a") as file:
        file.write(f"{row}\n")
    with pytest.raises(RecordError, match=rf"grades\.jsonl, line 5: {message}"):
        read_grades(graded, FRUIT)


def test_a_grade_of_no_passage_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the graded passage 'Fruit#7' is not among the passages"):
        write_grades(tmp_path / "grades.jsonl", {"red?": {"Fruit#7": 2}}, FRUIT)


# The files of this project


@pytest.mark.parametrize("path", [*STARTER_GRADES, QUESTIONS, MLQ_GRADES], ids=lambda path: path.name)
def test_the_files_hold_questions_and_grades_and_no_text_of_the_pages(path: Path) -> None:
    kinds = {tuple(row) for _, row in read_rows(path)}
    assert kinds == {("page", "passages"), ("question", "grades")}
    spans = [span for _, row in read_rows(path) for span in row.get("passages", ())]
    assert all(re.fullmatch("[0-9a-f]{12}", digest) and 0 <= start < end for start, end, digest in spans)


@pytest.mark.parametrize("path", STARTER_GRADES, ids=lambda path: path.name)
def test_the_grades_of_the_starter_corpus_fit_it(path: Path, starter_passages: tuple[Passage, ...]) -> None:
    grades = read_grades(path, starter_passages)
    assert len(grades) == sum("question" in row for _, row in read_rows(path)) > 300
    assert sum(map(len, grades.values())) > 3000


def test_an_edited_article_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(starter_folder(), tmp_path / "starter")
    article = tmp_path / "starter" / "overfitting.md"
    text = article.read_text(encoding="utf8")
    article.write_text(text.replace("training", "practice", 1), encoding="utf8")
    with pytest.raises(
        RecordError, match=r"the question '.*' has a grade for characters \d+ to \d+ of the page 'Overfitting'"
    ):
        read_starter_graded(tmp_path / "starter")


@needs_data
def test_the_written_questions_fit_the_pages() -> None:
    path = Path(DATA) / "wikipedia" / "pages.jsonl.gz"
    wanted = {row["title"] for _, row in read_rows(path) if row["ml"]}
    passages = [p for page in read_pages(path) if page.title in wanted for p in split(clean_page(page))]
    grades = read_grades(QUESTIONS, passages)
    assert len(grades) == 10112
    assert sum(map(len, grades.values())) == 115071


@needs_data
def test_the_grades_of_mlq_dev_fit_its_passages() -> None:
    judged = read_beir(Path(DATA) / "mlq_dev")
    grades = read_grades(MLQ_GRADES, judged.passages)
    assert grades.keys() <= judged.questions.keys()
    assert sum(map(len, grades.values())) == 237


# Carrying grades over


def carry(graded: Path, was: Iterable[Passage], now: Iterable[Passage]) -> subprocess.CompletedProcess[str]:
    for name, passages in (("was.jsonl", was), ("now.jsonl", now)):
        write_json_lines(graded.with_name(name), passages)
    command = [sys.executable, str(ROOT / "benchmarks" / "carry_grades.py"), str(graded)]
    paths = ["--was", str(graded.with_name("was.jsonl")), "--now", str(graded.with_name("now.jsonl"))]
    return subprocess.run([*command, *paths], capture_output=True, text=True, check=False)


def test_grades_are_carried_over_to_the_same_and_nearly_the_same_text(graded: Path) -> None:
    changed = ORANGES.replace(" early in the year", " in spring")
    now = (passage(0, changed), passage(1, "Apples are red.", start=70), passage(0, "Turnips are white.", "Roots"))
    done = carry(graded, FRUIT, now)
    assert done.stdout.splitlines() == [
        "dropped: 1 passages, 1 grades",
        "nearly the same text: 1 passages, 2 grades",
        "same text: 1 passages, 1 grades",
        "questions: 2 of 2 kept",
    ]
    assert read_grades(graded, now) == {"red?": {"Fruit#1": 2, "Fruit#0": 0}, "frost?": {"Fruit#0": 2}}


def test_questions_without_an_answer_are_dropped_and_the_more_similar_text_decides(graded: Path) -> None:
    page = Page("Fruit", text=f"{ORANGES}\n\n== More ==\n{ORANGES.replace('early', 'late')}")
    was = split(page)
    write_grades(graded, {"frost?": {was[0].id: 2, was[1].id: 0}, "late?": {was[1].id: 2}, "no?": {was[0].id: 0}}, was)
    now = (passage(0, ORANGES),)
    assert carry(graded, was, now).stdout.endswith("questions: 2 of 3 kept\n")
    assert read_grades(graded, now) == {"frost?": {"Fruit#0": 2}, "late?": {"Fruit#0": 2}}


def test_grades_that_do_not_fit_are_not_carried_over(graded: Path) -> None:
    before = graded.read_bytes()
    done = carry(graded, FRUIT[:2], FRUIT)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"carry_grades: {graded}, line 3: the question 'red?' has a grade for the page 'Roots', which is missing"
    ]
    assert graded.read_bytes() == before
