from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.errors import InputError
from ragqa.evaluation.judged import Judged
from ragqa.evaluation.metrics import METRICS, Definition, measure_run, metric_names, title
from ragqa.evaluation.runs import sort_run

pytrec_eval = pytest.importorskip("pytrec_eval", reason="pip install '.[evaluate]'")

JUDGED = Judged("toy", (), {"q": "q"}, {"q": {"a": 2, "b": 1}}, {}, rejected={"q": frozenset("c")})
RUN = {"q": {"c": 3.0, "b": 2.0, "a": 1.0}}
EXPONENTIAL = Definition(gain="exponential")


def values(definition: Definition = Definition(), depth: int = 100) -> dict[str, float]:  # noqa: B008
    return {m.metric: m.values[0] for m in measure_run(RUN, JUDGED, metric_names(JUDGED, definition, depth))}


def test_mrr_of_a_graded_set_counts_grade_2_and_all_other_metrics_grade_1() -> None:
    found = values()
    assert tuple(found) == ("AP", "RR(rel=2)@10", "nDCG@10", "R@10", "R@100")
    assert found["RR(rel=2)@10"] == pytest.approx(1 / 3)
    assert found["AP"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["R@10"] == 1.0


def test_a_set_whose_only_grade_is_1_has_the_usual_metrics() -> None:
    assert metric_names(replace(JUDGED, relevance={"q": {"a": 1}}), Definition()) == METRICS


def test_the_least_grade_holds_for_map_mrr_and_recall() -> None:
    assert values(Definition(least_grade=1))["RR@10"] == 1 / 2
    found = values(Definition(least_grade=2))
    names = ("AP(rel=2)", "RR(rel=2)@10", "nDCG@10", "R(rel=2)@10", "R(rel=2)@100")
    assert tuple(found) == names
    assert found["AP(rel=2)"] == pytest.approx(1 / 3)
    assert found["R(rel=2)@10"] == 1.0
    with pytest.raises(InputError, match="toy: no passage has grade 3 or above; the highest grade is 2"):
        values(Definition(least_grade=3))


def test_recall_is_named_by_the_depth_of_the_search() -> None:
    assert metric_names(JUDGED, Definition(), 30)[3:] == ("R@10", "R@30")
    assert metric_names(JUDGED, Definition(), 10)[3:] == ("R@10",)
    assert metric_names(JUDGED, Definition(), 2) == ("AP", "RR(rel=2)@2", "nDCG@2", "R@2")
    assert values(depth=2)["R@2"] == 0.5


def test_ndcg_has_linear_or_exponential_gain() -> None:
    linear, exponential = values(), values(EXPONENTIAL)
    assert linear["nDCG@10"] == pytest.approx((1 / 1.5849625 + 2 / 2) / (2 + 1 / 1.5849625))
    assert exponential["nDCG(dcg='exp-log2')@10"] == pytest.approx((1 / 1.5849625 + 3 / 2) / (3 + 1 / 1.5849625))


def test_ndcg_is_that_of_the_published_example() -> None:
    """Grades 3, 2, 3, 0, 1, 2 are found, 3 and 2 are not: nDCG@6 is 0.785 (Wikipedia, "Discounted cumulative gain")."""
    judged = replace(JUDGED, relevance={"q": {"D1": 3, "D2": 2, "D3": 3, "D5": 1, "D6": 2, "D7": 3, "D8": 2}})
    run = {"q": {f"D{n}": 10.0 - n for n in range(1, 7)}}
    (found,) = measure_run(run, judged, [metric_names(judged, Definition(), 6)[2]])
    assert found.metric == "nDCG@6"
    assert found.mean == pytest.approx(0.785, abs=5e-4)


def test_a_grade_too_high_for_exponential_gain_is_named() -> None:
    judged = replace(JUDGED, relevance={"q": {"a": 21}})
    with pytest.raises(InputError, match="toy has the grade 21; exponential gain needs grades of at most 20"):
        metric_names(judged, EXPONENTIAL)
    (found,) = measure_run({"q": {"a": 1.0}}, replace(JUDGED, relevance={"q": {"a": 20}}), ["nDCG(dcg='exp-log2')@10"])
    assert found.mean == 1.0


@pytest.mark.parametrize(
    ("metric", "plain", "graded"),
    [
        ("AP", "MAP", "MAP (grade ≥ 1)"),
        ("RR(rel=2)@10", "MRR@10", "MRR@10 (grade ≥ 2)"),
        ("nDCG@10", "nDCG@10", "nDCG@10"),
        ("nDCG(dcg='exp-log2')@10", "nDCG@10 (exponential gain)", "nDCG@10 (exponential gain)"),
        ("R@30", "Recall@30", "Recall@30 (grade ≥ 1)"),
        ("hit rate", "hit rate", "hit rate"),
    ],
)
def test_titles_are_the_usual_names_and_tell_grades_and_gain(metric: str, plain: str, graded: str) -> None:
    assert (title(metric), title(metric, graded=True)) == (plain, graded)


IDS = st.sampled_from([*"abcdefghij", "é", "Z", "10", "9"])
SCORES = st.sampled_from([0.0, 1.0, 1.00000001, 1.0000001, 2.0, -3.5])


@given(
    st.dictionaries(IDS, SCORES, min_size=1, max_size=9),
    st.dictionaries(IDS, st.integers(1, 3), min_size=1, max_size=9),
)
def test_metrics_of_a_run_are_those_of_trec_eval_ties_included(
    scores: dict[str, float], grades: dict[str, int]
) -> None:
    """pytrec-eval is trec_eval; it sorts the raw scores itself. A list of at most 10 needs no cutoff of the reciprocal rank."""
    judged = replace(JUDGED, relevance={"q": grades})
    wanted = {"map", "recip_rank", "ndcg_cut_10", "recall_10", "recall_100"}
    theirs = pytrec_eval.RelevanceEvaluator({"q": grades}, wanted).evaluate({"q": scores})["q"]
    ours = measure_run(sort_run({"q": scores}), judged)
    names = ("map", "recip_rank", "ndcg_cut_10", "recall_10", "recall_100")
    assert [m.mean for m in ours] == pytest.approx([theirs[name] for name in names])
