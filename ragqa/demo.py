"""A page to ask questions on: a Gradio chat that quotes the answer and shows the ranked passages it comes from.

What a passage or a question holds reaches the page only through `escape`, and nothing is loaded from another host.
"""

import errno
import html
import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ragqa.answer import NO_ANSWER, NOTHING_FOUND, answering_span, as_dict
from ragqa.errors import InputError
from ragqa.passages import place
from ragqa.records import Answer, Hit, Passage
from ragqa.retrieve import MAX_QUESTION_CHARS, Retriever

if TYPE_CHECKING:
    import gradio as gr

PORT = 7860
RESULTS, LEAST_RESULTS, MOST_RESULTS = 5, 3, 20  # passages shown: at first, and what the slider allows
AT_ONCE = 2  # questions answered at the same time; others wait in the queue
WAITING = 32  # questions in the queue; more are refused

EXAMPLES = (
    "Why does dropout help against overfitting?",
    "What is the difference between bagging and boosting?",
    "How do I choose the number of clusters in k-means?",
    "When does recall matter more than precision?",
    "Why do gradients vanish in deep networks?",
    "How does attention work in a transformer?",
    "Do I need to scale features for k-nearest neighbors?",
    "What is the kernel trick?",
    "How is a random forest trained?",
)

SYSTEM_FONTS = ["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]

CSS = """
.gradio-container { max-width: 60rem !important; margin: 0 auto; overflow: visible !important; }
.gradio-container .main.app { padding: 1rem; }
#ragqa-chat { min-height: 50dvh; border: 0; overflow: visible !important; }
#ragqa-chat, #ragqa-chat .bubble-wrap { background: none; }
#ragqa-chat .icon-button-wrapper { display: none; }
#ragqa-chat .prose { opacity: 1; }
#ragqa-chat .placeholder-content { padding: 0; }
#ragqa-chat .example { padding: .6rem .8rem; }
#ragqa-chat .message-row { margin: 0 0 1rem; }
#ragqa-chat .bot-row, #ragqa-chat .bot { max-width: none; width: 100%; padding: 0; border: 0; background: none;
  box-shadow: none; }
#ragqa-ask { position: sticky; bottom: 0; z-index: 5; gap: .5rem; padding: .5rem 0; background: var(--body-background-fill); }
#ragqa-ask .row > button { min-height: 2.6rem; }
.ragqa .answer { padding-left: .8rem; border-left: 3px solid var(--color-accent); font-size: 1.15em; }
.ragqa .citation { margin: .3rem 0 .9rem; padding-left: calc(.8rem + 3px); }
.ragqa .notice, .ragqa.notice { margin-bottom: .7rem; font-weight: 600; }
.ragqa a { overflow-wrap: anywhere; text-decoration-thickness: 1px; text-underline-offset: .2em; }
.ragqa ol { list-style: none; margin: 0; padding: 0; }
.ragqa .card { margin: 0 0 .7rem; padding: .7rem .9rem; border: 1px solid var(--border-color-primary);
  border-radius: .6rem; background: var(--background-fill-primary); }
.ragqa .page { font-weight: 600; }
.ragqa .rank { display: inline-block; min-width: 1.7em; margin-right: .5em; border-radius: 1em; font-size: .85em;
  background: var(--primary-600); color: white; text-align: center; }
.ragqa .facts { display: flex; flex-wrap: wrap; gap: 0 .9rem; margin: .2rem 0 .4rem; font-size: .85em;
  color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; }
.ragqa .bar { display: inline-block; width: 3rem; height: .5rem; margin-right: .4rem; border-radius: .25rem;
  background: var(--border-color-primary); overflow: hidden; }
.ragqa .bar > span { display: block; height: 100%; background: var(--primary-600); }
.ragqa .up { color: #15803d; }
.ragqa .down { color: #b91c1c; }
.ragqa mark { padding: .05em .1em; border-radius: .2em; background: #fde68a; color: #1f2937; }
.dark .ragqa .up { color: #4ade80; }
.dark .ragqa .down { color: #f87171; }
.dark .ragqa mark { background: #854d0e; color: #fefce8; }
.ragqa .passage, .ragqa.question { white-space: pre-line; overflow-wrap: anywhere; }
.ragqa.question { scroll-margin-top: 1.5rem; }
.ragqa.error { margin-top: .5rem; scroll-margin-top: 12rem; }
"""

_SCROLL = """() => [...document.querySelectorAll("#ragqa-chat .ragqa:is(.question, .error)")].pop()
  ?.scrollIntoView({block: "start", behavior: "smooth"})"""


def serve(retriever: Retriever, *, host: str = "127.0.0.1", port: int | None = PORT) -> None:
    """Serve the demo until Ctrl-C; `port` None takes a free one. Prints one line with the address.

    Raises `InputError` for an address that cannot be listened on, such as a port in use.
    """
    demo = build_demo(retriever)
    try:
        print(f"ragqa demo on {launch(demo, host, port)} (Ctrl-C ends it)", flush=True)
        while demo.is_running:
            time.sleep(0.2)
    except KeyboardInterrupt:
        pass
    finally:
        demo.close(verbose=False)


def launch(demo: "gr.Blocks", host: str, port: int | None) -> str:
    """Start the demo in threads of its own and return its address. Raises as `serve` does."""
    import gradio as gr

    os.environ["GRADIO_RUN_HISTORY"] = "False"  # gradio 6.24 and later would keep all questions in the browser
    # it asks its own server whether it is up, and would ask it through a proxy
    os.environ["no_proxy"] = f"{host},localhost,{os.environ.get('no_proxy') or os.environ.get('NO_PROXY', '')}"
    try:
        demo.launch(
            server_name=f"[{host}]" if ":" in host else host,
            server_port=_free_port(host, port),
            theme=gr.themes.Default(primary_hue="blue", font=SYSTEM_FONTS, font_mono=["ui-monospace", "monospace"]),
            css=CSS,
            footer_links=[],
            max_file_size=1,  # nothing is to be uploaded here
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            enable_monitoring=False,
            ssr_mode=False,
        )
    except OSError as error:
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be listened on ({error})"
        raise InputError(f"{host}:{port} {reason}; choose another host or port") from error
    return str(demo.local_url)


def build_demo(retriever: Retriever, *, examples: Sequence[str] = EXAMPLES) -> "gr.Blocks":
    """The page, not yet served, and its one public endpoint, `/ask`; theme and style come with `launch`."""
    import gradio as gr
    from gradio.events import api

    def converse(question: str, k: float, chat: list[dict[str, Any]]) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
        """Show the question at once, then the reply below it."""
        if question.strip():
            chat = [*chat, {"role": "user", "content": render_question(question)}]
        yield "", chat
        yield gr.skip(), [*chat, {"role": "assistant", "content": reply(retriever, question, int(k))}]

    def ask(question: str, k: int = RESULTS) -> dict[str, Any]:
        """The answer to a question, with at most `k` hits (1 to 20), as a JSON object like the record `Answer`."""
        try:
            return as_dict(_ask(retriever, question, k))
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def take_example(event: gr.SelectData) -> str:
        return str(event.value["text"])

    demo = gr.Blocks(title="ragqa", analytics_enabled=False)
    with demo:
        gr.Markdown(describe(retriever))
        chat = gr.Chatbot(
            elem_id="ragqa-chat",
            show_label=False,
            height=None,
            buttons=[],
            latex_delimiters=[],
            autoscroll=False,
            placeholder="Try one of these, or ask your own:",
            examples=[{"text": example} for example in examples],
        )
        with gr.Column(elem_id="ragqa-ask"):
            question = gr.Textbox(show_label=False, placeholder="Ask a question", submit_btn=True)
            with gr.Row():
                with gr.Accordion("Settings", open=False):
                    results = gr.Slider(LEAST_RESULTS, MOST_RESULTS, RESULTS, step=1, label="Passages to show")
                clear = gr.Button("Clear", size="md", scale=0, min_width=80)
        asking: dict[str, Any] = {
            "fn": converse,
            "inputs": [question, results, chat],
            "outputs": [question, chat],
            "concurrency_limit": AT_ONCE,
            "concurrency_id": "ask",
            "show_progress": "minimal",
            "api_visibility": "private",
        }
        question.submit(**asking).then(None, js=_SCROLL)
        example = chat.example_select(take_example, None, question, queue=False, api_visibility="private")
        example.then(**asking).then(None, js=_SCROLL)
        clear.click(lambda: ("", []), None, [question, chat], queue=False, api_visibility="private")
        api(ask, api_name="ask", concurrency_limit=AT_ONCE, concurrency_id="ask")
    demo.queue(max_size=WAITING)
    return demo


def reply(retriever: Retriever, question: str, k: int) -> str:
    """The answer to a question as HTML, or one line that says why it cannot be asked."""
    try:
        return render_answer(_ask(retriever, question, k))
    except InputError as error:
        message = str(error)
        return render_notice(f"{message[0].upper()}{message[1:]}.")


def describe(retriever: Retriever) -> str:
    """What the page is and what is indexed, as Markdown."""
    passages = retriever.index.passages
    pages = len({passage.title for passage in passages})
    ranking = "found by BM25" + (" and by meaning" if retriever.dense else "")
    ranking += ", reranked by a cross-encoder" if retriever.reranker else ""
    return (
        "# ragqa\nAsk a question: the reply quotes the sentence that answers it, then shows the nearest passages, "
        f"{ranking}. Indexed: **{len(passages):,} passages** of **{pages:,} pages**."
    )


def render_answer(answer: Answer) -> str:
    """The whole reply: the quoted answer with its citation, or that there is none, then the hits."""
    if not answer.hits:
        return render_notice(NOTHING_FOUND)
    if answer.abstained:
        head = f'<div class="notice">{escape(NO_ANSWER)}</div>'
    else:
        source = answer.hits[answer.sentences[0].hit if answer.sentences else 0].passage
        head = f'<div class="answer">“{escape(answer.text)}”</div><div class="citation">— {render_link(source)}</div>'
    return f'<div class="ragqa">{head}{render_hits(answer)}</div>'


def render_hits(answer: Answer) -> str:
    """The hits as a list of cards, best first, the answering sentence marked in its passage."""
    cards = (render_card(rank, hit, answering_span(answer, rank)) for rank, hit in enumerate(answer.hits, 1))
    return f"<ol>{''.join(cards)}</ol>"


def render_card(rank: int, hit: Hit, span: tuple[int, int]) -> str:
    """One hit: its rank, page, ranks and scores, and its text with `span` marked; an empty span marks nothing."""
    facts = []
    if hit.probability is not None:
        moved = render_movement(hit.bm25_rank, rank) if hit.bm25_score else "found by meaning alone"
        facts = [render_probability(hit.probability), moved, f"final score {hit.score:.2f}"]
    if hit.bm25_score:
        facts.append(f"BM25 score {hit.bm25_score:.2f}")
    return (
        f'<li class="card"><div class="page"><span class="rank">{rank}</span>{render_link(hit.passage)}</div>'
        f'<div class="facts">{"".join(f"<span>{fact}</span>" for fact in facts)}</div>'
        f'<div class="passage">{render_text(hit.passage.text, span)}</div></li>'
    )


def render_probability(probability: float) -> str:
    """A bar as long as the probability, and the number."""
    return f'<span class="bar"><span style="width:{probability:.0%}"></span></span>probability {probability:.2f}'


def render_movement(bm25_rank: int, rank: int) -> str:
    """How far reranking has moved a passage: `BM25 #14 → #1, ▲13`."""
    moved = bm25_rank - rank
    change = f'<b class="up">▲{moved}</b>' if moved > 0 else f'<b class="down">▼{-moved}</b>' if moved else "unchanged"
    return f"BM25 #{bm25_rank} → #{rank}, {change}"


def render_link(passage: Passage) -> str:
    """Page › section, as a link where the passage has a web address."""
    name = escape(place(passage))
    if not passage.url.startswith(("https://", "http://")):
        return name
    return f'<a href="{escape(passage.url)}" target="_blank" rel="noopener">{name}</a>'


def render_text(text: str, span: tuple[int, int]) -> str:
    """The text with the characters of `span` marked."""
    start, end = span
    marked = f"<mark>{escape(text[start:end])}</mark>" if start < end else ""
    return escape(text[:start]) + marked + escape(text[end:])


def render_question(question: str) -> str:
    """The question as it was asked, cut where it is too long to be asked."""
    shown = question if len(question) <= MAX_QUESTION_CHARS else f"{question[:200]}…"
    return f'<div class="ragqa question">{escape(shown.strip())}</div>'


def render_notice(message: str) -> str:
    """One line of plain text."""
    return f'<div class="ragqa error notice">{escape(message)}</div>'


def escape(text: str) -> str:
    """Text as HTML without line ends: a blank line would end the HTML, for the chat reads Markdown."""
    return re.sub(r"\r\n?|\n", "&#10;", html.escape(text))


def _ask(retriever: Retriever, question: str, k: int) -> Answer:
    if k > MOST_RESULTS:
        raise InputError(f"k is {k}; at most {MOST_RESULTS} passages are shown")
    return retriever.ask(question, k)


def _free_port(host: str, port: int | None) -> int:
    """The port, or any free one for None. Raises `OSError` with the reason, which Gradio keeps back."""
    if not 0 <= (port or 0) <= 65535:
        raise InputError(f"port {port} is not between 0 and 65535")
    family, _, _, _, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    with socket.create_server((str(address[0]), port or 0), family=family) as server:
        return int(server.getsockname()[1])
