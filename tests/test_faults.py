"""Whatever writes is killed, or finds the disk full or broken, at any step: what was there is there, or what was to be."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from wiki import Reply, Wiki, relay, serve

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks and signals are posix"),
    pytest.mark.skipif(sys.version_info < (3, 11), reason="pathlib goes by the faults there"),
]

FAULTS = Path(__file__).parent / "faults.py"
LEAST_STEPS = {"build": 60, "first build": 50, "update": 60, "migrate": 60, "dataset": 30, "passages": 8}
KINDS = ("kill", "full", "broken")


def faults(folder: Path, scenario: str, kind: str, argument: str = "") -> list[dict[str, Any]]:
    command = [sys.executable, str(FAULTS), str(folder), scenario, kind, argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return outcomes


def check(outcomes: list[dict[str, Any]], kind: str, before: str, *also: str) -> None:
    for outcome in outcomes:
        if kind.startswith("kill"):
            assert outcome["ended"] == "signal 9", outcome
        else:
            said = outcome["ended"]
            assert said == "in spite of it" or (said.startswith("!") and not said.startswith("!!")), outcome
            assert said != "in spite of it" or outcome["found"] == "new", outcome
        assert outcome["found"] in (before, "new", *also), outcome
        assert (outcome["again"], outcome["after"]) == ("", "new"), outcome


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scenario", LEAST_STEPS)
def test_what_was_there_is_there_or_what_was_to_be(tmp_path: Path, scenario: str, kind: str) -> None:
    outcomes = faults(tmp_path, scenario, kind)
    assert len(outcomes) >= LEAST_STEPS[scenario]
    check(outcomes, kind, "nothing" if scenario == "first build" else "old")
    assert {outcome["found"] for outcome in outcomes} >= {"nothing" if scenario == "first build" else "old"}


def test_a_first_build_killed_twice_is_repaired_by_the_next(tmp_path: Path) -> None:
    outcomes = faults(tmp_path, "first build", "kill again")
    assert len(outcomes) >= LEAST_STEPS["first build"]
    check(outcomes, "kill again", "nothing")


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_replaced_in_place_is_old_or_new_or_known_to_be_neither(tmp_path: Path, kind: str) -> None:
    outcomes = faults(tmp_path, "dataset in place", kind)
    assert len(outcomes) >= LEAST_STEPS["dataset"]
    check(outcomes, kind, "old", *(["told"] if kind == "kill" else []))


@pytest.mark.parametrize("kind", KINDS)
def test_a_crawl_goes_on_after_any_fault_and_gives_the_same_file(tmp_path: Path, wiki: Wiki, kind: str) -> None:
    known: dict[str, Reply | None] = {}

    def reply(path: str, _: object) -> Reply | None:
        if path not in known:
            known[path] = relay(wiki, path)
        return known[path]

    with serve(reply) as url:
        outcomes = faults(tmp_path, "crawl", kind, url)
    assert len(outcomes) >= 10
    check(outcomes, kind, "old")
