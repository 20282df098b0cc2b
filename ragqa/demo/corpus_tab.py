"""The tab that shows what is indexed, lets a page be read and, where that is allowed, more pages be crawled."""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ragqa.demo.converse import sentence_of
from ragqa.demo.corpora import Corpus
from ragqa.demo.escaping import escape
from ragqa.demo.growth import MOST_DEPTH, Growth, Wanted
from ragqa.demo.panel import render_notice, render_page
from ragqa.errors import InputError

if TYPE_CHECKING:
    import gradio as gr
    from gradio.events import Dependency

MOST_FOUND = 1000  # titles in the list, which scrolls; a larger corpus is narrowed by typing

HOW_TO_GROW = """To add pages from Wikipedia while the chat is open, start it with a folder of your own and an address where
Wikipedia's operators can reach you; a folder that is not there yet begins as a copy of the starter corpus:

    ragqa demo --index my-index/ --allow-crawl you@example.org
"""


def add_corpus_tab(
    demo: "gr.Blocks", corpora: Mapping[str, Corpus], growth: Growth | None, private: Mapping[str, Any]
) -> "list[Dependency]":
    """Build the tab in the page that is being built; `private` are the options of events that are not part of the API.

    Returns the events after which a corpus may have more pages.
    """
    import gradio as gr

    names = list(corpora)
    grown: list[Dependency] = []
    with gr.Row(elem_id="ragqa-corpus"):
        with gr.Column(scale=2, min_width=280):
            chosen = gr.Dropdown(names, value=names[0], label="Corpus", visible=len(names) > 1)
            summary = gr.HTML(render_summary(corpora[names[0]]), apply_default_css=False)
            wanted = gr.Textbox(label="Find a page", placeholder="Part of its title", max_length=200)
            found = gr.Radio(**_choices(corpora[names[0]], ""), elem_id="ragqa-found")
            if growth is None:
                gr.Markdown(HOW_TO_GROW)
            else:
                grown = _add_growth(demo, corpora, growth, private)
        with gr.Column(scale=3, min_width=280):
            page = gr.HTML(
                '<p class="ragqa hint">Choose a page to read it here.</p>',
                elem_id="ragqa-page",
                apply_default_css=False,
            )

    def look(name: str, part: str) -> Any:
        return gr.Radio(**_choices(corpora[name], part))

    def read(name: str, title: str | None) -> Any:
        return (
            render_page(corpora[name].page(title)) if title and title in corpora[name].contents().pages else gr.skip()
        )

    def look_again(name: str) -> tuple[str, Any]:
        return render_summary(corpora[name]), look(name, "")

    changes: list[Any] = [*(event.then for event in grown), *([demo.load] if grown else [])]
    for happens in changes:
        happens(look_again, chosen, [summary, found], show_progress="hidden", **private)
    chosen.change(lambda name: render_summary(corpora[name]), chosen, summary, **private)
    gr.on([chosen.change, wanted.change], look, [chosen, wanted], found, show_progress="hidden", **private)
    found.input(read, [chosen, found], page, **private)
    return grown


def _add_growth(
    demo: "gr.Blocks", corpora: Mapping[str, Corpus], growth: Growth, private: Mapping[str, Any]
) -> "list[Dependency]":
    import gradio as gr

    own = [name for name, corpus in corpora.items() if corpus.folder]
    limits = f"One crawl may fetch {growth.max_pages:,} pages and take {growth.max_minutes:g} minutes."
    with gr.Accordion("Add pages", open=False):
        into = gr.Dropdown(own, value=own[0], label="To", visible=len(own) > 1)
        titles = gr.Textbox(label="Pages", placeholder="One title a line", lines=3, max_length=20_000)
        category = gr.Textbox(label="Category", placeholder="Cluster analysis", max_length=300)
        depth = gr.Slider(0, MOST_DEPTH, 0, step=1, label="Levels of subcategories")
        start = gr.Button("Crawl and index", variant="primary")
        stop = gr.Button("Stop", variant="stop", visible=False)
        told = gr.HTML(render_notice(limits), elem_id="ragqa-growth", apply_default_css=False)

    def follow() -> Iterator[tuple[str, Any]]:
        for told in growth.follow():
            yield render_notice(told), gr.Button(visible=growth.running)

    def grow(name: str, titles: str, category: str, depth: float) -> Iterator[tuple[str, Any]]:
        try:
            growth.start(corpora[name], read_wanted(titles, category, int(depth)))
        except InputError as error:
            yield render_notice(sentence_of(error)), gr.skip()
            return
        yield from follow()
        yield gr.skip(), gr.Button(visible=False)

    def follow_running() -> Iterator[tuple[str, Any]]:
        if growth.running:
            yield from follow()
        yield gr.skip(), gr.Button(visible=False)

    options: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None, **private}
    stop.click(growth.stop, **options)
    return [
        start.click(grow, [into, titles, category, depth], [told, stop], **options),
        demo.load(follow_running, None, [told, stop], **options),
    ]


def read_wanted(titles: str, category: str, depth: int) -> Wanted:
    """What is typed into the form: titles line by line, one category. Raises `InputError` if it is nothing."""
    named = tuple(filter(None, (line.strip() for line in titles.splitlines())))
    return Wanted(named, (category.strip(),) if category.strip() else (), depth)


def _choices(corpus: Corpus, part: str) -> dict[str, Any]:
    """The list of pages, with a label that says how many there are."""
    found = find_titles(corpus, part)
    shown = found[:MOST_FOUND]
    first = f", the first {len(shown):,} of them" if len(shown) < len(found) else ""
    return {"choices": shown, "value": None, "label": f"Pages ({len(found):,}{first})"}


def find_titles(corpus: Corpus, part: str) -> list[str]:
    """The titles that hold all the words of `part`, those that begin with it first, then by the alphabet."""
    words = part.casefold().split()
    found = [title for title in corpus.contents().pages if all(word in title.casefold() for word in words)]
    start = re.compile(re.escape(part.strip()), re.IGNORECASE)
    return sorted(found, key=lambda title: (not start.match(title), title.casefold()))


def render_summary(corpus: Corpus) -> str:
    """How many pages and passages there are, what they cite, and when they were indexed."""
    contents, retriever = corpus.contents(), corpus.retriever
    cited = sum(number is not None for number in contents.pages.values())
    facts = {
        "Pages": f"{len(contents.pages):,}",
        "Passages": f"{len(retriever.index.passages):,}",
        **({"Pages cited by revision": f"{cited:,}"} if cited else {}),
        "Found by": "words and meaning" if retriever.dense else "words",
        "Reranked by": f"a cross-encoder ({retriever.reranker.name})" if retriever.reranker else "nothing",
    }
    if contents.written:
        facts["Indexed"] = f"{contents.written:%d %B %Y, %H:%M} UTC"
    rows = "".join(f"<tr><td>{name}</td><td>{escape(value)}</td></tr>" for name, value in facts.items())
    return f'<div class="ragqa"><h2>{escape(corpus.name)}</h2><table>{rows}</table></div>'
