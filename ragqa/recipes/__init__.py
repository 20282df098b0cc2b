"""Other uses of the same engine: each makes its own datasets. A recipe imports the library; the library names none but here."""

from importlib import import_module
from types import ModuleType

RECIPES = (
    "books",
)  # fmt: skip


def load_recipe(name: str) -> ModuleType:
    """The module of a recipe: it has `make_dataset(data, out, seed)`."""
    return import_module(f"ragqa.recipes.{name}")
