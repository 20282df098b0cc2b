from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ragqa.corpus import read_pages, starter_folder
from ragqa.passages import split
from ragqa.records import Page, Passage

# a busy machine makes single examples slow without anything being wrong; the same examples every time
settings.register_profile("ragqa", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ragqa")


@pytest.fixture(scope="session")
def starter_pages() -> tuple[Page, ...]:
    return tuple(read_pages(starter_folder()))


@pytest.fixture(scope="session")
def starter_passages(starter_pages: tuple[Page, ...]) -> tuple[Passage, ...]:
    return tuple(passage for page in starter_pages for passage in split(page))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Iterable[str]], Path]:
    """Write lines into a file below the test's folder."""

    def write_lines(name: str, lines: Iterable[str]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf8")
        return path

    return write_lines
