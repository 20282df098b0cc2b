"""The layout is the pipeline: modules import only modules that stand before them, and importing stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import ragqa

PACKAGE = Path(ragqa.__file__).parent
ORDER = (
    "extras errors offline forks files storage storage.seal storage.folders records progress characters tex clean wiki "
    "wiki.markup removed wiki.seeds wiki.connection wiki.login wiki.namespaces wiki.mediawiki wiki.fates wiki.listing "
    "wiki.fetch crawl wiki.wikitext wiki.xmldump wiki.links dump passages corpus questions lexical lexical.analyzer "
    "lexical.terms lexical.postings storage.stored storage.generations bm25 inference torch_models parity training "
    "training.attention embed dense grades judged dataset card rerank index export training.losses training.dropout train "
    "training.train_embedder training.teach answer retrieve explain dialogue dialogue.topics dialogue.pronouns "
    "dialogue.conversation feedback dialogue.plain dialogue.support dialogue.written evaluate verify __init__ demo.style "
    "demo.turns demo.corpora demo.formulas demo.markup demo.chart demo.panel demo.messages demo.growth demo.extras "
    "demo.converse demo.corpus_tab demo.details demo.limits demo.api demo.chat demo.surroundings demo.page demo.origin "
    "demo.gate demo.tools demo.door demo.mounting demo.protocol demo.listen demo.serve demo recipes cli.terminal "
    "cli.options cli.pages cli.learning cli.searching cli.run cli __main__"
).split()
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
    "importlib.metadata",
}


def imported(path: Path) -> set[str]:
    """The modules of the package that a file imports, late imports included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ragqa"):
            found.add(node.module.partition(".")[2] or "__init__")
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.partition(".")[2] or "__init__" for alias in node.names if alias.name.startswith("ragqa")
            }
    return found


def path_of(module: str) -> Path:
    """The file of a module: its own, or that of a package's names."""
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_every_module_has_its_place() -> None:
    own = [path for path in PACKAGE.rglob("*.py") if path.parent.parent.name != "recipes"]
    assert sorted(map(path_of, ORDER)) == sorted(own)


def test_modules_import_only_what_stands_before_them() -> None:
    wrong = {
        f"{module} imports {other}"
        for place, module in enumerate(ORDER)
        for other in imported(path_of(module))
        if other not in ORDER[:place]
    }
    assert not wrong


def test_recipes_import_the_library_and_no_other_recipe() -> None:
    wrong = {
        f"{path.name} imports {other}"
        for path in (PACKAGE / "recipes").glob("*/*.py")
        for other in imported(path)
        if other not in ORDER[: ORDER.index("recipes")] and not other.startswith(f"recipes.{path.parent.name}")
    }
    assert not wrong


def test_public_names_are_the_documented_ones() -> None:
    public = {name for name in vars(ragqa) if not name.startswith("_")} - set(ORDER)
    assert public == set(ragqa.__all__)


def test_importing_and_asking_for_help_load_nothing_heavy() -> None:
    for code in ("import ragqa", "from ragqa.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"):
        script = f"{code}\nimport sys\nprint('loaded', sorted({HEAVY!r} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "loaded []"
