"""Other uses of the same engine, each with datasets of its own. A recipe imports the library; only this module names it."""

from importlib import import_module
from types import ModuleType

RECIPES: tuple[str, ...] = (
    "books",
)  # fmt: skip


def load_recipe(name: str) -> ModuleType:
    """The module of a recipe.

    It has `make_dataset(data, out, seed)`, `training_config()`, which returns a `TrainConfig`, `add_commands(command)`, which
    adds the commands of its own to the command line's by `command(name, run, what, example)`, a parser of arguments, and
    `add_tab(events)`, which builds its tab in the demo, named `TAB`. Importing the module imports nothing of `training`.
    """
    return import_module(f"ragqa.recipes.{name}")
