"""The corpus tab: what is indexed, a reader for its pages and, if allowed, a form to crawl more pages."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ragqa.demo.corpora import Corpus
from ragqa.demo.crawling import MOST_DEPTH, Crawler, Wanted
from ragqa.demo.panel import render_notice
from ragqa.demo.rendering import macros
from ragqa.demo.respond import sentence_of
from ragqa.errors import InputError

if TYPE_CHECKING:
    import gradio as gr

MOST_FOUND = 1000  # titles in the list; in a larger corpus, typing narrows it down

HOW_TO_CRAWL = """To add pages from Wikipedia while the chat is open, start it with an index folder of your own and an address
at which Wikipedia's operators can reach you. If the folder does not exist, it starts as a copy of the starter corpus:

    ragqa demo --index my-index/ --allow-crawl you@example.org
"""


def add_corpus_tab(
    demo: "gr.Blocks", corpora: Mapping[str, Corpus], crawler: Crawler | None, private: Mapping[str, Any]
) -> list[Callable[..., Any]]:
    """Add the tab to the page that is being built; `private` are the options of events outside the API.

    Returns the triggers of events after which a corpus may have more pages.
    """
    import gradio as gr

    names = list(corpora)
    changes: list[Callable[..., Any]] = []
    with gr.Row(elem_id="ragqa-corpus"):
        with gr.Column(scale=2, min_width=280):
            chosen = gr.Dropdown(names, value=names[0], label="Corpus", visible=len(names) > 1)
            summary = gr.HTML(render_summary(corpora[names[0]]), apply_default_css=False)
            wanted = gr.Textbox(label="Find a page", placeholder="Part of its title", max_length=200)
            found = gr.Radio(**_choices(corpora[names[0]], ""), elem_id="ragqa-found")
            if crawler is None:
                gr.Markdown(HOW_TO_CRAWL)
            else:
                changes = _add_crawling(demo, corpora, crawler, private)
        with gr.Column(scale=3, min_width=280):
            hint = '<p class="ragqa hint">Choose a page to read it here.</p>'
            page = gr.HTML(hint, elem_id="ragqa-page", apply_default_css=False)

    def find(name: str, part: str) -> Any:
        return gr.Radio(**_choices(corpora[name], part))

    def read(name: str, title: str | None) -> Any:
        known = title and title in corpora[name].contents().pages
        return str(macros("corpus.html").page(corpora[name].page(str(title)))) if known else gr.skip()

    for on_change in changes:
        on_change(
            lambda name: (render_summary(corpora[name]), find(name, "")),
            chosen,
            [summary, found],
            show_progress="hidden",
            **private,
        )
    chosen.change(lambda name: render_summary(corpora[name]), chosen, summary, **private)
    gr.on([chosen.change, wanted.change], find, [chosen, wanted], found, show_progress="hidden", **private)
    found.input(read, [chosen, found], page, **private)
    return changes


def _add_crawling(
    demo: "gr.Blocks", corpora: Mapping[str, Corpus], crawler: Crawler, private: Mapping[str, Any]
) -> list[Callable[..., Any]]:
    import gradio as gr

    own = [name for name, corpus in corpora.items() if corpus.folder]
    limits = f"One crawl may fetch {crawler.max_pages:,} pages and take {crawler.max_minutes:g} minutes."
    with gr.Accordion("Add pages", open=False):
        into = gr.Dropdown(own, value=own[0], label="To", visible=len(own) > 1)
        titles = gr.Textbox(label="Pages", placeholder="One title per line", lines=3, max_length=20_000)
        category = gr.Textbox(label="Category", placeholder="Cluster analysis", max_length=300)
        depth = gr.Slider(0, MOST_DEPTH, 0, step=1, label="Levels of subcategories")
        start = gr.Button("Crawl and index", variant="primary")
        stop = gr.Button("Stop", variant="stop", visible=False)
        progress = gr.HTML(render_notice(limits), elem_id="ragqa-crawl", apply_default_css=False)

    def crawl(name: str, titles: str, category: str, depth: float) -> Iterator[tuple[Any, Any]]:
        try:
            crawler.start(corpora[name], read_wanted(titles, category, int(depth)))
        except InputError as error:
            yield render_notice(sentence_of(error)), gr.skip()
        else:
            yield from follow()

    def follow() -> Iterator[tuple[Any, Any]]:
        for message in crawler.follow():
            yield render_notice(message), gr.Button(visible=crawler.running)
        yield gr.skip(), gr.Button(visible=False)

    def follow_running() -> Iterator[tuple[Any, Any]]:
        yield from follow() if crawler.running else [(gr.skip(), gr.Button(visible=False))]

    options: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None, **private}
    stop.click(crawler.stop, **options)
    started = start.click(crawl, [into, titles, category, depth], [progress, stop], **options)
    return [started.then, demo.load(follow_running, None, [progress, stop], **options).then, demo.load]


def read_wanted(titles: str, category: str, depth: int) -> Wanted:
    """Return what the form asks for: one title per line, one category. Raises `InputError` if it is empty."""
    named = tuple(filter(None, map(str.strip, titles.splitlines())))
    return Wanted(named, tuple(filter(None, [category.strip()])), depth)


def _choices(corpus: Corpus, part: str) -> dict[str, Any]:
    """Return the list of pages, with a label that counts them, as options of `gr.Radio`."""
    found = find_titles(corpus, part)
    first = f", the first {MOST_FOUND:,} of them" if len(found) > MOST_FOUND else ""
    return {"choices": found[:MOST_FOUND], "value": None, "label": f"Pages ({len(found):,}{first})"}


def find_titles(corpus: Corpus, part: str) -> list[str]:
    """Return the titles that contain all words of `part`: first those that start with it, then in alphabetical order."""
    words = part.casefold().split()
    found = [title for title in corpus.contents().pages if all(word in title.casefold() for word in words)]
    start = re.compile(re.escape(part.strip()), re.IGNORECASE)
    return sorted(found, key=lambda title: (not start.match(title), title.casefold()))


def render_summary(corpus: Corpus) -> str:
    """Return as HTML how many pages and passages the corpus has, how it is searched, and when it was indexed."""
    contents, retriever = corpus.contents(), corpus.retriever
    cited = sum(revision is not None for revision in contents.pages.values())
    facts = {
        "Pages": f"{len(contents.pages):,}",
        "Passages": f"{len(retriever.index.passages):,}",
        **({"Pages cited by revision": f"{cited:,}"} if cited else {}),
        "Searched by": "words and meaning" if retriever.dense else "words",
        "Reranked by": f"a cross-encoder ({retriever.reranker.name})" if retriever.reranker else "nothing",
        **({"Indexed": f"{contents.written:%d %B %Y, %H:%M} UTC"} if contents.written else {}),
    }
    return str(macros("corpus.html").summary(corpus.name, facts))
