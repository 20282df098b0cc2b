import threading
import time
from pathlib import Path

import pytest
from browser import open_browser, visiting
from demo_server import PASSAGES, QUESTION, running, small_retriever
from wiki import Wiki, skip_waits

from ragqa.bm25 import Bm25Index
from ragqa.cli import main
from ragqa.demo import Corpus, Growth
from ragqa.demo.growth import Wanted, crawled_file, tell_fates
from ragqa.errors import InputError
from ragqa.records import Page, read_json_lines
from ragqa.retrieve import Retriever
from ragqa.wiki.fates import CrawlReport, Fate


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    Bm25Index.build(PASSAGES[:2]).save(tmp_path / "index")
    return Corpus(Retriever.open(tmp_path / "index", reranker=small_retriever().reranker), tmp_path / "index")


def grow(growth: Growth, corpus: Corpus, wanted: Wanted) -> str:
    growth.start(corpus, wanted)
    return [*growth.follow(0.05)][-1]


def test_crawled_pages_are_searched_while_questions_go_on(wiki: Wiki, corpus: Corpus) -> None:
    growth = Growth("ada@example.org", wiki.api_url)
    answers, done = [], threading.Event()

    def ask() -> None:
        while not done.is_set():
            answers.append(corpus.retriever.ask(QUESTION).text)

    asking = threading.Thread(target=ask)
    asking.start()
    told = grow(growth, corpus, Wanted(("Perceptron", "No such page"), ("Functions",)))
    done.set()
    asking.join()
    assert told.startswith("Done: ")
    assert "Not there: No such page." in told
    assert set(answers) == {"No unit can end up relying on another one."}
    assert {"Dropout", "Perceptron", "Sigmoid function"} <= set(corpus.contents().pages)
    assert corpus.retriever.search("What does a perceptron weigh?")[0].passage.title == "Perceptron"
    assert corpus.contents().pages["Perceptron"]
    assert [passage.section for passage in corpus.page("Perceptron")][:2] == ["", "Learning"]
    assert {page.title for page in read_json_lines(crawled_file(Path(str(corpus.folder))), Page)} >= {"Perceptron"}
    assert grow(growth, corpus, Wanted(("Perceptron",))).startswith("Nothing is new. ")


def test_a_crawl_that_fails_says_so_and_another_can_begin(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_waits(monkeypatch)
    growth = Growth("ada@example.org", "http://127.0.0.1:9/api.php")
    for _ in range(2):
        assert grow(growth, corpus, Wanted(categories=("Functions",))).startswith("It failed: ")
    assert list(corpus.contents().pages) == ["Dropout"]
    with pytest.raises(InputError, match="not in a folder of yours"):
        growth.start(Corpus(small_retriever()), Wanted(("A",)))


def test_what_became_of_every_title_is_told() -> None:
    became = ("fetched", "kept", "folded", "missing", "empty", "failed")
    fates = [Fate(f"{kind} {n}", kind, reason="broken" * (kind == "failed")) for n in range(7) for kind in became]
    told = tell_fates(CrawlReport((*fates, Fate("Category:X", "failed", reason="no such", is_category=True))))
    assert told == (
        "Of what was asked for: 7 fetched, 7 kept, 7 folded, 7 missing, 7 empty, 8 failed. "
        "Not there: missing 0, missing 1, missing 2, missing 3, missing 4 and 2 more. "
        "Failed: failed 0: broken, failed 1: broken, failed 2: broken, failed 3: broken, failed 4: broken and 3 more."
    )
    assert tell_fates(CrawlReport(())) == "Of what was asked for: nothing."


def test_a_contact_that_is_none_is_refused_before_the_page_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="contact 'nobody' is no address"):
        Growth("nobody")
    for given, message in (
        (["--allow-crawl", "ada@example.org"], "--allow-crawl adds to --index folders: name one"),
        (["--allow-crawl", "nobody", "--index", str(tmp_path / "index")], "contact 'nobody' is no address"),
    ):
        assert main(["demo", "--bm25-only", "--port", "-1", *given]) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "index").exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_crawl_that_breaks_does_not_seem_to_go_on(corpus: Corpus) -> None:
    growth = Growth("ada@example.org", "http://127.0.0.1:9/api.php")
    told = grow(growth, corpus, Wanted((None,)))  # type: ignore[arg-type]
    assert told == "It broke off; where the chat was started it is told why."
    while growth.running:
        time.sleep(0.01)


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
        visit.page.get_by_text("are searched now").wait_for()
        visit.page.locator("#ragqa-found").get_by_text("Perceptron").wait_for()
        grown = head.inner_text()
        assert grown != before
        visit.page.reload()
        visit.page.wait_for_function("told => document.querySelector('#ragqa-head')?.innerText === told", arg=grown)
        visit.page.get_by_role("tab", name="Chat").click()
        visit.ask("What does a perceptron weigh?")
        assert "Perceptron" in visit.said()[0]
