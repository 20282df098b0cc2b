"""The chat tab: the conversation, the panel with the ranking of its passages, and a sidebar of settings and earlier chats."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from ragqa.answers.answer import THRESHOLD
from ragqa.answers.written import Writer
from ragqa.demo.corpora import Corpus
from ragqa.demo.messages import messages
from ragqa.demo.panel import details_of, render_panel
from ragqa.demo.rendering import read_file
from ragqa.demo.respond import (
    BM25,
    BOTH,
    LEAST_CANDIDATES,
    MOST_CANDIDATES,
    RERANKED,
    Settings,
    respond,
)
from ragqa.demo.turns import MOST_TURNS, Turn, as_data, from_data
from ragqa.demo.votes import connect_votes
from ragqa.search.retriever import CANDIDATES
from ragqa.serve.arguments import LEAST_RESULTS, MOST_RESULTS, RESULTS

if TYPE_CHECKING:
    import gradio as gr

MOST_TYPED = 20_000  # characters the box takes: enough to answer that a question is too long
MOST_CHATS = 10  # kept in the browser besides the open one
KEPT_UNDER = (
    "ragqa"  # the browser's storage key, and Gradio's secret for it: whoever uses the browser can read the chats
)

Data = list[dict[str, Any]]

_HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
_AT_ONCE: dict[str, Any] = {"queue": False, **_HIDDEN}


@dataclass(frozen=True)
class _Parts:
    """The components that events use."""

    question: Any
    chat: Any
    panel: Any
    settings: Sequence[Any]  # corpus, ranking, results, candidates, threshold, write
    turns: Any  # the open conversation, in the browser
    chats: Any  # earlier conversations, in the browser
    earlier: Any
    forget: Any


def add_chat(
    demo: "gr.Blocks",
    new_chat: "gr.Button",
    corpora: Mapping[str, Corpus],
    writer: Writer | None,
    feedback: Path | None,
    examples: Sequence[str],
    limits: Mapping[str, Any],
) -> None:
    """Add the tab to the page that is being built; `limits` are Gradio's options for slow events."""
    parts = _lay_out(corpora, writer, examples)
    _connect_asking(parts, corpora, writer, limits)
    _connect_history(demo, new_chat, parts)
    _connect_panel(parts)
    if feedback is not None:
        connect_votes(parts.chat, parts.turns, feedback, corpora)


def _lay_out(corpora: Mapping[str, Corpus], writer: Writer | None, examples: Sequence[str]) -> _Parts:
    import gradio as gr

    turns, chats = (
        gr.BrowserState([], storage_key=f"{KEPT_UNDER}-{name}", secret=KEPT_UNDER) for name in ("turns", "chats")
    )
    with gr.Sidebar(open=False, label="Settings and earlier chats", elem_id="ragqa-sidebar"):
        settings = _add_settings(corpora, writer)
        gr.Markdown("### Earlier chats\nThey are stored only in this browser.")
        earlier = gr.Dropdown([], label="Open again", visible=False, allow_custom_value=True)
        forget = gr.Button("Forget all chats", size="sm")
    with gr.Row(elem_id="ragqa-columns"):
        with gr.Column(scale=6, min_width=320, elem_id="ragqa-talk"):
            chat = gr.Chatbot(
                elem_id="ragqa-chat",
                label="Conversation",
                show_label=False,
                height=None,
                buttons=["copy"],
                latex_delimiters=[],
                allow_tags=False,
                autoscroll=False,
                placeholder="## What would you like to know?\nTry one of these, or ask your own:",
                examples=[{"text": example} for example in examples],
            )
            with gr.Column(elem_id="ragqa-ask"):
                question = gr.Textbox(
                    label="Question",
                    show_label=False,
                    placeholder="Ask a question",
                    submit_btn="Ask",
                    max_length=MOST_TYPED,
                    html_attributes=gr.InputHTMLAttributes(enterkeyhint="send", autocomplete="off"),
                )
        with gr.Column(scale=5, min_width=320, elem_id="ragqa-side"):
            panel = gr.HTML(
                render_panel([], 0),
                js_on_load=read_file("panel.js"),
                server_functions=[details_of(corpora)],
                apply_default_css=False,
            )
    return _Parts(question, chat, panel, settings, turns, chats, earlier, forget)


def _add_settings(corpora: Mapping[str, Corpus], writer: Writer | None) -> list[Any]:
    import gradio as gr

    names, rerankers = list(corpora), [corpus.retriever.reranker for corpus in corpora.values()]
    reranks, calibrated = any(rerankers), any(reranker and reranker.is_calibrated for reranker in rerankers)
    ranking, depth = RERANKED if reranks else BM25, (LEAST_CANDIDATES, MOST_CANDIDATES, CANDIDATES)
    gr.Markdown("### Settings")
    return [
        gr.Dropdown(names, value=names[0], label="Corpus", visible=len(names) > 1),
        gr.Radio([RERANKED, BM25, BOTH], value=ranking, label="Ranking", interactive=True, visible=reranks),
        gr.Slider(LEAST_RESULTS, MOST_RESULTS, RESULTS, step=1, label="Passages to show"),
        gr.Slider(*depth, step=1, label="Passages to rerank", visible=reranks),
        gr.Slider(0, 1, THRESHOLD, step=0.05, label="Least probability to answer", visible=calibrated),
        gr.Checkbox(writer is not None, label="Write an answer with the language model", visible=writer is not None),
        gr.Textbox(
            label="Filter, a condition per line",
            placeholder="title=Overfitting",
            lines=2,
            max_length=MOST_TYPED,
        ),
    ]


def _connect_asking(
    parts: _Parts, corpora: Mapping[str, Corpus], writer: Writer | None, limits: Mapping[str, Any]
) -> None:
    import gradio as gr

    def talk(
        typed: str,
        name: str,
        ranking: str,
        results: float,
        candidates: float,
        threshold: float,
        write: bool,
        where: str,
        data: Data,
    ) -> Iterator[tuple[Any, ...]]:
        if not typed.strip():
            yield (gr.skip(),) * 4
            return
        earlier, typed = from_data(data)[1 - MOST_TURNS :], typed[:MOST_TYPED]
        conditions = tuple(line.strip() for line in where.splitlines() if line.strip())
        settings = Settings(ranking, int(results), int(candidates), threshold, write, conditions)
        turn, answered = Turn(typed, name), False
        yield _busy(), messages([*earlier, turn]), gr.skip(), gr.skip()
        for turn in respond(typed, corpora[name], settings, earlier, writer):
            turns = [*earlier, turn]
            first = turn.answer is not None and not answered
            answered = answered or first
            shown = (render_panel(turns, len(turns) - 1), as_data(turns)) if first else (gr.skip(), gr.skip())
            yield gr.skip(), messages(turns), *shown
        yield _idle(), messages([*earlier, turn]), gr.skip(), as_data([*earlier, turn])

    def take(event: gr.SelectData) -> str:
        return str(event.value["text"] if isinstance(event.value, dict) else event.value)

    def undo(data: Data) -> tuple[Any, ...]:
        *left, last = from_data(data) or [Turn("", "")]
        return last.typed, messages(left), render_panel(left, len(left) - 1), as_data(left)

    def retry(data: Data) -> tuple[Any, Any]:
        typed, *_, left = undo(data)
        return typed, left

    def stop(data: Data) -> tuple[Any, Any]:
        return _idle(), messages(from_data(data))

    inputs = [parts.question, *parts.settings, parts.turns]
    shown = [parts.question, parts.chat, parts.panel, parts.turns]
    asking: dict[str, Any] = {"fn": talk, "inputs": inputs, "outputs": shown, **_HIDDEN, **limits}
    started = [
        parts.question.submit(**asking),
        parts.chat.example_select(take, None, parts.question, **_AT_ONCE).then(**asking),
        parts.chat.option_select(take, None, parts.question, **_AT_ONCE).then(**asking),
        parts.chat.retry(retry, parts.turns, [parts.question, parts.turns], **_AT_ONCE).then(**asking),
    ]
    parts.chat.undo(undo, parts.turns, shown, **_AT_ONCE)
    parts.question.stop(stop, parts.turns, [parts.question, parts.chat], cancels=started, **_AT_ONCE)
    parts.chat.change(None, js=read_file("chat.js"))


def _busy() -> Any:
    import gradio as gr

    return gr.Textbox("", submit_btn=False, stop_btn="Stop")


def _idle() -> Any:
    import gradio as gr

    return gr.Textbox(submit_btn="Ask", stop_btn=False)


def _connect_history(demo: "gr.Blocks", new_chat: "gr.Button", parts: _Parts) -> None:
    import gradio as gr

    def show(data: Data, chats: Data) -> tuple[Any, ...]:
        turns, choices = from_data(data), [(chat["title"], chat["id"]) for chat in read_chats(chats)]
        earlier = gr.Dropdown(choices, value=None, visible=bool(choices))
        return messages(turns), render_panel(turns, len(turns) - 1), earlier

    def restore(data: Data, chats: Data) -> tuple[Any, ...]:
        shown = show(data, chats)
        return shown if data else (gr.skip(), gr.skip(), shown[-1])  # a quick visitor may have asked already

    def begin(data: Data, chats: Data) -> tuple[Any, ...]:
        chats = _keep(data, chats)
        return *show([], chats), [], chats

    def reopen(chosen: str, data: Data, chats: Data) -> tuple[Any, ...]:
        chats = read_chats(chats)
        found = next((chat for chat in chats if chat["id"] == chosen), None)
        if found is None:  # Gradio sends each choice twice
            return (gr.skip(),) * 5
        others = _keep(data, [chat for chat in chats if chat is not found])
        return *show(found["turns"], others), found["turns"], others

    kept, shown = [parts.turns, parts.chats], [parts.chat, parts.panel, parts.earlier]
    demo.load(restore, kept, shown, **_AT_ONCE)
    gr.on([new_chat.click, parts.chat.clear], begin, kept, [*shown, *kept], **_AT_ONCE)
    parts.earlier.input(reopen, [parts.earlier, *kept], [*shown, *kept], **_AT_ONCE)
    parts.forget.click(lambda: (*show([], []), [], []), None, [*shown, *kept], **_AT_ONCE)


def _keep(data: Data, chats: Data) -> Data:
    """Return the earlier chats, preceded by the open one if anything was asked in it."""
    turns = from_data(data)
    opened = [{"id": token_hex(8), "title": turns[0].typed[:80], "turns": data}] if turns else []
    return [*opened, *read_chats(chats)][:MOST_CHATS]


def read_chats(data: object) -> Data:
    """Return the earlier chats that a browser sends, without anything else in the data."""
    chats = (chat for chat in data if isinstance(chat, dict)) if isinstance(data, list) else ()
    return [
        chat
        for chat in chats
        if "turns" in chat and isinstance(chat.get("id"), str) and isinstance(chat.get("title"), str)
    ]


def _connect_panel(parts: _Parts) -> None:
    import gradio as gr

    def show(data: Data, event: gr.EventData) -> str:
        return render_panel(from_data(data), int(event.turn) - 1)

    parts.panel.show(show, parts.turns, parts.panel, **_AT_ONCE)
