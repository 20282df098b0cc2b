from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from ragqa import Bm25Index, Passage, Retriever
from ragqa.errors import InputError, RecordError
from ragqa.evaluation.answers import answers_table, inspect_answers
from ragqa.evaluation.chart import draw
from ragqa.evaluation.compare import Report, compare, compare_runs, table, variants
from ragqa.evaluation.judged import Judged, read_starter
from ragqa.evaluation.metrics import METRICS, Definition, find_unaskable, measure, sample
from ragqa.evaluation.runs import read_run
from ragqa.records import Hit

Write = Callable[[str, Iterable[str]], Path]

PASSAGES = tuple(Passage(f"p{n}", f"Page {n}", text=f"word{n} common") for n in range(6))
JUDGED = Judged(
    "toy",
    PASSAGES,
    {"q1": "word1", "q2": "word2"},
    {"q1": {"p1": 1}, "q2": {"p2": 2, "p3": 1}},
    {},
    ("nothing of the kind",),
)


BINARY = Definition(least_grade=1)


def hits(*numbers: int) -> list[Hit]:
    return [Hit(PASSAGES[n], 0.0, None, 0.0, 1) for n in numbers]


def test_metrics_follow_their_definitions() -> None:
    found = {"word1": hits(0, 1), "word2": hits(3, 0, 2)}
    values = {m.metric: m.values for m in measure(found.__getitem__, JUDGED, definition=BINARY)}
    assert tuple(values) == METRICS
    assert values["RR@10"] == (0.5, 1.0)
    assert values["AP"] == pytest.approx((0.5, (1 + 2 / 3) / 2))
    assert values["R@10"] == (1.0, 1.0)
    assert values["nDCG@10"][0] == pytest.approx(0.6309, abs=1e-4)
    assert values["nDCG@10"][1] == pytest.approx((1 + 2 / 2) / (2 + 1 / 1.58496), abs=1e-4)


def test_a_question_without_hits_counts_as_zero() -> None:
    found = {"word1": [], "word2": hits(2, 3)}
    assert [m.values for m in measure(found.__getitem__, JUDGED, definition=BINARY)] == [(0.0, 1.0)] * len(METRICS)


def test_questions_that_cannot_be_asked_count_as_zero_and_are_named() -> None:
    questions = {"q1": "word1", "q2": "word2 " * 400, "q3": "???"}
    judged = replace(JUDGED, questions=questions, relevance={**JUDGED.relevance, "q3": {"p4": 1}})
    found = {"word1": hits(1)}
    report = compare({"one": found.__getitem__}, judged, definition=BINARY)
    assert [e.mean for e in report.systems[0].estimates] == pytest.approx([1 / 3] * len(METRICS))
    assert (report.questions, report.unasked) == (3, ("q2", "q3"))
    assert "2 of 3 questions cannot be asked; each counts as 0: q2, q3" in table(report)
    assert find_unaskable(judged)["q2"].startswith("the question has 2,399 characters; at most 2,000")


def test_excluded_passages_are_no_hits() -> None:
    judged = replace(JUDGED, excluded={"q1": frozenset({"p0"})})
    found = {"word1": hits(0, 1), "word2": hits(0, 2)}
    assert [m.values for m in measure(found.__getitem__, judged, definition=BINARY) if m.metric == "RR@10"] == [
        (1.0, 0.5)
    ]


RUN = ["q1 Q0 p0 1 9.5 other", "q1 Q0 p1 2 9.0 other", "q2 Q0 p2 1 1e1 other", "", "q9 Q0 p2 1 1 other"]


def test_a_run_of_another_system_is_measured_beside_ours(write: Write) -> None:
    run = read_run(write("run.trec", RUN), JUDGED)
    assert run == {"q1": {"p0": 9.5, "p1": 9.0}, "q2": {"p2": 10.0}}
    found = {"word1": hits(1), "word2": hits(2, 3)}
    report = compare({"ours": found.__getitem__}, JUDGED, runs={"run.trec": run}, definition=BINARY)
    assert [system.name for system in report.systems] == ["run.trec", "ours"]
    means = {s.name: {e.metric: e.mean for e in s.estimates} for s in report.systems}
    assert means["ours"]["nDCG@10"] == 1.0
    assert (means["run.trec"]["RR@10"], means["run.trec"]["R@10"]) == (0.75, 0.75)


def test_with_a_run_a_document_is_as_good_as_its_best_passage(write: Write) -> None:
    documents = {"p1": "d1", "p2": "d1", "p3": "d3"}
    judged = replace(JUDGED, documents=documents)
    run = read_run(write("run.trec", ["q1 Q0 d3 1 2 x", "q1 Q0 d1 2 1 x", "q2 Q0 p3 1 1 x"]), judged)
    found = {"word1": hits(3, 2, 1), "word2": hits(2, 1, 3)}
    report = compare({"ours": found.__getitem__}, judged, runs={"run.trec": run}, definition=BINARY)
    means = {s.name: {e.metric: e.mean for e in s.estimates} for s in report.systems}
    assert means["run.trec"]["RR@10"] == 0.75
    assert means["ours"]["RR@10"] == 0.75  # d3, d1 for the first question; d1, d3 for the second
    assert means["ours"]["R@10"] == 1.0
    assert means["run.trec"]["R@10"] == 0.75


def test_a_run_does_not_count_a_document_that_is_excluded(write: Write) -> None:
    pieces = {"p1": "q1", "p2": "q1"}
    judged = replace(JUDGED, documents=pieces, excluded={"q1": frozenset(pieces)})
    lines = ["q1 Q0 q1 1 9 x", "q1 Q0 p2 2 8 x", "q1 Q0 p3 3 7 x", "q2 Q0 q1 1 9 x"]
    assert read_run(write("run.trec", lines), judged) == {"q1": {"p3": 7.0}, "q2": {"q1": 9.0}}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1 Q0 p1 1 9.5", r"run\.trec, line 2: six columns are needed: question id, Q0, document id"),
        ("q1 Q0 p1 1 much x", r"run\.trec, line 2: six columns are needed"),
        ("q1 Q0 p1 1 nan x", r"run\.trec, line 2: the score is nan, not a number"),
    ],
)
def test_a_line_that_is_no_run_is_named(write: Write, line: str, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        read_run(write("run.trec", [RUN[0], line]), JUDGED)


def test_a_run_of_another_set_is_refused(write: Write) -> None:
    for line in ("q7 Q0 p1 1 1 x", "q1 Q0 d7 1 1 x"):
        with pytest.raises(InputError, match=r"run\.trec names no question or no document of toy"):
            read_run(write("run.trec", [line]), JUDGED)


def test_the_order_of_hits_decides_not_their_scores() -> None:
    upside_down = [replace(hit, score=float(n)) for n, hit in enumerate(hits(1, 0, 2))]
    assert measure(lambda _: upside_down, JUDGED, definition=BINARY)[1].values[0] == 1.0


def test_recall_is_of_the_depth_that_is_searched(starter: Retriever, write: Write) -> None:
    few = sample(read_starter(), 3)
    names: dict[int, tuple[int, list[str]]] = {}
    for candidates in (12, 10, 4, 200):
        searches = variants(Retriever(starter.index, None, dense=starter.dense, candidates=candidates))
        report = compare(searches, few)
        names[candidates] = report.depth, [e.metric for e in report.systems[0].estimates][1:]
    assert names == {
        12: (12, ["RR@10", "nDCG@10", "R@10", "R@12"]),
        10: (10, ["RR@10", "nDCG@10", "R@10"]),
        4: (4, ["RR@4", "nDCG@4", "R@4"]),
        200: (100, ["RR@10", "nDCG@10", "R@10", "R@100"]),
    }


def test_with_a_run_recall_is_no_deeper_than_the_run() -> None:
    documents = {f"d{n}": 40.0 - n for n in range(40)}
    for length, depth in ((40, 30), (20, 20), (5, 10)):
        run = {"q1": dict(list(documents.items())[:length])}
        assert compare_runs({"ours": {"q1": documents}}, JUDGED, runs={"theirs": run}, depth=30).depth == depth
    cut = replace(JUDGED, documents=dict.fromkeys(documents, "whole"))
    assert compare_runs({"ours": {"q1": documents}}, cut, runs={"theirs": {"q1": documents}}, depth=30).depth == 10


def test_bm25_alone_has_nothing_to_be_compared_with() -> None:
    with pytest.raises(InputError, match="nothing to compare"):
        variants(Retriever(Bm25Index.build(PASSAGES), None))


@pytest.fixture(scope="module")
def few(starter: Retriever) -> Retriever:
    """The starter retriever with few candidates, which takes a third of the time."""
    return Retriever(starter.index, starter.reranker, dense=starter.dense, candidates=10)


@pytest.fixture(scope="module")
def report(few: Retriever) -> Report:
    return compare(variants(few, every=True), sample(read_starter(), 20))


def test_the_whole_pipeline_beats_bm25_on_starter_questions(report: Report) -> None:
    names = ["BM25", "embedder", "BM25 + embedder", "BM25 → reranker", "BM25 + embedder → reranker"]
    assert [system.name for system in report.systems] == names
    bm25, *_, whole = (next(e for e in s.estimates if e.metric == "nDCG@10") for s in report.systems)
    assert whole.mean > bm25.mean + 0.05
    assert bm25.difference == pytest.approx(whole.mean - bm25.mean)
    assert bm25.interval[0] <= bm25.mean <= bm25.interval[1]
    assert 0 <= bm25.p < 0.2
    assert (whole.difference, whole.p) == (0, 1)


def test_the_table_has_a_row_for_each_system(report: Report) -> None:
    lines = table(report).splitlines()
    assert lines[0].startswith("starter: 20 questions")
    assert len(lines) == 4 + len(report.systems)
    assert len({line.count("|") for line in lines[2:]}) == 1


def test_the_chart_is_written_whole_in_the_format_of_its_name(report: Report, tmp_path: Path) -> None:
    for name, start in (("chart.png", b"\x89PNG"), ("chart.svg", b"<?xml")):
        draw([report, report], tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)


def test_a_chart_that_cannot_be_drawn_is_refused(report: Report, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"chart\.xyz does not end in \.png or \.svg"):
        draw([report], tmp_path / "chart.xyz")


def test_without_dense_only_bm25_is_compared(starter: Retriever) -> None:
    plain = Retriever(starter.index, starter.reranker)
    assert list(variants(plain, every=True)) == ["BM25", "BM25 → reranker"]


def test_a_single_question_has_no_test(starter: Retriever) -> None:
    found = compare(variants(Retriever(Bm25Index.build(PASSAGES), starter.reranker)), sample(JUDGED, 1))
    assert {e.p for system in found.systems for e in system.estimates} == {1.0}


def test_a_question_that_cannot_be_asked_counts_as_an_abstention(few: Retriever) -> None:
    found = inspect_answers(few, replace(JUDGED, questions={"q1": "???", "q2": "what is dropout?"}))
    assert (found.covered, found.right) == (2, 0.0)
    assert found.abstained_on_covered == 0.5


def test_no_question_is_an_error(starter: Retriever) -> None:
    for run in (lambda j: compare(variants(starter), j), lambda j: inspect_answers(starter, j)):
        with pytest.raises(InputError, match="question"):
            run(replace(JUDGED, questions={}, relevance={}))


def test_answers_are_looked_at_as_defined(few: Retriever) -> None:
    judged = sample(read_starter(), 6)
    judged = replace(judged, uncovered=judged.uncovered[:3])
    found = inspect_answers(few, judged)
    assert (found.covered, found.uncovered, found.with_answers) == (6, 3, 6)
    assert found.abstained_on_uncovered > found.abstained_on_covered
    right = [few.search(q, 1)[0].passage.id in judged.relevance[key] for key, q in judged.questions.items()]
    assert found.right == pytest.approx(sum(right) / 6)
    assert sum(row.questions for row in found.reliability) == 9
    assert all(row.low <= row.mean <= row.high for row in found.reliability if row.questions)
    text = answers_table(found)
    assert "abstains on" in text
    assert text.count("\n|") == 2 + len(found.reliability)


def test_a_sentence_holds_an_answer_if_either_is_in_the_other(few: Retriever) -> None:
    judged = sample(read_starter(), 2)
    judged = replace(judged, uncovered=judged.uncovered[:1])
    sentences = {key: few.ask(question, threshold=0.0).text for key, question in judged.questions.items()}
    for answers, share in ((lambda s: s[3:9].upper(), 1.0), (lambda s: f"x {s} x", 1.0), (lambda _: "🧠", 0.0)):
        changed = replace(judged, answers={key: (answers(s),) for key, s in sentences.items()})
        assert inspect_answers(few, changed).holds_answer == share


def test_sample_is_evenly_spaced_and_whole_if_small() -> None:
    judged = read_starter()
    keys = list(judged.questions)
    assert list(sample(judged, 2).questions) == [keys[0], keys[len(keys) // 2]]
    assert sample(JUDGED, 99).questions == JUDGED.questions
