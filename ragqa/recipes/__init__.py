"""Other uses of the same engine, each with datasets of its own. A recipe imports the library; only this module names it."""

from importlib import import_module
from types import ModuleType

RECIPES: tuple[str, ...] = (
    "books",
)  # fmt: skip


def load_recipe(name: str) -> ModuleType:
    """The module of a recipe: it has `make_dataset(data, out, seed)`."""
    return import_module(f"ragqa.recipes.{name}")
