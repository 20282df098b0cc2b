from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.errors import RagqaError, RecordError
from ragqa.evaluation.judged import Judged
from ragqa.evaluation.runs import fold_run, read_run, sort_run, write_run

pytrec_eval = pytest.importorskip("pytrec_eval", reason="pip install '.[evaluate]'")

Write = Callable[[str, Iterable[str]], Path]

JUDGED = Judged("toy", (), {"q 1": "q"}, {"q 1": {"a b#1": 1, "c": 2}}, {}, rejected={"q 1": frozenset({"d"})})


def test_a_run_is_sorted_as_trec_eval_does(write: Write) -> None:
    path = write(
        "x.trec", [f"q%201 Q0 {name} 9 {score} x" for name, score in zip("abcd", (1.0, 1.00000001, 3, 1), strict=True)]
    )
    assert list(read_run(path, JUDGED)["q 1"]) == ["c", "d", "b", "a"]


def test_a_document_that_is_there_twice_is_named(write: Write) -> None:
    path = write("x.trec", ["q%201 Q0 c 1 2 x", "q%201 Q0 a%20b#1 2 1 x", "q%201 Q0 c 3 0 x"])
    with pytest.raises(RecordError, match=r"x\.trec, line 3: the document 'c' appears twice for the question 'q 1'$"):
        read_run(path, JUDGED)


def test_a_run_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.trec").write_bytes(b"q%201 Q0 c 1 2 x\nq%201 Q0 \xfc 1 2 x\n")
    with pytest.raises(RecordError, match=r"x\.trec, line 2: it is not UTF-8"):
        read_run(tmp_path / "x.trec", JUDGED)


LINES = st.sampled_from(
    [b"q%201 Q0 c 1 1e300 x", b"q%201 Q0 d 2 -1e999 x", b"q 0 c 1", b"\xff", b"q%201 Q0 a%20b#1 0 1e300 x"]
)


@given(st.lists(LINES | st.binary(max_size=20), max_size=5).map(b"\n".join))
def test_any_bytes_are_a_run_or_one_of_our_errors(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("run") / "x.trec"
    path.write_bytes(content)
    try:
        assert read_run(path, JUDGED).keys() == {"q 1"}
    except RagqaError as error:
        assert str(path) in str(error)


def test_another_space_than_that_of_ascii_belongs_to_an_id(write: Write) -> None:
    path = write("x.trec", ["q%201 Q0 c\u00a0d 1 2 x", "q%201\tQ0  c 2 1 x"])
    assert read_run(path, JUDGED) == {"q 1": {"c\u00a0d": 2.0, "c": 1.0}}


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=12))
def test_a_written_run_has_the_same_order_for_us_and_for_trec_eval(
    tmp_path_factory: pytest.TempPathFactory, scores: list[float]
) -> None:
    """The scores may be in any order and the same: a system's order counts."""
    path = tmp_path_factory.mktemp("run") / "x.trec"
    names = ["c", "a b#1", "d", *(f"e{n}" for n in range(12))]
    run = {"q 1": dict(zip(names, scores, strict=False))}
    assert write_run(path, run) == len(scores)
    assert list(read_run(path, JUDGED)["q 1"]) == list(run["q 1"])
    with path.open(encoding="utf8") as file:
        theirs = pytrec_eval.parse_run(file)
    assert list(sort_run(theirs)["q%201"]) == [name.replace(" ", "%20") for name in run["q 1"]]


def test_a_written_run_keeps_scores_that_fall_in_32_bits(tmp_path: Path) -> None:
    write_run(tmp_path / "x.trec", {"q": {"a": 5.601221084594727, "b": 0.5, "c": 0.5}}, "mine")
    lines = [line.split() for line in (tmp_path / "x.trec").read_text().splitlines()]
    assert lines[0] == ["q", "Q0", "a", "1", "5.60122108", "mine"]
    assert [line[3] for line in lines] == ["1", "2", "3"]
    assert 0 < float(lines[1][4]) - float(lines[2][4]) < 1e-7


def test_a_document_has_the_place_of_its_best_passage() -> None:
    assert list(fold_run({"q": {"x#1": 3.0, "y": 2.0, "x#0": 1.0}}, {"x#0": "x", "x#1": "x"})["q"].items()) == [
        ("x", 3.0), ("y", 2.0),
    ]  # fmt: skip
