import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from ragqa import Hit, Pair, Passage
from ragqa.cli import main
from ragqa.errors import CorpusError, InputError, RecordError
from ragqa.search.feedback import read_feedback, save_feedback
from ragqa.storage.json_lines import write_json_lines
from ragqa.text.passages import full_text
from ragqa.training.card import COLUMNS
from ragqa.training.dataset import PairConfig, build, from_feedback

SOUP = Passage(
    "Soup#3", "Soup", "Salt", text="Salt makes soup taste of more.\nSo does time.", url="https://example.org/Soup"
)


def hit(passage: Passage = SOUP) -> Hit:
    return Hit(passage, 1.0, 0.9, 2.0, 1)


def test_a_vote_is_one_line_with_the_columns_of_a_dataset(tmp_path: Path) -> None:
    path = tmp_path / "new" / "feedback.jsonl"
    save_feedback(path, " Why salt soup?\n", hit(), True)
    (line,) = path.read_text(encoding="utf8").splitlines()
    row = json.loads(line)
    assert tuple(row)[:3] == COLUMNS
    assert [row[name] for name in COLUMNS] == ["Why salt soup?", full_text(SOUP), 1.0]
    assert (row["passage"], row["url"]) == (SOUP.id, SOUP.url)
    assert datetime.fromisoformat(row["time"]).tzinfo is not None


def test_the_last_vote_on_a_question_and_passage_counts(tmp_path: Path) -> None:
    path, other = tmp_path / "feedback.jsonl", Passage("Bread#0", "Bread", text="Bread needs salt.")
    assert read_feedback(path) == []
    for question, passage, liked in [("Salt?", SOUP, True), ("Salt?", other, True), ("Salt?", SOUP, False)]:
        save_feedback(path, question, hit(passage), liked)
    save_feedback(path, "Bread?", hit(other), False)
    assert read_feedback(path) == [
        Pair("Salt?", full_text(SOUP), 0.0),
        Pair("Salt?", full_text(other), 1.0),
        Pair("Bread?", full_text(other), 0.0),
    ]


def test_a_line_that_a_crash_left_unfinished_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "feedback.jsonl"
    save_feedback(path, "Salt?", hit(), True)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"sentence_0": "Sal')
    save_feedback(path, "Pepper?", hit(), False)
    assert [pair.question for pair in read_feedback(path)] == ["Salt?", "Pepper?"]


def test_reading_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "feedback.jsonl"
    save_feedback(path, "Salt?", hit(), True)
    path.with_name(f"{path.name}.lock").unlink()
    whole = path.read_bytes()
    for unfinished in (whole + b'{"sentence_0": "Sal', whole[:-1]):  # by a crash, by an editor
        path.write_bytes(unfinished)
        assert read_feedback(path) == [Pair("Salt?", full_text(SOUP), 1.0)]
        assert path.read_bytes() == unfinished
    assert [*tmp_path.iterdir()] == [path]


def test_what_is_no_vote_is_named(tmp_path: Path) -> None:
    path = tmp_path / "feedback.jsonl"
    path.write_text('{"sentence_0": "Salt?", "label": 1.0}\n')
    with pytest.raises(RecordError, match=r"line 1: 'sentence_1' is missing"):
        read_feedback(path)
    path.write_text('{"sentence_0": "Salt?", "sentence_1": "Salt.", "label": 7}\n')
    with pytest.raises(InputError, match="label"):
        read_feedback(path)


def test_what_cannot_be_saved_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="empty"):
        save_feedback(tmp_path / "feedback.jsonl", " ", hit(), True)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        save_feedback(tmp_path / "file" / "feedback.jsonl", "Salt?", hit(), True)


SCRIPT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from ragqa import Hit, Passage
from ragqa.search.feedback import save_feedback
own = sys.argv[2]
long = Passage("a", "Soup", text=own * 20_000)
with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda n: save_feedback(sys.argv[1], f"{own} {n}", Hit(long, 1.0, None, 1.0, 1), n % 2 == 0), range(25)))
"""


def test_threads_and_processes_lose_and_mix_nothing(tmp_path: Path) -> None:
    path = tmp_path / "feedback.jsonl"
    running = [subprocess.Popen([sys.executable, "-c", SCRIPT, str(path), own]) for own in "abc"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: save_feedback(path, f"d {n}", hit(), True), range(25)))
    assert [process.wait(60) for process in running] == [0, 0, 0]
    pairs = read_feedback(path)
    assert {pair.question for pair in pairs} == {f"{own} {n}" for own in "abcd" for n in range(25)}
    assert all(set(pair.passage) == set(f"Soup: {pair.question[0]}") for pair in pairs if pair.question[0] != "d")


def test_feedback_becomes_pairs_to_train_on(tmp_path: Path) -> None:
    passages = [Passage(f"Page {n}#0", f"Page {n}", text=f"Fact {n} is told here.") for n in range(30)]
    path = tmp_path / "feedback.jsonl"
    for n in range(20):
        save_feedback(path, f"What is fact {n}?", hit(passages[n]), True)
        save_feedback(path, f"What is fact {n}?", hit(passages[n + 1]), False)
    save_feedback(path, "Only disliked?", hit(passages[0]), False)
    save_feedback(path, "Of another corpus?", hit(SOUP), True)
    config = PairConfig(negatives=1, parts=(1, 0, 0))
    pairs = build([from_feedback(read_feedback(path), passages)], config)["train"]
    judged = {(pair.question, pair.passage): pair.label for pair in pairs if not pair.drawn}
    assert {question for question, _ in judged} == {f"What is fact {n}?" for n in range(20)}
    for n in range(20):
        assert judged[f"What is fact {n}?", full_text(passages[n])] == 1.0
        assert judged[f"What is fact {n}?", full_text(passages[n + 1])] == 0.0
    with pytest.raises(CorpusError, match="no question has a liked passage"):
        from_feedback([Pair("Only disliked?", full_text(passages[0]), 0.0)], passages)


@pytest.mark.filterwarnings("default::ragqa.errors.FallbackWarning")  # few pages: none is left to evaluate with
def test_the_command_makes_a_dataset_of_it(
    tmp_path: Path, starter_passages: tuple[Passage, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow", reason="pip install '.[train]'")
    passages = starter_passages[:60]
    write_json_lines(tmp_path / "passages.jsonl", passages)
    for number, passage in enumerate(passages):
        save_feedback(tmp_path / "votes.jsonl", f"Question {number}?", Hit(passage, 1.0, 0.5, 1.0, 1), number % 4 > 0)
    given = ["--passages", str(tmp_path / "passages.jsonl"), "--feedback", str(tmp_path / "votes.jsonl")]
    assert main(["dataset", *given, "--out", str(tmp_path / "data")]) == 0
    rows = "".join((tmp_path / "data" / f"{split}.jsonl").read_text() for split in ("train", "eval", "test"))
    assert "Question 1?" in rows
    assert "Question 4?" not in rows  # nobody liked what it found
