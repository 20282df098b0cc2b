import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import Visit, open_browser, visiting
from demo_server import ANSWER, HOSTILE_TEXT, PASSAGES, QUESTION, SENTENCE, running, small_retriever
from llm_server import LlmServer, run_llm

from ragqa.answers.answer import NO_ANSWER, NOTHING_FOUND
from ragqa.demo import EXAMPLES
from ragqa.index.bm25 import Bm25Index
from ragqa.storage.json_lines import read_rows

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PHONE = {"width": 360, "height": 740}
STAGES = r"Searched 5 passages in \d+ ms · reranked 4 in \d+ ms · read \d sentences in \d+ ms"


@pytest.fixture(scope="module")
def feedback(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("feedback") / "likes.jsonl"


@pytest.fixture(scope="module")
def address(feedback: Path) -> Iterator[str]:
    with running(feedback=str(feedback)) as (_, address):
        yield address


@pytest.fixture(scope="module")
def written() -> Iterator[tuple[LlmServer, str]]:
    """A language model's server, and a demo that asks it."""
    with run_llm() as llm, running(llm=llm.url) as (_, address):
        yield llm, address


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def visit(browser: "Browser", address: str) -> Iterator[Visit]:
    with visiting(browser, address) as visit:
        yield visit


def test_asking_shows_stages_answer_and_ranking(visit: Visit) -> None:
    best = small_retriever().search(QUESTION)[0]
    assert best.bm25_rank > 1  # else there is no movement to be seen
    visit.ask(QUESTION)
    assert re.match(STAGES, visit.said()[0])
    quote = visit.page.locator("#ragqa-chat blockquote")
    assert quote.inner_text().startswith(f"“{ANSWER}”")
    link = quote.get_by_role("link", name="Dropout › Why it helps")
    assert link.get_attribute("href") == PASSAGES[1].url
    assert link.get_attribute("target") == "_blank"
    assert visit.page.locator("#ragqa-chat ol li").count() == 4
    assert visit.cards().count() == 4
    assert f"BM25 #{best.bm25_rank} → #1 ▲{best.bm25_rank - 1}" in visit.cards().first.inner_text()
    assert visit.page.locator("#ragqa-side .card mark").all_inner_texts() == [ANSWER]
    assert visit.page.locator("#ragqa-side .passage b").first.inner_text().lower() == "dropout"
    assert visit.page.get_by_role("img", name="Ranks by BM25 and after reranking").count() == 1
    assert visit.page.get_by_placeholder("Ask a question").input_value() == ""


def test_examples_and_suggestions_are_asked_with_a_click(visit: Visit) -> None:
    visit.page.get_by_role("button", name=EXAMPLES[0]).click()
    visit.wait_for_reply(1)
    option = visit.page.locator("#ragqa-chat .option").first
    suggested = option.inner_text()
    option.click()
    visit.wait_for_reply(2)
    assert visit.page.locator("#ragqa-chat .user-row").all_inner_texts() == [EXAMPLES[0], suggested]


def test_a_follow_up_is_asked_in_full(visit: Visit) -> None:
    visit.ask("What is dropout?")
    visit.ask("and why does it help?")
    assert "Asked as:" not in visit.said()[0]
    assert re.search("Asked as: .*dropout", visit.said()[1])
    assert "dropout" in visit.page.locator("#ragqa-side .asked").inner_text()


def test_a_later_question_comes_to_the_top_with_its_reply_in_view(visit: Visit) -> None:
    visit.ask(QUESTION)
    visit.ask("weather")
    visit.page.wait_for_function(
        """() => { const top = [...document.querySelectorAll("#ragqa-chat .user-row")].at(-1).getBoundingClientRect().top;
          return top >= 0 && top < 40; }"""
    )
    last = visit.page.locator("#ragqa-chat .bot-row").last.bounding_box()
    ask = visit.page.locator("#ragqa-ask").bounding_box()
    assert last
    assert ask
    assert last["y"] + last["height"] < ask["y"]


def test_a_question_without_answer_is_told_so(visit: Visit) -> None:
    visit.ask("dropout in this weather")
    assert NO_ANSWER in visit.said()[0]
    assert "“" not in visit.said()[0]
    assert visit.cards().count() == 4
    assert visit.page.locator("#ragqa-side .card mark").count() == 0
    visit.ask("zebra")
    assert NOTHING_FOUND in visit.said()[1]
    assert visit.cards().count() == 0


def test_questions_that_cannot_be_asked(visit: Visit) -> None:
    visit.ask("🤖" * 2001)
    visit.ask("🤖")
    assert visit.said() == [
        "The question has 2,001 characters; at most 2,000 can be asked.",
        "The question '🤖' holds no letter or digit.",
    ]
    assert visit.page.locator("#ragqa-chat .user-row").first.inner_text() == "🤖" * 200 + "…"
    visit.page.get_by_placeholder("Ask a question").fill("   ")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_timeout(300)
    assert visit.page.locator("#ragqa-chat .user-row").count() == 2


def test_hostile_questions_and_passages_are_text(visit: Visit) -> None:
    question = (
        "hostile <script>alert(1)</script> <img src=x onerror=alert(2)> **bold** ${alert(3)} {{x}} [a](//b) "
        "https://evil.example www.evil.example a@evil.example ![i](https://evil.example/x.png) # no - heading 🚀"
    )
    visit.ask(question)
    assert visit.page.locator("#ragqa-chat .user-row").inner_text() == question
    assert visit.page.locator("#ragqa-side .passage").first.inner_text() == HOSTILE_TEXT
    assert "“Hostile <script>alert(1)</script><img src='https://evil.example/x.png'" in visit.said()[0]
    assert "<b>Evil</b> [x](//e) › </a><i>" in visit.said()[0]
    forbidden = ":is(script, img, h1, em, strong, i, code, [onerror])"
    assert visit.page.locator(f"#ragqa-chat .message {forbidden}").count() == 0
    assert visit.page.locator(f"#ragqa-side {forbidden}").count() == 0
    links = visit.page.locator("#ragqa-chat .message a, #ragqa-side a").all()
    assert {link.get_attribute("href") for link in links} == {"#turn-1-1"}


def test_formulas_are_drawn_and_nothing_else_is(browser: "Browser", tmp_path: Path) -> None:
    text = (
        r"The loss of relying is {\frac{1}{n}}\sum_{i=1}^n|y_i-{\hat y}_i|^2 for $5 and $6, $$x$$ or \(y\). "
        r"\rule{500em}{500em} \href{javascript:alert(1)}{x} \frac{a}{b}^c^d and x_i <b>y</b>"
    )
    passage = replace(PASSAGES[0], id="Loss#0", title="Loss", text=text)
    Bm25Index.build([passage]).save(tmp_path / "index")
    with (
        running(folder=str(tmp_path / "index")) as (_, address),
        visiting(browser, address, viewport=PHONE) as visit,
    ):
        visit.ask("What is the loss of relying?")
        visit.page.locator("#ragqa-side code.formula").nth(1).wait_for()
        quote = visit.page.locator("#ragqa-chat blockquote")
        assert (
            quote.locator("code.formula").first.get_attribute("title") == r"{\frac{1}{n}}\sum_{i=1}^n|y_i-{\hat y}_i|^2"
        )
        assert quote.locator(".katex-html .mfrac").count() == 1
        assert quote.locator("math mfrac").count() == 1  # what a screen reader reads
        assert "for $5 and $6, $$x$$ or" in quote.inner_text()
        shown = visit.page.locator("#ragqa-side .passage")
        assert [code.get_attribute("title") for code in shown.locator("code.formula").all()][1:] == ["x_i"]
        assert shown.locator("code:not(.formula)").all_inner_texts() == [r"\frac{a}{b}^c^d"]  # two exponents: no TeX
        assert r"\(y\). \rule{500em}{500em} \href{javascript:alert(1)}{x}" in shown.inner_text()
        assert "<b>y</b>" in shown.inner_text()
        assert visit.page.locator("#ragqa-side :is(.rule, a[href^=javascript])").count() == 0
        assert visit.page.evaluate("document.documentElement.scrollWidth") == 360
        visit.page.get_by_role("tab", name="Corpus").click()
        visit.page.locator("#ragqa-found label").click()
        visit.page.locator("#ragqa-page code.formula .katex").nth(1).wait_for()


def test_references_lead_to_the_cards_of_their_turn(visit: Visit) -> None:
    visit.ask(QUESTION)
    visit.ask("boosting")
    visit.page.locator("#ragqa-chat a[href='#turn-1-3']").click()
    visit.page.locator(".card.pointed[data-rank='3']").wait_for()
    assert visit.page.locator("#ragqa-side .asked").inner_text() == QUESTION
    assert visit.page.evaluate("document.activeElement.dataset.rank") == "3"
    visit.page.locator("#ragqa-chat a[href='#turn-1-1']").first.click()
    assert visit.page.evaluate("document.activeElement.dataset.rank") == "1"


def test_details_of_a_hit_open_and_close_by_keyboard(visit: Visit) -> None:
    visit.ask(QUESTION)
    why, around = (visit.cards().first.locator(f"[data-part={part}]") for part in ("why", "page"))
    why.locator("summary").focus()
    visit.page.keyboard.press("Enter")
    why.get_by_role("cell", name=SENTENCE).wait_for()
    assert "dropout" in why.locator("tr").first.inner_text()
    visit.page.keyboard.press("Tab")
    visit.page.keyboard.press("Enter")
    around.locator(".own").wait_for()
    assert PASSAGES[0].text in around.inner_text()
    visit.page.keyboard.press("Escape")
    assert not around.locator(".own").is_visible()
    assert visit.page.evaluate("document.activeElement.textContent") == "Surrounding text"


def test_the_settings_choose_ranking_number_and_corpus(visit: Visit) -> None:
    visit.open_settings()
    visit.page.get_by_label("Side by side").check()
    number = visit.page.get_by_role("spinbutton", name="Passages to show")
    number.fill("3")
    number.blur()
    visit.ask(QUESTION)
    assert visit.page.locator("#ragqa-side .both h3").all_inner_texts() == ["BM25 only", "BM25 + reranker"]
    assert [visit.page.locator(f"#ragqa-side .both > div:nth-child({n}) .card").count() for n in (1, 2)] == [3, 3]
    visit.page.get_by_label("BM25 only").check()
    visit.ask(QUESTION)
    assert "likely" not in visit.cards().first.inner_text()
    visit.page.get_by_role("combobox", name="Corpus").click()
    visit.page.get_by_role("option", name="other").click()
    visit.ask("boosting")
    assert "Searched 3 passages" in visit.said()[2]


def test_the_settings_hold_a_filter(visit: Visit) -> None:
    visit.open_settings()
    visit.page.get_by_label("Filter, a condition").fill(f"title={PASSAGES[0].title}")
    visit.ask(QUESTION)
    shown = visit.cards().all_inner_texts()
    assert len(shown) == 2
    assert all("Dropout" in card and "Boosting" not in card for card in shown)
    visit.page.get_by_label("Filter, a condition").fill("nowhere=1")
    visit.ask(QUESTION)
    assert "Where: no passage has the key 'nowhere'" in visit.said()[1]


def test_escape_closes_the_settings(visit: Visit) -> None:
    visit.open_settings()
    visit.page.get_by_label("BM25 only").focus()
    visit.page.keyboard.press("Escape")
    visit.page.locator(".sidebar.open").wait_for(state="detached")
    assert visit.page.evaluate("document.activeElement.ariaLabel") == "Toggle Sidebar"


def test_likes_are_saved_in_the_file(visit: Visit, feedback: Path) -> None:
    visit.ask(QUESTION)
    visit.page.get_by_role("button", name="Like", exact=True).click()
    visit.page.get_by_text("Saved on this machine").wait_for()
    visit.page.get_by_role("button", name="Dislike").click()
    visit.page.get_by_text("Saved on this machine").nth(1).wait_for()
    rows = [row for _, row in read_rows(feedback)]
    assert [(row["sentence_0"], row["label"]) for row in rows] == [(QUESTION, 1), (QUESTION, 0)]
    assert ANSWER in rows[0]["sentence_1"]


def test_copying_gives_readable_text(browser: "Browser", address: str) -> None:
    with visiting(browser, address, permissions=["clipboard-read", "clipboard-write"]) as visit:
        visit.ask(QUESTION)
        visit.page.get_by_role("button", name="Copy message").last.click()
        copied = visit.page.evaluate("navigator.clipboard.readText()")
        assert f"> “{ANSWER}”" in copied
        assert "<" not in copied.replace("](<", "").replace("&", "")


def test_retry_undo_and_new_chat(visit: Visit) -> None:
    visit.ask(QUESTION)
    visit.ask("boosting")
    with visit.page.expect_response(lambda response: "queue/join" in response.url):
        visit.page.get_by_role("button", name="Retry").click()
    visit.page.wait_for_timeout(300)  # until the reply has been taken back
    visit.wait_for_reply(2)
    assert visit.page.locator("#ragqa-chat .user-row").all_inner_texts() == [QUESTION, "boosting"]
    visit.page.get_by_role("button", name="Undo").click()
    visit.page.locator("#ragqa-chat .user-row").nth(1).wait_for(state="detached")
    assert visit.page.locator("#ragqa-side .asked").inner_text() == QUESTION
    assert visit.page.get_by_placeholder("Ask a question").input_value() == "boosting"  # to be asked otherwise
    visit.page.get_by_role("button", name="New chat").click()
    visit.page.get_by_role("button", name=EXAMPLES[0]).wait_for()
    assert visit.cards().count() == 0


def test_chats_are_kept_in_the_browser(visit: Visit) -> None:
    visit.ask(QUESTION)
    visit.page.reload()
    visit.wait_for_reply(1)
    assert ANSWER in visit.said()[0]
    assert visit.cards().count() == 4
    visit.page.get_by_role("button", name="New chat").click()
    visit.page.get_by_role("button", name=EXAMPLES[0]).wait_for()
    visit.open_settings()
    visit.page.get_by_role("combobox", name="Open again").click()
    visit.page.get_by_role("option", name=QUESTION).click()
    visit.wait_for_reply(1)
    assert ANSWER in visit.said()[0]
    visit.page.get_by_role("button", name="Forget all chats").click()
    visit.page.get_by_role("button", name=EXAMPLES[0]).wait_for()
    visit.page.reload()
    visit.page.get_by_role("button", name=EXAMPLES[0]).wait_for()


def test_a_written_answer_grows_below_the_quoted_one(browser: "Browser", written: tuple[LlmServer, str]) -> None:
    llm, address = written
    llm.behaviour, llm.pieces = "well", [f"{ANSWER[:-1]} ", "[1]. ", "The moon is made of cheese [2]. ", "It is so."]
    with visiting(browser, address) as visit:
        visit.ask(QUESTION)
        said = visit.said()[0]
        assert said.index(f"“{ANSWER}”") < said.index("In a model’s words") < said.index("The moon")
        assert said.count("Dropout sees to that. [1] The moon") == 1  # what is cited is told once
        assert re.search(r"made of cheese.* \[2\] ⚠ not supported by the passages", said)
        assert "⚠ cites no passage" in said
        assert re.search(r"· written in \d", said)
        told = visit.page.locator("#ragqa-chat p", has_text="The moon")
        told.locator("a").last.click()
        visit.page.locator(".card.pointed[data-rank='2']").wait_for()
        visit.open_settings()
        visit.page.get_by_label("Write an answer").uncheck()
        visit.ask(QUESTION)
        assert "In a model’s words" not in visit.said()[1]


def test_what_a_model_writes_is_text(browser: "Browser", written: tuple[LlmServer, str]) -> None:
    llm, address = written
    evil = "![x](https://evil.example/x.png) <img src='https://evil.example/y.png'> [a](https://evil.example) https://evil.example"
    llm.behaviour, llm.pieces = "well", [evil, " <script>alert(1)</script> [1]."]
    with visiting(browser, address) as visit:
        visit.ask(QUESTION)
        assert "In a model’s words" in visit.said()[0]
        assert visit.page.locator("#ragqa-chat .message :is(img, script)").count() == 0
        links = {link.get_attribute("href") for link in visit.page.locator("#ragqa-chat .message a").all()}
        assert not [url for url in links if url and "evil" in url]


@pytest.mark.parametrize("behaviour", ["500", "cut", "html"])
def test_a_failing_model_leaves_the_quoted_answer(
    browser: "Browser", written: tuple[LlmServer, str], behaviour: str
) -> None:
    llm, address = written
    llm.behaviour, llm.pieces = behaviour, ["Half an "]
    with visiting(browser, address) as visit:
        visit.ask(QUESTION)
        assert f"“{ANSWER}”" in visit.said()[0]
        assert "⚠ No written answer: " in visit.said()[0]
        assert "Half an" not in visit.said()[0]


def test_stop_keeps_the_quoted_answer(browser: "Browser", written: tuple[LlmServer, str]) -> None:
    llm, address = written
    llm.behaviour = "drip-pieces"
    with visiting(browser, address) as visit:
        visit.page.get_by_placeholder("Ask a question").fill(QUESTION)
        visit.page.keyboard.press("Enter")
        visit.page.get_by_text("In a model’s words").wait_for()
        visit.page.get_by_role("button", name="Stop").click()
        visit.wait_for_reply(1)
        assert f"“{ANSWER}”" in visit.said()[0]
        deadline = time.monotonic() + 10
        while any("process_request" in thread.name for thread in threading.enumerate()):  # the server is still writing
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_slow_writing_holds_up_no_other_question(browser: "Browser", written: tuple[LlmServer, str]) -> None:
    llm, address = written
    llm.behaviour = "drip-pieces"
    with ExitStack() as stack:
        for _ in range(3):
            page = stack.enter_context(visiting(browser, address)).page
            page.get_by_placeholder("Ask a question").fill(QUESTION)
            page.keyboard.press("Enter")
            page.locator("#ragqa-chat blockquote", has_text=ANSWER).wait_for(timeout=4000)
        page.get_by_role("button", name="Stop").wait_for()  # it is still being written


def test_the_corpus_can_be_read(visit: Visit) -> None:
    visit.page.get_by_role("tab", name="Corpus").click()
    assert "Pages\t4" in visit.page.locator("#ragqa-corpus table").first.inner_text()
    visit.page.get_by_label("Find a page").fill("evil")
    visit.page.locator("#ragqa-found label").nth(1).wait_for(state="detached")
    visit.page.locator("#ragqa-found label").click()
    visit.page.locator("#ragqa-page article").wait_for()
    assert HOSTILE_TEXT in visit.page.locator("#ragqa-page").inner_text()
    assert visit.page.locator("#ragqa-page :is(script, img, a)").count() == 0
    assert "--allow-crawl" in visit.page.locator("#ragqa-corpus").inner_text()


def test_everything_can_be_reached_by_keyboard(visit: Visit) -> None:
    visit.page.get_by_placeholder("Ask a question").focus()
    visit.page.keyboard.type(QUESTION)
    visit.page.keyboard.press("Enter")
    visit.wait_for_reply(1)
    reached = set()
    visit.page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    for _ in range(60):
        visit.page.keyboard.press("Tab")
        reached.add(visit.page.evaluate(NAME))
        assert visit.page.evaluate(FOCUS_IS_SEEN), visit.page.evaluate(NAME)
    names = "Toggle Sidebar|New chat|Chat|Ask|Copy message|Like|Retry|Why this rank?|Surrounding text|Dropout › Why it helps"
    assert set(names.split("|")) <= reached


NAME = """(e => (e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent).trim())(document.activeElement)"""
FOCUS_IS_SEEN = """(e => {
  const seen = style => style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== "none";
  return e === document.body || seen(getComputedStyle(e)) || seen(getComputedStyle(e.closest(".input-container, .wrap") ?? e));
})(document.activeElement)"""


def test_a_screen_reader_is_told(visit: Visit) -> None:
    visit.ask(QUESTION)
    log = visit.page.get_by_role("log", name="chatbot conversation")
    assert log.get_attribute("aria-live") == "polite"
    assert ANSWER in log.inner_text()
    assert visit.page.get_by_role("region", name="Ranking").count() == 1
    assert visit.page.get_by_role("textbox", name="Question").count() == 1
    unnamed = visit.page.evaluate(
        """[...document.querySelectorAll("button")].filter(b => b.checkVisibility() && !b.ariaLabel && !b.title
          && !b.textContent.trim()).map(b => b.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_without_scrolling_sideways(browser: "Browser", address: str, scheme: str) -> None:
    with visiting(browser, address, viewport=PHONE, color_scheme=scheme, is_mobile=True, has_touch=True) as visit:
        assert visit.page.evaluate("document.documentElement.scrollWidth") == 360
        visit.ask("hostile dropout " + "w" * 500)
        visit.ask(QUESTION)
        assert visit.page.evaluate("document.documentElement.scrollWidth") == 360
        edges = "[...document.querySelectorAll('#ragqa-chat *, .ragqa *')].map(e => e.getBoundingClientRect().right)"
        assert max(visit.page.evaluate(edges)) <= 360
        assert visit.page.get_by_placeholder("Ask a question").is_visible()
        assert visit.page.evaluate("document.body.classList.contains('dark')") == (scheme == "dark")
        assert visit.page.evaluate(FAINT) == []  # WCAG 2.2, 1.4.3


# texts whose contrast with what stands behind them is below 4.5
FAINT = """(() => {
  const parse = color => { const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number); return {rgb: [r, g, b], a}; };
  const luminance = rgb => rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.a > 0.99) return c.rgb; } return [255, 255, 255]; };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), faint = [];
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !e.checkVisibility() || e.closest("svg, script, style, noscript")) continue;
    const [dark, light] = [parse(getComputedStyle(e).color).rgb, behind(e)].map(luminance).sort((a, b) => a - b);
    if ((light + 0.05) / (dark + 0.05) < 4.5) faint.push(`${e.className}: ${texts.currentNode.textContent.slice(0, 40)}`);
  }
  return faint;
})()"""
