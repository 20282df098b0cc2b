"""The commands of docs/walkthrough.md, in their order, with a small wiki and a tiny model."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import reference
from huggingface_hub.repocard import metadata_load
from markdown_it import MarkdownIt
from wiki import Wiki

from ragqa.index.verify import verify
from ragqa.text.pages import read_pages, starter_folder

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parent.parent / "docs" / "walkthrough.md"
CATEGORY = "Cluster analysis"
SMALL = {  # of a command's options, what the test changes
    "train": {"--base": "{tiny}", "--epochs": "0.1"},
    "evaluate": {"--judged": "starter-test"},
}
ADDED = {"crawl": ["--api-url", "{api}"], "evaluate": ["--questions", "3"]}


def commands() -> list[list[str]]:
    """The words of each ragqa command on the page, without those that need an account of the hub."""
    blocks = [t.content for t in MarkdownIt().parse(PAGE.read_text(encoding="utf8")) if t.type == "fence"]
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("ragqa ") and "publish" not in line.split()]


def shrink(words: list[str], tiny: Path, api_url: str) -> list[str]:
    """A command with the test's model and wiki."""
    changed = SMALL.get(words[0], {})
    words = [changed.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    return [word.format(tiny=tiny, api=api_url) for word in [*words, *ADDED.get(words[0], [])]]


@pytest.fixture
def category(wiki: Wiki) -> Iterator[str]:
    """The starter corpus's articles, in one category of the test wiki. Returns the address of the wiki."""
    with wiki.undone():
        for page in list(read_pages(starter_folder()))[:30]:
            wiki.edit(page.title, f"{page.text}\n[[Category:{CATEGORY}]]")
        yield wiki.api_url


def test_the_commands_of_the_page_work_in_their_order(tmp_path: Path, category: str, tiny: Path) -> None:
    asked = commands()
    assert [words[0] for words in asked] == "crawl passages dataset train train evaluate index ask".split()
    for words in asked:
        resumes = "--resume" in words
        arguments = shrink(words, tiny, category)
        reference.parser().parse_args(arguments)
        done = subprocess.run(
            [sys.executable, "-m", "ragqa", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        if resumes:  # the training before ended, so there is nothing to resume from
            assert (done.returncode, "no complete checkpoint" in done.stderr) == (1, True), done.stderr
        else:
            assert done.returncode in ((0, 3) if words[0] == "ask" else (0,)), (words, done.stderr)
    assert verify(tmp_path / "dataset") == "a dataset, every byte as written"
    assert verify(tmp_path / "model") == "a model, every byte as written"
    lint = json.loads((tmp_path / "dataset" / "lint.json").read_text())
    assert lint["contradictions"] == lint["leaking_passages"] == lint["leaking_questions"] == 0
    assert (metadata_load(tmp_path / "dataset" / "README.md") or {})["license"] == "unknown"
    assert "- dataset: dataset (Questions on cluster analysis), licence of the texts: unknown\n" in (
        tmp_path / "model" / "README.md"
    ).read_text(encoding="utf8")
