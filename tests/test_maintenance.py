"""What maintainers rely on: one version everywhere, hooks that check what `make` checks, CI for every Python version."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

import ragqa

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]


def read_yaml(name: str) -> Any:
    yaml = pytest.importorskip("yaml", reason="pip install pyyaml")
    return yaml.safe_load((ROOT / name).read_text(encoding="utf8"))


def test_the_version_is_the_same_everywhere() -> None:
    citation = read_yaml("CITATION.cff")
    assert citation["version"] == PROJECT["version"] == ragqa.__version__
    assert citation["title"] == PROJECT["name"]
    assert citation["abstract"] == PROJECT["description"]
    assert citation["license"] == PROJECT["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]


def test_the_hooks_check_what_make_checks() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf8")
    found = re.search(r"^checks:.*\n((\t.*\n)+)", makefile, re.MULTILINE)
    assert found
    checks = [line.strip().replace("$(BIN)", ".venv/bin") for line in found[1].splitlines()]
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"  # nothing is fetched
    assert [hook["entry"] for hook in repository["hooks"]] == checks
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in repository["hooks"])


def test_every_supported_python_is_classified_and_tested_on_linux_and_macos() -> None:
    prefix = "Programming Language :: Python :: "
    versions = [line.removeprefix(prefix) for line in PROJECT["classifiers"] if line.startswith(f"{prefix}3.")]
    assert f">={versions[0]}" == PROJECT["requires-python"]
    job = read_yaml(".github/workflows/ci.yml")["jobs"]["check"]
    assert job["strategy"]["matrix"] == {"os": ["ubuntu-latest", "macos-latest"], "python": versions}
    assert job["steps"][-1] == {"run": ".ci/run"}
    makefile = (ROOT / "Makefile").read_text(encoding="utf8")
    assert (f"OLDEST ?= {versions[0]}\n" in makefile, f"NEWEST ?= {versions[-1]}\n" in makefile) == (True, True)


def test_links_and_commands_of_the_guide_lead_somewhere() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf8")
    for name in ("CONTRIBUTING.md", "SECURITY.md"):
        text = (ROOT / name).read_text(encoding="utf8")
        for link in re.findall(r"\]\(([^)#]+)", text):
            assert link.startswith("https://") or (ROOT / link).exists(), link
        for target in re.findall(r"make ([a-z-]+)", text):
            assert re.search(rf"^(?:[\w-]+ )*{target}\b.*:", makefile, re.MULTILINE), target
        for path in re.findall(r"`((?:ragqa|tests|docs)/[\w/.]+\.py)`", text):
            assert (ROOT / path).is_file(), path
