"""Titles and categories to crawl, read from a TOML file such as `corpus/wikipedia.toml` or from a list of titles."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragqa.errors import InputError
from ragqa.storage.json_lines import is_input

_SEEDS: dict[str, tuple[type, str]] = {
    "language": (str, "a string"),
    "depth": (int, "a whole number"),
    "categories": (list, "a list of strings"),
    "titles": (list, "a list of strings"),
}


@dataclass(frozen=True, slots=True)
class Seeds:
    """What to crawl: titles, and categories with `depth` levels of subcategories. `Category:` may be left out."""

    language: str = "en"
    depth: int = 0
    categories: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()


def read_seeds(path: str | Path) -> Seeds:
    """Read what to crawl from a TOML file with the fields of `Seeds`, or from a text file of titles.

    A text file holds one title a line; empty lines and lines that begin with `#` are skipped.

    Raises `InputError` if the file does not exist, cannot be read or names nothing to crawl.
    """
    path = Path(path)
    if not is_input(path):
        raise InputError(f"{path} is not a file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error}") from error
    if path.suffix == ".toml":
        seeds = _seeds_from_toml(path, text)
    else:
        lines = (line.strip() for line in text.splitlines())
        seeds = Seeds(titles=tuple(line for line in lines if line and not line.startswith("#")))
    if not seeds.categories and not seeds.titles:
        raise InputError(f"{path} names no categories and no titles")
    return seeds


def _seeds_from_toml(path: Path, text: str) -> Seeds:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        table: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    return Seeds(**{key: _seed(path, key, value) for key, value in table.items()})


def _seed(path: Path, key: str, value: Any) -> Any:
    if key not in _SEEDS:
        raise InputError(f"{path}: {key!r} is none of {', '.join(_SEEDS)}")
    kind, name = _SEEDS[key]
    items = value if isinstance(value, list) else []
    if type(value) is not kind or not all(isinstance(item, str) for item in items):
        raise InputError(f"{path}: {key!r} must be {name}, not {value!r:.60}")
    return tuple(items) if kind is list else value
