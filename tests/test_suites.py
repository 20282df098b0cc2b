"""Every test that needs a browser or a wiki stands in the suite that says so."""

import re
from pathlib import Path

import pytest
from conftest import SUITES

HERE = Path(__file__).parent
NEEDS = {"browser": r"open_browser\(|browser: ", "wiki": r"run_wiki\(|wiki: Wiki"}


def test_the_files_of_the_suites_exist() -> None:
    missing = {name for names in SUITES.values() for name in names if not (HERE / f"test_{name}.py").is_file()}
    assert not missing


@pytest.mark.parametrize("suite", NEEDS)
def test_what_needs_a_browser_or_a_wiki_is_in_a_named_suite(suite: str) -> None:
    named = {name for names in SUITES.values() for name in names}
    using = {
        path.stem.removeprefix("test_")
        for path in HERE.glob("test_*.py")
        if re.search(NEEDS[suite], path.read_text(encoding="utf8")) and path != Path(__file__)
    }
    assert using
    assert using <= named
