"""The scripts that train the shipped models, on made-up inputs and a base of two narrow layers."""

import gzip
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ragqa.evaluation.grades import write_grades
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import Reranker
from ragqa.records import Page
from ragqa.storage.checksums import find_flaw
from ragqa.storage.files import text_hash
from ragqa.storage.json_lines import json_line
from ragqa.text.clean import clean_page
from ragqa.text.passages import split

pytest.importorskip("torch", reason="pip install '.[train]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # two minutes of CPU time

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "shipped_models.py"
TITLES = [f"{kind} {thing}" for kind in ("Sparse", "Deep", "Robust", "Fast", "Lazy") for thing in
          ("pruning", "pooling", "hashing", "stacking", "padding", "masking", "scaling", "boosting")]  # fmt: skip


def page(title: str) -> Page:
    name = title.lower()
    return Page(
        title,
        text=f"{title} is a method that changes the weights of a model in rounds. It was first used in {name} networks.\n\n"
        f"== Use ==\nPeople apply {name} when the data are few. It costs {len(title)} seconds a round, more with noise.\n\n"
        f"== Limits ==\nThe error of {name} grows with the number of labels. Nobody has measured it on images.",
    )


def write_gzipped(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"".join(json_line(dict(row)) for row in rows)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders that the script reads, and `questions.jsonl` with grades for the pages."""
    folder = tmp_path_factory.mktemp("data")
    pages = [page(title) for title in TITLES]
    write_gzipped(
        folder / "wikipedia" / "pages.jsonl.gz", ({"title": p.title, "text": p.text, "ml": True} for p in pages)
    )
    articles = [
        Page(f"Town {n}", text=f"Town {n} lies on a river. It has {n + 100} houses and a mill.") for n in range(60)
    ]
    squad = folder / "squad_dev"
    write_gzipped(squad / "corpus.jsonl.gz", ({"_id": p.title, "title": p.title, "text": p.text} for p in articles))
    write_gzipped(
        squad / "queries.jsonl.gz",
        (
            {"_id": str(n), "text": f"How many houses has {p.title}?", "answers": [f"{n + 100} houses"]}
            for n, p in enumerate(articles)
        ),
    )
    (squad / "qrels.tsv").write_text("".join(f"{n}\t{p.title}\t1\n" for n, p in enumerate(articles)))
    shutil.copytree(squad, folder / "nq_questions")
    cmu = folder / "cmu_wikipedia_qa"
    write_gzipped(cmu / "articles.jsonl.gz", ({"_id": p.title, "text": p.text} for p in articles))
    write_gzipped(
        cmu / "questions.jsonl.gz",
        (
            {"article": p.title, "title": p.title, "question": f"Where is {p.title}?", "answer": "on a river"}
            for p in articles
        ),
    )
    passages = {p.title: split(clean_page(p)) for p in pages}
    grades = {
        f"when should I use {title.lower()}?": {own.id: 2 * ("Use" in own.section) for own in passages[title]}
        for title in TITLES
    }
    write_grades(folder / "questions.jsonl", grades, (own for group in passages.values() for own in group))
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """The tiny model as a bi-encoder."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    folder = tmp_path_factory.mktemp("base") / "tiny"
    SentenceTransformer(modules=[Transformer(str(tiny)), Pooling(32), Normalize()]).save_pretrained(str(folder))
    return folder


def run(data: Path, out: Path, *more: str, script: Path = SCRIPT) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(script), "--data", str(data), "--out", str(out), "--limit", "30", *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_one_command_trains_every_stage_and_ships_two_models(tmp_path: Path, data: Path, base: Path) -> None:
    options = ("--base", str(base), "--questions", str(data / "questions.jsonl"))
    done = run(data, tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("embedder", "reranker"):
        assert find_flaw(tmp_path / "out" / name) == ""
        card = (tmp_path / "out" / name / "README.md").read_text(encoding="utf8")
        assert [word for word in ("houses", "river", "rounds", "/stage-3") if word in card] == []  # no text of others
    assert Embedder.load(tmp_path / "out" / "embedder").embed(["pooling"]).shape == (1, 32)
    assert len(Reranker.load(tmp_path / "out" / "reranker").score("what is pooling?", ["a", "b"])) == 2
    stages = ("stage-1", "stage-2", "stage-3", "stage-4", "embedder-torch")
    trained = {name: (tmp_path / "out" / name / "model.safetensors").stat().st_mtime_ns for name in stages}
    assert run(data, tmp_path / "out", *options).returncode == 0  # nothing is trained twice
    assert trained == {name: (tmp_path / "out" / name / "model.safetensors").stat().st_mtime_ns for name in stages}
    other = run(data, tmp_path / "out", *options, "--teacher", str(base))
    assert other.returncode == 1
    assert "is of a run with other settings (run.json): choose another --out" in other.stderr


def test_one_command_trains_the_fast_embedder(tmp_path: Path, data: Path) -> None:
    options = ("--questions", str(data / "questions.jsonl"))
    done = run(data, tmp_path / "out", *options, script=SCRIPT.with_name("fast_embedder.py"))
    assert done.returncode == 0, done.stderr[-2000:]
    model = tmp_path / "out" / "model"
    assert find_flaw(model) == ""
    vectors = Embedder.load(model).embed(["units are switched off", "off switched are units", "peel the tomatoes"])
    assert vectors.shape == (3, 256)
    assert vectors[0] @ vectors[1] > 0.999 > vectors[0] @ vectors[2] + 0.3


def test_grades_that_do_not_fit_the_pages_end_the_script_before_any_work(tmp_path: Path, data: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    text = (data / "questions.jsonl").read_text(encoding="utf8")
    first = split(clean_page(page(min(TITLES))))[0]
    assert text_hash(first.text) in text
    questions.write_text(text.replace(text_hash(first.text), "0" * 12), encoding="utf8")
    done = run(data, tmp_path / "out", "--questions", str(questions))
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"shipped_models: {questions}, line ")
    assert f"the page {min(TITLES)!r}, and this text has changed" in line
    assert not (tmp_path / "out").exists()
