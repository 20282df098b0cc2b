"""Likes and dislikes: where they are saved, which hit a vote is about, and how many votes one visitor has."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.demo.corpora import Corpus
from ragqa.demo.messages import turn_of
from ragqa.demo.turns import Turn, from_data
from ragqa.errors import InputError, RagqaError
from ragqa.records import Hit
from ragqa.search.feedback import save_feedback
from ragqa.serve.limits import Allowance, visitor_of
from ragqa.storage.files import cache_folder
from ragqa.storage.json_lines import check_appendable

if TYPE_CHECKING:
    import gradio as gr

FEEDBACK = "feedback.jsonl"
MOST_VOTES, VOTE_EVERY_S = 30, 10.0  # votes of one visitor at once, then one each


def find_feedback(given: str | Path | None = None) -> tuple[Path | None, str]:
    """Return the file for likes and dislikes, by default in the cache folder, and an empty notice.

    If the file cannot be written, return None and a notice that says why. Raises `InputError` for a name that ends in `.gz`.
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


def connect_votes(chat: "gr.Chatbot", turns: Any, path: Path, corpora: Mapping[str, Corpus]) -> None:
    """Let the chat's like and dislike buttons add to the file at `path`; `turns` is the component with the conversation."""
    chat.like(_save_votes(path, corpora), turns, None, api_visibility="private")


def _save_votes(path: Path, corpora: Mapping[str, Corpus]) -> Callable[..., None]:
    import gradio as gr

    votes = Allowance(MOST_VOTES, VOTE_EVERY_S)

    def save(data: object, event: gr.LikeData, request: gr.Request) -> None:
        if votes.take(visitor_of(request.client.host if request.client else "")):
            gr.Warning("That was many votes at once; try again in a minute.")
            return
        turns = from_data(data)
        turn = turns[turn_of(int(event.index), turns)]  # type: ignore[arg-type]
        if event.liked not in (True, False):
            return
        try:
            best = best_hit(turn, corpora)
            if best is None or turn.answer is None:
                return
            save_feedback(path, turn.answer.question, best, bool(event.liked))
        except (RagqaError, OSError) as error:
            gr.Warning(f"Not saved: {error}")
        else:
            gr.Info("Saved on this machine. Thank you!", duration=4)

    return save


def best_hit(turn: Turn, corpora: Mapping[str, Corpus]) -> Hit | None:
    """Return the hit that a vote on a turn is about, or None if nothing was found.

    Raises `InputError` if the corpus does not hold exactly its passage, since a browser may send anything.
    """
    answer = turn.answer
    if answer is None or not answer.hits:
        return None
    best = answer.hits[answer.quotes[0].hit if answer.quotes else 0]
    if turn.corpus not in corpora or not corpora[turn.corpus].holds(best.passage):
        raise InputError("the passage is not in the corpus any more")
    return best
