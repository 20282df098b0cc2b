"""The tab to ask in: the conversation, beside it the ranking of its passages, and a sidebar of settings and earlier chats."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from ragqa.answers.written import Writer
from ragqa.demo.converse import (
    BM25,
    BOTH,
    LEAST_CANDIDATES,
    LEAST_RESULTS,
    MOST_CANDIDATES,
    MOST_RESULTS,
    RERANKED,
    RESULTS,
    Settings,
    respond,
)
from ragqa.demo.corpora import Corpus
from ragqa.demo.details import teller
from ragqa.demo.extras import Extras
from ragqa.demo.limits import Allowance, visitor_of
from ragqa.demo.messages import messages, turn_of
from ragqa.demo.panel import render_panel
from ragqa.demo.style import PANEL, SHOW_QUESTION
from ragqa.demo.turns import MOST_TURNS, Turn, as_data, from_data
from ragqa.errors import InputError, RagqaError
from ragqa.records import Hit
from ragqa.search.feedback import save_feedback
from ragqa.search.retriever import CANDIDATES

if TYPE_CHECKING:
    import gradio as gr

MOST_TYPED = 20_000  # characters that are taken from the box, to say that they are too many to be asked
MOST_CHATS = 10  # kept in the browser beside the one that is open
MOST_VOTES, VOTE_EVERY_S = 30, 10.0  # of one visitor at once, and then one each
KEPT_UNDER = "ragqa"  # in the browser; what is stored there is not kept from whoever can use the browser

Data = list[dict[str, Any]]


@dataclass(frozen=True)
class _Parts:
    """The components that the events are about."""

    question: Any
    chat: Any
    panel: Any
    settings: Sequence[Any]  # corpus, ranking, results, candidates, write
    turns: Any  # in the browser, as `chats`
    chats: Any
    earlier: Any
    forget: Any


def add_chat(
    demo: "gr.Blocks",
    anew: "gr.Button",
    corpora: Mapping[str, Corpus],
    extras: Extras,
    examples: Sequence[str],
    limits: Mapping[str, Any],
) -> None:
    """Build the tab in the page that is being built; `limits` are Gradio's options for what takes a while.

    The button `anew` begins a new chat.
    """
    parts = _lay_out(corpora, extras.writer, examples)
    _connect_asking(parts, corpora, extras.writer, limits)
    _connect_history(demo, anew, parts)
    _connect_panel(parts)
    if extras.feedback is not None:
        parts.chat.like(_keep_feedback(extras.feedback, corpora), parts.turns, None, api_visibility="private")


def _lay_out(corpora: Mapping[str, Corpus], writer: Writer | None, examples: Sequence[str]) -> _Parts:
    import gradio as gr

    turns, chats = (
        gr.BrowserState([], storage_key=f"{KEPT_UNDER}-{name}", secret=KEPT_UNDER) for name in ("turns", "chats")
    )
    with gr.Sidebar(open=False, label="Settings and earlier chats", elem_id="ragqa-sidebar"):
        settings = _add_settings(corpora, writer)
        gr.Markdown("### Earlier chats\nThey are kept in this browser only.")
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
                js_on_load=PANEL,
                server_functions=[teller(corpora)],
                apply_default_css=False,
            )
    return _Parts(question, chat, panel, settings, turns, chats, earlier, forget)


def _add_settings(corpora: Mapping[str, Corpus], writer: Writer | None) -> list[Any]:
    import gradio as gr

    names, reranks = list(corpora), any(corpus.retriever.reranker for corpus in corpora.values())
    gr.Markdown("### Settings")
    return [
        gr.Dropdown(names, value=names[0], label="Corpus", visible=len(names) > 1),
        gr.Radio(
            [RERANKED, BM25, BOTH],
            value=RERANKED if reranks else BM25,
            label="Ranking",
            interactive=True,
            visible=reranks,
        ),
        gr.Slider(LEAST_RESULTS, MOST_RESULTS, RESULTS, step=1, label="Passages to show"),
        gr.Slider(
            LEAST_CANDIDATES,
            MOST_CANDIDATES,
            CANDIDATES,
            step=1,
            label="Candidates that are reranked",
            visible=reranks,
        ),
        gr.Checkbox(writer is not None, label="Write an answer with the language model", visible=writer is not None),
    ]


def _connect_asking(
    parts: _Parts, corpora: Mapping[str, Corpus], writer: Writer | None, limits: Mapping[str, Any]
) -> None:
    import gradio as gr

    def talk(
        typed: str, name: str, ranking: str, results: float, candidates: float, write: bool, data: Data
    ) -> Iterator[tuple[Any, Any, Any, Any]]:
        if not typed.strip():
            yield gr.skip(), gr.skip(), gr.skip(), gr.skip()
            return
        earlier, typed = from_data(data)[1 - MOST_TURNS :], typed[:MOST_TYPED]
        settings = Settings(ranking, int(results), int(candidates), write)
        yield _busy(), messages([*earlier, Turn(typed, name)]), gr.skip(), gr.skip()
        turn, answered = Turn(typed, name), False
        for turn in respond(typed, corpora[name], settings, earlier, writer):
            turns = [*earlier, turn]
            first = turn.answer is not None and not answered
            answered = answered or first
            shown = (render_panel(turns, len(turns) - 1), as_data(turns)) if first else (gr.skip(), gr.skip())
            yield gr.skip(), messages(turns), *shown
        yield _idle(), messages([*earlier, turn]), gr.skip(), as_data([*earlier, turn])

    def take(event: gr.SelectData) -> str:
        return str(event.value["text"] if isinstance(event.value, dict) else event.value)

    def take_back(data: Data) -> tuple[str, Sequence[Turn]]:
        turns = from_data(data)
        return turns[-1].typed if turns else "", turns[:-1]

    def retry(data: Data) -> tuple[str, Data]:
        typed, left = take_back(data)
        return typed, as_data(left)

    def undo(data: Data) -> tuple[Any, ...]:
        typed, left = take_back(data)
        return typed, messages(left), render_panel(left, len(left) - 1), as_data(left)

    def stop(data: Data) -> tuple[Any, Any]:
        return _idle(), messages(from_data(data))

    asking = {
        "fn": talk,
        "inputs": [parts.question, *parts.settings, parts.turns],
        "outputs": [parts.question, parts.chat, parts.panel, parts.turns],
        "show_progress": "hidden",
        "api_visibility": "private",
        **limits,
    }
    at_once = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
    started = [
        parts.question.submit(**asking),
        parts.chat.example_select(take, None, parts.question, **at_once).then(**asking),
        parts.chat.option_select(take, None, parts.question, **at_once).then(**asking),
        parts.chat.retry(retry, parts.turns, [parts.question, parts.turns], **at_once).then(**asking),
    ]
    parts.chat.undo(undo, parts.turns, [parts.question, parts.chat, parts.panel, parts.turns], **at_once)
    parts.question.stop(stop, parts.turns, [parts.question, parts.chat], cancels=started, **at_once)
    parts.chat.change(None, js=SHOW_QUESTION)


def _busy() -> Any:
    import gradio as gr

    return gr.Textbox("", submit_btn=False, stop_btn="Stop")


def _idle() -> Any:
    import gradio as gr

    return gr.Textbox(submit_btn="Ask", stop_btn=False)


def _connect_history(demo: "gr.Blocks", anew: "gr.Button", parts: _Parts) -> None:
    import gradio as gr

    def choices(chats: Data) -> Any:
        return gr.Dropdown([(chat["title"], chat["id"]) for chat in chats], value=None, visible=bool(chats))

    def restore(data: Data, chats: Data) -> tuple[Any, ...]:
        shown = show(data, chats)
        return shown if data else (gr.skip(), gr.skip(), shown[-1])  # somebody may have been quick to ask

    def show(data: Data, chats: Data) -> tuple[Any, ...]:
        turns = from_data(data)
        return messages(turns), render_panel(turns, len(turns) - 1), choices(read_chats(chats))

    def begin(data: Data, chats: Data) -> tuple[Any, ...]:
        chats = _kept(data, chats)
        return *show([], chats), [], chats

    def reopen(chosen: str, data: Data, chats: Data) -> tuple[Any, ...]:
        chats = read_chats(chats)
        found = next((chat for chat in chats if chat["id"] == chosen), None)
        if found is None:  # Gradio tells twice of what is chosen
            return (gr.skip(),) * 5
        others = _kept(data, [chat for chat in chats if chat is not found])
        return *show(found["turns"], others), found["turns"], others

    kept, shown = [parts.turns, parts.chats], [parts.chat, parts.panel, parts.earlier]
    options: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
    demo.load(restore, kept, shown, **options)
    gr.on([anew.click, parts.chat.clear], begin, kept, [*shown, *kept], **options)
    parts.earlier.input(reopen, [parts.earlier, *kept], [*shown, *kept], **options)
    parts.forget.click(lambda: (*show([], []), [], []), None, [*shown, *kept], **options)


def _kept(data: Data, chats: Data) -> Data:
    """The chats with the one that was open, if anything was asked in it, as the first."""
    turns = from_data(data)
    opened = [{"id": token_hex(8), "title": turns[0].typed[:80], "turns": data}] if turns else []
    return [*opened, *read_chats(chats)][:MOST_CHATS]


def read_chats(data: object) -> Data:
    """The earlier chats that a browser sends; what is none is left out."""
    chats = data if isinstance(data, list) else []
    return [
        chat
        for chat in chats
        if isinstance(chat, dict)
        and isinstance(chat.get("id"), str)
        and isinstance(chat.get("title"), str)
        and "turns" in chat
    ]


def _connect_panel(parts: _Parts) -> None:
    import gradio as gr

    def show(data: Data, event: gr.EventData) -> str:
        return render_panel(from_data(data), int(event.turn) - 1)

    parts.panel.show(show, parts.turns, parts.panel, queue=False, api_visibility="private", show_progress="hidden")


def _keep_feedback(path: Path, corpora: Mapping[str, Corpus]) -> Callable[..., None]:
    import gradio as gr

    votes = Allowance(MOST_VOTES, VOTE_EVERY_S)

    def keep(data: Data, event: gr.LikeData, request: gr.Request) -> None:
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
            gr.Warning(f"It could not be saved: {error}")
        else:
            gr.Info("Saved on this machine. Thank you!", duration=4)

    return keep


def best_hit(turn: Turn, corpora: Mapping[str, Corpus]) -> Hit | None:
    """The hit that a vote on a turn is about, None where nothing was found.

    Raises `InputError` if the corpus does not hold its passage as it is: a browser may send any.
    """
    answer = turn.answer
    if answer is None or not answer.hits:
        return None
    best = answer.hits[answer.sentences[0].hit if answer.sentences else 0]
    if turn.corpus not in corpora or not corpora[turn.corpus].holds(best.passage):
        raise InputError("the passage is not in the corpus any more")
    return best
