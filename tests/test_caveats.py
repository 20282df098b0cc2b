from dataclasses import replace

import pytest

from ragqa.evaluation.caveats import find_caveats, judged_share
from ragqa.evaluation.compare import compare_runs
from ragqa.evaluation.judged import Judged
from ragqa.evaluation.metrics import Definition
from ragqa.evaluation.notes import notes

JUDGED = Judged(
    "toy", (), {"q1": "q1", "q2": "q2"}, {"q1": {"a": 2, "b": 1}, "q2": {"a": 1}}, {}, rejected={"q1": frozenset("c")}
)
RUN = {"q1": {"b": 10.0, "a": 9.995, "c": 5.0, "x": 0.0}, "q2": {"y": 2.0, "a": 1.0}}
LINEAR = (1 + 2 / 1.5849625) / (2 + 1 / 1.5849625)  # nDCG of the first question as it is ranked


def test_hits_without_a_judgment_are_counted_among_the_first_10() -> None:
    assert judged_share(RUN, JUDGED) == (3 / 4 + 1 / 2) / 2
    longer = {"q1": RUN["q1"] | {f"z{n}": -float(n) for n in range(9)}}
    assert judged_share(longer, JUDGED) == 3 / 10
    assert judged_share({"q1": {}}, JUDGED) == judged_share({}, JUDGED) == 0.0


def test_near_ties_give_the_lowest_and_highest_value_that_other_orders_have() -> None:
    found = find_caveats(RUN, JUDGED, "nDCG@10")
    assert (found.near_ties, found.longest) == (1, 4)
    assert found.lowest == pytest.approx((LINEAR + 1 / 1.5849625) / 2)
    assert found.highest == pytest.approx((1 + 1 / 1.5849625) / 2)


def test_scores_further_apart_and_equal_grades_are_no_near_ties() -> None:
    apart = {"q1": {"b": 10.0, "a": 9.98, "x": 0.0}}
    alike = {"q2": {"x": 5.0, "y": 5.0, "a": 1.0}}
    for run in (apart, alike):
        found = find_caveats(run, JUDGED, "nDCG@10")
        assert (found.near_ties, found.lowest) == (0, found.highest)


def test_equal_scores_are_near_ties() -> None:
    assert find_caveats({"q2": {"x": 1.0, "a": 1.0}}, JUDGED, "nDCG@10").near_ties == 1


def test_a_report_tells_what_its_metrics_count() -> None:
    told = notes(compare_runs({}, JUDGED, runs={"one": RUN, "two": {"q2": {"a": 1.0}}})).splitlines()
    assert told == [
        "- nDCG has linear gain: a passage of grade g adds g.",
        "- 1 of 2 questions have no passage of grade 2 or above; MRR@10 counts them as 0.",
        "- judged@10, the fraction of the first 10 hits with a judgment: one 0.62, two 1.00. Other hits count as wrong.",
        "- Longest list of hits: one 4, two 1. MAP is over whole lists.",
        "- Near-ties (neighbouring scores that differ by at most 0.1 % of the range of their list) may change places on "
        "another CPU. Questions they matter for, with the lowest and highest nDCG@10: one 1 (0.745–0.815).",
    ]


def test_a_report_names_exponential_gain_and_says_if_no_near_tie_matters() -> None:
    judged = replace(JUDGED, relevance={"q1": {"a": 2}, "q2": {"a": 2}})
    report = compare_runs({}, judged, runs={"one": {"q1": {"a": 1.0}}}, definition=Definition(gain="exponential"))
    told = notes(report).splitlines()
    assert told[0] == "- nDCG has exponential gain: a passage of grade g adds 2^g − 1."
    assert told[-1].endswith("list): none that nDCG@10 (exponential gain) depends on.")
    assert not any("no passage of grade" in line for line in told)
