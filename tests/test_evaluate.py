from pathlib import Path

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
