import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Callable
from pathlib import Path

import pytest

from ragqa.cli import main
from ragqa.cli.run import _parser
from ragqa.errors import FallbackWarning
from ragqa.index.bm25 import Bm25Index
from ragqa.models.reranker import BUNDLED, CALIBRATION
from ragqa.recipes import load_recipe, recipe_names
from ragqa.records import Page, Passage
from ragqa.storage.checksums import SEAL
from ragqa.storage.generations import current
from ragqa.storage.json_lines import read_json_lines, write_json_lines
from ragqa.text import analyzer

PREPOSITIONS = {"of", "for", "from", "with", "on", "in", "to", "by", "that"}  # a help text needs the noun before them
COMMANDS = (
    "crawl import-dump import-zim clean passages dataset train export calibrate publish evaluate index update verify push ask "
    "demo serve mcp"
).split()
README = Path(__file__).parent.parent / "README.md"


def recipe_commands() -> list[str]:
    names = []

    def command(name: str, *_: object) -> ArgumentParser:
        names.append(name)
        return ArgumentParser()

    for recipe in recipe_names():
        load_recipe(recipe).add_commands(command)
    return names


PAGES = [
    Page(
        "Dropout",
        "https://wiki.example/Dropout",
        1,
        7,
        None,
        "Dropout is a way to train networks.\n\n== Use ==\n\nIt helps.",
    ),
    Page(
        "Bagging",
        "https://wiki.example/Bagging",
        2,
        8,
        None,
        "Bagging is the averaging of models trained on resampled data.",
    ),
    Page("Nothing", "https://wiki.example/Nothing", 3, 9, None, ""),
]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    write_json_lines(tmp_path / "pages.jsonl", PAGES)
    return tmp_path / "pages.jsonl"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    pages, passages = folder / "pages.jsonl", folder / "passages.jsonl"
    write_json_lines(pages, PAGES)
    assert main(["passages", "--pages", str(pages), "--out", str(passages)]) == 0
    assert main(["index", "--passages", str(passages), "--out", str(folder / "index")]) == 0
    return folder / "index"


@pytest.fixture
def index(tmp_path: Path, built: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(built, tmp_path / "index"))


@pytest.mark.parametrize("command", [*COMMANDS, *recipe_commands()])
def test_every_command_has_help_with_an_example_and_stands_in_the_readme(command: str, run: Run) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"example:\n  ragqa {command}" in out
    assert f"ragqa {command}" in README.read_text(encoding="utf8")


def test_help_lists_exactly_these_commands(run: Run) -> None:
    lines = run("--help")[1].split("commands:")[1].splitlines()
    assert [
        line.split()[0] for line in lines if line.startswith("    ") and line[4] != " "
    ] == COMMANDS + recipe_commands()


@pytest.mark.parametrize("command", [*COMMANDS, *recipe_commands()])
def test_every_argument_has_a_help_text_that_can_stand_alone(command: str) -> None:
    (commands,) = (action for action in _parser()._actions if isinstance(action, _SubParsersAction))
    parser = commands.choices[command]
    parser.complete()
    names = {"/".join(action.option_strings) or action.dest: action.help or "" for action in parser._actions}
    assert {name for name, text in names.items() if len(text.split()) < 2 or text.split()[0] in PREPOSITIONS} == set()


def test_bad_usage_exits_with_2(run: Run) -> None:
    for arguments in ((), ("fly",), ("ask",), ("index", "pages"), ("ask", "q", "-k", "many")):
        assert run(*arguments)[0] == 2


def test_pages_become_passages_with_a_word_on_empty_ones(tmp_path: Path, pages: Path, run: Run) -> None:
    code, out, err = run("passages", "--pages", pages, pages, "--out", tmp_path / "passages.jsonl")
    assert (code, out) == (0, f"{tmp_path / 'passages.jsonl'}: 3 passages of 2 pages, 0.0 % list debris\n")
    assert "page 'Nothing' holds no text" in err
    assert "page 'Dropout' appears twice; the second one is skipped" in err
    first = next(read_json_lines(tmp_path / "passages.jsonl", Passage))
    assert first.url == "https://wiki.example/Dropout?oldid=7"


def test_what_a_gzip_name_was_given_for_is_gzip_and_read_again(tmp_path: Path, pages: Path, run: Run) -> None:
    cleaned, passages = tmp_path / "cleaned.jsonl.gz", tmp_path / "passages.jsonl.gz"
    assert run("clean", "--pages", pages, "--out", cleaned)[0] == 0
    assert run("passages", "--pages", cleaned, "--out", passages)[0] == 0
    assert cleaned.read_bytes()[:2] == passages.read_bytes()[:2] == b"\x1f\x8b"
    assert run("index", "--passages", passages, "--out", tmp_path / "index", "--no-dense")[0] == 0


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="/dev/stdin")
def test_pages_come_through_a_pipe(tmp_path: Path, pages: Path) -> None:
    command = [sys.executable, "-m", "ragqa", "passages", "--pages", "/dev/stdin", "--out", str(tmp_path / "p.jsonl")]
    subprocess.run(command, input=pages.read_bytes(), check=True, capture_output=True)
    assert len(list(read_json_lines(tmp_path / "p.jsonl", Passage))) == 3


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """Two passages and three questions, of which one cannot be asked."""
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    texts = {"d1": "A gravel bike has wide tyres.", "d2": "A tent needs pegs."}
    queries = {"q1": "which bike has wide tyres?", "q2": "tent pegs", "q3": "???"}
    for name, rows in (("corpus", texts), ("queries", queries)):
        write_json_lines(folder / f"{name}.jsonl", ({"_id": key, "text": text} for key, text in rows.items()))
    (folder / "qrels" / "dev.tsv").write_text("q1\td1\t1\nq2\td2\t1\nq3\td2\t1\n")
    return folder


def test_evaluate_measures_a_run_names_the_split_and_goes_on_after_a_bad_question(
    tmp_path: Path, beir: Path, run: Run
) -> None:
    (tmp_path / "other.trec").write_text("q1 Q0 d2 1 2 x\nq1 Q0 d1 2 1 x\n")
    code, out, err = run("evaluate", "--judged", beir, "--no-dense", "--run", tmp_path / "other.trec")
    assert code == 0
    assert "beir (dev): question 'q3' is not asked and counts as 0: the question '???' holds no letter or digit" in err
    assert "other.trec: 2 of 3 questions are missing and count as 0" in err
    assert out.startswith(
        "beir (dev): 3 questions, 2 passages\n1 of 3 questions cannot be asked; each counts as 0: q3\n"
    )
    cells = [line.split(" | ") for line in out.splitlines() if line.startswith("| ") and "0." in line]
    means = {row[0].strip("| "): row[2][:5] for row in cells}
    assert means == {"other.trec": "0.167", "BM25": "0.667", "BM25 → reranker": "0.667"}
    assert run("evaluate", "--judged", beir, "--split", "test")[0] == 1


def test_evaluate_measures_a_foreign_run_with_foreign_judgments(tmp_path: Path, run: Run) -> None:
    theirs, qrels = tmp_path / "other.trec", tmp_path / "my.qrels"
    theirs.write_text("q1 Q0 d2 1 2 x\nq1 Q0 d1 2 1 x\n")
    qrels.write_text("q1 0 d1 2\nq1 0 d2 1\n")
    code, out, _ = run("evaluate", "--run", theirs, "--qrels", qrels)
    assert code == 0
    assert out.splitlines()[:5] == [
        "my.qrels: 1 questions",
        "",
        "| system | MAP (grade ≥ 1) | MRR@10 (grade ≥ 2) | nDCG@10 | Recall@10 (grade ≥ 1) | nDCG@10 of the last − this | p |",
        "|---|---|---|---|---|---|---|",
        "| other.trec | 1.000 (1.000–1.000) | 0.500 (0.500–0.500) | 0.860 (0.860–0.860) | 1.000 (1.000–1.000) |  |  |",
    ]
    assert "- nDCG has linear gain: a passage of grade g adds g." in out
    found = json.loads(run("evaluate", "--run", theirs, "--qrels", qrels, "--least-grade", "1", "--json")[1])
    assert [e["metric"] for e in found["systems"][0]["estimates"]] == ["AP", "RR@10", "nDCG@10", "R@10"]
    assert found["systems"][0]["caveats"]["judged"] == 1.0
    qrels.write_text("q1 0 d1 2\nq1 0 d2\n")
    code, _, err = run("evaluate", "--run", theirs, "--qrels", qrels)
    assert code == 1
    assert err.startswith(f"ragqa: {qrels}, line 2: question id, passage id and grade are needed")
    assert err.count("\n") == 1


def test_ask_prints_the_answer_the_passages_and_where_they_stand(index: Path, run: Run) -> None:
    code, out, _ = run("ask", "what is bagging?", "--index", index)
    assert code == 0
    assert "Bagging" in out
    assert "BM25 #1" in out
    assert "https://wiki.example/Bagging?oldid=8" in out


def test_ask_as_json_holds_everything(index: Path, run: Run) -> None:
    answer = json.loads(run("ask", "what is bagging?", "--index", index, "--json", "-k", "1")[1])
    assert answer["question"] == "what is bagging?"
    (hit,) = answer["hits"]
    assert (hit["rank"], hit["bm25_rank"], hit["passage"]["title"]) == (1, 1, "Bagging")
    assert hit["passage"]["url"] == "https://wiki.example/Bagging?oldid=8"


def test_ask_says_what_was_written_for_ragqa(run: Run) -> None:
    article = "https://en.wikipedia.org/wiki/Dilution_(neural_networks)"
    out = run("ask", "why does dropout help?", "-k", "1")[1]
    assert out.endswith(f"\n    written for ragqa; the topic's article on Wikipedia: {article}\n")
    (hit,) = json.loads(run("ask", "why does dropout help?", "-k", "1", "--json")[1])["hits"]
    assert (hit["passage"]["url"], hit["passage"]["about"]) == ("", article)


def test_ask_without_reranking_or_without_hits(index: Path, run: Run) -> None:
    assert "score" not in run("ask", "bagging", "--index", index, "--bm25-only")[1]
    assert run("ask", "zebra", "--index", index, "--no-dense")[:2] == (
        3,
        "The corpus has no good answer: no passage shares a word with the question.\n",
    )


def test_ask_without_a_good_answer_has_an_exit_status_of_its_own(index: Path, run: Run) -> None:
    asked = ("ask", "what is bagging?", "--index", index)
    assert run(*asked, "--threshold", "0")[0] == 0
    for more in ((), ("--json",)):
        code, out, _ = run(*asked, "--threshold", "1", *more)
        assert code == 3
        assert ("has no good answer" in out) != ('"abstained": true' in out)
    assert "3 no good answer" in run("ask", "--help")[1]


def test_ask_with_a_model_that_is_not_calibrated_says_so_and_shows_no_percentages(
    tmp_path: Path, index: Path, run: Run
) -> None:
    model = tmp_path / "model"
    shutil.copytree(BUNDLED, model, ignore=shutil.ignore_patterns(SEAL, CALIBRATION))
    with warnings.catch_warnings():
        warnings.simplefilter("always", FallbackWarning)
        code, out, err = run(
            "ask", "how long should I boil an egg?", "--index", index, "--model", model, "--threshold", "1"
        )
    assert code == 0
    assert "the reranker model is not calibrated, so hits have no probabilities" in err
    assert "[score " in out
    assert "%" not in out


def test_clean_rewrites_pages(tmp_path: Path, run: Run) -> None:
    write_json_lines(
        tmp_path / "raw.jsonl", [Page("A", text="Let \n  \n    \n      x\n    \n    {\\displaystyle x}\n  \n be.")]
    )
    assert run("clean", "--pages", tmp_path / "raw.jsonl", "--out", tmp_path / "clean.jsonl")[0] == 0
    assert next(read_json_lines(tmp_path / "clean.jsonl", Page)).text == "Let x be."


def test_reference_style_runs_from_pages_to_pairs(tmp_path: Path, starter_pages: tuple[Page, ...], run: Run) -> None:
    pytest.importorskip("pyarrow", reason="pip install '.[train]'")
    few, windows, out = tmp_path / "few.jsonl", tmp_path / "windows.jsonl", tmp_path / "dataset"
    write_json_lines(few, starter_pages[::8])
    assert run("passages", "--pages", few, "--style", "reference", "--out", windows)[0] == 0
    assert run("dataset", "--passages", windows, "--style", "reference", "--out", out)[0] == 0
    rows = [json.loads(line) for line in (out / "train.jsonl").read_text(encoding="utf8").splitlines()]
    assert all(row["sentence_0"].startswith("What is ") for row in rows)
    assert sum(row["label"] for row in rows) * 2 == len(rows)


def test_dataset_from_starter_passages_and_questions(tmp_path: Path, run: Run) -> None:
    pytest.importorskip("pyarrow", reason="pip install '.[train]'")
    passages, out = tmp_path / "passages.jsonl", tmp_path / "dataset"
    assert run("passages", "--pages", "starter", "--out", passages)[0] == 0
    code, report, _ = run(
        "dataset", "--passages", passages, "--judged", "starter", "--forms", "what", "how", "--no-check", "--out", out
    )
    assert code == 0
    assert json.loads(report)["pairs"]["train"] > 500
    assert json.loads(report)["leaking_passages"] == 0


def test_evaluate_prints_a_table_or_json(tmp_path: Path, beir: Path, run: Run) -> None:
    few = ("--questions", "2", "--candidates", "10")
    code, out, _ = run(
        "evaluate", "--judged", "starter", "starter-graded", *few, "--compare", "--chart", tmp_path / "a.png"
    )
    assert code == 0
    assert out.count("| nDCG@10 |") == 2
    assert out.count("| BM25 + embedder → reranker |") == 2
    assert (tmp_path / "a.png").is_file()
    assert "abstains on" in run("evaluate", "--judged", beir, "--answers", "--no-dense")[1]
    report = json.loads(run("evaluate", *few, "--json", "--no-dense")[1])
    assert report["questions"] == 2
    assert [system["name"] for system in report["systems"]] == ["BM25", "BM25 → reranker"]


def test_progress_messages_are_printed_if_they_are_asked_for(run: Run) -> None:
    few = ("evaluate", "--questions", "1", "--candidates", "2", "--no-dense")
    told = "ragqa: starter: asking 1 questions of BM25, BM25 → reranker"
    assert told in run(*few, "-v")[2].splitlines()
    assert told not in run(*few)[2].splitlines()


@pytest.fixture
def bad(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Inputs with something wrong, by what it is."""
    made = {name: tmp_path / name for name in ("empty", "broken", "textless", "titles", "no-weights", "other-analyzer")}
    made["empty"].mkdir()
    made["titles"].write_text("No such page\n")
    made["broken"].write_text('{"title": "A", "text": "a"}\n{"title": "B", "text": \n')
    write_json_lines(made["textless"], [Page("Nothing")])
    shutil.copytree(BUNDLED, made["no-weights"], ignore=shutil.ignore_patterns("openvino", SEAL))
    passages = Bm25Index.open(index).passages
    monkeypatch.setattr(analyzer, "VERSION", 0)
    Bm25Index.build(passages).save(made["other-analyzer"])
    monkeypatch.undo()
    return made | {"index": index, "missing": tmp_path / "missing", "out": tmp_path / "out"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("passages --pages {missing} --out {out}", "{missing} does not exist"),
        ("passages --pages {empty} --out {out}", "{empty} holds no pages"),
        ("passages --pages {broken} --out {out}", "{broken}, line 2: not JSON"),
        ("passages --pages {textless} --out {out}", "no page holds text"),
        ("index --passages {textless} --out {out}", "line 1: 'id' is missing"),
        ("index --passages {missing} --out {out}", "{missing} is not a file"),
        ("ask dropout --index {missing}", "{missing} is not an index; build it again: ragqa index"),
        ("ask dropout --index {other-analyzer}", "built with another analyzer; bring it up to date"),
        ("ask  --index {index}", "the question is empty"),
        ("ask ?!? --index {index}", "holds no letter or digit"),
        ("ask dropout --index {index} --model {no-weights}", "{no-weights} holds no weights"),
        ("ask dropout --index {index} --model {missing}", "neither a folder nor a hub id"),
        ("crawl --category X --out {out}", "contact"),
        ("dataset --out {out}", "give --passages or --judged"),
        ("evaluate --judged {empty}", "is not a BEIR folder"),
        ("verify {empty}", "is not an index, model, dataset or file of records"),
        ("train --dataset {empty} --out {out}", "is not a dataset"),
        ("calibrate {missing} --judged starter", "{missing} is not a folder; download the model into one first"),
        ("calibrate {index}", "calibrating needs questions; give --dataset or --judged"),
        ("evaluate --titles {titles}", "no question is left to measure with"),
    ],
)
def test_bad_input_is_one_line_on_stderr_and_exit_1(
    arguments: str, message: str, bad: dict[str, Path], run: Run
) -> None:
    code, out, err = run(*(argument.format(**bad) for argument in arguments.split(" ")))
    assert (code, out) == (1, "")
    lines = [line for line in err.splitlines() if line.startswith("ragqa: ")]
    assert message.format(**bad) in lines[-1]
    assert "Traceback" not in err
    assert not bad["out"].exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("ask dropout -k 0", "-k: 0 is not a whole number of at least 1"),
        ("ask dropout -k 2.5", "-k: 2.5 is not a whole number"),
        ("ask dropout --threshold 1.5", "--threshold: 1.5 is not a number from 0 to 1"),
        ("ask dropout --candidates 0", "--candidates: 0 is not a whole number of at least 1"),
        ("demo --port 65536", "--port: 65536 is not a whole number from 0 to 65535"),
        ("evaluate --questions 0", "--questions: 0 is not a whole number of at least 1"),
        ("dataset --out out --seed -1", "--seed: -1 is not a whole number from 0 to 4294967295"),
        ("dataset --out out --negatives 0", "--negatives: 0 is not a whole number of at least 1"),
        ("dataset --out out --parts 0.8 nan 0.1", "--parts: nan is not a number of at least 0"),
        ("dataset --out out --shares 1 1 -1", "--shares: -1 is not a number of at least 0"),
        ("dataset --out out --teacher-weight 1.5", "--teacher-weight: 1.5 is not a number from 0 to 1"),
        ("train --dataset d --out out --seed 99999999999", "--seed: 99999999999 is not a whole number from 0 to"),
        ("train --dataset d --out out --epochs 0", "--epochs: 0 is not a number above 0"),
        ("train --dataset d --out out --epochs inf", "--epochs: inf is not a number above 0"),
        ("train --dataset d --out out --learning-rate nan", "--learning-rate: nan is not a number above 0"),
        ("train --dataset d --out out --learning-rate -0.1", "--learning-rate: -0.1 is not a number above 0"),
        ("train --dataset d --out out --batch-size 0", "--batch-size: 0 is not a whole number of at least 1"),
        ("train --dataset d --out out --warmup 1", "--warmup: 1 is not a number of at least 0 and below 1"),
        ("train --dataset d --out out --dropout x", "--dropout: x is not a number of at least 0 and below 1"),
    ],
)
def test_a_number_out_of_range_is_bad_usage(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    assert f"argument {message}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("ask dropout --model {missing}", "neither a folder nor a hub id"),
        ("ask ?!?", "holds no letter or digit"),
        ("ask dropout --index {missing}", "is not an index"),
        ("index --passages {missing} --out {out}", "{missing} is not a file"),
        ("update {missing} --remove A --embedder bundled", "{missing} is not an index"),
        ("demo --host 0.0.0.0", "give --auth USER:PASSWORD, or --no-auth"),
        ("demo --llm-base-url localhost:1", "is not the URL of a server"),
        ("demo --auth nobody", "as USER:PASSWORD"),
        ("evaluate --judged {missing}", "{missing} does not exist"),
        ("evaluate --judged {missing} --titles {missing}", "{missing} does not exist"),
        ("evaluate --embedder {missing}", "neither a folder nor a hub id"),
        ("dataset --passages {missing} --miner bundled --out {out}", "{missing} does not exist"),
        ("dataset --judged {missing} --teacher bundled --out {out}", "{missing} does not exist"),
        ("dataset --judged starter --teacher {missing} --out {out}", "neither a folder nor a hub id"),
        ("dataset --passages {missing} --split dev --out {out}", "--split names a split of BEIR folders; add --judged"),
        ("train --dataset {missing} --out {out}", "is not a dataset"),
        ("export {missing} --dataset {missing} --out {out}", "is not a dataset"),
    ],
)
def test_bad_options_are_refused_before_any_model_is_loaded(
    arguments: str, message: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[object] = []
    for name in ("ragqa.models.reranker.OpenVinoEngine", "ragqa.models.embedder.OpenVinoEngine"):
        monkeypatch.setattr(name, loaded.append)
    paths = {"missing": str(tmp_path / "missing"), "out": str(tmp_path / "out")}
    code, _, err = run(*(argument.format(**paths) for argument in arguments.split(" ")))
    assert (code, loaded) == (1, [])
    assert message.format(**paths) in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_update_changes_and_removes_pages(tmp_path: Path, index: Path, run: Run) -> None:
    write_json_lines(
        tmp_path / "new.jsonl", [Passage("Bagging#0", "Bagging", text="resampled"), Passage("Boosting#0", "Boosting")]
    )
    assert run("update", index, "--passages", tmp_path / "new.jsonl", "--remove", "Dropout")[:2] == (
        0,
        f"{index}: 2 passages, 2 of them embedded now; pages: 1 added, 1 changed, 1 removed\n",
    )
    assert run("ask", "what is resampled?", "--index", index)[1].count(". Bagging") == 1
    code, _, err = run("update", index, "--remove", "Dropout")
    assert (code, err.splitlines()[-1]) == (1, f"ragqa: there is no page 'Dropout' in {index}")
    code, out, err = run("update", index, "--passages", tmp_path / "new.jsonl", "--remove", "Bagging")
    message = "page 'Bagging' is both to be removed and among the passages; leave out one of the two"
    assert (code, out, err.splitlines()[-1]) == (1, "", f"ragqa: {message}")
    code, _, err = run("update", index)
    assert (code, err) == (1, "ragqa: nothing to update: give --passages, --pages or --remove\n")


def test_a_damaged_index_is_found_by_verify(index: Path, run: Run) -> None:
    assert run("verify", index)[:2] == (0, f"{index}: 3 passages, every byte as written\n")
    weights = current(index) / "weights.npy"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    code, _, err = run("verify", index)
    assert code == 1
    assert "weights.npy is damaged" in err


@pytest.mark.skipif(os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_leaves_the_old_files(tmp_path: Path, run: Run) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        (disk / "passages.jsonl").write_text("old\n")
        code, _, err = run("passages", "--pages", "starter", "--out", disk / "passages.jsonl")
        assert code == 1
        assert "No space left on device" in err
        assert [(file.name, file.read_text()) for file in disk.iterdir()] == [("passages.jsonl", "old\n")]
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.fixture
def buffered() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def test_a_reader_that_stops_early_is_no_error(index: Path, buffered: dict[str, str]) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "ragqa", "ask", "dropout", "--index", str(index), "--json"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env=buffered, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_that_cannot_be_written_is_one_line(index: Path, buffered: dict[str, str]) -> None:
    command = [sys.executable, "-m", "ragqa", "ask", "dropout", "--index", str(index)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=buffered, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "No space left on device" in done.stderr


def test_a_terminal_without_unicode_gets_question_marks(index: Path) -> None:
    command = [sys.executable, "-m", "ragqa", "ask", "what is dropout?", "--index", str(index)]
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, env=ascii_only, text=True, check=True)
    assert "Dropout ? Use" in done.stdout


def test_control_characters_of_a_page_do_not_reach_the_terminal(tmp_path: Path, run: Run) -> None:
    write_json_lines(
        tmp_path / "p.jsonl", [Passage("a", "Evil\x1b]0;title\x07", text="evil \x1b[2J text", url="http://x/\x1b[1m")]
    )
    assert run("index", "--passages", tmp_path / "p.jsonl", "--out", tmp_path / "index")[0] == 0
    code, out, _ = run("ask", "evil", "--index", tmp_path / "index", "--threshold", 0)
    assert code == 0
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", out)


def test_seed_and_shares_of_a_dataset_are_heeded(tmp_path: Path, run: Run) -> None:
    passages = tmp_path / "passages.jsonl"
    assert run("passages", "--pages", "starter", "--out", passages)[0] == 0
    rows = {}
    for name, options in {
        "a": (),
        "b": ("--seed", "7"),
        "random": ("--shares", "1", "0", "0"),
        "bm25": ("--shares", "0", "0", "1"),
    }.items():
        assert run("dataset", "--passages", passages, "--no-check", "--out", tmp_path / name, *options)[0] == 0
        rows[name] = (tmp_path / name / "train.jsonl").read_bytes()
        rows[name + " lint"] = (tmp_path / name / "lint.json").read_bytes()
    assert rows["a"] != rows["b"]
    shortcut = {name: json.loads(rows[f"{name} lint"])["overlap_shortcut"] for name in ("random", "bm25")}
    assert shortcut["bm25"] < shortcut["random"]


def test_an_old_file_survives_pages_without_text(tmp_path: Path, run: Run) -> None:
    write_json_lines(tmp_path / "textless.jsonl", [Page("Nothing")])
    (tmp_path / "passages.jsonl").write_text("old\n")
    assert run("passages", "--pages", tmp_path / "textless.jsonl", "--out", tmp_path / "passages.jsonl")[0] == 1
    assert (tmp_path / "passages.jsonl").read_text() == "old\n"
