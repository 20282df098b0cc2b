"""The questions that the start page offers: chosen ones for the starter corpus, others made from the first corpus."""

from collections.abc import Iterator
from functools import partial
from itertools import islice

from ragqa.demo.corpora import Corpus
from ragqa.demo.respond import ask_of_page

EXAMPLES = (
    "How does dropout work?",
    "What is the difference between bagging and boosting?",
    "How do I choose k in k-means?",
    "What are precision and recall?",
    "What causes vanishing gradients?",
    "What is attention?",
)
ANSWERED_BY = frozenset(
    {
        "Dilution (neural networks)",
        "Ensemble learning",
        "K-means clustering",
        "Precision and recall",
        "Vanishing gradient problem",
        "Attention (machine learning)",
    }
)
READ_PAGES = 40  # pages of a large corpus that are tried, evenly spread over the titles
LONGEST = 60  # characters of an example


def examples_of(corpus: Corpus) -> tuple[str, ...]:
    """Return `EXAMPLES` for an index in memory or with the pages that answer them; else as many made from its pages.

    With a filter they are made from the pages that meet it. Each made question is short and finds its own page first. There are
    fewer if the corpus gives fewer, and none for an empty one. Deterministic.
    """
    has_all = corpus.retriever.index.generation is None or corpus.contents().pages.keys() >= ANSWERED_BY
    if has_all and corpus.retriever.where is None:
        return EXAMPLES
    return tuple(islice(_made_from(corpus), len(EXAMPLES)))


def _made_from(corpus: Corpus) -> Iterator[str]:
    """Yield one good question for each page, in turn one of each form: "What is", "How does", "Why is", "What are"."""
    titles = sorted(corpus.contents().answering)
    forms: dict[str, list[tuple[str, str]]] = {}
    for title in titles[:: -(-len(titles) // READ_PAGES) or 1]:
        for question in filter(partial(_is_good, corpus, title), ask_of_page(corpus, title)):
            forms.setdefault(" ".join(question.split()[:2]), []).append((title, question))
    used: set[str] = set()
    while any(forms.values()):
        for asked in forms.values():
            title, question = next(((t, q) for t, q in asked if t not in used), ("", ""))
            asked[:] = [(t, q) for t, q in asked if t not in {*used, title}]
            if title:
                used.add(title)
                yield question


def _is_good(corpus: Corpus, title: str, question: str) -> bool:
    if len(question) > LONGEST or " in " in question:  # "What are the numeric variables in feature engineering?"
        return False
    found = corpus.retriever.index.search(question, 1, where=corpus.retriever.where)
    return bool(found) and found[0][0].title == title
