"""Users' votes on hits, saved as pairs to train a reranker with.

Each line of the file has the columns of a dataset (`card.COLUMNS`): the question, the passage as the reranker reads it, and the
label, 1.0 for a like and 0.0 for a dislike. The id and URL of the passage and the time follow. To make a dataset of it:

    source = dataset.from_feedback(read_feedback("feedback.jsonl"), index.passages)
    pairs = dataset.build([source], PairConfig())
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ragqa.errors import InputError
from ragqa.records import Hit, Pair
from ragqa.search.question import check_question
from ragqa.storage.json_lines import append_json_line, cut_unfinished, read_json_lines
from ragqa.text.passages import full_text

PATIENCE_S = 10.0  # longest wait for the lock
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Vote:
    """A line of a feedback file."""

    sentence_0: str
    sentence_1: str
    label: float
    passage: str = ""  # its id
    url: str = ""
    time: str = ""  # ISO 8601, UTC


def save_feedback(path: str | Path, question: str, hit: Hit, liked: bool) -> None:
    """Append a vote to the file and wait until it is on disk. Missing folders are created.

    Several threads and processes may call this at once; they take turns with a lock file. Raises `InputError` for an invalid
    question (`check_question`) and if the file cannot be written.
    """
    path, passage = Path(path), hit.passage
    time = datetime.now(timezone.utc).isoformat(timespec="seconds")
    text = full_text(passage)
    vote = Vote(check_question(question), text, 1.0 if liked else 0.0, passage.id, passage.url, time)
    with _locked(path):
        if path.exists():
            cut_unfinished(path)
        append_json_line(path, vote)


def read_feedback(path: str | Path) -> list[Pair]:
    """Read the last vote on each pair of question and passage, in the order of the first votes; none without a file.

    Raises `RecordError` for a line that is not a vote.
    """
    path = Path(path)
    if not path.exists():
        return []
    votes = read_json_lines(path, Vote, growing=True)
    last = {(vote.sentence_0, vote.sentence_1): vote.label for vote in votes}
    return [Pair(question, passage, float(label)) for (question, passage), label in last.items()]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other threads and processes from writing the file."""
    import filelock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_name(path.name + _LOCK), timeout=PATIENCE_S):
            yield
    except filelock.Timeout as error:
        raise InputError(
            f"{path} has been locked for {PATIENCE_S:.0f} seconds; end the program that writes it"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error}); name another file") from error
