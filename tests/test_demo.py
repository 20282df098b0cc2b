import asyncio
import html
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.answer import NO_ANSWER, NOTHING_FOUND
from ragqa.bm25 import Bm25Index
from ragqa.demo import (
    EXAMPLES,
    build_demo,
    describe,
    render_answer,
    render_card,
    render_link,
    render_movement,
    render_probability,
    render_question,
    render_text,
    reply,
    serve,
)
from ragqa.errors import InputError
from ragqa.records import Answer, Hit, Passage, Sentence
from ragqa.rerank import Reranker
from ragqa.retrieve import Retriever

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

WIKI = "https://en.wikipedia.org/wiki"
HOSTILE_TEXT = (
    "Hostile <script>alert(1)</script><img src='https://evil.example/x.png' onerror='alert(2)'> *stars* ${alert(3)} "
    f"{{{{braces}}}} $$x$$ [link](https://evil.example) &lt;b&gt; </div>\n\n# No heading\n\n{'long' * 100}"
)
PASSAGES = (
    Passage(
        "Dropout#0", "Dropout", "", text="Dropout, also dropout: dropout is a name.", url=f"{WIKI}/Dropout?oldid=7"
    ),
    Passage(
        "Dropout#1",
        "Dropout",
        "Why it helps",
        text="A network has many units. No unit can end up relying on another one. That is cheap.",
        url=f"{WIKI}/Dropout?oldid=7#Why_it_helps",
    ),
    Passage("Boosting#0", "Boosting", "", text="Boosting is not dropout.", url=f"{WIKI}/Boosting"),
    Passage("Bagging#0", "Bagging", "", text="Bagging averages many trees, without dropout.", url=f"{WIKI}/Bagging"),
    Passage("Evil#0", "<b>Evil</b>", "</a><i>", text=HOSTILE_TEXT, url="javascript:alert(4)"),
)
QUESTION = "dropout?"
ANSWER = "No unit can end up relying on another one."


class RelyingEngine:
    """Whatever tells of relying answers every question, but one about the weather."""

    def logits(self, question: str, texts: Sequence[str]) -> np.ndarray:
        good = ("relying", "Hostile")
        logits = [-3.0 if "weather" in question else 2.0 * any(word in text for word in good) for text in texts]
        return np.array(logits, dtype=np.float32)


def small_retriever() -> Retriever:
    return Retriever(Bm25Index.build(PASSAGES), Reranker(RelyingEngine(), "relying"))


def serve_small() -> None:
    """What the server process runs; a shell that started pytest in the background has switched Ctrl-C off."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    serve(small_retriever(), port=None)


def hit(rank: int = 1, probability: float | None = 0.75, text: str = "One. Two.", **fields: str) -> Hit:
    passage = Passage("P#0", **{"title": "Page", "section": "Section", "url": f"{WIKI}/Page", **fields}, text=text)  # type: ignore[arg-type]
    return Hit(passage, 1.098, probability, 12.345, rank)


# What is shown


@pytest.mark.parametrize(
    ("bm25_rank", "rank", "shown"),
    [
        (14, 1, 'BM25 #14 → #1, <b class="up">▲13</b>'),
        (1, 3, 'BM25 #1 → #3, <b class="down">▼2</b>'),
        (2, 2, "BM25 #2 → #2, unchanged"),
    ],
)
def test_movement_from_the_first_ranking_to_the_second(bm25_rank: int, rank: int, shown: str) -> None:
    assert render_movement(bm25_rank, rank) == shown


@pytest.mark.parametrize(
    ("probability", "width", "number"), [(0.0, "0%", "0.00"), (0.874, "87%", "0.87"), (1, "100%", "1.00")]
)
def test_probability_is_a_bar_and_a_number(probability: float, width: str, number: str) -> None:
    assert f'style="width:{width}"' in render_probability(probability)
    assert render_probability(probability).endswith(f"probability {number}")


def test_card_holds_ranks_scores_page_and_text() -> None:
    card = render_card(1, hit(14), (5, 9))
    assert "▲13" in card
    assert "probability 0.75" in card
    assert "final score 1.10" in card
    assert "BM25 score 12.35" in card or "BM25 score 12.34" in card
    assert f'<a href="{WIKI}/Page" target="_blank" rel="noopener">Page › Section</a>' in card
    assert "One. <mark>Two.</mark>" in card


def test_card_without_a_reranker_shows_bm25_alone() -> None:
    card = render_card(1, hit(1, None), (0, 0))
    assert "BM25 score" in card
    assert not re.search("probability|→|reranker|mark", card)


@pytest.mark.parametrize("url", ["", "javascript:alert(1)", "data:text/html,x", "//evil.example"])
def test_only_web_addresses_are_links(url: str) -> None:
    assert render_link(hit(url=url).passage) == "Page › Section"


def test_a_page_without_section_is_cited_by_its_title() -> None:
    assert render_link(hit(section="", url="").passage) == "Page"


def test_an_address_cannot_leave_its_attribute() -> None:
    assert '"https://x/&quot; onclick=&quot;alert(1)"' in render_link(hit(url='https://x/" onclick="alert(1)').passage)


@given(st.text(), st.integers(0, 20), st.integers(0, 20))
def test_text_is_shown_whole_and_as_text(text: str, start: int, length: int) -> None:
    parts = text[:start], text[start : start + length], text[start + length :]
    shown = render_text(text, (start, start + length))
    assert shown.count("<mark>") == (length > 0)
    bare = re.sub("</?mark>", "", shown)
    assert not re.search("[<>\r\n]", bare)
    assert html.unescape(bare) == "".join(re.sub("\r\n?", "\n", part) for part in parts)


def test_the_answer_is_quoted_cited_and_marked_where_it_stands() -> None:
    hits = (hit(title="First", text="Alpha."), hit(title="Second", text="Beta < 1. Gamma."))
    shown = render_answer(Answer("q", "Beta < 1.", hits, (Sentence(1, 0, 9, "Beta < 1.", 3.0),), abstained=False))
    assert "“Beta &lt; 1.”" in shown
    assert shown.index("“Beta") < shown.index("Second › Section") < shown.index("First › Section")
    assert re.findall("<mark>.*?</mark> Gamma", shown) == ["<mark>Beta &lt; 1.</mark> Gamma"]
    assert shown.count("<mark>") == 1


def test_an_abstention_quotes_and_marks_nothing() -> None:
    shown = render_answer(Answer("q", "", (hit(),), (Sentence(0, 0, 4, "One.", -3.0),), abstained=True))
    assert shown.index(NO_ANSWER) < shown.index("One. Two.")
    assert "<mark>" not in shown
    assert "“" not in shown


def test_nothing_found_says_so() -> None:
    assert NOTHING_FOUND in render_answer(Answer("q", "", (), (), abstained=True))


def test_without_a_reranker_the_first_passage_is_the_answer() -> None:
    shown = reply(Retriever(Bm25Index.build(PASSAGES), None), "boosting", 3)
    assert "“Boosting is not dropout.”" in shown


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (" \n", "The question is empty."),
        ("?!", "The question &#x27;?!&#x27; holds no letter or digit."),
        ("a" * 2001, "The question has 2,001 characters; at most 2,000 can be asked."),
    ],
)
def test_what_cannot_be_asked_is_answered_in_one_line(question: str, message: str) -> None:
    assert reply(small_retriever(), question, 3) == f'<div class="ragqa error notice">{message}</div>'


def test_more_passages_than_the_slider_allows_are_refused() -> None:
    assert "K is 21; at most 20" in reply(small_retriever(), QUESTION, 21)


def test_a_question_too_long_to_be_asked_is_shown_in_part() -> None:
    assert "a" * 2000 in render_question("a" * 2000)
    assert f">{'a' * 200}…<" in render_question("a" * 2001)


def test_the_header_counts_passages_and_pages() -> None:
    assert "**5 passages** of **4 pages**" in describe(small_retriever())
    assert "reranked" in describe(small_retriever())
    assert "reranked" not in describe(Retriever(Bm25Index.build(PASSAGES), None))


def test_gradio_is_loaded_only_to_build_the_page() -> None:
    code = "import sys, ragqa.demo; sys.exit('gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment(), check=False).returncode == 0


# What is served


def environment() -> dict[str, str]:
    here = Path(__file__).parent
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]),
    }


@contextmanager
def running() -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A demo in a process of its own, and its address."""
    command = [sys.executable, "-c", "import test_demo; test_demo.serve_small()"]
    with subprocess.Popen(command, env=environment(), stdout=-1, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            address = re.fullmatch(r"ragqa demo on (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends it\)\n", line)
            assert address, line + process.stdout.read()
            yield process, address[1]
        finally:
            process.kill()


@pytest.fixture(scope="module", autouse=True)
def close_event_loops() -> Iterator[None]:
    """Close the event loops that Gradio makes for each demo outside a running one, and leaves to the garbage collector."""
    make, made = asyncio.new_event_loop, []

    def remember() -> asyncio.AbstractEventLoop:
        made.append(make())
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "new_event_loop", remember)
        yield
    for loop in made:
        if not loop.is_running():
            loop.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running() as (_, address):
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("Chromium is not installed: make debian")
    quiet = ["background-networking", "component-update", "sync", "gpu"]
    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in quiet)]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@dataclass
class Visit:
    """An open page, and all that it asked the network for and complained of."""

    page: "Page"
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def ask(self, question: str) -> None:
        """Ask and wait for the reply."""
        replies = self.page.locator("#ragqa-chat .bot .ragqa")
        before = replies.count()
        self.page.get_by_placeholder("Ask a question").fill(question)
        self.page.keyboard.press("Enter")
        replies.nth(before).wait_for()

    def refuse(self, dialog: "Dialog") -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(f"#ragqa-chat {selector}").all_inner_texts()


@contextmanager
def visiting(browser: "Browser", address: str, **options: Any) -> Iterator[Visit]:
    """Open the demo in a fresh context; fails if the page goes to another host, or complains."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(10_000)
    visit = Visit(page)
    page.on("request", lambda request: visit.requests.append(request.url))
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("console", lambda message: visit.complaints.append(f"{message.type}: {message.text}"))
    page.on("dialog", visit.refuse)
    try:
        page.goto(address)
        page.get_by_placeholder("Ask a question").wait_for()
        yield visit
        page.wait_for_timeout(200)
        assert visit.requests
        assert [url for url in visit.requests if not url.startswith((address, "data:", "blob:"))] == []
        assert visit.complaints == []
    finally:
        context.close()


@pytest.fixture
def visit(browser: "Browser", address: str) -> Iterator[Visit]:
    with visiting(browser, address) as visit:
        yield visit


def test_asking_shows_answer_and_cards(visit: Visit) -> None:
    best = small_retriever().search(QUESTION)[0]
    assert best.bm25_rank > 1  # else there is no movement to be seen
    visit.ask(QUESTION)
    assert visit.texts(".question") == [QUESTION]
    assert visit.texts(".answer") == [f"“{ANSWER}”"]
    assert visit.texts(".citation") == ["— Dropout › Why it helps"]
    assert visit.texts(".rank") == ["1", "2", "3", "4"]
    assert f"BM25 #{best.bm25_rank} → #1, ▲{best.bm25_rank - 1}" in visit.texts(".facts")[0]
    assert "probability 0.88" in visit.texts(".facts")[0]
    assert visit.texts("mark") == [ANSWER]
    link = visit.page.locator(".card a").first
    assert link.get_attribute("href") == PASSAGES[1].url
    assert link.get_attribute("target") == "_blank"
    assert "noopener" in (link.get_attribute("rel") or "")
    assert visit.page.get_by_placeholder("Ask a question").input_value() == ""


def test_an_example_is_asked_with_a_click(visit: Visit) -> None:
    visit.page.get_by_text(EXAMPLES[0]).click()
    visit.page.locator(".card").first.wait_for()
    assert visit.texts(".question") == [EXAMPLES[0]]
    assert visit.texts(".answer") == [f"“{ANSWER}”"]


def test_a_question_without_answer_is_told_so(visit: Visit) -> None:
    visit.ask("dropout in this weather")
    assert visit.texts(".notice") == [NO_ANSWER]
    assert len(visit.texts(".card")) == 4
    assert visit.texts("mark") == []
    visit.ask("zebra")
    assert visit.texts(".notice") == [NO_ANSWER, NOTHING_FOUND]


def test_questions_that_cannot_be_asked(visit: Visit) -> None:
    visit.ask("   ")
    assert visit.texts(".question") == []
    visit.ask("🤖" * 2001)
    visit.ask("🤖")
    assert visit.texts(".notice") == [
        "The question is empty.",
        "The question has 2,001 characters; at most 2,000 can be asked.",
        "The question '🤖' holds no letter or digit.",
    ]
    assert visit.page.locator(".notice").last.is_visible()
    assert visit.texts(".question") == ["🤖" * 200 + "…", "🤖"]


def test_hostile_questions_and_passages_are_text(visit: Visit) -> None:
    question = "hostile <script>alert(1)</script> <img src=x onerror=alert(2)> **bold** ${alert(3)} {{x}} [a](//b) 🚀"
    visit.ask(question)
    assert visit.texts(".question") == [question]
    shown = visit.texts(".passage")[0]
    assert shown == HOSTILE_TEXT
    assert visit.texts(".page")[0].endswith("<b>Evil</b> › </a><i>")
    assert visit.page.locator("#ragqa-chat :is(script, img, h1, em, strong, i)").count() == 0
    assert visit.page.locator(".card").first.locator("a").count() == 0


def test_the_next_question_comes_into_view_and_clear_removes_all(browser: "Browser", address: str) -> None:
    with visiting(browser, address, viewport={"width": 800, "height": 500}) as visit:
        visit.ask(QUESTION)
        visit.ask(QUESTION)
        assert visit.texts(".question") == [QUESTION, QUESTION]
        assert len(visit.texts(".answer")) == 2
        visit.page.wait_for_function("document.querySelectorAll('.question')[1].getBoundingClientRect().top < 100")
        visit.page.get_by_role("button", name="Clear", exact=True).click()
        visit.page.get_by_text(EXAMPLES[0]).wait_for()
        assert visit.texts(".ragqa") == []


def test_the_slider_sets_the_number_of_passages(visit: Visit) -> None:
    slider = visit.page.get_by_role("slider")
    assert not slider.is_visible()
    visit.page.get_by_role("button", name="Settings").click()
    slider.hover()  # which waits until the panel has come to rest: what is set before that is lost
    slider.fill("3")
    number = visit.page.get_by_role("spinbutton")
    visit.page.wait_for_function("number => number.value === '3'", arg=number.element_handle())
    visit.ask(QUESTION)
    assert len(visit.texts(".card")) == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_without_scrolling_sideways(browser: "Browser", address: str, scheme: str) -> None:
    size = {"width": 375, "height": 667}
    with visiting(browser, address, viewport=size, color_scheme=scheme, is_mobile=True, has_touch=True) as visit:
        visit.ask("hostile dropout " + "w" * 500)
        assert visit.page.evaluate("document.documentElement.scrollWidth") == 375
        edge = "Math.max(...[...document.querySelectorAll('.ragqa *')].map(e => e.getBoundingClientRect().right))"
        assert visit.page.evaluate(edge) <= 375
        assert visit.page.get_by_placeholder("Ask a question").is_visible()
        assert visit.page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
        contrast = visit.page.locator("mark").first.evaluate(CONTRAST)
        assert contrast > 4.5  # WCAG 2.2, 1.4.3


CONTRAST = """element => {
  const luminance = color => color.match(/[\\d.]+/g).slice(0, 3).map(value => value / 255)
    .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
  const style = getComputedStyle(element);
  const [dark, light] = [luminance(style.color), luminance(style.backgroundColor)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}"""


def call(address: str, *arguments: Any) -> tuple[str, Any]:
    """Call the endpoint as Gradio documents it: post, then read the event's outcome."""
    body = json.dumps({"data": arguments}).encode()
    request = urllib.request.Request(f"{address}gradio_api/call/ask", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as response:
        event = json.load(response)["event_id"]
    with urllib.request.urlopen(f"{address}gradio_api/call/ask/{event}", timeout=20) as response:
        name, data = response.read().decode().strip().split("\n")[-2:]
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def test_the_endpoint_answers_in_json(address: str) -> None:
    with urllib.request.urlopen(f"{address}gradio_api/info", timeout=20) as response:
        assert list(json.load(response)["named_endpoints"]) == ["/ask"]
    event, data = call(address, QUESTION, 2)
    assert event == "complete"
    assert data[0]["text"] == ANSWER
    assert data[0]["hits"][0]["passage"]["id"] == "Dropout#1"
    assert len(data[0]["hits"]) == 2
    assert call(address, "", 2)[0] == "error"


def test_ctrl_c_ends_the_demo_without_a_word() -> None:
    with running() as (process, address):
        with urllib.request.urlopen(address, timeout=20) as response:
            assert response.status == 200
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[0] == ""
        assert process.returncode == 0


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=rf"^127\.0\.0\.1:{port} is in use; choose another host or port$"):
            serve(small_retriever(), port=port)


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("127.0.0.1", 65536, "^port 65536 is not between 0 and 65535$"),
        ("127.0.0.1", -1, "^port -1 is not between 0 and 65535$"),
        ("no host", 7860, r"^no host:7860 cannot be listened on \(.*\); choose another host or port$"),
    ],
)
def test_an_address_that_is_none_is_named(host: str, port: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        serve(small_retriever(), host=host, port=port)


def test_the_examples_can_be_chosen() -> None:
    demo = build_demo(small_retriever(), examples=["What is a zebra?"])
    shown = json.dumps(demo.get_config_file(), default=str)
    assert "What is a zebra?" in shown
    assert EXAMPLES[0] not in shown
