import gzip
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ragqa.corpus import starter_folder
from ragqa.errors import CorpusError, InputError, RecordError
from ragqa.judged import (
    read_beir,
    read_judged,
    read_starter,
    read_starter_graded,
    select,
    starter_part,
)
from ragqa.records import Passage

Write = Callable[[str, Iterable[str]], Path]

LONG = "Dropout drops units. " * 3 + "It was named in 2012. " + "Units come back. " * 3
CORPUS = [
    {"_id": "d1", "title": "Dropout", "text": "Dropout drops units.", "metadata": {}},
    {"_id": "d2", "title": "Long", "text": LONG},
    {"_id": 3, "text": "No title."},
]
QUERIES = [
    {"_id": "q1", "text": "what is dropout?"},
    {"_id": "q2", "text": "when was it named?", "answers": ["named in 2012"]},
    {"_id": "q3", "text": "answered nowhere"},
]
QRELS = [("q1", "d1", 2), ("q1", "d2", 1), ("q1", "gone", 1), ("q2", "d2", 1), ("q3", "d1", 0), ("q9", "d1", 1)]


def _qrels(rows: Iterable[tuple[str, str, int]]) -> list[str]:
    return ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in rows)]


@pytest.fixture
def beir(write: Write) -> Path:
    write("beir/corpus.jsonl", map(json.dumps, CORPUS))
    write("beir/queries.jsonl", map(json.dumps, QUERIES))
    return write("beir/qrels.tsv", _qrels(QRELS)).parent


def test_a_beir_folder_gives_passages_questions_and_grades(beir: Path) -> None:
    judged = read_beir(beir)
    assert judged.name == "beir"
    assert judged.passages == (
        Passage("d1", "Dropout", end=20, text="Dropout drops units."),
        Passage("d2", "Long", end=len(LONG), text=LONG),
        Passage("3", "", end=9, text="No title."),
    )
    assert judged.questions == {"q1": "what is dropout?", "q2": "when was it named?"}
    assert judged.relevance == {"q1": {"d1": 2, "d2": 1}, "q2": {"d2": 1}}
    assert judged.answers == {"q2": ("named in 2012",)}
    assert judged.uncovered == ()


def test_gzipped_files_and_the_test_split_are_read_too(beir: Path) -> None:
    plain = read_beir(beir)
    for path in list(beir.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert read_beir(beir) == plain
    (beir / "qrels").mkdir()
    (beir / "qrels" / "test.tsv").write_bytes(gzip.decompress((beir / "qrels.tsv.gz").read_bytes()))
    (beir / "qrels.tsv.gz").unlink()
    assert read_judged(beir) == plain


def test_a_long_document_is_cut_and_only_what_holds_the_answer_is_relevant(beir: Path) -> None:
    judged = read_beir(beir, max_chars=50)
    pieces = [p for p in judged.passages if p.id.startswith("d2#")]
    assert [p.id for p in pieces] == [f"d2#{n}" for n in range(len(pieces))]
    assert all(len(p.text) <= 50 and LONG[p.start : p.end] == p.text and p.title == "Long" for p in pieces)
    assert len(pieces) > 2
    assert judged.relevance["q2"] == {p.id: 1 for p in pieces if "named in 2012" in p.text} != {}
    assert judged.relevance["q1"] == {"d1": 2} | {p.id: 1 for p in pieces}


@pytest.mark.parametrize(("answers", "count"), [(None, 3), ("named in 2012", 1), (["named in 2012"], 1)])
def test_answers_may_be_one_text_or_missing(beir: Path, write: Write, answers: object, count: int) -> None:
    write("beir/queries.jsonl", [json.dumps({"_id": "q2", "text": "when?", "answers": answers})])
    assert min(len(read_beir(beir, max_chars=60).relevance["q2"]), 3) == count


def test_the_higher_of_two_grades_and_empty_lines(beir: Path, write: Write) -> None:
    write("beir/qrels.tsv", [*_qrels([("q1", "d1", 2), ("q1", "d1", 1)]), ""])
    assert read_beir(beir).relevance == {"q1": {"d1": 2}}


def test_a_document_that_holds_no_answer_is_relevant_as_a_whole(beir: Path, write: Write) -> None:
    write("beir/queries.jsonl", [json.dumps({"_id": "q2", "text": "when?", "answers": ["in 1958"]})])
    judged = read_beir(beir, max_chars=50)
    assert judged.relevance["q2"] == {p.id: 1 for p in judged.passages if p.title == "Long"}


@pytest.mark.parametrize(
    ("row", "line"),
    [("q1\td1", 2), ("q1 d1 1", 2), ("q1\t0\td1\t1", 2), ("q1\td1\tmuch", 2), ("q1\td1\t²", 2), ("q1\td1\t--1", 2)],
)
def test_a_malformed_judgment_is_named_with_its_line(beir: Path, write: Write, row: str, line: int) -> None:
    write("beir/qrels.tsv", [*_qrels([]), row])
    with pytest.raises(RecordError, match=rf"qrels\.tsv, line {line}: question id, passage id and grade are needed"):
        read_beir(beir)


def test_the_header_of_the_judgments_may_be_missing(beir: Path, write: Write) -> None:
    write("beir/qrels.tsv", _qrels(QRELS)[1:])
    assert read_beir(beir).relevance == {"q1": {"d1": 2, "d2": 1}, "q2": {"d2": 1}}


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("corpus.jsonl", '{"_id": "d"}', r"corpus\.jsonl, line 1: 'text' is missing"),
        ("corpus.jsonl", "[]", r"corpus\.jsonl, line 1: a JSON object is needed"),
        ("queries.jsonl", '{"text": "q"}', r"queries\.jsonl, line 1: '_id' is missing"),
    ],
)
def test_a_malformed_row_is_named_with_its_line(beir: Path, write: Write, name: str, row: str, message: str) -> None:
    write(f"beir/{name}", [row])
    with pytest.raises(RecordError, match=message):
        read_beir(beir)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels.tsv"])
def test_a_missing_file_is_named(beir: Path, name: str) -> None:
    (beir / name).unlink()
    with pytest.raises(InputError, match=rf"{beir} is not a BEIR folder: it has no {name} \(nor {name}\.gz\)"):
        read_beir(beir)


def test_judgments_without_a_relevant_passage_are_refused(beir: Path, write: Write) -> None:
    write("beir/qrels.tsv", _qrels([("q1", "d1", 0), ("q1", "d2", -1)]))
    with pytest.raises(CorpusError, match="holds no question with a relevant passage"):
        read_beir(beir)


def test_selected_questions_have_all_their_passages_on_the_chosen_pages(beir: Path) -> None:
    judged = read_beir(beir)
    chosen = select(judged, frozenset({"Long"}))
    assert chosen.questions == {"q2": "when was it named?"}
    assert chosen.relevance == {"q2": {"d2": 1}}
    assert chosen.answers == {"q2": ("named in 2012",)}
    assert chosen.passages == judged.passages
    assert select(judged, frozenset({"Long", "Dropout"})).questions == judged.questions
    assert select(judged, frozenset()).questions == {}


def test_every_starter_question_has_passages_that_hold_its_answer() -> None:
    judged = read_judged("starter")
    passages = {p.id: p for p in judged.passages}
    assert len(passages) == len(judged.passages)
    assert judged.questions.keys() == judged.relevance.keys() == judged.answers.keys()
    assert len(judged.uncovered) >= 30
    for key, grades in judged.relevance.items():
        held = " ".join(passages[p].text for p in grades)
        assert " ".join(judged.answers[key][0].split()) in " ".join(held.split())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"question": "q", "page": "A"}', "'answer' is missing"),
        ('{"page": "A", "answer": "lead"}', "'question' is missing"),
        ('{"question": "q", "page": "B", "answer": "lead"}', "the page 'B' does not hold the answer"),
        ('{"question": "q", "page": "A", "answer": "tail"}', "the page 'A' does not hold the answer"),
        ('{"question": "q", "page": [], "answer": 3}', r"the page \[\] does not hold the answer"),
    ],
)
def test_a_starter_question_that_does_not_fit_is_named(write: Write, row: str, message: str) -> None:
    write("a.md", ["---", "title: A", "---", "The lead."])
    folder = write("questions.jsonl", ['{"question": "q", "page": null, "answer": null}', row]).parent
    with pytest.raises(RecordError, match=rf"questions\.jsonl, line 2: {message}"):
        read_starter(folder)


def test_the_starter_folder_is_the_default() -> None:
    assert read_starter() == read_starter(starter_folder())


def test_the_graded_starter_questions_keep_their_marked_answers() -> None:
    plain, graded = read_starter(), read_judged("starter-graded")
    assert graded.questions == plain.questions
    assert all(graded.relevance[key][p] == 2 for key, own in plain.relevance.items() for p in list(own)[:1])
    ids = {p.id for p in graded.passages}
    assert all(own.keys() <= ids for own in graded.relevance.values())
    assert all(not own & graded.relevance[key].keys() for key, own in graded.rejected.items())
    assert sum(map(len, graded.rejected.values())) > 2000


def test_the_parts_of_the_starter_questions_make_up_the_whole() -> None:
    whole = read_starter()
    parts = [list(starter_part(whole, part).questions) for part in range(3)]
    assert sorted(key for part in parts for key in part) == sorted(whole.questions)
    assert list(read_judged("starter-test").questions) == parts[0]
    assert read_judged("starter-graded-test").name == "starter-graded-test"


def test_a_question_without_grades_is_named(tmp_path: Path) -> None:
    shutil.copytree(starter_folder(), tmp_path / "starter")
    path = tmp_path / "starter" / "grades.jsonl"
    lines = path.read_text(encoding="utf8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "when should i just write" not in line), encoding="utf8")
    with pytest.raises(CorpusError, match="grades nothing for 'when should i just write normal code"):
        read_starter_graded(tmp_path / "starter")


def test_grade_zero_is_a_rejection(beir: Path, write: Write) -> None:
    write("beir/qrels.tsv", _qrels([("q1", "d1", 2), ("q1", "d2", 0), ("q2", "d2", 1)]))
    judged = read_beir(beir)
    assert judged.relevance["q1"] == {"d1": 2}
    assert judged.rejected == {"q1": frozenset({"d2"})}
