"""The whole page: the tabs for the chat, the corpus and the recipes, and the endpoints."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.answers.written import Writer
from ragqa.demo.chat import add_chat
from ragqa.demo.corpora import Corpus, by_name
from ragqa.demo.corpus_tab import add_corpus_tab
from ragqa.demo.crawling import Crawler
from ragqa.demo.endpoints import add_endpoints
from ragqa.demo.escaping import escape_markdown
from ragqa.demo.examples import examples_of
from ragqa.errors import InputError, check_extra
from ragqa.process import prepare_gradio
from ragqa.search.retriever import Retriever

if TYPE_CHECKING:
    import gradio as gr

AT_ONCE = 2  # questions answered at the same time; others wait in the queue
AT_ONCE_WRITTEN = 8  # the same with a language model: its server may be slow, which costs nothing here
WAITING = 256  # questions in the queue; more are refused


@dataclass(frozen=True, slots=True)
class Features:
    """Optional features of the page: written answers, a file for likes and dislikes, crawls, a notice at the top, more tabs.

    `tabs` maps the names of more tabs to functions that build them, given the options of their events.
    """

    writer: Writer | None = None
    feedback: Path | None = None
    crawler: Crawler | None = None
    notice: str = ""
    tabs: Mapping[str, Callable[[Mapping[str, Any]], None]] = field(default_factory=dict)


def build_demo(
    source: Retriever | Sequence[Corpus], *, examples: Sequence[str] | None = None, features: Features | None = None
) -> "gr.Blocks":
    """Build the page and its public endpoints, `/search` and `/ask`; `launch`, `serve` and `mount` add its style.

    `examples` are the questions of the start page, by default those of `examples.examples_of` for the first corpus.

    Raises `InputError` if two corpora have the same name, or if no temporary folder can be created; `MissingExtraError` without
    the extra `demo`.
    """
    check_extra("the chat", "demo")
    try:
        prepare_gradio()
    except OSError as error:
        raise InputError(f"no temporary folder can be created ({error}); name a writable one in TMPDIR") from error
    import gradio as gr

    corpora = by_name([Corpus(source)] if isinstance(source, Retriever) else source)
    features = features or Features()
    examples = examples_of(next(iter(corpora.values()))) if examples is None else examples
    at_once = AT_ONCE if features.writer is None else AT_ONCE_WRITTEN
    limits = {"concurrency_limit": at_once, "concurrency_id": "ask"}
    private: dict[str, Any] = {"api_visibility": "private"}
    demo = gr.Blocks(title="ragqa", analytics_enabled=False)
    with demo:
        with gr.Row(elem_id="ragqa-top"):
            head = gr.Markdown(describe(corpora, features.notice), elem_id="ragqa-head")
            new_chat = gr.Button("New chat", size="sm", scale=0, min_width=90)
        with gr.Tabs():
            with gr.Tab("Chat"):
                add_chat(demo, new_chat, corpora, features.writer, features.feedback, examples, limits)
            with gr.Tab("Corpus"):
                changes = add_corpus_tab(demo, corpora, features.crawler, private)
            for name, add_tab in features.tabs.items():
                with gr.Tab(name):
                    add_tab({**limits, **private})
        for on_change in changes:
            on_change(lambda: describe(corpora, features.notice), None, head, show_progress="hidden", **private)
        add_endpoints(corpora, limits)
    demo.queue(max_size=WAITING)
    return demo


def describe(corpora: Mapping[str, Corpus], notice: str = "") -> str:
    """Return the header of the page as Markdown."""
    listed = "; ".join(map(_describe, corpora.values()))
    header = f"# ragqa\nEvery answer is quoted, with the passages that support it: {listed}."
    return f"{header}\n\n{escape_markdown(notice)}" if notice else header


def _describe(corpus: Corpus) -> str:
    passages = corpus.retriever.index.passages
    pages = len(corpus.contents().pages)
    only = "" if corpus.retriever.where is None else f", only those with {escape_markdown(str(corpus.retriever.where))}"
    return f"{escape_markdown(corpus.name)}, {pages:,} pages, {len(passages):,} passages{only}"
