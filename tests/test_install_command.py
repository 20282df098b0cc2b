import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import ragqa
from ragqa import errors as extras
from ragqa.errors import install_command

METADATA = """Metadata-Version: 2.4
Name: ragqa
Version: 9.9
Requires-Dist: numpy
Requires-Dist: torch<2.14,>=2.6; extra == 'train'
Requires-Dist: nncf>=3; extra == "train"
Requires-Dist: openai>=1.60; extra == "llm"
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The metadata of a ragqa that is installed without its sources."""
    folder = tmp_path / "site" / "ragqa-9.9.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(METADATA)
    monkeypatch.setattr(extras, "_PROJECT", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return folder


def test_a_checkout_is_installed_again_with_the_extra() -> None:
    folder = Path(ragqa.__file__).parent.parent
    assert install_command("train") in (f"pip install -e '{folder}[train]'", f"pip install -e {folder}[train]")


@pytest.mark.parametrize("name", ["ragqa-9.9-py3-none-any.whl", "a checkout"])
def test_what_ragqa_was_installed_from_is_named_while_it_is_there(installed: Path, tmp_path: Path, name: str) -> None:
    origin = tmp_path / name
    origin.mkdir()
    (installed / "direct_url.json").write_text(f'{{"url": "{origin.as_uri()}", "archive_info": {{}}}}')
    assert install_command("train") == f"pip install '{origin}[train]'"
    origin.rmdir()
    assert install_command("train") == "pip install 'torch<2.14,>=2.6' 'nncf>=3'"


def test_a_repository_is_named_with_its_commit(installed: Path) -> None:
    (installed / "direct_url.json").write_text(
        '{"url": "https://host.example/ragqa.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}}'
    )
    assert install_command("llm") == "pip install 'ragqa[llm] @ git+https://host.example/ragqa.git@abc123'"


def test_from_an_index_the_packages_are_named(installed: Path) -> None:
    assert install_command("llm") == "pip install 'openai>=1.60'"


def test_the_line_is_one_that_pip_understands(tmp_path: Path, installed: Path) -> None:
    wheel = tmp_path / "my wheels" / "ragqa-9.9-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(
            "ragqa-9.9.dist-info/METADATA", "Metadata-Version: 2.4\nName: ragqa\nVersion: 9.9\nProvides-Extra: llm\n"
        )
        file.writestr("ragqa-9.9.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("ragqa-9.9.dist-info/RECORD", "")
    (installed / "direct_url.json").write_text(f'{{"url": "{wheel.as_uri()}", "archive_info": {{}}}}')
    line = install_command("llm").removeprefix("pip install ")
    done = subprocess.run(
        f"{sys.executable} -m pip install --dry-run --no-index --no-deps --ignore-installed {line}",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "No module named pip" in done.stderr:
        pytest.skip("pip is not installed")
    assert "Would install ragqa-9.9" in done.stdout, done.stderr
