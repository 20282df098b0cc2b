"""The panel beside the chat: how the passages of a turn were ranked, and the details of each hit, fetched when opened."""

from collections.abc import Callable, Mapping, Sequence
from threading import BoundedSemaphore
from typing import Any

from ragqa.answers.answer import is_reranked, quoted_spans
from ragqa.demo.corpora import Corpus
from ragqa.demo.escaping import matches
from ragqa.demo.movement import describe_movement, direction, find_rows
from ragqa.demo.rendering import macros
from ragqa.demo.respond import MOST_CANDIDATES, sentence_of
from ragqa.demo.turns import Turn
from ragqa.errors import InputError, RagqaError
from ragqa.index.neighbours import neighbours
from ragqa.search.explanation import explain

AT_ONCE = BoundedSemaphore(2)  # details take the reranker a moment
AROUND = 2  # passages to show on each side of a hit


def parts() -> Any:
    """Return the macros of the panel's template."""
    return macros("panel.html", is_reranked, quoted_spans, describe_movement, direction, find_rows, matches)


def render_panel(turns: Sequence[Turn], shown: int) -> str:
    """Return the panel for the turn at this index as HTML; `data-turn` counts from 1, like references in the chat."""
    turn = turns[shown] if 0 <= shown < len(turns) else None
    has_hits = turn is not None and turn.answer is not None and turn.answer.hits
    return str(parts().panel(shown + 1, turn) if has_hits else parts().empty())


def render_notice(message: str) -> str:
    """Return one line of plain text as HTML."""
    return str(macros("corpus.html").notice(message))


def details_of(corpora: Mapping[str, Corpus]) -> Callable[[dict[str, str]], str]:
    """Return the function that the browser calls when a detail of a hit is opened."""

    def show_details(wanted: dict[str, str]) -> str:
        """Return as HTML why a hit has its rank, or the text around it on its page."""
        try:
            part, corpus, question, passage = (str(wanted[key]) for key in ("part", "corpus", "question", "passage"))
            with AT_ONCE:
                return _render_details(corpora[corpus], part, question, passage)
        except RagqaError as error:
            return render_notice(sentence_of(error))
        except (KeyError, TypeError):
            return render_notice("This is no longer available.")

    return show_details


def _render_details(corpus: Corpus, part: str, question: str, passage: str) -> str:
    retriever = corpus.retriever
    hits, _ = retriever.find(question, MOST_CANDIDATES)
    hit = next((hit for hit in hits if hit.passage.id == passage), None)
    if hit is None:
        raise InputError("this question no longer finds the passage")
    if part == "why":
        return str(parts().why(explain(retriever, question, hit)))
    before, after = (neighbours(retriever.index, hit.passage, *sides) for sides in ((AROUND, 0), (0, AROUND)))
    return str(parts().surrounding(before, hit.passage, after))
