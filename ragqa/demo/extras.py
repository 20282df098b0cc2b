"""What a demo may have beside the chat."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragqa.answers.written import Writer
from ragqa.demo.growth import Growth
from ragqa.storage.files import cache_folder
from ragqa.storage.json_lines import check_appendable

FEEDBACK = "feedback.jsonl"


@dataclass(frozen=True, slots=True)
class Extras:
    """A writer of answers, a file for likes and dislikes, crawls from the page; `notice` is a line for the top of the page.

    `tabs` are further tabs by their names, each built by a function that takes the options of its events.
    """

    writer: Writer | None = None
    feedback: Path | None = None
    growth: Growth | None = None
    notice: str = ""
    tabs: Mapping[str, Callable[[Mapping[str, Any]], None]] = field(default_factory=dict)


def find_feedback(given: str | Path | None = None) -> tuple[Path | None, str]:
    """The file that likes and dislikes are added to, in the cache folder if none is given, or None and why there is none.

    Raises `InputError` for a name that ends in `.gz`.
    """
    if given:
        check_appendable(given)
    try:
        path = Path(given) if given else cache_folder() / FEEDBACK
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):
            return path, ""
    except (OSError, RuntimeError) as error:
        return None, f"Likes and dislikes are not saved: {error}"
