"""The layout is the architecture: rooms import only rooms that stand before them, and importing stays light."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest
from architecture import DATA, FILES, ORDER, PACKAGE, PAGE, ROOMS, graph, levels, modules, render, room_graph, room_of

import ragqa

SERVING = ("storage", "text", "models", "index", "answers", "search", "serve", "demo")
HEAVY = {
    "numpy",
    "openvino",
    "gradio",
    "torch",
    "bm25s",
    "tokenizers",
    "httpx",
    "scipy",
    "sentence_transformers",
    "tqdm",
    "filelock",
    "mwparserfromhell",
    "openai",
    "asyncio",
    "langchain_core",
    "llama_index",
    "haystack",
    "importlib.metadata",
}
ENTRY_POINTS = "importlib.metadata"  # the help lists the recipes' commands, which takes 0.03 s more


def test_the_top_holds_the_rooms_and_what_everything_uses() -> None:
    names = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    files = {f"{name}.py" for name in (*FILES, "__init__", "__main__")}
    assert names == {*ROOMS, *DATA, *files, "py.typed"}


def test_rooms_import_only_rooms_that_stand_before_them() -> None:
    wrong = {
        f"{room} imports {other}"
        for room, others in room_graph().items()
        if room in ORDER
        for other in others
        if other not in ORDER[: ORDER.index(room)] and (room, other) != ("cli", "__init__")
    }
    assert not wrong


def test_no_modules_import_each_other_in_a_circle() -> None:
    imports = graph()
    folders = {name.rpartition(".")[0] for name in imports}
    assert len(list(TopologicalSorter({n: o - folders for n, o in imports.items()}).static_order())) >= len(imports) - 1


def test_there_are_few_rooms_on_few_levels() -> None:
    assert len(ROOMS) <= 14
    assert levels() <= 10


def test_what_answers_questions_never_imports_what_trains() -> None:
    imports = room_graph()
    reached = {other for room in SERVING for other in imports[room]}
    assert not reached & {"training", "evaluation", "recipes", "cli"}


def test_nothing_imports_the_adapters() -> None:
    importing = {name for name, others in graph().items() if "integrations" in map(room_of, others)}
    assert {room_of(name) for name in importing} <= {"integrations"}


def test_recipes_import_the_library_and_no_other_recipe() -> None:
    wrong = {
        f"{name} imports {other}"
        for name, imported in graph().items()
        if room_of(name) == "recipes" and name != "recipes"
        for other in imported
        if room_of(other) == "recipes" and other.split(".")[1:2] != name.split(".")[1:2]
    }
    assert not wrong


def test_every_module_says_what_it_is_for() -> None:
    assert all(ast.get_docstring(ast.parse(path.read_text(encoding="utf8"))) for path in modules().values())


def test_the_page_of_the_architecture_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf8") == render(), "run: python docs/architecture.py"


def test_public_names_are_the_documented_ones() -> None:
    assert all(getattr(ragqa, name).__module__.startswith("ragqa.") for name in ragqa.__all__)
    with pytest.raises(AttributeError, match="module 'ragqa' has no attribute 'Retreiver'"):
        ragqa.Retreiver  # noqa: B018
    assert {name for name in vars(ragqa) if not name.startswith("_")} - set(ORDER) == set(ragqa.__all__)
    assert set(dir(ragqa)) >= set(ragqa.__all__)


def test_importing_the_package_imports_no_name_that_is_not_used() -> None:
    code = "import sys, ragqa; print(*(name for name in sys.modules if name.startswith('ragqa')))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded) == {"ragqa", "ragqa.errors", "ragqa.process"}


def test_importing_and_asking_for_help_load_nothing_heavy() -> None:
    helped = "from ragqa.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    for code, heavy in (("import ragqa", HEAVY), (helped, HEAVY - {ENTRY_POINTS})):
        script = f"{code}\nimport sys\nprint('loaded', sorted({heavy!r} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "loaded []"


@pytest.mark.parametrize("command", ["ask", "demo", "mcp", "serve"])
def test_commands_that_serve_load_nothing_that_trains_or_measures(command: str) -> None:
    assert_loads_nothing_that_trains(command)


def assert_loads_nothing_that_trains(command: str) -> None:
    script = (
        f"from ragqa.cli import main\ntry: main(['{command}', '--help'])\nexcept SystemExit: pass\n"
        "import sys\nprint('loaded', [n for n in sys.modules if n.startswith(('ragqa.training', 'ragqa.evaluation'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert f"ragqa {command}" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded []"


def test_the_command_line_imports_rooms_that_learn_only_where_it_needs_them() -> None:
    assert {
        name
        for name, others in graph().items()
        if room_of(name) == "cli" and {"training", "evaluation"} & set(map(room_of, others))
    } == {"cli.learning"}
