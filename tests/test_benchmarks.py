import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ragqa.storage.json_lines import write_json_lines

BENCH = Path(__file__).parent.parent / "benchmarks" / "bench.py"
COMPARISONS = ("rerank", "search", "bm25", "index", "start", "answers", "training")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", COMPARISONS)
def test_every_comparison_runs(tmp_path: Path, name: str) -> None:
    cores = str(min(2, os.cpu_count() or 1))
    command = [sys.executable, str(BENCH), "--smoke", "--only", name, "--out", str(tmp_path), "--cores", cores]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    text = (tmp_path / f"{name}.md").read_text()
    assert text in (tmp_path / "README.md").read_text()
    assert text.startswith(f"## {name}\n")
    assert " NO " not in text
    assert (tmp_path / f"{name}.png").is_file() == (name in ("rerank", "bm25", "index"))


def test_search_in_other_languages_is_measured() -> None:
    command = [sys.executable, str(BENCH.with_name("languages.py")), "--languages", "zh", "--no-models"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf8")
    rows = {row.split(" | ")[2]: row.split(" | ")[3:] for row in done.stdout.splitlines()[2:]}
    hit_at_1 = {name: float(row[0].split()[0]) for name, row in rows.items()}
    assert hit_at_1["random"] < 0.05
    assert hit_at_1["BM25, words"] < 0.1
    assert hit_at_1["BM25"] >= 0.4


def test_debris_and_formula_markup_are_counted(tmp_path: Path) -> None:
    rows = [
        {"title": "Sums", "text": "A sum of them is {\\displaystyle x+y}.\n\n== See also ==\nLevers", "ml": True},
        {"title": "Names", "text": "Ada Lovelace\nAlan Turing", "ml": False},
    ]
    write_json_lines(tmp_path / "pages.jsonl", rows)
    command = [sys.executable, str(BENCH.with_name("debris.py")), "--pages", str(tmp_path / "pages.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[2:] == [
        "| 2 all, as they come | 3 | 2 (66.67 %) | 1 | 0 | 0 |",
        "| 2 all, cleaned | 2 | 1 (50.00 %) | 0 | 0 | 0 |",
        "| 1 on machine learning, as they come | 2 | 1 (50.00 %) | 1 | 0 | 0 |",
        "| 1 on machine learning, cleaned | 1 | 0 (0.00 %) | 0 | 0 | 0 |",
    ]


def test_documents_are_measured_by_format(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Soil\n\nIt is old.")
    (tmp_path / "b.html").write_text("<p>It is deep.")
    (tmp_path / "c.html").write_text("")
    command = [sys.executable, str(BENCH.with_name("documents.py")), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split(" | ")[:4] for line in done.stdout.splitlines()[2:]]
    assert rows == [["| .md", "1", "0", "0"], ["| .html", "2", "1", "0"]]
    assert done.stderr == f"{tmp_path / 'c.html'}: {tmp_path / 'c.html'}: it is empty\n"


def test_searches_by_signs_are_measured() -> None:
    command = [sys.executable, str(BENCH.with_name("vectors.py")), "--passages", "300", "6000", "--questions", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["300", "6,000"]
    assert rows[0][4:6] == ["1.000", "1.000"]  # all are compared
    assert float(rows[1][4]) > 0.95


def test_databases_are_measured() -> None:
    pytest.importorskip("pg0")
    pytest.importorskip("qdrant_client")
    command = [sys.executable, str(BENCH.with_name("databases.py")), "--passages", "300", "--questions", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["folder", "PostgreSQL", "Qdrant"]
    assert all(row[-1] == "5 of 5" for row in rows)


def test_a_lead_that_shrinks_is_reported_until_it_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCH.parent / "speed")
    compare = importlib.import_module("ratios").compare
    run = {"machine": "x86_64 2 cores", "pages": ""}
    assert compare(tmp_path, "search", run, {"numpy": 10.0, "numba": 2.0}) == []
    assert compare(tmp_path, "rerank", run, {"numpy": 1.0}) == []
    assert compare(tmp_path, "search", run, {"numpy": 8.6}) == []
    worse = ["search: 1.60 times as fast as numba, before 2.00"]
    assert compare(tmp_path, "search", run, {"numpy": 9.0, "numba": 1.6}) == worse
    assert compare(tmp_path, "search", run, {"numba": 1.6}) == worse  # the worse one was not stored
    assert compare(tmp_path, "search", {**run, "pages": "other"}, {"numba": 1.6}) == []


def test_the_kept_ratios_are_those_of_the_tables() -> None:
    kept = json.loads((BENCH.parent / "results" / "ratios.json").read_text(encoding="utf8"))
    assert kept.keys() == set(COMPARISONS)
    for name in ("rerank", "search"):
        table = (BENCH.parent / "results" / f"{name}.md").read_text(encoding="utf8")
        assert re.findall(r"\*\*([\d.]+)×\*\*", table) == [f"{ratio:.1f}" for ratio in kept[name]["ratios"].values()]
