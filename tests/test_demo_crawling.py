import itertools
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from browser import open_browser, visiting
from demo_server import ANSWER, PASSAGES, QUESTION, running, small_retriever
from wiki import Reply, Wiki, relay, serve, skip_waits

from ragqa.cli import main
from ragqa.demo import Corpus, Crawler
from ragqa.demo.crawling import MAX_MINUTES, MAX_PAGES, Wanted, crawled_file, describe_outcomes
from ragqa.errors import InputError
from ragqa.index.bm25 import Bm25Index
from ragqa.records import Page
from ragqa.search.retriever import Retriever
from ragqa.storage.json_lines import read_json_lines
from ragqa.wiki.outcomes import CrawlReport, Outcome


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    Bm25Index.build(PASSAGES[:2]).save(tmp_path / "index")
    small = small_retriever()
    opened = Retriever.open(tmp_path / "index", reranker=small.reranker, selector=small.selector)
    return Corpus(opened, tmp_path / "index")


def run(crawler: Crawler, corpus: Corpus, wanted: Wanted) -> str:
    crawler.start(corpus, wanted)
    return [*crawler.follow(0.05)][-1]


def test_crawled_pages_are_searched_while_questions_go_on(wiki: Wiki, corpus: Corpus) -> None:
    crawler = Crawler("ada@example.org", wiki.api_url)
    answers, done = [], threading.Event()

    def ask() -> None:
        while not done.is_set():
            answers.append(corpus.retriever.ask(QUESTION).text)

    asking = threading.Thread(target=ask)
    asking.start()
    told = run(crawler, corpus, Wanted(("Perceptron", "No such page"), ("Functions",)))
    done.set()
    asking.join()
    assert told.startswith("Done: ")
    assert "Not found: No such page." in told
    assert set(answers) == {ANSWER}
    assert {"Dropout", "Perceptron", "Sigmoid function"} <= set(corpus.contents().pages)
    assert corpus.retriever.search("What does a perceptron weigh?")[0].passage.title == "Perceptron"
    assert corpus.contents().pages["Perceptron"]
    assert [passage.section for passage in corpus.page("Perceptron")][:2] == ["", "Learning"]
    assert {page.title for page in read_json_lines(crawled_file(Path(str(corpus.folder))), Page)} >= {"Perceptron"}
    assert run(crawler, corpus, Wanted(("Perceptron",))).startswith("No pages are new. ")


def test_a_crawl_ends_at_its_most_pages_and_the_next_goes_on(wiki: Wiki, corpus: Corpus) -> None:
    wanted = Wanted(("Perceptron", "Sigmoid function"))
    crawler = Crawler("ada@example.org", wiki.api_url, max_pages=1)
    told = run(crawler, corpus, wanted)
    assert told.startswith("Stopped: it has fetched the most pages allowed (1).")
    assert told.endswith(" passages can be searched now. Start the same crawl again to continue.")
    assert set(corpus.contents().pages) == {"Dropout", "Perceptron"}
    assert corpus.retriever.search("What does a perceptron weigh?")[0].passage.title == "Perceptron"
    assert run(crawler, corpus, wanted).startswith("Done: ")
    assert set(corpus.contents().pages) == {"Dropout", "Perceptron", "Sigmoid function"}


def test_a_crawl_can_be_stopped_and_keeps_what_it_has_fetched(wiki: Wiki, corpus: Corpus) -> None:
    asked, hold = [], threading.Event()

    def reply(path: str, _: Mapping[str, str]) -> Reply | None:
        asked.append(path)
        if "Sigmoid" in path:
            hold.wait(60)
        return relay(wiki, path)

    with serve(reply) as api_url:
        crawler = Crawler("ada@example.org", api_url)
        crawler.start(corpus, Wanted(("Perceptron", "Sigmoid function")))
        with pytest.raises(InputError, match="already running; wait for its end or stop it"):
            crawler.start(corpus, Wanted(("Perceptron",)))
        following = crawler.follow(0.05)
        assert any(told.startswith("1 page fetched, ") for told in following)
        crawler.stop()
        told = [*following]
        hold.set()
    assert "Stopping …" in told[:-1]
    assert told[-1].startswith("Stopped: somebody pressed Stop.")
    assert set(corpus.contents().pages) == {"Dropout", "Perceptron"}
    assert not crawler.running


def test_a_crawl_ends_when_its_time_is_over(corpus: Corpus) -> None:
    numbers = itertools.count()

    def reply(*_: object) -> Reply:
        members = [{"title": f"Page {next(numbers)}", "ns": 0}]
        query = {"pages": {"1": {"title": "Category:All", "ns": 14, "pageid": 1}}, "categorymembers": members}
        more = {"continue": {"continue": "-||", "cmcontinue": f"page|{next(numbers)}"}, "query": query}
        return 200, {"Content-Type": "application/json"}, json.dumps(more).encode()

    with serve(reply) as api_url:
        crawler = Crawler("ada@example.org", api_url, max_minutes=0.01)
        told = run(crawler, corpus, Wanted(categories=("All",)))
    assert told == (
        "Stopped: it has run for the longest time allowed (0.01 minutes). No pages are new. "
        "Start the same crawl again to continue."
    )


def test_the_command_states_the_limits(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert f"maximum number of pages in one crawl (default: {MAX_PAGES})" in told
    assert f"time limit of one crawl, in minutes (default: {MAX_MINUTES:g})" in told
    for option in ("--crawl-pages", "--crawl-minutes"):
        with pytest.raises(SystemExit):
            main(["demo", "--allow-crawl", "ada@example.org", "--index", "none", option, "0"])
        assert f"argument {option}: 0 is not a" in capsys.readouterr().err
    assert not Path("none").exists()


@pytest.mark.parametrize("limits", [{"max_pages": 0}, {"max_minutes": 0}, {"max_minutes": float("nan")}])
def test_limits_that_allow_nothing_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^max_(pages|minutes) is (0|nan); it must be "):
        Crawler("ada@example.org", **limits)


def test_a_crawl_that_fails_says_so_and_another_can_begin(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_waits(monkeypatch)
    crawler = Crawler("ada@example.org", "http://127.0.0.1:9/api.php")
    for _ in range(2):
        assert run(crawler, corpus, Wanted(categories=("Functions",))).startswith("The crawl failed: ")
    assert list(corpus.contents().pages) == ["Dropout"]
    with pytest.raises(InputError, match="has no index folder"):
        crawler.start(Corpus(small_retriever()), Wanted(("A",)))


def test_what_became_of_every_title_is_told() -> None:
    became = ("fetched", "kept", "folded", "missing", "empty", "failed")
    outcomes = [Outcome(f"{kind} {n}", kind, reason="broken" * (kind == "failed")) for n in range(7) for kind in became]
    told = describe_outcomes(
        CrawlReport((*outcomes, Outcome("Category:X", "failed", reason="no such", is_category=True)))
    )
    assert told == (
        "Titles: 7 fetched, 7 kept, 7 folded, 7 missing, 7 empty, 8 failed. "
        "Not found: missing 0, missing 1, missing 2, missing 3, missing 4 and 2 more. "
        "Failed: failed 0: broken, failed 1: broken, failed 2: broken, failed 3: broken, failed 4: broken and 3 more."
    )
    assert describe_outcomes(CrawlReport(())) == "Titles: none."


def test_a_contact_that_is_none_is_refused_before_the_page_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="contact 'nobody' is no address"):
        Crawler("nobody")
    for given, message in (
        (["--allow-crawl", "ada@example.org"], "--allow-crawl needs --index: name the folder to crawl into"),
        (["--allow-crawl", "nobody", "--index", str(tmp_path / "index")], "contact 'nobody' is no address"),
    ):
        assert main(["demo", "--bm25-only", *given]) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "index").exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_crawl_that_breaks_does_not_seem_to_go_on(corpus: Corpus) -> None:
    crawler = Crawler("ada@example.org", "http://127.0.0.1:9/api.php")
    told = run(crawler, corpus, Wanted((None,)))  # type: ignore[arg-type]
    assert told == "The crawl failed; see the terminal that runs `ragqa demo`."
    while crawler.running:
        time.sleep(0.01)


def test_a_crawl_is_stopped_from_the_page_by_whoever_opens_it(wiki: Wiki, corpus: Corpus) -> None:
    hold = threading.Event()

    def reply(path: str, _: Mapping[str, str]) -> Reply | None:
        if "Sigmoid" in path:
            hold.wait(60)
        return relay(wiki, path)

    with (
        serve(reply) as api_url,
        running(folder=str(corpus.folder), wiki=api_url) as (_, address),
        open_browser() as browser,
        visiting(browser, address) as visit,
    ):
        visit.page.get_by_role("tab", name="Corpus").click()
        visit.page.get_by_role("button", name="Add pages").click()
        visit.page.get_by_text("One crawl may fetch 500 pages and take 30 minutes.").wait_for()
        visit.page.get_by_label("Pages", exact=True).first.fill("Perceptron\nSigmoid function")
        visit.page.get_by_role("button", name="Crawl and index").click()
        visit.page.get_by_text("1 page fetched").wait_for()
        with visiting(browser, address) as other:
            other.page.get_by_role("tab", name="Corpus").click()
            other.page.get_by_role("button", name="Add pages").click()
            other.page.get_by_role("button", name="Stop").click()
            for page in (visit.page, other.page):
                page.get_by_text("Stopped: somebody pressed Stop.").wait_for()
                page.locator("#ragqa-found").get_by_text("Perceptron").wait_for()
                page.get_by_role("button", name="Stop").wait_for(state="hidden")
        hold.set()


def test_pages_are_crawled_from_the_page(wiki: Wiki, corpus: Corpus) -> None:
    with (
        running(folder=str(corpus.folder), wiki=wiki.api_url) as (_, address),
        open_browser() as browser,
        visiting(browser, address) as visit,
    ):
        head = visit.page.locator("#ragqa-head")
        before = head.inner_text()
        visit.page.get_by_role("tab", name="Corpus").click()
        visit.page.get_by_role("button", name="Add pages").click()
        visit.page.get_by_label("Pages", exact=True).first.fill("Perceptron")
        visit.page.get_by_role("button", name="Crawl and index").click()
        visit.page.get_by_text("can be searched now").wait_for()
        visit.page.locator("#ragqa-found").get_by_text("Perceptron").wait_for()
        grown = head.inner_text()
        assert grown != before
        with visiting(browser, address) as later:
            later.page.wait_for_function("told => document.querySelector('#ragqa-head')?.innerText === told", arg=grown)
            later.ask("What does a perceptron weigh?")
            assert "Perceptron" in later.said()[0]
