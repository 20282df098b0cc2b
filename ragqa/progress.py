"""Progress bars on stderr; where that is no terminal there are none."""

from collections.abc import Iterable
from typing import Any, TypeVar

T = TypeVar("T")


def bar(items: Iterable[T], things: str, *, show: bool = True) -> Iterable[T]:
    """The same items, counted on a bar while they are taken."""
    from tqdm import tqdm

    counted: Iterable[T] = tqdm(items, unit=f" {things}", disable=None if show else True)
    return counted


def counter(total: int | None, things: str, *, show: bool = True) -> Any:
    """A bar to be moved by `update`, as a context manager; a `total` of None is not known."""
    from tqdm import tqdm

    return tqdm(total=total, unit=f" {things}", disable=None if show else True)
