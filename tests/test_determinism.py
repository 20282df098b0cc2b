"""The same pages and settings give the same bytes, and the same ranking on however many cores."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ragqa.text.pages import starter_folder

COMMANDS = (
    "passages --pages starter --out passages.jsonl",
    "dataset --passages passages.jsonl --forms what how explain --no-check --out data",
    "passages --pages few --out few.jsonl",
    "dataset --passages few.jsonl --forms what how explain --out checked",
    "index --passages passages.jsonl --no-dense --out index",
)
RANKING = """
import os, sys
if len(sys.argv) > 1:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(sys.argv[1])])
import ragqa
r = ragqa.Retriever.open()
for question in ("why does dropout help?", "k-means", "what is the kernel trick?"):
    print([(hit.passage.id, hit.score.hex()) for hit in r.search(question, 20)])
"""


def run(code: list[str], folder: Path, hash_seed: int) -> str:
    done = subprocess.run(
        [sys.executable, *code],
        cwd=folder,
        env=os.environ
        | {"PYTHONHASHSEED": str(hash_seed), "RAGQA_CACHE": str(folder.parent / f"cache-{folder.name}-{hash_seed}")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_same_pages_give_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        (folder / "few").mkdir(parents=True)
        for page in sorted(starter_folder().glob("*.md"))[::28]:  # the models check each question, which takes long
            shutil.copy(page, folder / "few")
        for command in COMMANDS:
            run(["-m", "ragqa", *command.split()], folder, seed)
        made.append(
            {
                str(p.relative_to(folder)): p.read_bytes()
                for p in folder.rglob("*")
                if p.is_file() and "cache" not in str(p)
            }
        )
    assert made[0].keys() == made[1].keys()
    assert [name for name, data in made[0].items() if data != made[1][name]] == []


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be kept on some cores here")
def test_the_ranking_does_not_depend_on_the_cores(tmp_path: Path) -> None:
    assert run(["-c", RANKING, "1"], tmp_path, 1) == run(["-c", RANKING], tmp_path, 2)
