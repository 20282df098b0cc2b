"""Other uses of the same engine, each with its own datasets. A recipe imports the library and is found by its entry point.

The entry points of the group `ragqa.recipes` name one module for each recipe. It has

- `make_dataset(data, out, seed)`, which writes a dataset folder and returns its lint,
- `training_config()`, which returns the `TrainConfig` of `ragqa train --recipe NAME`,
- `add_commands(command)`, which adds the recipe's commands: `command(name, run, what, example)` returns a parser of arguments,
- `add_tab(events)`, which builds its tab in the demo, and `TAB`, the name of the tab.

Importing the module imports nothing of `training`.
"""

import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ragqa.errors import InputError, warn_of_fallback

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_GROUP = "ragqa.recipes"
_FOLDER = Path(__file__).parent


def recipe_names() -> tuple[str, ...]:
    """Return the names of the installed recipes, sorted.

    Warns with `FallbackWarning` of recipes in this folder that have no entry point: ragqa was installed before they were added.
    """
    return tuple(sorted(_entry_points()))


def load_recipe(name: str) -> ModuleType:
    """Import the module of a recipe. Raises `InputError` if there is no such recipe or it cannot be imported."""
    entry = _entry_points().get(name)
    if entry is None:
        raise InputError(
            f"the recipe {name!r} is not installed; installed recipes: {', '.join(recipe_names()) or 'none'}"
        )
    try:
        module: ModuleType = entry.load()
    except ImportError as error:
        raise InputError(f"the recipe {name!r} cannot be imported ({error})", "install its package again") from error
    return module


@cache
def _entry_points() -> "Mapping[str, EntryPoint]":
    from importlib.metadata import entry_points  # slow to import

    found = {entry.name: entry for entry in entry_points(group=_GROUP)}
    own = {path.parent.name for path in _FOLDER.glob("*/__init__.py")}
    if unknown := sorted(own - {entry.value.rpartition(".")[2] for entry in found.values()}):
        warn_of_fallback(
            f"these recipes are left out because they are not installed: {', '.join(unknown)}; "
            f"run: pip install -e {shlex.quote(str(_FOLDER.parents[1]))}"
        )
    return found
