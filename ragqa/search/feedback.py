"""What readers say of hits, kept as the pairs that a reranker is trained on.

A line of the file has the columns of a dataset (`card.COLUMNS`): the question, the passage as the reranker reads it and the
label, 1.0 for liked and 0.0 for not; then the passage's id, its URL and the time. Feedback becomes a dataset to train on with

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

PATIENCE_S = 10.0  # how long a vote waits for others that are being written
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Vote:
    """One line of the file."""

    sentence_0: str
    sentence_1: str
    label: float
    passage: str = ""  # its id
    url: str = ""
    time: str = ""  # ISO 8601, UTC


def save_feedback(path: str | Path, question: str, hit: Hit, liked: bool) -> None:
    """Add a vote to the end of the file and wait until it is on disk; missing folders are created.

    Safe in several threads and processes at once: they take turns by a lock beside the file. Raises `InputError` for a
    question that cannot be asked and where the file cannot be written.
    """
    path, passage = Path(path), hit.passage
    time = datetime.now(timezone.utc).isoformat(timespec="seconds")
    text = full_text(passage)
    vote = Vote(check_question(question), text, 1.0 if liked else 0.0, passage.id, passage.url, time)
    with _alone(path):
        if path.exists():
            cut_unfinished(path)
        append_json_line(path, vote)


def read_feedback(path: str | Path) -> list[Pair]:
    """The last vote on each question and passage, in the order in which these were first voted on; none without a file.

    Raises `RecordError` for a line that is no vote.
    """
    path = Path(path)
    if not path.exists():
        return []
    votes = read_json_lines(path, Vote, growing=True)
    last = {(vote.sentence_0, vote.sentence_1): vote.label for vote in votes}
    return [Pair(question, passage, float(label)) for (question, passage), label in last.items()]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else writes the file meanwhile."""
    import filelock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_name(path.name + _LOCK), timeout=PATIENCE_S):
            yield
    except filelock.Timeout as error:
        raise InputError(f"{path} has been locked for {PATIENCE_S:.0f} seconds; end what is writing it") from error
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error}); name another file") from error
