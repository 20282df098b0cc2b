"""Write docs/architecture.md from the imports and docstrings of the package: `python docs/architecture.py`."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "ragqa"
PAGE = Path(__file__).with_suffix(".md")

# the rooms, each after all that it may import; files that everything uses come first
FILES = ("errors", "records", "progress", "process")
ROOMS = (
    *("storage", "text", "models", "wiki", "index", "answers", "search"),
    *("serve", "demo", "evaluation", "training", "recipes", "cli", "integrations"),
)
ORDER = (*FILES, *ROOMS)
DATA = ("assets",)

_HEAD = """# Architecture

This page is made from the code by `python docs/architecture.py`; a test compares the two.

```
wiki ─ pages.jsonl ─ text ─ passages.jsonl ─┬─ training ─ pairs, models ── evaluation
                                            └─ index ─ index/ ─┐
                                       question ─ search ──────┴─ hits ─ answers ─ answer ─ demo · serve · cli · Python
```

A folder of `ragqa/` is a room. Imports run one way: a room imports only rooms above it in this table, and no modules import
each other in a circle. The rooms that answer questions never import `training` or `evaluation`. `assets/` holds the bundled
models, the starter corpus and its vectors, and no code.

| room | what goes in and what comes out | imports |
|---|---|---|
"""


def modules() -> dict[str, Path]:
    """Every module by its dotted name below `ragqa`; a package has the name of its folder."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"] = path
    return found


def imports(path: Path) -> set[str]:
    """The names below `ragqa` that a file imports from, late imports included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "ragqa":
            module = node.module.partition(".")[2]
            found |= {f"{module}.{alias.name}".lstrip(".") for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[2] for alias in node.names if alias.name.partition(".")[0] == "ragqa"}
    return found


@cache
def graph() -> dict[str, set[str]]:
    """For every module the modules of ragqa that it imports."""
    known = modules()
    return {name: {_module(target, known) for target in imports(path)} - {name} for name, path in known.items()}


def _module(target: str, known: dict[str, Path]) -> str:
    """The module that an imported name lies in."""
    while target and target not in known:
        target = target.rpartition(".")[0]
    return target or "__init__"


def room_of(module: str) -> str:
    """The room of a module, or the name of a file at the top."""
    return module.partition(".")[0]


def room_graph() -> dict[str, set[str]]:
    """For every room and file at the top the others that it imports."""
    found: dict[str, set[str]] = {}
    for name, imported in graph().items():
        room = room_of(name)
        found.setdefault(room, set()).update({room_of(module) for module in imported} - {room})
    return found


def levels() -> int:
    """The longest chain of rooms and files at the top in which each imports the next."""
    rooms, height = room_graph(), dict[str, int]()
    for room in TopologicalSorter(rooms).static_order():
        height[room] = 1 + max((height[other] for other in rooms.get(room, ())), default=0)
    return max(height.values())


def render() -> str:
    """The page."""
    rooms, known = room_graph(), modules()
    table = "".join(
        f"| `{room}{'' if room in FILES else '/'}` | {_first_line(known[room])} | {_listed(rooms[room])} |\n"
        for room in ORDER
    )
    lists = "".join(f"\n### {room}\n\n{_contents(room, known)}" for room in ROOMS)
    return f"{_HEAD}{table}\n{len(ROOMS)} rooms on {levels()} levels.\n\n## Modules\n{lists}"


def _listed(rooms: set[str]) -> str:
    return ", ".join(room for room in ORDER if room in rooms) or "nothing"


def _contents(room: str, known: dict[str, Path]) -> str:
    inside = (name for name in known if name.startswith(f"{room}."))
    return "".join(f"- `{name.partition('.')[2]}`: {_first_line(known[name])}\n" for name in inside)


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf8"))) or ""
    return docstring.partition("\n\n")[0].replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf8")
