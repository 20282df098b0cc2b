import html
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from demo_server import ANSWER, PASSAGES, QUESTION, WIKI, closing_event_loops, environment, small_retriever
from hypothesis import example, given
from hypothesis import strategies as st
from llm_server import run_llm
from markdown_it import MarkdownIt

from ragqa.answers.answer import NO_ANSWER, NOTHING_FOUND
from ragqa.answers.written import Writer, Written, read_sentences
from ragqa.demo import Corpus, Features, ServerConfig, begin_folder, build_demo, find_feedback, read_auth
from ragqa.demo.corpora import by_name
from ragqa.demo.corpus_tab import find_titles, read_wanted, render_summary
from ragqa.demo.escaping import escape, escape_markdown, highlight, link, link_markdown, matches, topic_link
from ragqa.demo.examples import ANSWERED_BY, EXAMPLES, LONGEST, examples_of
from ragqa.demo.messages import messages, turn_of
from ragqa.demo.movement import describe_movement, find_rows
from ragqa.demo.page import describe
from ragqa.demo.panel import parts, render_notice, render_panel
from ragqa.demo.rendering import HEAD, draw_formulas, macros
from ragqa.demo.respond import BM25, BOTH, Settings, cited, duration, near_titles, respond
from ragqa.demo.turns import MOST_TURNS, Cited, Turn, as_data, from_data
from ragqa.demo.votes import best_hit
from ragqa.errors import FallbackWarning, InputError
from ragqa.index.bm25 import Bm25Index
from ragqa.index.folder import save_index, update_index
from ragqa.models.reranker import Calibrations
from ragqa.process import is_own_host
from ragqa.records import Answer, Hit, Passage, Quote
from ragqa.search.explanation import explain
from ragqa.search.retriever import Retriever


@pytest.fixture(scope="module", autouse=True)
def close_event_loops() -> Iterator[None]:
    with closing_event_loops():
        yield


def hit(rank: int = 1, probability: float | None = 0.75, text: str = "One. Two.", **fields: str) -> Hit:
    passage = Passage("P#0", **{"title": "Page", "section": "Section", "url": f"{WIKI}/Page", **fields}, text=text)  # type: ignore[arg-type]
    return Hit(passage, 1.098, probability, 12.345, rank)


def small() -> Corpus:
    return Corpus(small_retriever(), name="small")


def last(question: str = QUESTION, settings: Settings | None = None, earlier: tuple[Turn, ...] = ()) -> Turn:
    """What a question becomes in the end."""
    return [*respond(question, small(), settings or Settings(), earlier)][-1]


def told(*turns: Turn) -> str:
    return "\n\n".join(message["content"] for message in messages(turns))


# Text of others


@given(st.text())
def test_html_shows_text_as_it_is(text: str) -> None:
    shown = escape(text)
    assert not re.search("[<>{}$`\r\n]", shown)
    assert html.unescape(shown) == re.sub("\r\n?", "\n", text)


@example("123456789. x")
@given(st.text(alphabet=st.sampled_from("ab 1.)(*_[]<>&#!|~`\\-+=:/@\n\t\"'$^{}")))
def test_markdown_shows_text_as_it_is(text: str) -> None:
    shown = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(escape_markdown(text)).strip()
    line = " ".join(text.split())
    assert html.unescape(shown) == (f"<p>{line}</p>" if line else "")
    assert not re.search("<(?!/?p>)", shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://x.example", "see https&#58;//x.example"),
        ("www.x", "www&#46;x"),
        ("a@b.c", "a&#64;b.c"),
        ("1. x", "&#49;. x"),
        ("2012) x", "&#50;012) x"),
        ("[x](//e)", "&#91;x&#93;(//e)"),
    ],
)
def test_markdown_finds_no_links_in_text(text: str, shown: str) -> None:
    assert escape_markdown(text) == shown


@given(st.text(), st.integers(0, 20), st.integers(0, 20))
def test_highlighted_text_is_whole(text: str, start: int, length: int) -> None:
    parts = text[:start], text[start : start + length], text[start + length :]
    words = [match.span() for match in re.finditer(r"\w+", text)]
    shown = highlight(text, [(start, start + length)] if length else [], words)
    assert shown.count("<mark>") == (length > 0)
    bare = re.sub("</?(mark|b)>", "", shown)
    assert not re.search("[<>\r\n]", bare)
    assert html.unescape(bare) == "".join(re.sub("\r\n?", "\n", part) for part in parts)


def test_templates_escape_text_for_html_and_for_gradio() -> None:
    shown = "&lt;b&gt;&#36;&#123;x&#125;&lt;/b&gt;&#10;&quot;"
    assert render_notice('<b>${x}</b>\n"') == f'<p class="ragqa hint" role="status">{shown}</p>'


def test_words_of_the_question_are_found_in_other_forms() -> None:
    text = "Clusters: the k-means algorithm clusters points."
    assert [text[a:b] for a, b in matches("What is a cluster in k means?", text)] == ["Clusters", "k-means", "clusters"]


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("file:///srv/hand%20book.pdf#page=3", "hand book.pdf, page 3"),
        ("file:///srv/a.md#L12", "a.md, line 12"),
        ("file:///srv/a.ipynb#cell=2", "a.ipynb, cell 2"),
        ("file:///srv/a.csv#row=7", "a.csv, row 7"),
        ("file:///srv/a.html#:~:text=Use", "a.html"),
        ("file:///srv/a.epub#epubcfi(/6/4!)", "a.epub"),
        ("file:///srv/%3Cb%3E.txt", "<b>.txt"),
    ],
)
def test_a_passage_of_a_file_names_it_and_the_place_without_a_link(url: str, where: str) -> None:
    assert link(hit(url=url).passage) == f"<span>{escape(f'Page › Section ({where})')}</span>"
    assert link_markdown(hit(url=url).passage) == f"Page › Section ({escape_markdown(where)})"


@pytest.mark.parametrize("url", ["", "javascript:alert(1)", "data:text/html,x", "//evil.example"])
def test_only_web_addresses_are_links(url: str) -> None:
    assert link(hit(url=url).passage) == "<span>Page › Section</span>"
    assert link_markdown(hit(url=url).passage) == "Page › Section"


def test_text_written_for_ragqa_is_not_cited_from_wikipedia() -> None:
    passage = hit(url="", about=f"{WIKI}/Page").passage
    anchor = f'<a href="{WIKI}/Page" target="_blank" rel="noopener noreferrer">Page</a>'
    said = f'<p class="topic">written for ragqa; the topic&#x27;s article on Wikipedia: {anchor}</p>'
    assert link(passage) == "<span>Page › Section</span>"
    assert link_markdown(passage) == "Page › Section, written for ragqa"
    assert topic_link(passage) == said
    assert said in str(macros("corpus.html").page([passage, passage]))


@pytest.mark.parametrize(("url", "about"), [("", ""), (WIKI, ""), (WIKI, WIKI), ("", "javascript:alert(1)")])
def test_other_text_has_no_link_to_an_article_on_its_topic(url: str, about: str) -> None:
    assert topic_link(hit(url=url, about=about).passage) == ""


def test_the_chat_on_the_starter_corpus_says_what_was_written_for_ragqa() -> None:
    turn = [*respond("why does dropout help?", Corpus(Retriever.open()), Settings(BOTH), ())][-1]
    assert re.search(
        r"^> — Dilution \(neural networks\) › [^,]+, written for ragqa \[\[\d\]\]\(#turn-1-\d\)$", told(turn), re.M
    )
    assert "wikipedia" not in told(turn).casefold()
    panel = render_panel([turn], 0)
    assert turn.answer
    assert panel.count('<p class="topic">written for ragqa') == len(turn.answer.hits) + len(turn.bm25)
    assert panel.count('<span class="page"><a') == 0


def test_a_page_without_section_is_cited_by_its_title() -> None:
    assert link(hit(section="", url="").passage) == "<span>Page</span>"


def test_an_address_cannot_leave_its_attribute() -> None:
    url = 'https://x/" onclick="alert(1)'
    assert 'href="https://x/&quot; onclick=&quot;alert(1)"' in link(hit(url=url).passage)
    assert link_markdown(hit(url="https://x/>) <b>").passage) == r"[Page › Section](<https://x/%3E)%20%3Cb%3E>)"


# The ranking


@pytest.mark.parametrize(
    ("bm25_rank", "rank", "shown"),
    [
        (14, 1, 'BM25 #14 → #1 <b class="up">▲13</b>'),
        (1, 3, 'BM25 #1 → #3 <b class="down">▼2</b>'),
        (2, 2, 'BM25 #2 → #2 <b class="same">=</b>'),
    ],
)
def test_movement_from_the_first_ranking_to_the_second(bm25_rank: int, rank: int, shown: str) -> None:
    assert parts().move(hit(bm25_rank), rank) == shown


@pytest.mark.parametrize(("probability", "number"), [(0.0, "0%"), (0.874, "87%"), (1, "100%")])
def test_probability_is_a_bar_and_a_number(probability: float, number: str) -> None:
    assert f'style="width:{number}"' in parts().probability(probability)
    assert f">{number}</span> likely" in parts().probability(probability)


def test_card_holds_ranks_scores_page_and_text() -> None:
    card = parts().card(1, hit(14), ((5, 9),), (), True)
    for part in ("▲13", "75%", "score 1.10", "BM25 12.3", "One. <mark>Two.</mark>"):
        assert part in card
    assert f'<a href="{WIKI}/Page" target="_blank" rel="noopener noreferrer">Page › Section</a>' in card


def test_card_without_a_reranker_shows_bm25_alone() -> None:
    card = parts().card(1, hit(1, None), (), (), False)
    assert "BM25 12.3" in card
    assert not re.search("likely|→|mark", card)


def test_lines_of_the_chart_rise_with_the_passages() -> None:
    hits = [hit(7), hit(1), replace(hit(40), bm25_score=0.0), hit(4), hit(9)]
    rows = find_rows(hits)
    assert rows == [6, 1, 8, 4, 7]
    assert len(set(rows)) == len(rows)
    assert re.findall('class="(up|down|same)"', parts().movement(hits)) == ["up", "down", "up", "same", "up"]
    assert (
        describe_movement(hits) == "Ranks by BM25 and after reranking: #7 to 1, #1 to 2, none to 3, #4 to 4, #9 to 5."
    )


def test_both_rankings_stand_side_by_side() -> None:
    turn = last(settings=Settings(ranking=BOTH))
    assert [found.bm25_rank for found in turn.bm25] == [1, 2, 3, 4]
    shown = render_panel([turn], 0)
    assert shown.index("BM25 only") < shown.index("reranked #") < shown.index("BM25 + reranker") < shown.index("likely")


def test_why_shows_terms_and_sentences() -> None:
    retriever = small_retriever()
    shown = parts().why(explain(retriever, "dropout units", retriever.search("dropout units")[0]))
    assert re.search(r"<td>dropout</td><td class=\"number\">\d\.\d\d</td>", shown)
    assert re.search(r'<td class="number">[+-]\d\.\d\d</td><td>No unit can end up relying on another one.</td>', shown)


# A question into a turn


def test_the_page_says_what_the_language_model_does() -> None:
    with run_llm() as llm:
        writer = Writer(llm.url, timeout_s=20)
        llm.behaviour, llm.pieces = "loading", ["Dropout switches units off [1]."]
        turns = [*respond(QUESTION, small(), Settings(write=True), (), writer)]
        working = [turn.working for turn in turns if turn.working]
        assert working == ["Writing with the language model…", *["small is still loading…"] * 2]
        assert [f"*{line}*" in told(turn) for line, turn in zip(working, turns[3:], strict=False)] == [True] * 3
        assert not turns[-1].working
        assert "In a model’s words" in told(turns[-1])


def test_a_language_model_completes_a_follow_up() -> None:
    first = last("What is dropout?")
    with run_llm() as llm:
        writer = Writer(llm.url, "small", timeout_s=20)
        llm.pieces = ["Why does dropout help?"]
        turns = [*respond("and why does it help?", small(), Settings(write=True), (first,), writer)]
        assert turns[0].working == "small is reading the question…"
        assert "*small is reading the question…*" in told(turns[0])
        assert turns[-1].answer
        assert turns[-1].answer.question == "Why does dropout help?"
        assert turns[-1].stages[0].startswith("read the question in ")
        llm.behaviour = "500"
        *_, turn = respond("and why does it help?", small(), Settings(write=True), (first,), writer)
    by_rules = last("and why does it help?", earlier=(first,))
    assert turn.answer == by_rules.answer
    assert re.match("No written answer, and rules completed the question: .* answered with HTTP 500", turn.note)


def test_each_step_is_told_with_the_time_it_took() -> None:
    turns = [*respond(QUESTION, small(), Settings(), ())]
    assert [len(turn.stages) for turn in turns] == [1, 2, 3]
    seconds = r"(\d{1,3} ms|\d\.\d s)"
    steps = [f"searched 5 passages in {seconds}", f"reranked 4 in {seconds}", rf"read \d sentences in {seconds}"]
    assert all(re.fullmatch(step, stage) for step, stage in zip(steps, turns[-1].stages, strict=True))
    assert turns[-1].answer == small_retriever().ask(QUESTION, 5)


def test_the_steps_name_the_corpus() -> None:
    turn = replace(last(), corpus="garden")
    steps = next(said["content"] for said in messages([turn]) if said.get("metadata"))
    assert steps.startswith("Corpus: garden\n- searched 5 passages in ")


@pytest.mark.parametrize(("seconds", "shown"), [(0.0001, "1 ms"), (0.11, "110 ms"), (1.26, "1.3 s")])
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_without_a_calibration_there_are_no_percentages_and_the_panel_says_why() -> None:
    reason = "The reranker is not calibrated."
    turn = last("is the weather like dropout?")
    assert turn.answer
    assert turn.answer.abstained
    assert "%" in told(turn)
    assert reason not in render_panel([turn], 0)
    plain = small_retriever()
    assert plain.reranker
    plain.reranker.calibrations = Calibrations()
    (*_, turn) = respond("is the weather like dropout?", Corpus(plain, name="plain"), Settings(), ())
    assert turn.answer
    assert not turn.answer.abstained
    assert "%" not in told(turn)
    shown = render_panel([turn], 0)
    assert reason in shown
    assert "likely" not in shown
    assert "score -" in shown
    assert "BM25 #" in shown


def test_the_settings_hold_the_least_probability_to_answer() -> None:
    for threshold, abstained in ((0.0, False), (1.0, True)):
        turn = last(settings=Settings(threshold=threshold))
        assert turn.answer
        assert turn.answer.abstained == abstained


def test_the_settings_choose_the_ranking_and_how_much_of_it() -> None:
    turn = last(settings=Settings(ranking=BM25, results=2))
    assert turn.answer
    assert [found.passage.id for found in turn.answer.hits] == [
        passage.id for passage, _ in Bm25Index.build(PASSAGES).search(QUESTION, 2)
    ]
    assert turn.answer.hits[0].probability is None
    assert last(settings=Settings(results=21)).failed == "K is 21; at most 20 passages are shown."


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("?!", "The question '?!' holds no letter or digit."),
        ("a" * 2001, "The question has 2,001 characters; at most 2,000 can be asked."),
    ],
)
def test_what_cannot_be_asked_is_answered_in_one_line(question: str, message: str) -> None:
    assert last(question).failed == message
    assert escape_markdown(message) in told(last(question))


def test_a_follow_up_is_asked_in_full_and_shown_so() -> None:
    first = last("What is dropout?")
    second = last("and why does it help?", earlier=(first,))
    assert second.rewritten
    assert second.answer
    assert "dropout" in second.answer.question.lower()
    assert f"*Asked as:* {escape_markdown(second.answer.question)}" in told(first, second)
    assert "Asked as" not in told(first)


# The messages


def test_the_answer_is_quoted_and_cited_before_the_passages() -> None:
    shown = told(last())
    quote = f"> “{ANSWER}”\n>\n> — [Dropout › Why it helps](<{WIKI}/Dropout?oldid=7#Why_it_helps>) [[1]](#turn-1-1)"
    assert quote in shown
    assert shown.index(quote) < shown.index("1. [Dropout › Why it helps](#turn-1-1) · 88%")


def test_an_abstention_quotes_nothing() -> None:
    shown = told(last("dropout in this weather"))
    assert NO_ANSWER in shown
    assert "“" not in shown
    assert "(#turn-1-4)" in shown
    assert NOTHING_FOUND in told(last("zebra"))


def test_without_a_reranker_the_first_passage_is_the_answer() -> None:
    assert "“Boosting is not dropout.”" in told(last("boosting", Settings(ranking=BM25)))


def test_a_question_too_long_to_be_asked_is_shown_in_part() -> None:
    assert f"{'a' * 200}…\n" in told(last("a" * 2001))


def test_sentences_that_nothing_bears_out_are_marked() -> None:
    written = (
        Cited("Good.", (1,), "supported"),
        Cited("<img src=x>", (), "uncited"),
        Cited("Bad.", (2,), "unsupported"),
    )
    shown = told(replace(last(), written=written))
    assert "Good. [[1]](#turn-1-1) &#60;img src=x&#62; ⚠ *cites no passage* Bad. [[2]](#turn-1-2) ⚠ *not supp" in shown


def test_each_citation_is_shown_once() -> None:
    told = "Dropout helps [1]. It is new [9]. Values lie in [0, 1] [2, 1]."
    written = Written("q", told, read_sentences(told), done=True)
    assert [(sentence.text, sentence.ranks) for sentence in cited(written, 2)] == [
        ("Dropout helps.", (1,)),
        ("It is new [9].", ()),
        ("Values lie in [0, 1].", (2, 1)),
    ]


def test_a_message_is_traced_to_its_turn() -> None:
    turns = (last(), last("?!"), last("zebra"))
    shown = messages(turns)
    asked = [index for index, message in enumerate(shown) if message["role"] == "user"]
    assert [turn_of(index, turns) for index in asked] == [0, 1, 2]
    assert turn_of(len(shown) - 1, turns) == 2


# What the browser keeps


def test_turns_come_back_from_the_browser() -> None:
    turns = (
        last(settings=Settings(ranking=BOTH)),
        last("?!"),
        replace(last("zebra"), written=(Cited("A.", (1,), "uncited"),)),
    )
    back = from_data(json.loads(json.dumps(as_data(turns))))
    assert [replace(turn, answer=None) for turn in back] == [replace(turn, answer=None) for turn in turns]
    assert messages(back) == messages(turns)
    assert render_panel(back, 0) == render_panel(turns, 0)
    assert len(as_data([turns[1]] * 50)) == MOST_TURNS


def test_a_conversation_is_shown_as_far_as_it_is_kept() -> None:
    demo = build_demo([small()])
    talk = next(block.fn for block in demo.fns.values() if block.name == "talk")
    assert talk
    data = json.loads(json.dumps(as_data([last("zebra")] * (MOST_TURNS - 1))))
    for number in range(3):
        *_, (_, shown, _, kept) = talk(QUESTION, "small", BM25, 5, 50, 0.2, False, "", data)
        data = json.loads(json.dumps(kept))
        assert len(data) == MOST_TURNS, number
        assert shown == messages(from_data(data))  # a vote names a message by its place


JUNK: tuple[object, ...] = (
    None,
    1,
    -1,
    10**400,
    math.inf,
    math.nan,
    "x",
    [],
    {},
    [{}],
    [1],
    [math.inf],
    [None],
    [[]],
    {"a": 1},
)


def nested(data: object) -> Iterator[list[object]]:
    """All paths to values within plain data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield [key]
        yield from ([key, *path] for path in nested(value))


def test_whatever_a_browser_sends_is_no_conversation_or_one_that_can_be_shown() -> None:
    plain = json.dumps(
        as_data([replace(last(settings=Settings(ranking=BOTH)), written=(Cited("A.", (1,), "uncited"),))])
    )
    for *path, key in nested(json.loads(plain)):
        for junk in JUNK:
            data = json.loads(plain)
            place = data
            for step in path:
                place = place[step]
            place[key] = junk
            turns = from_data(data)
            messages(turns)
            render_panel(turns, 0)
    for junk in JUNK:
        assert from_data(junk) == ()


@pytest.mark.parametrize(
    ("place", "value"), [("score", "1.5"), ("score", True), ("bm25_rank", 1.5), ("probability", math.inf)]
)
def test_numbers_from_a_browser_are_exactly_that(place: str, value: object) -> None:
    data = json.loads(json.dumps(as_data([last()])))
    assert from_data(data)
    data[0]["answer"]["hits"][0][place] = value
    assert from_data(data) == ()


@pytest.mark.parametrize("number", [-1, 4])
def test_an_answer_from_a_browser_quotes_one_of_its_hits(number: int) -> None:
    data = json.loads(json.dumps(as_data([last()])))
    data[0]["answer"]["quotes"][0]["hit"] = number
    assert from_data(data) == ()


def test_a_vote_is_about_a_passage_that_the_corpus_holds() -> None:
    turn = from_data(json.loads(json.dumps(as_data([last()]))))[0]
    assert turn.answer
    found = turn.answer.hits[0]
    assert best_hit(turn, {"small": small()}) == found
    assert best_hit(last("zebra"), {"small": small()}) is None
    assert best_hit(last("?!"), {"small": small()}) is None
    passage = found.passage
    others = (replace(passage, text="Buy. " * 999), replace(passage, id="No#0"), replace(passage, url="https://evil"))
    forged = [replace(turn, answer=replace(turn.answer, hits=(replace(found, passage=p),))) for p in others]
    forged.append(replace(turn, corpus="other"))
    for turn in forged:
        with pytest.raises(InputError, match="not in the corpus any more"):
            best_hit(turn, {"small": small()})


# The corpora and the server


def test_corpora_have_names_of_their_own(tmp_path: Path) -> None:
    retriever = small_retriever()
    folders = [tmp_path / "a" / "index", tmp_path / "b" / "index"]
    named = by_name([Corpus(retriever, folders[0]), Corpus(retriever, folders[1]), Corpus(retriever)])
    assert list(named) == ["index", str(folders[1]), "starter corpus"]
    with pytest.raises(InputError, match="is given twice"):
        by_name([Corpus(retriever, folders[0])] * 3)


def test_a_corpus_answers_from_its_new_generation(tmp_path: Path) -> None:
    save_index(tmp_path / "index", Bm25Index.build(PASSAGES[:2]), None)
    corpus = Corpus(Retriever.open(tmp_path / "index", reranker=small_retriever().reranker), tmp_path / "index")
    before = corpus.retriever
    assert list(corpus.contents().pages) == ["Dropout"]
    update_index(tmp_path / "index", PASSAGES[2:3])
    assert list(corpus.contents().pages) == ["Dropout"]
    corpus.reopen()
    assert list(corpus.contents().pages) == ["Dropout", "Boosting"]
    assert corpus.retriever.reranker is before.reranker
    assert before.search(QUESTION)[0].passage.title == "Dropout"  # whoever was answering goes on
    assert "Indexed" in render_summary(corpus)


def test_a_folder_begins_as_a_copy_of_the_starter_corpus(tmp_path: Path) -> None:
    begin_folder(tmp_path / "index")
    opened = Retriever.open(tmp_path / "index", reranker=None)
    assert opened.dense is not None
    assert opened.search("What is overfitting?", 1)[0].passage.title == "Overfitting"
    written = (tmp_path / "index" / "CURRENT").read_bytes()
    begin_folder(tmp_path / "index")
    assert (tmp_path / "index" / "CURRENT").read_bytes() == written


def test_where_there_is_no_answer_other_questions_are_suggested() -> None:
    starter = Corpus(Retriever.open(reranker=None, dense=False, correct=False))

    def suggested(question: str) -> tuple[str, ...]:
        return [*respond(question, starter, Settings(), ())][-1].next

    assert near_titles(starter, "What is a suport vecter machine?") == ["Support vector machine"]
    assert near_titles(starter, "What is a support vector machine?") == []
    assert suggested("perceptrn") == ("What is a multilayer perceptron?",)
    for hopeless in ("?!", "x" * 3000, "zzyzx"):
        assert len(suggested(hopeless)) == 3
        assert all(starter.retriever.search(question) for question in suggested(hopeless))


def test_greetings_and_thanks_get_a_line_and_the_same_suggestions() -> None:
    greeted = last("hello!")
    assert (greeted.answer, greeted.stages) == (None, ())
    assert "Hello! Ask a question" in html.unescape(told(greeted))
    first = last("What is dropout?")
    thanked = last("thanks", earlier=(first,))
    assert thanked.reply.startswith("You’re welcome!")
    assert thanked.next == first.next
    assert last("ok", earlier=(first, replace(first, typed=first.next[0]))).next == first.next[1:]
    assert last("why?", earlier=(first, thanked)).answer == last("why?", earlier=(first,)).answer
    assert from_data(json.loads(json.dumps(as_data([thanked])))) == (thanked,)


def test_chats_of_earlier_versions_are_read() -> None:
    data = json.loads(json.dumps(as_data([last()])))
    del data[0]["reply"]
    assert from_data(data)[0].reply == ""


def test_the_start_page_asks_what_its_corpus_answers(tmp_path: Path) -> None:
    begin_folder(tmp_path / "starter")
    assert (
        examples_of(Corpus(Retriever.open(tmp_path / "starter", reranker=None, dense=False), tmp_path / "starter"))
        == EXAMPLES
    )
    assert examples_of(small()) == EXAMPLES
    starter = Retriever.open(reranker=None, dense=False).index.passages
    assert {passage.title for passage in starter} >= ANSWERED_BY
    save_index(tmp_path / "index", Bm25Index.build([p for p in starter if p.title not in ANSWERED_BY]), None)
    retriever = Retriever.open(tmp_path / "index", reranker=None)
    corpus = Corpus(retriever, tmp_path / "index")
    made = examples_of(corpus)
    assert len(set(made)) == len(EXAMPLES)
    assert all(retriever.search(question, 1) and len(question) <= LONGEST for question in made)
    shown = json.dumps(build_demo([corpus]).get_config_file(), default=str, ensure_ascii=False)
    assert all(question in shown for question in made)
    assert EXAMPLES[0] not in shown
    assert examples_of(Corpus(retriever)) == made
    assert examples_of(Corpus(Retriever.open(reranker=None, dense=False))) == EXAMPLES


def test_a_gradio_without_katex_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "assets/katex-" in HEAD
    (tmp_path / "gradio").mkdir()
    (tmp_path / "gradio" / "__init__.py").touch()
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "gradio", raising=False)
    with pytest.warns(FallbackWarning, match="formulas are shown as TeX: there is no KaTeX in"):
        assert draw_formulas() == ""


def test_titles_are_found_by_their_parts() -> None:
    assert find_titles(small(), "") == ["<b>Evil</b> [x](//e)", "Bagging", "Boosting", "Dropout"]
    assert find_titles(small(), "b") == ["Bagging", "Boosting", "<b>Evil</b> [x](//e)"]
    assert find_titles(small(), "out DROP") == ["Dropout"]
    assert find_titles(small(), "(") == ["<b>Evil</b> [x](//e)"]
    assert len(find_titles(Corpus(Retriever.open(reranker=None, dense=False)), "")) == 112


def test_what_is_to_be_crawled_is_read_line_by_line() -> None:
    assert read_wanted(" A \n\nB", " C ", 1).titles == ("A", "B")
    assert read_wanted("", " C ", 1).categories == ("C",)
    with pytest.raises(InputError, match="name a page or a category"):
        read_wanted(" \n", " ", 0)
    with pytest.raises(InputError, match="at most 200"):
        read_wanted("x\n" * 201, "", 0)


def test_the_header_counts_passages_and_pages() -> None:
    assert "small, 4 pages, 5 passages" in describe({"small": small()})
    assert describe({"small": small()}, "No [likes](//x)").endswith("No &#91;likes&#93;(//x)")


def test_the_examples_can_be_chosen() -> None:
    demo = build_demo(small_retriever(), examples=["What is a zebra?"])
    shown = json.dumps(demo.get_config_file(), default=str)
    assert "What is a zebra?" in shown
    assert EXAMPLES[0] not in shown


def test_likes_are_not_saved_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    path, notice = find_feedback(tmp_path / "file" / "likes.jsonl")
    assert path is None
    assert notice.startswith("Likes and dislikes are not saved: ")
    assert find_feedback(tmp_path / "new" / "likes.jsonl") == (tmp_path / "new" / "likes.jsonl", "")
    shown = json.dumps(build_demo(small_retriever(), features=Features(notice=notice)).get_config_file(), default=str)
    assert "are not saved" in shown


def test_likes_are_not_saved_as_gzip(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"likes\.jsonl\.gz is written line by line, so it cannot be gzip"):
        find_feedback(tmp_path / "likes.jsonl.gz")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
def test_this_machine_needs_no_password(host: str) -> None:
    assert is_own_host(host)
    ServerConfig(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "127.0.0.1.example.org"])
def test_others_need_a_password_or_the_users_word(host: str) -> None:
    with pytest.raises(InputError, match="give --auth USER:PASSWORD, or --no-auth"):
        ServerConfig(host)
    ServerConfig(host, auth=("a", "b"))
    ServerConfig(host, open_to_all=True)


def test_tools_that_could_not_be_used_are_not_served() -> None:
    with pytest.raises(InputError, match="ask for no password"):
        ServerConfig(auth=("a", "b"), mcp=True)


def test_passwords_are_read(tmp_path: Path) -> None:
    assert read_auth("ada:a:b") == ("ada", "a:b")
    (tmp_path / "password").write_text("ada:secret\n")
    assert read_auth(f"@{tmp_path / 'password'}") == ("ada", "secret")
    (tmp_path / "password").write_bytes(b"ada:\xff\n")
    with pytest.raises(InputError, match="password is not UTF-8"):
        read_auth(f"@{tmp_path / 'password'}")
    for wrong in ("ada", ":x", "ada:", ""):
        with pytest.raises(InputError, match="USER:PASSWORD"):
            read_auth(wrong)


def test_gradio_is_loaded_only_to_build_the_page() -> None:
    code = "import sys, ragqa.demo; sys.exit('gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment(), check=False).returncode == 0


def test_an_answer_from_another_sentence_is_cited_from_its_own_passage() -> None:
    hits = (hit(title="First", text="Alpha."), hit(title="Second", text="Beta < 1. Gamma."))
    answered = Answer("q", "Beta < 1.", hits, (Quote(1, 0, 9, "Beta < 1.", 3.0),), abstained=False)
    shown = told(Turn("q", "small", ("searched",), answered))
    assert shown.index("“Beta &#60; 1.”") < shown.index("Second › Section") < shown.index("First › Section")
    panel = render_panel([Turn("q", "small", (), answered)], 0)
    assert re.findall("<mark>[^<]*</mark> Gamma", panel) == ["<mark>Beta &lt; 1.</mark> Gamma"]
