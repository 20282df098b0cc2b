"""Whatever writes is killed, or finds the disk full or broken, at any step: what was there is there, or what was to be."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from wiki import Wiki, relay_unchanging, serve

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks and signals are posix"),
    pytest.mark.skipif(sys.version_info < (3, 11), reason="pathlib goes by the faults there"),
]

FAULTS = Path(__file__).parent / "faults.py"
LEAST_STEPS = {"build": 60, "first build": 50, "update": 60, "migrate": 60, "dataset": 30, "passages": 8}
FIRST = {"kill": 1, "full": 2, "broken": 3, "kill again": 1}  # step with a fault
SOME, ALL = 3, 1  # a fault at every third step, or at every step
with_faults = pytest.mark.parametrize(
    ("kind", "every"),
    [
        pytest.param("kill", ALL, id="kill"),
        pytest.param("full", SOME, id="full"),
        pytest.param("broken", SOME, id="broken"),
        pytest.param("full", ALL, id="full at all steps", marks=pytest.mark.slow),
        pytest.param("broken", ALL, id="broken at all steps", marks=pytest.mark.slow),
    ],
)


def faults(folder: Path, scenario: str, kind: str, every: int, argument: str = "") -> list[dict[str, Any]]:
    first = 1 if every == ALL else FIRST[kind]
    command = [sys.executable, str(FAULTS), str(folder), scenario, kind, str(first), str(every), argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return outcomes


def check(outcomes: list[dict[str, Any]], least_steps: int, kind: str, before: str, *also: str) -> None:
    steps = [outcome["step"] for outcome in outcomes]
    assert steps[-1] + (steps[1] - steps[0]) > least_steps
    for outcome in outcomes:
        if kind.startswith("kill"):
            assert outcome["ended"] == "signal 9", outcome
        else:
            said = outcome["ended"]
            assert said == "in spite of it" or (said.startswith("!") and not said.startswith("!!")), outcome
            assert said != "in spite of it" or outcome["found"] == "new", outcome
        assert outcome["found"] in (before, "new", *also), outcome
        assert (outcome["again"], outcome["after"]) == ("", "new"), outcome


@with_faults
@pytest.mark.parametrize("scenario", LEAST_STEPS)
def test_what_was_there_is_there_or_what_was_to_be(tmp_path: Path, scenario: str, kind: str, every: int) -> None:
    outcomes = faults(tmp_path, scenario, kind, every)
    check(outcomes, LEAST_STEPS[scenario], kind, "nothing" if scenario == "first build" else "old")
    assert {outcome["found"] for outcome in outcomes} >= {"nothing" if scenario == "first build" else "old"}


@pytest.mark.parametrize("every", [SOME, pytest.param(ALL, marks=pytest.mark.slow)])
def test_a_first_build_killed_twice_is_repaired_by_the_next(tmp_path: Path, every: int) -> None:
    outcomes = faults(tmp_path, "first build", "kill again", every)
    check(outcomes, LEAST_STEPS["first build"], "kill again", "nothing")


@with_faults
def test_a_folder_replaced_in_place_is_old_or_new_or_known_to_be_neither(tmp_path: Path, kind: str, every: int) -> None:
    outcomes = faults(tmp_path, "dataset in place", kind, every)
    check(outcomes, LEAST_STEPS["dataset"], kind, "old", *(["told"] if kind == "kill" else []))


@with_faults
def test_a_crawl_goes_on_after_any_fault_and_gives_the_same_file(
    tmp_path: Path, wiki: Wiki, kind: str, every: int
) -> None:
    with serve(lambda path, _: relay_unchanging(wiki, path)) as url:
        outcomes = faults(tmp_path, "crawl", kind, every, url)
    check(outcomes, 10, kind, "old")
