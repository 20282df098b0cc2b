import hashlib
import html
import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crawls import crawl_into
from wiki import Reply, Wiki, relay, serve, skip_waits
from wiki_pages import timestamp

from ragqa.errors import CrawlError, FallbackWarning, InputError, RecordError
from ragqa.records import Page
from ragqa.storage.json_lines import read_json_lines, write_json_lines
from ragqa.text.passages import split
from ragqa.wiki.outcomes import CrawlReport, Outcome
from ragqa.wiki.seeds import Seeds, read_seeds

CONTACT = "tests@example.org"
WITHOUT_EXTRACT = {
    **{"pageid": 7, "ns": 0, "title": "C", "fullurl": "http://127.0.0.1/wiki/C"},
    "revisions": [{"revid": 9, "timestamp": "2024-05-06T07:08:09Z"}],
}
LEVELS = [["C++", "Gradient descent"], ["Perceptron"], ["Dropout layer"], ["Sigmoid function"], []]


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Skip waits between retries and return the list of skipped seconds."""
    noted = skip_waits(monkeypatch)
    return noted


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "pages.jsonl"


def run(out: Path, api_url: str, **options: Any) -> CrawlReport:
    return crawl_into(out, contact=CONTACT, api_url=api_url, **options)


def pages(out: Path) -> list[Page]:
    return list(read_json_lines(out, Page))


def titles(out: Path) -> list[str]:
    return [page.title for page in pages(out)]


def _counts(report: CrawlReport) -> tuple[int, int]:
    return len(report.titles("kept")), len(report.titles("fetched"))


def journal(out: Path) -> Path:
    return Path(f"{out}.partial")


def always(status: int, body: str, **headers: str) -> Callable[[str, Mapping[str, str]], Reply]:
    return lambda path, sent: (
        status,
        {name.replace("_", "-"): value for name, value in headers.items()},
        body.encode(),
    )


def test_a_gzip_name_gives_gzip_that_a_second_crawl_goes_on_from(wiki: Wiki, tmp_path: Path) -> None:
    out = tmp_path / "pages.jsonl.gz"
    assert _counts(run(out, wiki.api_url, titles=["Perceptron"])) == (0, 1)
    assert out.read_bytes()[:2] == b"\x1f\x8b"
    assert _counts(run(out, wiki.api_url, titles=["Perceptron"])) == (1, 0)
    assert titles(out) == ["Perceptron"]


@pytest.mark.parametrize("depth", range(5))
def test_follows_a_category_tree_level_by_level_through_its_circle(wiki: Wiki, out: Path, depth: int) -> None:
    report = run(out, wiki.api_url, categories=["Learning"], depth=depth)
    expected = [title for level in LEVELS[: depth + 1] for title in level]
    assert titles(out) == expected
    assert len(report.titles("fetched")) == len(expected)
    assert report.titles("folded") == ("Steepest descent",)
    assert report.titles("empty") == (("Stub",) if depth >= 2 else ())
    assert not report.titles("missing") + report.failed
    assert not journal(out).exists()


def test_titles_stand_in_the_order_given_before_the_members_of_categories(wiki: Wiki, out: Path) -> None:
    asked = ["Électricité", 'What is "x"?', "AC/DC", "K-means & friends", "C++"]
    run(out, wiki.api_url, titles=[*asked, "AC/DC"], categories=["category:Networks", "Learning"])
    assert titles(out) == [*asked, "Perceptron", "Gradient descent"]


def test_every_title_is_accounted_for(wiki: Wiki, out: Path) -> None:
    report = run(
        out, wiki.api_url, titles=["Downhill walk", "Nobody", "Stub"], categories=["Learning", "Shelf"], depth=1
    )
    outcomes = {outcome.title: outcome for outcome in report.outcomes}
    assert {title: outcome.became for title, outcome in outcomes.items()} == {
        "Category:Shelf": "failed",
        "Talk:Perceptron": "skipped",
        "Downhill walk": "fetched",
        "Nobody": "missing",
        "Stub": "empty",
        "C++": "fetched",
        "Gradient descent": "folded",
        "Steepest descent": "folded",
        "Perceptron": "fetched",
    }
    assert outcomes["Talk:Perceptron"].reason == "namespace 1"
    walk, page = outcomes["Downhill walk"], pages(out)[0]
    assert (walk.page, walk.revision, walk.length) == (page.title, page.revision, len(page.text))
    assert walk.sha1 == hashlib.sha1(page.text.encode()).hexdigest()
    assert tuple(read_json_lines(Path(f"{out}.titles"), Outcome)) == report.outcomes
    later = run(out, wiki.api_url, titles=["AC/DC", "C++"])
    told = {outcome.title: outcome.became for outcome in read_json_lines(Path(f"{out}.titles"), Outcome)}
    assert told == {title: outcome.became for title, outcome in outcomes.items()} | {"AC/DC": "fetched", "C++": "kept"}
    assert [outcome.title for outcome in later.outcomes] == ["AC/DC", "C++"]


@pytest.mark.parametrize(
    ("title", "skipped"),
    [
        ("List of algorithms", True),
        ("Lists of mathematicians", True),
        ("Kernel (disambiguation)", True),
        ("Outline of machine learning", True),
        ("Glossary of artificial intelligence", False),
        ("Listwise loss", False),
        ("Kernel (statistics)", False),
    ],
)
def test_lists_and_disambiguation_pages_of_a_category_are_skipped(out: Path, title: str, skipped: bool) -> None:
    def reply(path: str, _: object) -> Reply:
        page = {"pageid": 9, "ns": 0, "title": title}
        told = {"pages": {"9": WITHOUT_EXTRACT | page | {"extract": "Text.", "lastrevid": 9}}}
        if "list=categorymembers" in path:
            told = {"pages": {"7": {"ns": 14, "title": "Category:X"}}, "categorymembers": [page]}  # type: ignore[dict-item]
        return 200, {}, json.dumps({"query": told}).encode()

    with serve(reply) as url:
        assert run(out, url, categories=["X"]).titles("skipped") == ((title,) if skipped else ())
        assert run(out.with_name("named"), url, titles=[title]).titles("skipped") == ()


def test_what_failed_is_asked_for_again_categories_as_such(wiki: Wiki, out: Path) -> None:
    def reply(path: str, _: object) -> Reply | None:
        empty = {"pages": {"7": {"ns": 14, "title": "Category:Networks"}}, "categorymembers": []}
        if "cmtitle=Category%3ANetworks" in path:
            return 200, {}, json.dumps({"query": empty}).encode()
        return relay(wiki, path)

    with serve(reply) as url:
        assert run(out, url, titles=["C++", "Talk:Perceptron"], categories=["Networks"]).failed == (
            "Category:Networks: no articles in it",
            "Talk:Perceptron: not an article",
        )
    report = run(out, wiki.api_url, retry_failed=True)
    assert report.failed == ("Talk:Perceptron: not an article",)
    assert report.titles("fetched") == ("Perceptron",)
    assert titles(out) == ["C++", "Perceptron"]


def test_excluded_pages_and_categories_are_passed_over(wiki: Wiki, out: Path) -> None:
    report = run(out, wiki.api_url, categories=["Learning"], depth=3, exclude=["^Category:Lay", r"\+\+"])
    assert titles(out) == ["Gradient descent", "Perceptron"]
    reasons = {outcome.title: outcome.reason for outcome in report.outcomes if outcome.became == "skipped"}
    assert reasons == {"Category:Layers": "excluded", "C++": "excluded", "Talk:Perceptron": "namespace 1"}
    with pytest.raises(InputError, match=r"exclude '\(' is no regular expression: missing \)"):
        run(out, wiki.api_url, categories=["Learning"], exclude=["("])


def test_a_dry_run_says_what_would_be_fetched_and_writes_nothing(wiki: Wiki, out: Path) -> None:
    run(out, wiki.api_url, titles=["C++"])
    before = {path.name: path.read_bytes() for path in out.parent.iterdir()}
    asked: list[str] = []

    def reply(path: str, _: object) -> Reply | None:
        asked.append(path)
        return relay(wiki, path)

    with serve(reply) as url:
        report = run(out, url, categories=["Learning"], titles=["Stub"], dry_run=True)
    assert report.titles("planned") == ("Stub", "Gradient descent", "Steepest descent")
    assert report.titles("kept") == ("C++",)
    assert len(asked) == 4  # the wiki's host, the members, the changes, the target of another title
    assert {path.name: path.read_bytes() for path in out.parent.iterdir()} == before


def test_requests_keep_their_distance(wiki: Wiki, out: Path, waits: list[int]) -> None:
    run(out, wiki.api_url, titles=["C++", "AC/DC", "Stub"], delay_s=9)
    assert waits == [9, 9, 9]  # four requests: empty text is confirmed by a second one


def test_redirects_and_their_target_make_one_page(wiki: Wiki, out: Path) -> None:
    asked = ["Downhill walk", "gradient_descent", "Steepest descent", "Gradient descent"]
    requests: list[str] = []

    def reply(path: str, headers: Mapping[str, str]) -> Reply | None:
        requests.append(path)
        return relay(wiki, path)

    with serve(reply) as url:
        report = run(out, url, titles=asked)
    assert titles(out) == ["Gradient descent"]
    assert len(requests) == 3  # the last title is that of a known page
    assert report.titles("folded") == ("gradient descent", "Steepest descent", "Gradient descent")


def test_text_keeps_its_headings_and_is_clean(wiki: Wiki, out: Path) -> None:
    run(out, wiki.api_url, titles=["Perceptron", "Dropout layer", "Sigmoid function"])
    perceptron, dropout, sigmoid = (page.text for page in pages(out))
    assert [line for line in perceptron.splitlines() if "=" in line] == [
        "== Learning ==",
        "=== Rate ===",
        "==== Decay ====",
        "== History ==",
    ]
    assert perceptron.startswith("A perceptron weighs its inputs and fires.\n\n== Learning ==\nIt moves its weights")
    assert "learns slowly,\nand forgets slowly." in perceptron
    assert perceptron.endswith("== History ==\nIt was built in 1958.")
    assert dropout == "== Idea ==\nUnits are left out at random.\n\n== Use ==\nOnly in training."
    assert r"\sigma (x)={\frac{1}{1+e^{-x}}}" in sigmoid
    assert "displaystyle" not in sigmoid


def test_tables_are_rows_where_they_stood(wiki: Wiki, out: Path) -> None:
    run(out, wiki.api_url, titles=["Activation (mathematics)"])
    (page,) = pages(out)
    rows = "Name: Sigmoid; Range: 0 to 1.\nName: Tanh; Range: -1 to 1."
    assert f"They differ in their range:\nActivations and their ranges:\n{rows}\n\nWhich one" in page.text
    (passage,) = (passage for passage in split(page) if passage.section == "Comparison")
    assert passage.text.endswith("Which one is best depends on the task.")


def test_pages_say_which_revision_they_are(wiki: Wiki, out: Path) -> None:
    run(out, wiki.api_url, titles=["Steepest descent", "C++", 'What is "x"?'])
    for page in pages(out):
        query = {"titles": page.title, "prop": "info|revisions", "inprop": "url", "rvprop": "ids|timestamp"}
        asked = urllib.parse.urlencode({"action": "query", "format": "json", **query})
        with urllib.request.urlopen(f"{wiki.api_url}?{asked}") as response:
            (told,) = json.load(response)["query"]["pages"].values()
        assert page.page_id == told["pageid"]
        assert page.revision == told["lastrevid"]
        assert page.url == told["editurl"].removesuffix("&action=edit")
        assert page.timestamp == told["revisions"][0]["timestamp"] == timestamp(page.title)


def test_a_cited_url_opens_the_text_it_cites(wiki: Wiki, out: Path) -> None:
    asked = ["Perceptron", "C++", 'What is "x"?', "K-means & friends", "It's 100% – “quoted” & odd", "🧠"]
    with wiki.undone():
        run(out, wiki.api_url, titles=asked)
        wiki.edit("C++", "Something else.")
        for passage in (passage for page in pages(out) for passage in split(page)):
            assert re.search(r"/index\.php\?title=[^&]+&oldid=\d+(#|$)", passage.url)
            with urllib.request.urlopen(passage.url) as response:
                shown = html.unescape(re.sub(r"<[^>]*>", "", response.read().decode()))
            assert all(line in shown for line in passage.text.splitlines())
            assert passage.section in shown


def test_redirects_are_kept_as_aliases(wiki: Wiki, out: Path) -> None:
    run(out, wiki.api_url, titles=["Perceptron", "gradient descent"], categories=["Oddities"])
    aliases = {page.title: page.aliases for page in pages(out) if page.aliases}
    assert aliases == {"Gradient descent": ("Steepest descent",)}  # without redirects to sections
    run(out, wiki.api_url, titles=["Downhill walk", "Slow decay"])
    assert pages(out)[1].aliases == ("Downhill walk", "Steepest descent")  # through another redirect
    assert split(pages(out)[1])[0].aliases == ("Downhill walk", "Steepest descent")


def test_metadata_tell_categories_language_and_date(wiki: Wiki, out: Path) -> None:
    run(out, wiki.api_url, titles=["Sigmoid function", "AC/DC"])
    sigmoid, uncategorized = pages(out)
    told = {"language": "en", "date": "2024-05-06"}
    assert sigmoid.metadata == {"category": ("Curves", "Functions"), **told}  # not the hidden one
    assert uncategorized.metadata == told
    assert {passage.metadata for passage in split(sigmoid)} == {sigmoid.metadata}


def test_redirects_that_lead_nowhere_say_so(wiki: Wiki, out: Path) -> None:
    report = run(out, wiki.api_url, titles=["Round one", "Self", "Off the shelf", "Nowhere", "C++"])
    assert report.titles("missing") == ("Nowhere",)
    assert report.failed == (
        "Round one: a redirect that leads in a circle",
        "Self: a redirect that leads in a circle",
        "Off the shelf: not an article",
    )


def test_a_later_crawl_fetches_only_what_has_changed(wiki: Wiki, out: Path) -> None:
    seeds: dict[str, Any] = {"titles": ["AC/DC"], "categories": ["Learning", "Exercises", "Oddities"], "depth": 1}
    first = run(out, wiki.api_url, **seeds)
    assert first.added == tuple(titles(out))
    assert len(first.added) > 40
    before = {page.title: page for page in pages(out)}
    asked: list[str] = []

    def reply(path: str, _: object) -> Reply | None:
        asked.append(path)
        return relay(wiki, path)

    def fetched() -> set[str]:
        queries = (urllib.parse.parse_qs(path.partition("?")[2]) for path in asked)
        return {query["titles"][0] for query in queries if "extracts" in query.get("prop", [""])[0]}

    with wiki.undone(), serve(reply) as url:
        assert run(out, url, **seeds) == replace(compare_nothing(first), outcomes=run(out, url, **seeds).outcomes)
        assert fetched() == {"Only a comment", "Kernel"}  # which are never kept
        wiki.edit("C++", "It has '''changed'''.[[Category:Learning]]")
        wiki.delete("Exercise 2")
        wiki.delete("Exercise 3")
        wiki.edit("Exercise 3", "A '''new page''' with an old title.[[Category:Exercises]]")
        wiki.move("Exercise 4", "Exercise four")
        wiki.move("Exercise 5", "Exercise five", "--noredirects")
        wiki.edit("Exercise 6", "#REDIRECT [[C++]]\n[[Category:Exercises]]")
        wiki.edit("Exercise 31", "One '''more'''.[[Category:Exercises]]")
        asked.clear()
        report = run(out, url, **seeds)
        again = run(out, url, **seeds)
    assert set(report.added) == {"Exercise 3", "Exercise 31"}
    assert set(report.changed) == {"C++", "Exercise four", "Exercise five"}
    assert set(report.deleted) == {"Exercise 2", "Exercise 3", "Exercise 6"}
    assert set(report.renamed) == {("Exercise 4", "Exercise four"), ("Exercise 5", "Exercise five")}
    assert fetched() == {"Only a comment", "Kernel", "C++", "Exercise four", "Exercise five", "Exercise 31"} | {
        f"Exercise {number}" for number in (2, 3, 4, 5, 6)
    }
    now = {page.title: page for page in pages(out)}
    unchanged = before.keys() & now.keys() - {"C++", "Exercise 3"}
    assert [now[title] for title in unchanged] == [before[title] for title in unchanged]
    assert now["C++"].text == "It has changed."
    assert now["C++"].aliases == ("Exercise 6",)
    assert now["Exercise four"].aliases == ("Exercise 4",)
    assert list(now)[:3] == ["AC/DC", "C++", "Gradient descent"]  # in their old order
    assert (again.added, again.changed, again.renamed, again.deleted) == ((), (), (), ())
    ledger = {outcome.title: outcome.became for outcome in read_json_lines(Path(f"{out}.titles"), Outcome)}
    assert {title: ledger[title] for title in ("Exercise 2", "Exercise 5")} == dict.fromkeys(
        ("Exercise 2", "Exercise 5"), "missing"
    )


def compare_nothing(report: CrawlReport) -> CrawlReport:
    return replace(report, added=(), changed=(), renamed=(), deleted=())


def test_a_page_is_kept_where_asking_for_its_change_fails(wiki: Wiki, out: Path) -> None:
    run(out, wiki.api_url, titles=["AC/DC", "C++"])
    before = out.read_bytes()

    def reply(path: str, _: object) -> Reply | None:
        return (500, {}, b"") if "C%2B%2B" in path else relay(wiki, path)

    with wiki.undone(), serve(reply) as url:
        wiki.edit("C++", "It has changed.")
        report = run(out, url, titles=["AC/DC"])
        assert report.failed[0].startswith("C++: ")
        assert (report.changed, report.deleted) == ((), ())
        assert out.read_bytes() == before
        assert run(out, wiki.api_url, retry_failed=True).changed == ("C++",)


@pytest.mark.parametrize("moment", [pytest.param(n, marks=[] if n % 2 else pytest.mark.slow) for n in range(1, 12)])
def test_edits_and_deletions_during_a_crawl_give_no_wrong_page(wiki: Wiki, out: Path, moment: int) -> None:
    count = 0

    def reply(path: str, _: object) -> Reply | None:
        nonlocal count
        count += 1
        if count == moment:
            wiki.edit("Gradient descent", "It walks '''downhill''' now.[[Category:Learning]]")
            wiki.delete("C++")
            wiki.edit("Perceptron", "#REDIRECT [[Dropout layer]]\n[[Category:Networks]]")
        return relay(wiki, path)

    with wiki.undone():
        revisions = {page.title: {page} for page in fetch_all(wiki, out.with_name("old"))}
        with serve(reply) as url:
            report = run(out, url, categories=["Learning"], depth=3)
        new = fetch_all(wiki, out.with_name("new"))
        for page in new:
            revisions.setdefault(page.title, set()).add(page)
        assert not report.failed
        for page in pages(out):
            assert replace(page, aliases=()) in {replace(known, aliases=()) for known in revisions[page.title]}
        run(out, wiki.api_url, categories=["Learning"], depth=3)
        assert {page.title: page.text for page in pages(out)} == {page.title: page.text for page in new}


def fetch_all(wiki: Wiki, out: Path) -> list[Page]:
    run(out, wiki.api_url, categories=["Learning"], depth=3)
    return pages(out)


def test_pages_of_another_wiki_are_not_mixed_in(wiki: Wiki, out: Path) -> None:
    run(out, wiki.api_url, titles=["C++"])
    page = pages(out)[0]
    write_json_lines(out, [replace(page, url="https://en.wikipedia.org/w/index.php?title=Other", title="Other")])
    before = out.read_bytes()
    with pytest.raises(InputError, match=r"pages\.jsonl holds pages of another wiki \(https://en\.wikipedia"):
        run(out, wiki.api_url, titles=["AC/DC"])
    assert out.read_bytes() == before


def test_a_title_that_looks_like_a_category_stays_a_title(wiki: Wiki, out: Path) -> None:
    assert run(out, wiki.api_url, titles=["Category:Learning", "C++"]).failed == ("Category:Learning: not an article",)
    assert run(out, wiki.api_url, retry_failed=True).failed == ("Category:Learning: not an article",)
    assert titles(out) == ["C++"]


def test_what_is_no_article_any_more_goes(wiki: Wiki, out: Path) -> None:
    run(out, wiki.api_url, titles=["C++", "AC/DC"])
    with wiki.undone():
        wiki.move("AC/DC", "User:AC/DC", "--noredirects")
        wiki.edit("AC/DC", "#REDIRECT [[AC/DC]]")
        report = run(out, wiki.api_url, titles=["C++", "AC/DC"])
    assert report.deleted == ("AC/DC",)
    assert titles(out) == ["C++"]


def test_a_redirect_is_the_alias_of_one_page(wiki: Wiki, out: Path) -> None:
    with wiki.undone():
        run(out, wiki.api_url, titles=["Gradient descent", "C++"])
        wiki.edit("Steepest descent", "#REDIRECT [[C++]]")
        wiki.edit("C++", "Descends '''steeply'''.")
        run(out, wiki.api_url, titles=["Gradient descent", "C++"])
    assert {page.title: page.aliases for page in pages(out)} == {
        "Gradient descent": ("Downhill walk",) if "Downhill walk" in pages(out)[0].aliases else (),
        "C++": ("Steepest descent",),
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"revisions": ["x"]},
        {"revisions": [{"revid": "9", "timestamp": "2024-05-06T07:08:09Z"}], "lastrevid": "9"},
        {"revisions": [{"revid": 9, "timestamp": 7}]},
        {"extract": "half a pair: \ud83e"},
        {"fullurl": None},
        {"redirects": [{}]},
        {"title": 5},
        {"title": "D"},
        {"pageid": "x"},
    ],
)
def test_wrong_json_is_no_page(out: Path, wrong: dict[str, Any]) -> None:
    page = WITHOUT_EXTRACT | {"extract": "Text.", "lastrevid": 9}
    answer = json.dumps({"query": {"pages": {"7": page | wrong}}})
    with serve(always(200, answer)) as url, pytest.raises(CrawlError, match="incomplete reply"):
        run(out, url, titles=["C"])
    with serve(always(200, json.dumps({"query": {"pages": {"7": page}}}))) as url:
        assert run(out, url, titles=["C"]).titles("fetched") == ("C",)


@pytest.mark.parametrize(
    "query",
    [
        {"redirects": [{}]},
        {"redirects": 5},
        {"pages": []},
        {"pages": {"7": WITHOUT_EXTRACT | {"title": "C", "extract": "T", "lastrevid": 9}}, "normalized": [{}]},
    ],
)
def test_wrong_json_about_titles_is_no_answer(out: Path, query: dict[str, Any]) -> None:
    with serve(always(200, json.dumps({"query": query}))) as url, pytest.raises(CrawlError, match="incomplete reply"):
        run(out, url, titles=["C"])


def test_wrong_json_about_known_pages_is_no_answer(wiki: Wiki, out: Path) -> None:
    def reply(path: str, _: object) -> Reply | None:
        return (200, {}, b'{"query": {"interwiki": []}}') if "pageids=" in path else relay(wiki, path)

    run(out, wiki.api_url, titles=["C++"])
    with serve(reply) as url, pytest.raises(CrawlError, match="incomplete reply"):
        run(out, url, titles=["C++"])


def test_a_list_that_does_not_go_on_ends(out: Path) -> None:
    told = {"pages": {"7": {"ns": 14, "title": "Category:X"}}, "categorymembers": [{"ns": 0, "title": "C"}]}
    answer = {"query": told, "continue": {"continue": "-||", "cmcontinue": "page|1|2"}}
    with serve(always(200, json.dumps(answer))) as url, pytest.raises(CrawlError, match="goes on where it was"):
        run(out, url, categories=["X"])


@pytest.mark.parametrize(
    ("members", "came"),
    [(lambda n: f"Page {n}", r"1,\d\d\d"), (lambda n: "Page 1", "1"), (lambda n: f"Page {n % 7}", "7")],
)
def test_a_list_without_end_ends_with_a_reason(
    out: Path, members: Callable[[int], str], came: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragqa.wiki.listing._MOST_MEMBERS", 1000)
    asked: list[str] = []

    def reply(path: str, _: object) -> Reply:
        asked.append(path)
        listed = [{"ns": 0, "title": members(50 * len(asked) + n)} for n in range(50)]
        told = {"pages": {"7": {"ns": 14, "title": "Category:X"}}, "categorymembers": listed}
        more = {"continue": "-||", "cmcontinue": f"page|{len(asked)}"}
        return 200, {}, json.dumps({"query": told, "continue": more}).encode()

    with serve(reply) as url, pytest.raises(CrawlError, match=f"X: the wiki's list does not end: {came} members"):
        run(out, url, categories=["X"])
    assert len(asked) <= 30


def test_categories_go_by_the_names_that_the_wiki_has_for_them(wiki: Wiki, out: Path) -> None:
    with wiki.undone():
        wiki.edit("Kurbel", "Eine Kurbel dreht die Achse.[[Kategorie:Manuals]]")
        wiki._maintain("runJobs")
        for number, named in enumerate(
            "Kategorie:Manuals|kategorie: manuals|:Kategorie:Manuals|Category:Manuals|_category : Manuals|Manuals".split(
                "|"
            )
        ):
            path = out.with_name(f"{number}")
            assert run(path, wiki.api_url, categories=[named]).titles("fetched") == ("Kurbel",), named
        report = run(out, wiki.api_url, categories=["Manuals: old"])
        assert report.failed == ("Category:Manuals: old: no articles in it",)
        ledger = [outcome for outcome in read_json_lines(Path(f"{out}.titles"), Outcome) if outcome.is_category]
        assert [outcome.title for outcome in ledger] == ["Category:Manuals: old"]


def test_pages_of_other_namespaces_come_if_they_are_asked_for(wiki: Wiki, out: Path) -> None:
    with wiki.undone():
        wiki.edit("Handbook:Pump", "A pump moves water.[[Category:Manuals]]")
        wiki.edit("Handbook:Lift", "#REDIRECT [[Handbook:Pump]]")
        wiki.edit("Kurbel", "A crank turns.[[Category:Manuals]]")
        wiki._maintain("runJobs")
        found = {}
        for asked in ((), ("3000",), ("handbook", "0"), ("0",)):
            path = out.with_name("-".join(["p", *asked]))
            report = run(path, wiki.api_url, categories=["Manuals"], namespaces=asked)
            found[asked] = titles(path)
            assert not report.failed
        assert found == {
            (): ["Kurbel"],
            ("3000",): ["Handbook:Pump"],
            ("handbook", "0"): ["Kurbel", "Handbook:Pump"],
            ("0",): ["Kurbel"],
        }
        assert run(out, wiki.api_url, titles=["Handbook:Lift"]).failed == ("Handbook:Lift: not an article",)
        run(out, wiki.api_url, titles=["Handbook:Lift"], namespaces=["Handbook"])
        assert [(page.title, page.aliases) for page in pages(out)] == [("Handbook:Pump", ("Handbook:Lift",))]
        wiki.edit("Handbook:Pump", "A pump moves oil.[[Category:Manuals]]")
        assert run(out, wiki.api_url, titles=["C++"]).changed == (
            "Handbook:Pump",
        )  # stays, though its namespace is not requested
    for asked, reason in (
        (("Nowhere",), r"this wiki has no namespace 'nowhere'; it has 0 \(articles\), 1 \(talk\), .*3000 \(handbook\)"),
        (("Kategorie",), r"namespace 'kategorie' holds no articles"),
        (("-1",), "namespace '-1' holds no articles"),
    ):
        with pytest.raises(InputError, match=reason):
            run(out, wiki.api_url, titles=["C++"], namespaces=asked)


@pytest.mark.skipif(not hasattr(signal, "SIGINT"), reason="signals are posix")
def test_ctrl_c_ends_a_crawl_that_waits(wiki: Wiki, out: Path) -> None:
    asked = threading.Event()

    def reply(path: str, _: object) -> Reply:
        asked.set()
        return 503, {"Retry-After": "40"}, b""

    with serve(reply) as url:
        titles_file = out.with_name("titles.txt")
        titles_file.parent.mkdir()
        titles_file.write_text("A\nB\nC\nD\n")
        arguments = ["crawl", "--titles", str(titles_file), "--contact", CONTACT, "--api-url", url]
        heed = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # a shell's background jobs ignore it
        code = f"import signal, sys; {heed}; from ragqa.cli import main; sys.exit(main(sys.argv[1:]))"
        command = [sys.executable, "-c", code, *arguments, "--in-flight", "3", "--out", str(out)]
        crawling = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert asked.wait(60)
        time.sleep(0.5)
        crawling.send_signal(signal.SIGINT)
        assert crawling.communicate(timeout=15)[1].splitlines()[-1] == "ragqa: interrupted"
        assert crawling.returncode == 130


def test_up_to_three_requests_wait_together_and_change_nothing(wiki: Wiki, out: Path, tmp_path: Path) -> None:
    seeds: dict[str, Any] = {"titles": ["AC/DC", "Downhill walk"], "categories": ["Learning", "Exercises"]}
    one = run(tmp_path / "one.jsonl", wiki.api_url, **seeds)
    together, most = 0, 0
    lock = threading.Lock()

    def reply(path: str, _: object) -> Reply | None:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        answer = relay(wiki, path)
        with lock:
            together -= 1
        return answer

    with serve(reply) as url:
        assert run(out, url, in_flight=3, **seeds) == one
    assert out.read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    assert 2 <= most <= 3


def test_a_cache_answers_for_a_day(wiki: Wiki, out: Path, tmp_path: Path) -> None:
    seeds: dict[str, Any] = {
        "titles": ["AC/DC", "Nobody"],
        "categories": ["Learning"],
        "cache": tmp_path / "replies.db",
    }
    asked: list[str] = []

    def reply(path: str, _: object) -> Reply | None:
        asked.append(path)
        return (503, {}, b"") if len(asked) == 3 else relay(wiki, path)  # must not be cached

    with serve(reply) as url:
        first = run(out, url, **seeds)
        assert len(asked) > 3
        asked.clear()
        second = run(tmp_path / "second.jsonl", url, **seeds)
        assert (second, asked) == (first, [])
        run(tmp_path / "third.jsonl", url, titles=["AC/DC"])
        assert len(asked) == 1
    assert (tmp_path / "second.jsonl").read_bytes() == out.read_bytes()
    with pytest.raises(InputError, match=r"pages\.jsonl cannot be used as a cache: "):
        run(tmp_path / "fourth.jsonl", wiki.api_url, titles=["AC/DC"], cache=out)
    assert (tmp_path / "second.jsonl").read_bytes() == out.read_bytes()


def test_only_included_articles_are_fetched(wiki: Wiki, out: Path) -> None:
    report = run(
        out, wiki.api_url, titles=["AC/DC"], categories=["Learning"], depth=3, include=["descent$", "^Dropout"]
    )
    assert titles(out) == ["AC/DC", "Gradient descent", "Dropout layer"]
    reasons = {outcome.title: outcome.reason for outcome in report.outcomes if outcome.became == "skipped"}
    assert {title for title, reason in reasons.items() if reason == "not included"} >= {"C++", "Perceptron", "Stub"}


def test_resumes_where_the_wiki_went_away(wiki: Wiki, out: Path, tmp_path: Path) -> None:
    seeds = {"categories": ["Learning"], "depth": 3, "titles": ["AC/DC", "Downhill walk"]}
    once = tmp_path / "once.jsonl"
    whole = run(once, wiki.api_url, **seeds)
    asked: list[str] = []

    def reply(path: str, headers: Mapping[str, str]) -> Reply | None:
        asked.append(path)
        if len(asked) == 8:  # after four categories and three pages
            wiki.stop()
        return relay(wiki, path)

    with serve(reply) as url:
        with pytest.raises(CrawlError, match="no connection"):
            run(out, url, **seeds)
        assert not out.exists()
        assert journal(out).read_bytes().count(b"\n") == 3
        with journal(out).open("ab") as torn:
            torn.write(b'{"title": "Half a p')
        wiki.start()
        at_first = len(asked)
        report = run(out, url, **seeds)

    assert _counts(report) == (3, len(whole.titles("fetched")) - 3)
    for kind in ("folded", "empty", "missing", "skipped"):
        assert report.titles(kind) == whole.titles(kind)
    assert not [path for path in asked[at_first:] if "titles=AC" in path]
    assert out.read_bytes() == once.read_bytes()
    assert not journal(out).exists()


def test_a_rerun_adds_what_is_missing(wiki: Wiki, out: Path) -> None:
    run(out, wiki.api_url, titles=["C++", "AC/DC"])
    first = out.read_bytes()
    assert run(out, wiki.api_url, titles=["AC/DC"]).titles("kept") == ("AC/DC",)
    assert out.read_bytes() == first
    report = run(out, wiki.api_url, titles=["Perceptron", "AC/DC"])
    assert _counts(report) == (1, 1)
    assert titles(out) == ["C++", "AC/DC", "Perceptron"]
    assert out.read_bytes().startswith(first)


def test_a_damaged_journal_is_named_and_kept(wiki: Wiki, out: Path) -> None:
    out.parent.mkdir()
    journal(out).write_bytes(b'{"title": 7}\n')
    with pytest.raises(RecordError, match=r"pages.jsonl.partial, line 1: 'title' is int"):
        run(out, wiki.api_url, titles=["C++"])
    assert journal(out).exists()


def test_reports_what_is_no_article(wiki: Wiki, out: Path) -> None:
    asked = ["C++|AC/DC", "[x]", "C#", "", "é" * 128, "Talk:Perceptron", "Nobody", "Nowhere", "..", "Stub", "C++"]
    report = run(out, wiki.api_url, titles=asked, categories=["No such", "Shelf", "A|B"], depth=1)
    assert titles(out) == ["C++"]
    assert report.titles("missing") == ("Nobody", "Nowhere", "..")
    assert report.titles("empty") == ("Stub",)
    assert report.failed == (
        "Category:A|B: '|' cannot stand in a title",
        "Category:No such: no articles in it",
        "Category:Shelf: no articles in it",
        "C++|AC/DC: '|' cannot stand in a title",
        "[x]: '[' cannot stand in a title",
        "C#: '#' cannot stand in a title",
        ": a title has 1 to 255 bytes",
        f"{'é' * 128}: a title has 1 to 255 bytes",
        "Talk:Perceptron: not an article",
    )


def test_requests_are_polite(wiki: Wiki, out: Path) -> None:
    seen: list[tuple[dict[str, list[str]], Mapping[str, str]]] = []

    def reply(path: str, headers: Mapping[str, str]) -> Reply | None:
        seen.append((urllib.parse.parse_qs(path.partition("?")[2]), headers))
        return relay(wiki, path)

    with serve(reply) as url:
        run(out, url, titles=["C++"], categories=["Networks"])
    assert len(seen) == 3  # one for the category and one for each page
    for query, headers in seen:
        assert query["maxlag"] == ["5"]
        assert headers["Host"] in url
        assert re.match(rf"ragqa/\S+ \({re.escape(CONTACT)}\) (Wikipedia-API|httpx)/", headers["User-Agent"])
        assert "gzip" in headers["Accept-Encoding"]


def test_tries_again_where_that_may_help(wiki: Wiki, out: Path, waits: list[int]) -> None:
    lag = '{"error": {"code": "maxlag", "info": "Waiting for a database server"}}'
    troubles = [(200, {"Retry-After": "5"}, lag.encode()), (503, {}, b"busy"), None]

    def reply(path: str, headers: Mapping[str, str]) -> Reply | None:
        return troubles.pop(0) if troubles else relay(wiki, path)

    with serve(reply) as url:
        assert run(out, url, titles=["C++"]).titles("fetched") == ("C++",)
    assert waits == [5, 2, 4]


def test_a_truncated_answer_is_no_page(wiki: Wiki, out: Path) -> None:
    def reply(path: str, headers: Mapping[str, str]) -> Reply | None:
        answer = relay(wiki, path)
        assert answer is not None
        return 200, {"Content-Length": str(len(answer[2]) + 9), "Connection": "close"}, answer[2]

    with serve(reply) as url, pytest.raises(CrawlError, match="no connection"):
        run(out, url, titles=["C++"])


@pytest.mark.parametrize(
    ("answer", "reason", "tries"),
    [
        (always(403, "Please set a user-agent"), r"HTTP 403, refused, .*contact", 1),
        (always(404, "Not Found"), "HTTP 404", 1),
        (always(500, "Oops"), "HTTP 500", 4),
        (always(429, "Too many", Retry_After="soon"), "HTTP 429", 4),
        (always(200, "<!DOCTYPE html><title>Hello</title>"), "not JSON; is this the address of an api.php", 4),
        (always(200, ""), "not JSON", 4),
        (always(200, "[]"), "not a MediaWiki's", 4),
        (always(200, '{"query": 7}'), "not a MediaWiki's", 4),
        (
            always(200, '{"error": {"code": "readapidenied", "info": "You need to log in"}}'),
            "readapidenied: You need",
            1,
        ),
        (always(200, '{"error": {"code": "readonly", "info": "Be back\\nsoon"}}'), "readonly: Be back soon", 4),
        (
            always(200, '{"query": {"pages": {}}}'),
            "C, the 1. page in a row to fail: .* incomplete reply, without pages",
            4,
        ),
        (always(200, json.dumps({"query": {"pages": {"7": WITHOUT_EXTRACT}}})), "TextExtracts", 4),
    ],
)
def test_a_wiki_that_answers_wrongly_is_named_with_the_reason(
    out: Path, answer: Callable[[str, Mapping[str, str]], Reply], reason: str, tries: int
) -> None:
    asked: list[str] = []

    def reply(path: str, headers: Mapping[str, str]) -> Reply:
        asked.append(path)
        return answer(path, headers)

    with serve(reply) as url, pytest.raises(CrawlError, match=reason) as raised:
        run(out, url, titles=["C"])
    assert "\n" not in str(raised.value)
    assert len(asked) == tries
    assert not out.exists()


def test_half_a_category_is_an_error(out: Path) -> None:
    category = '"pages": {"7": {"ns": 14, "title": "Category:Learning"}}'
    half = f'{{"query": {{"categorymembers": [{{"pageid": 1, "ns": 0}}], {category}}}}}'
    with serve(always(200, half)) as url, pytest.raises(CrawlError, match="Category:Learning: incomplete reply"):
        run(out, url, categories=["Learning"])


def test_a_server_that_is_not_there_is_named(out: Path, waits: list[int]) -> None:
    with serve(always(200, "")) as url:
        pass
    with pytest.raises(CrawlError, match=r"http://127\.0\.0\.1:\d+/w/api\.php: no connection: .*refused"):
        run(out, url, titles=["C++"])
    assert waits == [1, 2, 4]
    assert not out.parent.exists()


def test_without_api_url_it_asks_wikipedia(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    def refuse(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        assert request.headers["Host"] == request.url.host
        raise httpx.ConnectError("no network here")

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", refuse)
    with (
        pytest.raises(CrawlError, match=r"https://de\.wikipedia\.org/w/api\.php: no connection: no network here"),
        pytest.warns(FallbackWarning, match=r"^pages in the language 'de': the bundled models read English; ask with"),
    ):
        crawl_into(out, contact=CONTACT, titles=["C++"], lang="de")


@pytest.mark.parametrize("contact", ["", "me", "me @ home", "a@b.c\nX-Evil: 1", "ü@example.org"])
def test_an_operator_without_an_address_is_refused(out: Path, contact: str) -> None:
    with pytest.raises(InputError, match=r"User-Agent policy .*--contact you@example\.org"):
        crawl_into(out, contact=contact, titles=["C++"])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "nothing to crawl"),
        ({"titles": ["C"], "depth": -1}, "depth is -1"),
        ({"titles": ["C"], "in_flight": 4}, "4 requests in flight; from 1 to 3 are polite"),
        ({"titles": ["C"], "include": ["["]}, r"include '\[' is no regular expression"),
        ({"titles": ["C"], "lang": "en.evil.org/"}, "no code of a Wikipedia"),
        ({"titles": ["C"], "api_url": "wiki.example.org/w/api.php"}, "is no URL such as"),
        ({"titles": ["C"], "api_url": "http://127.0.0.1:port/"}, "Invalid port"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(out: Path, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        crawl_into(out, contact="https://example.org/me", **options)


@pytest.mark.parametrize("progress", [True, False])
def test_progress_goes_to_a_terminal(
    wiki: Wiki, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], progress: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    crawl_into(out, contact=CONTACT, api_url=wiki.api_url, titles=["C++"], progress=progress)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert ("1/1" in printed.err) is progress


def test_importing_is_light() -> None:
    code = "import sys, ragqa.wiki.crawl; print(sorted({'httpx', 'tqdm', 'wikipediaapi'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_reads_seeds_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "seeds.toml"
    path.write_text('language = "de"\ndepth = 2\ncategories = ["Lernen"]\ntitles = ["C++", "Électricité"]\n', "utf-8")
    assert read_seeds(path) == Seeds("de", 2, ("Lernen",), ("C++", "Électricité"))
    path.write_text('titles = ["C++"]')
    assert read_seeds(path) == Seeds(titles=("C++",))


def test_reads_seeds_from_a_list_of_titles(tmp_path: Path) -> None:
    path = tmp_path / "titles.txt"
    path.write_text("# languages\nC++\n\n  C#  \r\n", encoding="utf-8-sig")
    assert read_seeds(path) == Seeds(titles=("C++", "C#"))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("s.toml", b"titles = [", "s.toml is not TOML: Invalid value"),
        ("s.toml", b'title = ["C"]', "'title' is none of language, depth, categories, titles"),
        ("s.toml", b"titles = 'C'", "'titles' must be a list of strings, not 'C'"),
        ("s.toml", b"titles = ['C', 7]", "'titles' must be a list of strings"),
        ("s.toml", b"titles = ['C']\ndepth = true", "'depth' must be a whole number, not True"),
        ("s.toml", b"depth = 1", "names no categories and no titles"),
        ("s.txt", b"# nothing\n", "names no categories and no titles"),
        ("s.txt", b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_seeds_that_cannot_be_read_are_refused(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=reason):
        read_seeds(tmp_path / name)
    with pytest.raises(InputError, match="is not a file"):
        read_seeds(tmp_path / "other.toml")
