import gzip
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ragqa.errors import CorpusError, FallbackWarning, InputError, RecordError
from ragqa.evaluation.judged import (
    by_document,
    read_beir,
    read_judged,
    read_starter,
    read_starter_graded,
    select,
    starter_part,
)
from ragqa.records import Passage
from ragqa.text.pages import starter_folder

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
QRELS = [("q1", "d1", 2), ("q1", "d2", 1), ("q2", "d2", 1), ("q3", "d1", 0)]


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
    write("beir/qrels.tsv", _qrels([("q2", "d2", 1)]))
    assert min(len(read_beir(beir, max_chars=60).relevance["q2"]), 3) == count


def test_the_higher_of_two_grades_and_empty_lines(beir: Path, write: Write) -> None:
    write("beir/qrels.tsv", [*_qrels([("q1", "d1", 2), ("q1", "d1", 1)]), ""])
    assert read_beir(beir).relevance == {"q1": {"d1": 2}}


def test_a_document_that_holds_no_answer_is_relevant_as_a_whole(beir: Path, write: Write) -> None:
    write("beir/queries.jsonl", [json.dumps({"_id": "q2", "text": "when?", "answers": ["in 1958"]})])
    write("beir/qrels.tsv", _qrels([("q2", "d2", 1)]))
    judged = read_beir(beir, max_chars=50)
    assert judged.relevance["q2"] == {p.id: 1 for p in judged.passages if p.title == "Long"}


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("q1\td1", 2),
        ("q1 d1 1", 2),
        ("q1 0 d1 1 run", 2),
        ("q1\td1\tmuch", 2),
        ("q1\td1\t²", 2),
        ("q1\td1\t--1", 2),
        ("q1\td1\tnan", 2),
        ("q1\td1\t" + "9" * 5000, 2),
        ("query-id\tcorpus-id\tscore", 2),
    ],
)
def test_a_malformed_judgment_is_named_with_its_line(beir: Path, write: Write, row: str, line: int) -> None:
    write("beir/qrels.tsv", [*_qrels([]), row])
    with pytest.raises(RecordError, match=rf"qrels\.tsv, line {line}: question id, passage id and grade are needed"):
        read_beir(beir)


def test_the_header_of_the_judgments_may_be_missing(beir: Path, write: Write) -> None:
    write("beir/qrels.tsv", _qrels(QRELS)[1:])
    assert read_beir(beir).relevance == {"q1": {"d1": 2, "d2": 1}, "q2": {"d2": 1}}


@pytest.mark.parametrize("grade", ["1.5", "-0.5", "0.9999"])
def test_a_grade_that_is_no_whole_number_is_named(beir: Path, write: Write, grade: str) -> None:
    write("beir/qrels.tsv", [*_qrels([]), f"q1\td1\t{grade}"])
    with pytest.raises(
        RecordError, match=rf"qrels\.tsv, line 2: the grade {grade} is not a whole number; grades are 0"
    ):
        read_beir(beir)


def test_whole_grades_may_be_written_with_a_point(beir: Path, write: Write) -> None:
    write("beir/qrels.tsv", ["q1\td1\t2.0", "q1\td2\t0.0"])
    judged = read_beir(beir)
    assert (judged.relevance, judged.rejected) == ({"q1": {"d1": 2}}, {"q1": frozenset({"d2"})})


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("header", [[], ["query-id\tcorpus-id\tscore"], ["qid\tdocid\tRelevance\r"]])
def test_no_judgment_is_lost_to_a_byte_order_mark_or_a_missing_header(
    beir: Path, write: Write, mark: str, header: list[str]
) -> None:
    lines = [*header, "q1\td1\t1\r", "q2\td2\t1\r"]
    write("beir/qrels.tsv", [mark + lines[0], *lines[1:]])
    assert read_beir(beir).relevance == {"q1": {"d1": 1}, "q2": {"d2": 1}}


def test_a_first_line_that_is_neither_header_nor_judgment_is_named(beir: Path, write: Write) -> None:
    write("beir/qrels.tsv", ["q1\td1\tone", "q2\td2\t1"])
    with pytest.raises(RecordError, match=r"qrels\.tsv, line 1: question id"):
        read_beir(beir)


@pytest.mark.parametrize("name", ["qrels.tsv", "qrels.txt"])
def test_judgments_of_trec_have_four_columns(beir: Path, write: Write, name: str) -> None:
    (beir / "qrels.tsv").unlink()
    write(f"beir/{name}", ["q1 0 d1 2", "q1\t0\td2\t0", "", "q2  Q0  d2  1"])
    judged = read_beir(beir)
    assert judged.relevance == {"q1": {"d1": 2}, "q2": {"d2": 1}}
    assert judged.rejected == {"q1": frozenset({"d2"})}


def test_judgments_of_unknown_questions_and_documents_are_counted(beir: Path, write: Write) -> None:
    write("beir/qrels.tsv", _qrels([("q1", "d1", 2), ("q1", "gone", 1), ("q9", "d1", 1)]))
    with pytest.warns(
        FallbackWarning, match=r"qrels\.tsv: 2 of 3 judgments are left out.* the first is document 'gone'"
    ):
        assert read_beir(beir).relevance == {"q1": {"d1": 2}}


@pytest.mark.parametrize(
    ("name", "row"),
    [("corpus.jsonl", '{"_id": "3", "text": "again"}'), ("queries.jsonl", '{"_id": "q1", "text": "again"}')],
)
def test_an_id_that_is_there_twice_is_named_with_both_lines(beir: Path, name: str, row: str) -> None:
    first = {"corpus.jsonl": 3, "queries.jsonl": 1}[name]
    with (beir / name).open("a", encoding="utf8") as file:
        file.write(row + "\n")
    with pytest.raises(RecordError, match=rf"{name}, line 4: the id '\w+' appears twice, first in line {first}$"):
        read_beir(beir)


@pytest.fixture
def splits(beir: Path) -> Path:
    (beir / "qrels").mkdir()
    (beir / "qrels.tsv").unlink()
    (beir / "qrels" / "dev.tsv").write_text("q1\td1\t1\n")
    return beir


def test_the_only_split_is_read_and_named(splits: Path) -> None:
    judged = read_judged(splits)
    assert (judged.name, judged.relevance) == ("beir (dev)", {"q1": {"d1": 1}})


def test_a_split_is_chosen_by_name_and_test_is_the_usual_one(splits: Path) -> None:
    (splits / "qrels" / "train.tsv.gz").write_bytes(gzip.compress(b"q2\td2\t1\n"))
    with pytest.raises(InputError, match=r"has no split 'test'; choose one with --split: dev, train$"):
        read_judged(splits)
    assert read_judged(splits, "train").relevance == {"q2": {"d2": 1}}
    assert read_judged(splits, "train").name == "beir (train)"
    (splits / "qrels" / "test.tsv").write_text("q2\t3\t1\n")
    assert read_judged(splits) == read_judged(splits, "test")
    assert (read_judged(splits).name, read_judged(splits).relevance) == ("beir", {"q2": {"3": 1}})
    with pytest.raises(InputError, match=r"no judgments of the split 'deb': it has dev, test, train$"):
        read_judged(splits, "deb")


def test_a_folder_without_splits_says_so(beir: Path) -> None:
    with pytest.raises(InputError, match=r"no judgments of the split 'dev': it has no folder qrels"):
        read_judged(beir, "dev")


def test_starter_sets_take_no_options_of_beir_folders() -> None:
    for options in ({"split": "dev"}, {"exclude_self": True}):
        with pytest.raises(InputError, match="starter has no splits"):
            read_judged("starter", **options)


def test_the_document_with_the_id_of_the_question_can_be_excluded(beir: Path, write: Write) -> None:
    write("beir/queries.jsonl", [json.dumps({"_id": i, "text": "what?"}) for i in ("d1", "d2", "q1")])
    write("beir/qrels.tsv", _qrels([("d1", "d1", 1), ("d1", "d2", 1), ("d2", "d2", 1), ("q1", "d1", 1)]))
    judged = read_beir(beir, max_chars=50, exclude_self=True)
    pieces = {p.id for p in judged.passages if p.title == "Long"}
    assert judged.relevance == {"d1": dict.fromkeys(pieces, 1), "q1": {"d1": 1}}
    assert judged.excluded == {"d1": frozenset({"d1"})}
    assert read_beir(beir).excluded == {}
    assert read_beir(beir).relevance["d1"] == {"d1": 1, "d2": 1}


def test_pieces_fold_into_their_documents(beir: Path) -> None:
    judged = read_beir(beir, max_chars=50)
    assert set(judged.documents.values()) == {"d2"}
    assert by_document(judged).relevance == {"q1": {"d1": 2, "d2": 1}, "q2": {"d2": 1}}
    assert by_document(judged).passages == judged.passages


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("corpus.jsonl", '{"_id": "d", "text": null}', r"corpus\.jsonl, line 1: 'text' of 'd' is null, not a string"),
        ("corpus.jsonl", '{"_id": "d", "text": "t", "title": null}', r"line 1: 'title' of 'd' is null, not a string"),
        ("corpus.jsonl", '{"_id": "d", "text": ["t"]}', r"line 1: 'text' of 'd' is \["),
        ("corpus.jsonl", '{"_id": null, "text": "t"}', r"line 1: '_id' is null, not a string or whole number"),
        ("corpus.jsonl", '{"_id": true, "text": "t"}', r"line 1: '_id' is true, not a string or whole number"),
        ("queries.jsonl", '{"_id": "q", "text": null}', r"queries\.jsonl, line 1: 'text' of 'q' is null"),
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
