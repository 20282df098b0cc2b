from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ragqa.errors import CorpusError, InputError, RecordError
from ragqa.evaluation.judged import read_judgments, read_starter_graded
from ragqa.evaluation.qrels import read_qrels, trec_ids, write_qrels

pytrec_eval = pytest.importorskip("pytrec_eval", reason="pip install '.[evaluate]'")

Write = Callable[[str, Iterable[str]], Path]


def test_judgments_alone_are_a_set_without_passages(write: Write) -> None:
    path = write("my.qrels", ["q1 0 d1 2", "q1 0 d2 0", "q1 0 d1 1", "q2 0 d1 0", "q3 0 q3 1"])
    judged = read_judgments(path)
    assert (judged.name, judged.passages, list(judged.questions)) == ("my.qrels", (), ["q1", "q3"])
    assert (judged.relevance, judged.rejected) == ({"q1": {"d1": 2}, "q3": {"q3": 1}}, {"q1": frozenset({"d2"})})
    other = read_judgments(path, exclude_self=True)
    assert (other.relevance, other.excluded) == ({"q1": {"d1": 2}}, {"q1": frozenset({"q1"})})


def test_judgments_without_a_relevant_document_are_refused(write: Write) -> None:
    with pytest.raises(CorpusError, match=r"my\.qrels holds no question with a relevant document"):
        read_judgments(write("my.qrels", ["q1 0 d1 0"]))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1 0 d1", "question id, passage id and grade are needed, separated by tabs, or TREC's four columns"),
        ("q1 0 d1 1.5", r"the grade 1\.5 is not a whole number"),
        ("q1 0 d1 999999999", r"the grade 999999999 is too high; at most 1,000,000 is possible"),
    ],
)
def test_a_bad_line_is_named(write: Write, line: str, message: str) -> None:
    with pytest.raises(RecordError, match=rf"my\.qrels, line 2: {message}"):
        list(read_qrels(write("my.qrels", ["q1 0 d1 1", line])))


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "my.qrels"
    path.write_bytes("q1 0 d1 1\nq1 0 Küche 1\n".encode("latin1"))
    with pytest.raises(RecordError, match=r"my\.qrels, line 2: it is not UTF-8"):
        list(read_qrels(path))


def test_judgments_written_are_read_by_us_and_by_trec_eval(tmp_path: Path) -> None:
    judged = read_starter_graded()
    count = write_qrels(tmp_path / "qrels.gz", judged.relevance, judged.rejected)
    assert count == sum(map(len, judged.relevance.values())) + sum(map(len, judged.rejected.values()))
    again = read_judgments(tmp_path / "qrels.gz")
    ids = trec_ids(passage.id for passage in judged.passages)
    assert again.relevance == {q: {ids[p]: grade for p, grade in own.items()} for q, own in judged.relevance.items()}
    assert again.rejected == {q: frozenset(ids[p] for p in own) for q, own in judged.rejected.items() if own}
    write_qrels(tmp_path / "qrels", judged.relevance, judged.rejected)
    with (tmp_path / "qrels").open(encoding="utf8") as file:
        theirs = pytrec_eval.parse_qrel(file)
    assert {q: {p: g for p, g in own.items() if g > 0} for q, own in theirs.items()} == again.relevance


def test_white_space_in_ids_is_encoded_and_nothing_else() -> None:
    assert trec_ids(["a b", "50%", "50 %", "a\tb", "é\u00a0x"]) == {
        "a b": "a%20b", "50%": "50%", "50 %": "50%20%25", "a\tb": "a%09b", "é\u00a0x": "é\u00a0x",
    }  # fmt: skip


def test_ids_that_a_trec_file_cannot_hold_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the ids 'a b' and 'a%20b' would be the same in a TREC file"):
        trec_ids(["a b", "a%20b"])
    with pytest.raises(InputError, match="an id is empty"):
        write_qrels(tmp_path / "qrels", {"": {"a": 1}}, {})
