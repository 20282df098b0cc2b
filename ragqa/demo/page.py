"""The page: a tab to ask in and a tab for the corpus, and the endpoints beside them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ragqa.demo.api import add_endpoints
from ragqa.demo.chat import add_chat
from ragqa.demo.corpora import Corpus, by_name
from ragqa.demo.corpus_tab import add_corpus_tab
from ragqa.demo.escaping import escape_markdown
from ragqa.demo.extras import Extras
from ragqa.errors import InputError, check_extra
from ragqa.process import prepare_gradio
from ragqa.search.retriever import Retriever

if TYPE_CHECKING:
    import gradio as gr

AT_ONCE = 2  # questions answered at the same time; others wait in the queue
AT_ONCE_WRITTEN = 8  # where a language model writes, whose server may take long without any work here
WAITING = 256  # questions in the queue; more are refused

EXAMPLES = (
    "Why does dropout help against overfitting?",
    "What is the difference between bagging and boosting?",
    "How do I choose the number of clusters in k-means?",
    "When does recall matter more than precision?",
    "Why do gradients vanish in deep networks?",
    "How does attention work in a transformer?",
)


def build_demo(
    source: Retriever | Sequence[Corpus], *, examples: Sequence[str] = EXAMPLES, extras: Extras | None = None
) -> "gr.Blocks":
    """Build the page and its public endpoints, `/search` and `/ask`; `launch`, `serve` and `mount` add its style.

    Raises `InputError` for two corpora with one name, and if no temporary folder can be made; `MissingExtraError` without the
    extra `demo`.
    """
    check_extra("the chat", "demo")
    try:
        prepare_gradio()
    except OSError as error:
        raise InputError(f"no temporary folder can be made ({error}); name one in TMPDIR") from error
    import gradio as gr

    corpora = by_name([Corpus(source)] if isinstance(source, Retriever) else source)
    extras = extras or Extras()
    at_once = AT_ONCE if extras.writer is None else AT_ONCE_WRITTEN
    limits = {"concurrency_limit": at_once, "concurrency_id": "ask"}
    private: dict[str, Any] = {"api_visibility": "private"}
    demo = gr.Blocks(title="ragqa", analytics_enabled=False)
    with demo:
        with gr.Row(elem_id="ragqa-top"):
            head = gr.Markdown(describe(corpora, extras.notice), elem_id="ragqa-head")
            anew = gr.Button("New chat", size="sm", scale=0, min_width=90)
        with gr.Tabs():
            with gr.Tab("Chat"):
                add_chat(demo, anew, corpora, extras, examples, limits)
            with gr.Tab("Corpus"):
                grown = add_corpus_tab(demo, corpora, extras.growth, private)
            for name, add_tab in extras.tabs.items():
                with gr.Tab(name):
                    add_tab({**limits, **private})
        changes: list[Any] = [*(event.then for event in grown), *([demo.load] if grown else [])]
        for happens in changes:
            happens(lambda: describe(corpora, extras.notice), None, head, show_progress="hidden", **private)
        add_endpoints(corpora, limits)
    demo.queue(max_size=WAITING)
    return demo


def describe(corpora: Mapping[str, Corpus], notice: str = "") -> str:
    """What the page is, as Markdown."""
    told = f"# ragqa\nEvery answer is quoted, with the passages that prove it: {', '.join(map(_describe, corpora.values()))}."
    return f"{told}\n\n{escape_markdown(notice)}" if notice else told


def _describe(corpus: Corpus) -> str:
    passages = corpus.retriever.index.passages
    pages = len(corpus.contents().pages)
    return f"{escape_markdown(corpus.name)}, {pages:,} pages, {len(passages):,} passages"
