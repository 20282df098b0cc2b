"""Progress bars on stderr. They are shown only if stderr is a terminal."""

from collections.abc import Iterable
from typing import Any, TypeVar

T = TypeVar("T")


def bar(items: Iterable[T], things: str, *, show: bool = True) -> Iterable[T]:
    """Return the same items; a bar counts them while they are consumed. `things` names them."""
    from tqdm import tqdm

    counted: Iterable[T] = tqdm(items, unit=f" {things}", disable=None if show else True)
    return counted


def counter(total: int | None, things: str, *, show: bool = True) -> Any:
    """Return a bar as a context manager; its `update(n)` adds n. A `total` of None means unknown."""
    from tqdm import tqdm

    return tqdm(total=total, unit=f" {things}", disable=None if show else True)
