"""What opens below a hit in the panel, made when it is asked for: it takes the reranker a moment."""

from collections.abc import Callable, Mapping
from threading import BoundedSemaphore

from ragqa.demo.converse import MOST_CANDIDATES, sentence_of
from ragqa.demo.corpora import Corpus
from ragqa.demo.panel import render_around, render_notice, render_why
from ragqa.errors import InputError, RagqaError
from ragqa.index.neighbours import neighbours
from ragqa.search.explanation import explain

AT_ONCE = BoundedSemaphore(2)


def teller(corpora: Mapping[str, Corpus]) -> Callable[[dict[str, str]], str]:
    """The function that the panel calls in the browser."""

    def tell_more(wanted: dict[str, str]) -> str:
        """What opens below a hit: why it stands where it does, or what stands around it on its page."""
        try:
            part, corpus, question, passage = (str(wanted[key]) for key in ("part", "corpus", "question", "passage"))
            with AT_ONCE:
                return _tell(corpora[corpus], part, question, passage)
        except RagqaError as error:
            return render_notice(sentence_of(error))
        except (KeyError, TypeError):
            return render_notice("This is not known any more.")

    return tell_more


def _tell(corpus: Corpus, part: str, question: str, passage: str) -> str:
    retriever = corpus.retriever
    hits, _ = retriever.find(question, MOST_CANDIDATES)
    hit = next((hit for hit in hits if hit.passage.id == passage), None)
    if hit is None:
        raise InputError("the passage is not found by this question any more")
    if part == "why":
        return render_why(explain(retriever, question, hit))
    before, after = (neighbours(retriever.index, hit.passage, *sides) for sides in ((2, 0), (0, 2)))
    return render_around(hit.passage, before, after)
