from dataclasses import replace

import pytest

from ragqa import Bm25Index, Passage, Retriever
from ragqa.errors import InputError
from ragqa.evaluate import METRICS, abstention, compare, measure, sample, table
from ragqa.judged import Judged, read_starter
from ragqa.records import Hit

PASSAGES = tuple(Passage(f"p{n}", f"Page {n}", text=f"word{n} common") for n in range(6))
JUDGED = Judged(
    "toy",
    PASSAGES,
    {"q1": "word1", "q2": "word2"},
    {"q1": {"p1": 1}, "q2": {"p2": 2, "p3": 1}},
    {},
    ("nothing of the kind",),
)


def hits(*numbers: int) -> list[Hit]:
    return [Hit(PASSAGES[n], 0.0, None, 0.0, 1) for n in numbers]


def test_metrics_follow_their_definitions() -> None:
    found = {"word1": hits(0, 1), "word2": hits(3, 0, 2)}
    values = {m.metric: m.values for m in measure(found.__getitem__, JUDGED)}
    assert tuple(values) == METRICS
    assert values["RR@10"] == (0.5, 1.0)
    assert values["AP"] == pytest.approx((0.5, (1 + 2 / 3) / 2))
    assert values["R@10"] == (1.0, 1.0)
    assert values["nDCG@10"][0] == pytest.approx(0.6309, abs=1e-4)
    assert values["nDCG@10"][1] == pytest.approx((1 + 2 / 2) / (2 + 1 / 1.58496), abs=1e-4)


def test_a_question_without_hits_counts_as_zero() -> None:
    found = {"word1": [], "word2": hits(2, 3)}
    assert [m.values for m in measure(found.__getitem__, JUDGED)] == [(0.0, 1.0)] * len(METRICS)


def test_the_order_of_hits_decides_not_their_scores() -> None:
    upside_down = [replace(hit, score=float(n)) for n, hit in enumerate(hits(1, 0, 2))]
    assert measure(lambda _: upside_down, JUDGED)[1].values[0] == 1.0


def test_compare_needs_a_reranker() -> None:
    with pytest.raises(InputError, match="no reranker"):
        compare(Retriever(Bm25Index.build(PASSAGES), None), JUDGED)


@pytest.fixture(scope="module")
def starter() -> Retriever:
    return Retriever.open()


def test_reranking_the_starter_questions_beats_bm25(starter: Retriever) -> None:
    report = compare(starter, sample(read_starter(), 40))
    ndcg = next(c for c in report.comparisons if c.metric == "nDCG@10")
    assert ndcg.after > ndcg.before > 0.5
    assert ndcg.after_interval[0] <= ndcg.after <= ndcg.after_interval[1]
    assert 0 <= ndcg.p <= 1
    lines = table(report).splitlines()
    assert lines[0].startswith("starter: 40 questions")
    assert len(lines) == 4 + len(METRICS)


def test_no_difference_has_p_of_one(starter: Retriever) -> None:
    report = compare(Retriever(Bm25Index.build(PASSAGES), starter.reranker), JUDGED)
    recall = next(c for c in report.comparisons if c.metric == "R@100")
    assert (recall.before, recall.p) == (recall.after, 1.0)


def test_uncovered_questions_are_told_from_covered_ones(starter: Retriever) -> None:
    uncovered, covered = abstention(
        starter, replace(sample(read_starter(), 30), uncovered=read_starter().uncovered[:30])
    )
    assert uncovered > covered


def test_a_single_question_has_no_test() -> None:
    report = compare(Retriever(Bm25Index.build(PASSAGES), Retriever.open().reranker), sample(JUDGED, 1))
    assert [c.p for c in report.comparisons] == [1.0] * len(METRICS)


def test_sample_is_evenly_spaced_and_whole_if_small() -> None:
    judged = read_starter()
    keys = list(judged.questions)
    assert list(sample(judged, 2).questions) == [keys[0], keys[len(keys) // 2]]
    assert sample(JUDGED, 99).questions == JUDGED.questions
