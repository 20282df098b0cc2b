from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ragqa.errors import InputError, ModelError
from ragqa.evaluation.evaluate import EvaluationConfig, evaluate
from ragqa.storage.json_lines import write_json_lines


@pytest.fixture
def beir(tmp_path: Path) -> str:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    write_json_lines(
        folder / "corpus.jsonl", [{"_id": "d1", "text": "A bike has tyres."}, {"_id": "d2", "text": "Pegs."}]
    )
    write_json_lines(folder / "queries.jsonl", [{"_id": "q1", "text": "tyres"}, {"_id": "q2", "text": "???"}])
    (folder / "qrels" / "test.tsv").write_text("q1\td1\t1\nq2\td2\t1\n")
    (tmp_path / "other.trec").write_text("q1 Q0 d2 1 2 x\n")
    return str(folder)


def test_each_set_is_measured_and_the_chart_is_drawn_at_the_end(
    beir: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chart = tmp_path / "chart.svg"
    config = EvaluationConfig(judged=(beir, "starter"), questions=2, embedder=None, candidates=2, chart=chart)
    evaluations = evaluate(config)
    first = next(evaluations)
    assert (first.report.judged, first.report.questions, first.answers) == ("beir", 2, None)
    assert [system.name for system in first.report.systems] == ["BM25", "BM25 → reranker"]
    assert not chart.exists()
    assert [evaluation.report.judged for evaluation in evaluations] == ["starter"]
    assert chart.is_file()
    assert "beir: question 'q2' is not asked and counts as 0: the question '???' holds no letter" in caplog.text


def test_a_run_is_measured_with_a_warning_of_missing_questions(
    beir: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = str(tmp_path / "other.trec")
    (found,) = evaluate(EvaluationConfig(judged=(beir,), runs=(run,), embedder=None, answers=True))
    assert [system.name for system in found.report.systems] == ["other.trec", "BM25", "BM25 → reranker"]
    assert found.answers is not None
    assert found.answers.covered == 2
    assert f"{run}: 1 of 2 questions are missing and count as 0" in caplog.messages


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (EvaluationConfig(judged=("nowhere",)), InputError, "nowhere does not exist"),
        (EvaluationConfig(titles="nowhere"), InputError, "nowhere does not exist"),
        (EvaluationConfig(model="./nowhere"), ModelError, "neither a folder nor a hub id"),
        (EvaluationConfig(chart="chart.xyz"), InputError, "does not end in"),
        (EvaluationConfig(judged=("starter", "starter"), runs=("x",)), InputError, "give --run with one --judged"),
    ],
)
def test_inputs_that_cannot_be_used_are_refused(config: EvaluationConfig, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        next(evaluate(config))


def test_two_runs_need_different_names(beir: str, tmp_path: Path) -> None:
    run = str(tmp_path / "other.trec")
    with pytest.raises(InputError, match=r"two run files are called other\.trec; rename one of them"):
        next(evaluate(EvaluationConfig(judged=(beir,), runs=(run, run))))


@pytest.fixture
def judgments(tmp_path: Path) -> tuple[str, str]:
    """A run and judgments of another system, without passages."""
    (tmp_path / "other.trec").write_text("q1 Q0 d2 1 2 x\nq1 Q0 d1 2 1 x\nq2 Q0 d9 1 1 x\n")
    (tmp_path / "my.qrels").write_text("q1 0 d1 2\nq1 0 d2 1\nq2 0 d9 1\nq3 0 d1 0\n")
    return str(tmp_path / "other.trec"), str(tmp_path / "my.qrels")


def test_a_run_is_measured_with_judgments_alone(judgments: tuple[str, str], tmp_path: Path) -> None:
    run, qrels = judgments
    chart = tmp_path / "chart.svg"
    (found,) = evaluate(EvaluationConfig(runs=(run,), qrels=qrels, chart=chart))
    report = found.report
    assert (report.judged, report.questions, report.passages, report.depth) == ("my.qrels", 2, 0, 10)
    assert (report.highest_grade, report.unreachable, report.unasked, found.answers) == (2, 1, (), None)
    (system,) = report.systems
    means = {estimate.metric: estimate.mean for estimate in system.estimates}
    assert (system.name, means["RR(rel=2)@10"], means["R@10"]) == ("other.trec", 0.25, 1.0)
    assert chart.is_file()


def test_least_grade_and_gain_are_those_of_the_configuration(judgments: tuple[str, str]) -> None:
    run, qrels = judgments
    (found,) = evaluate(EvaluationConfig(runs=(run,), qrels=qrels, least_grade=1, gain="exponential"))
    means = {estimate.metric: estimate.mean for estimate in found.report.systems[0].estimates}
    assert means["RR@10"] == 1.0
    assert means["nDCG(dcg='exp-log2')@10"] == pytest.approx((1 + (1 + 3 / 1.5849625) / (3 + 1 / 1.5849625)) / 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runs": ()}, "--qrels measures runs of other systems: give at least one with --run"),
        ({"judged": ("starter-test",)}, "leave out --judged"),
        ({"save_run": "x"}, "leave out --save-run"),
        ({"least_grade": 3}, r"my\.qrels: no passage has grade 3 or above; the highest grade is 2"),
        ({"qrels": "nowhere"}, "nowhere does not exist"),
    ],
)
def test_judgments_alone_need_runs_and_nothing_of_ours(
    judgments: tuple[str, str], options: dict[str, Any], message: str
) -> None:
    run, qrels = judgments
    with pytest.raises(InputError, match=message):
        next(evaluate(replace(EvaluationConfig(runs=(run,), qrels=qrels), **options)))


def test_saved_files_give_the_same_figures_again(tmp_path: Path) -> None:
    run, qrels = tmp_path / "ours.trec", tmp_path / "ours.qrels"
    few = EvaluationConfig(judged=("starter-graded",), questions=4, embedder=None, candidates=12)
    (first,) = evaluate(replace(few, save_run=run, save_qrels=qrels))
    (again,) = evaluate(EvaluationConfig(runs=(str(run),), qrels=qrels))
    assert again.report.systems[0].estimates == first.report.systems[-1].estimates
    assert (first.report.depth, again.report.depth) == (12, 12)
    assert [estimate.metric for estimate in first.report.systems[0].estimates][-1] == "R@12"
    judged = [system.caveats.judged for system in (first.report.systems[-1], again.report.systems[0]) if system.caveats]
    assert judged[0] == judged[1] > 0.3


def test_a_trec_file_holds_one_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --save-run with one --judged"):
        next(evaluate(EvaluationConfig(judged=("starter", "starter"), save_run=tmp_path / "x.trec")))
    with pytest.raises(InputError, match="is not a file that can be replaced"):
        next(evaluate(EvaluationConfig(save_qrels=tmp_path)))
