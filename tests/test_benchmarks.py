import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "benchmarks" / "bench.py"
COMPARISONS = ("rerank", "search", "bm25", "index", "start", "answers", "training")


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
